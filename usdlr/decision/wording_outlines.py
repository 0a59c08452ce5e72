"""What is said of an outline that software drew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import number, rate_interval
from usdlr.decision.wording_intervals import NAMES


def outlined_by_software(dice: float, error_mm: float | None) -> str:
    """What a note says of an outline.

    Parameters
    ----------
    dice : float
        Expected Dice with a reader's outline; not-a-number where it is not known.
    error_mm : float or None
        Expected mean distance to a reader's outline in mm.

    Examples
    --------
    >>> outlined_by_software(0.871, 0.62)
    "outlined by software, to be confirmed by a reader: outlines like this one shared 0.87 (Dice) with a reader's on \
average, and lay 0.6 mm from it"
    """
    text = "outlined by software, to be confirmed by a reader"
    if not math.isfinite(dice):
        return text
    text += f": outlines like this one shared {dice:.2f} (Dice) with a reader's on average"
    return text if error_mm is None else f"{text}, and lay {error_mm:.1f} mm from it"


_RESTS = "The contour is software's"
_WAITS, _CONFIRMED = " and has to be confirmed by a reader.", "; a reader has confirmed it."


def rests_on_software(dice: float, error_mm: float) -> str:
    """What the reason of a decision says where it rests on a contour by software.

    Parameters
    ----------
    dice : float
        Lowest expected Dice of its contours with a reader's; not-a-number where it is not known.
    error_mm : float
        Largest expected mean distance to a reader's contour in mm; not-a-number where it is not known.

    Examples
    --------
    >>> rests_on_software(0.871, 0.62)
    "The contour is software's (expected Dice with a reader's: 0.87; expected distance: 0.6 mm) and has to be \
confirmed by a reader."
    """
    known = [] if math.isnan(dice) else [f"expected Dice with a reader's: {dice:.2f}"]
    known += [] if math.isnan(error_mm) else [f"expected distance: {error_mm:.1f} mm"]
    told = f" ({'; '.join(known)})" if known else ""
    return f"{_RESTS}{told}{_WAITS}"


def confirmed_by_reader(reason: str) -> str:
    """A decision's reason once a reader has confirmed the contours that it rests on.

    Examples
    --------
    >>> confirmed_by_reader(f"Below the threshold. {rests_on_software(0.87, 0.62)}")
    "Below the threshold. The contour is software's (expected Dice with a reader's: 0.87; expected distance: 0.6 mm); \
a reader has confirmed it."
    >>> confirmed_by_reader("Below the threshold.")
    'Below the threshold.'
    """
    own, found, rest = reason.rpartition(_WAITS)
    return f"{own}{_CONFIRMED}{rest}" if found else reason


def over_redrawn(stage: Stage, low: float, high: float, *, n: int, mean_abs_mm: float) -> str:
    """What a reason adds to :func:`rests_on_software` where the contour was redrawn.

    Parameters
    ----------
    stage : Stage
        The last one whose answer counted.
    low, high : float
        5 % and 95 % quantiles of its probability over the redrawn contours.
    n : int
        How many of them could be predicted.
    mean_abs_mm : float
        Mean absolute displacement of the contour in mm.

    Examples
    --------
    >>> from usdlr.decision.numbers import NBSP
    >>> over_redrawn(Stage.SLN, 0.08, 0.171, n=12, mean_abs_mm=0.62).replace(NBSP, " ")
    'Redrawn 12 times, by 0.6 mm on average, it gives P(SLN positive | x) of 8.0–17.1 % (5 % to 95 % quantile).'
    >>> over_redrawn(Stage.SLN, math.nan, math.nan, n=0, mean_abs_mm=0.62)
    'Redrawn, by 0.6 mm on average, it could not be measured: how far the answer depends on it is unknown.'
    """
    by = f"by {mean_abs_mm:.1f} mm on average"
    if n == 0:
        return f"Redrawn, {by}, it could not be measured: how far the answer depends on it is unknown."
    told = f"{NAMES[Stage(stage)]} of {rate_interval(low, high)}"
    return f"Redrawn {n} times, {by}, it gives {told} (5 % to 95 % quantile)."


def split_reason(reason: str) -> tuple[str, bool]:
    """A decision's reason without what it says of a contour by software, and whether it said anything.

    Examples
    --------
    >>> split_reason(f"Below the threshold. {rests_on_software(0.87, 0.6)}")
    ('Below the threshold.', True)
    >>> split_reason("Below the threshold.")
    ('Below the threshold.', False)
    """
    own, found, _ = reason.partition(f" {_RESTS}")
    return own, bool(found)


def another_not_found(found: int, rows: int) -> str:
    """Why a lesion of a picture has no outline while others there have.

    Examples
    --------
    >>> another_not_found(1, 2)
    'found 1 of 2 lesions of this picture, expected all; outline the other one by hand'
    """
    return f"found {found} of {rows} lesions of this picture, expected all; outline the other one by hand"


def likeness_group(low: float, high: float) -> str:
    """A group of axillae by the overlap of two contours.

    Examples
    --------
    >>> likeness_group(0.0, 0.5), likeness_group(0.5, 0.8), likeness_group(0.8, 1.0)
    ('below 0.5', '0.5 to below 0.8', '0.8 or more')
    """
    if low == 0:
        return f"below {high:g}"
    return f"{low:g} or more" if high == 1 else f"{low:g} to below {high:g}"


def not_found(why: str) -> str:
    """The sentence of an exclusion: software found no lesion in the image.

    Examples
    --------
    >>> not_found("no part of the picture scores 0.5 or more")
    'found no lesion by software (no part of the picture scores 0.5 or more), expected one; draw its outline by hand, \
or leave the image out'
    """
    return f"found no lesion by software ({why}), expected one; draw its outline by hand, or leave the image out"


MEASURES: dict[str, tuple[str, str]] = {
    "dice": ("Dice, mean (a missed lesion counts as 0)", "1"),
    "dice_median": ("Dice, median", "1"),
    "iou": ("intersection over union, mean", "1"),
    "hausdorff95_mm": ("95 % Hausdorff distance of boundaries, mean", "mm"),
    "hausdorff95_mm_median": ("95 % Hausdorff distance of boundaries, median", "mm"),
    "average_hausdorff_mm": ("average Hausdorff distance, mean", "mm"),
    "hausdorff_mm": ("Hausdorff distance, mean", "mm"),
    "boundary_error_mm": ("mean distance of boundaries", "mm"),
    "hausdorff95_share": ("95 % Hausdorff distance, mean", "share of the diameter"),
    "boundary_error_share": ("mean distance of boundaries", "share of the diameter"),
}
KINDS = {
    "lesion_free": "images that their source says show no lesion",
    "background": "tissue cut from beside a lesion",
}
WAYS = {
    "whole": "one look at the whole image",
    "closer": "three looks at the whole image and one from close by: what the bundle does",
    "likeliest": "as closer, but the lesion of the highest score alone, however low: for a reader who asks for one",
    "box": "after a box around the lesion, as a reader would draw it",
}
LEAST_SCORES_HEAD = ("least score", "images with a lesion that get an outline", "Dice, mean")
LEAST_SCORES_NOTE = (
    "The likeliest lesion of every image counts from this score on; where none does, Dice is 0. The bundle's own least "
    "score is marked with an asterisk; it also lets further lesions of one image count."
)
RECALL = "lesions found (at least {covered:.0%} of their area covered)"
PRECISION = "outlined lesions that are right"
FALSE_POSITIVES = "lesions outlined beside a reader's, per image"
GOOD_ONES = "images with a Dice of 0.5 or more"
TOO_SMALL = "lesions too small to count as found or missed"
FOUND_WITHOUT = "share on which a lesion was outlined all the same"
DEVELOPMENT_NOTE = (
    "Every image was outlined by one network that has not seen its patient: this estimates the procedure, with one "
    "network where the bundle has several."
)
EXTERNAL_NOTE = (
    "Outlined once by the bundle's networks together. Nothing was learned from these images or chosen by them."
)
SHARES_NOTE = (
    "Shares are of the reader's equivalent diameter, the diameter of the disc of the same area. Distances are told of "
    "images on which something of the lesion was found."
)
READERS_NOTE = (
    "Readers differ too: of breast masses, two readers' outlines have shared a Dice of 0.84 to 0.89 (PMC5438055)."
)
GALLERY_NOTE = (
    "Solid, orange: the reader. Dashed, blue: the software. The bar is 10 mm where the image is calibrated. Patients "
    "are numbered within this page."
)
NO_PIXEL_SIZE = "No image of this source states a pixel size: nothing is told in millimetres."
CONFIRM = (
    "An outline by software has to be confirmed or redrawn by a reader before anything rests on it. What the networks "
    "learned is how these readers draw; another centre's may draw otherwise."
)
STRATA_CAPTION = (
    "Quality of found lesions by short axis in whole millimetres; boxes hold the middle half, whiskers reach to 1.5 "
    "times its width. {tests}"
)
BLAND_ALTMAN_CAPTION = (
    "Longest diameter by software minus the reader's, against their mean, in mm. Solid: mean difference; dashed: 95 % "
    "limits of agreement. {numbers}"
)
FROC_CAPTION = (
    "Lesions found against lesions outlined where there is none, per image, as the least score that counts rises; "
    "images with and without a lesion. A dot stands where the bundle's rules are."
)
HISTOGRAM_CAPTION = "Images by their Dice; missed lesions stand at 0. The solid line is the mean."
TARGET_CAPTION = "The dashed line is the target, {target}."
DIFFERENCES_NOTE = "Image by image, of those outlined in both ways; intervals draw patients."
EFFECT_NOTE = (
    "The same model on the same axillae, given the reader's contours and the software's. Difference: software minus "
    "reader."
)
EFFECT_MEASURES: dict[str, tuple[str, str]] = {
    "auc": ("area under the ROC curve", "1"),
    "average_precision": ("average precision", "1"),
    "brier": ("Brier score (0 is best)", "1"),
    "sensitivity": ("sensitivity at the model's threshold", "1"),
    "specificity": ("specificity at the model's threshold", "1"),
}
EFFECT_QUESTION = "What do contours by software, in place of readers', change in this model's answers?"
EFFECT_LOST = (
    "Axillae in which the software found no lesion, or one that the model cannot use, have no answer by it and stand "
    "in no comparison: a missed tumour is worse than a poor outline, and is counted apart."
)
EFFECT_CHANGE_CAPTION = (
    "Probability with the software's contour against that with the reader's, one point per axilla; filled: positive. "
    "Dashed: the model's thresholds. On the diagonal the contour changes nothing."
)
NONE = "–"
LIKENESS_HEAD = (
    "Dice of both contours",
    "axillae (positive)",
    "AUC, reader's contours",
    "AUC, software's",
    "difference",
    "change of the probability, positive axillae",
    "the same, negative axillae",
)
LIKENESS_NOTE = (
    "Axillae of known status. A loss where the contours hardly overlap comes from lesions outlined in the wrong place; "
    "one where they overlap well, from how the contour is drawn. AUCs of groups this small vary widely."
)
SPHERICITY_HEAD = ("outcome", "axillae", "reader's contours", "software's contours", "difference")
SPHERICITY_NOTE = (
    "Mean sphericity in two dimensions, 2 sqrt(pi area) / perimeter: 1 is a disc, an irregular or spiculated contour "
    "has less."
)
WHY_NOTE = (
    "A model that was made with readers' contours has learned from how readers draw. Where software draws smoother "
    "contours, what their irregularity told is lost; a model for software's contours has to be made with them."
)
EFFECT_ELSEWHERE = (
    "What contours by software change in a frozen model's answers is measured with that model, on a page of its own: "
    "usdlr segment --replace --model."
)
CONFIDENCE_CAPTION = "Dice against the score of the outline. {numbers}"


def summary(source: str, dice: str, n: int, found: str) -> str:
    """The first sentence of the page.

    Examples
    --------
    >>> summary("development", "0.88 (0.86-0.90)", 765, "96 %")
    'development: Dice 0.88 (0.86-0.90) over 765 images with a lesion; 96 % of lesions found.'
    """
    return f"{source}: Dice {dice} over {n} images with a lesion; {found} of lesions found."


def cohorts(names: Sequence[str]) -> str:
    """Whom the numbers are of.

    Examples
    --------
    >>> cohorts(["development", "breast_lesions_usg"])
    'The numbers are of the images of development and breast_lesions_usg, and of no others: other scanners, readers \
and patients may give other numbers.'
    """
    told = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return (
        f"The numbers are of the images of {told}, and of no others: other scanners, readers and patients may give "
        "other numbers."
    )


def outlines_of_own(seen: int, count: int) -> str:
    """That software was judged on what it learned from.

    Examples
    --------
    >>> outlines_of_own(12, 205)
    'The networks that drew these contours learned from 12 of the 205 image sets. Contours of new patients differ \
more from those by readers than these do, and change more.'
    """
    return (
        f"The networks that drew these contours learned from {seen} of the {count} image sets. Contours of new "
        "patients differ more from those by readers than these do, and change more."
    )


def effect_summary(
    both: int, same: str, lost: int, lost_positive: int, unusable: int = 0, unusable_positive: int = 0
) -> str:
    """The first sentences of a page on what other contours change.

    Examples
    --------
    >>> effect_summary(205, "93 %", 5, 2)
    'Of 205 axillae answered with both contours, 93 % stay in the same group. The software found no lesion in \
5 axillae (2 positive).'
    """
    told = [f"Of {both} axillae answered with both contours, {same} stay in the same group."]
    if lost:
        told.append(f"The software found no lesion in {_axillae(lost)} ({lost_positive} positive).")
    else:
        told.append("The software found a lesion in every axilla.")
    if unusable:
        told.append(f"In {_axillae(unusable)} ({unusable_positive} positive) the model could not use what it found.")
    return " ".join(told)


def _axillae(count: int) -> str:
    return "1 axilla" if count == 1 else f"{count} axillae"


def difference_name(key: str) -> str:
    """A difference of two ways of outlining, in words.

    Examples
    --------
    >>> difference_name("closer_minus_whole")
    'closer minus whole'
    """
    return key.replace("_minus_", " minus ")


def agreement_words(bias: float, lower: float, upper: float, icc: float | None) -> str:
    """What a Bland-Altman plot comes to.

    Examples
    --------
    >>> agreement_words(-0.52, -4.1, 3.06, 0.91)
    'Mean −0.52 mm, limits −4.10 to 3.06 mm; ICC(2,1) 0.91.'
    """
    told = "not estimable" if icc is None else number(icc)
    return f"Mean {number(bias)} mm, limits {number(lower)} to {number(upper)} mm; ICC(2,1) {told}."


def confidence_words(spearman: float, thirds: Sequence[Mapping[str, Any]]) -> str:
    """What the score tells of the outline.

    Examples
    --------
    >>> confidence_words(0.5, [{"score_from": 0.5, "score_to": 0.9, "dice": 0.8}])
    "Spearman's rho 0.50. Mean Dice by thirds of the score: 0.50 to 0.90: 0.80."
    """
    told = "; ".join(
        f"{number(part['score_from'])} to {number(part['score_to'])}: {number(part['dice'])}" for part in thirds
    )
    return f"Spearman's rho {number(spearman)}. Mean Dice by thirds of the score: {told}."
