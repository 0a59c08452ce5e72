"""How good outlines are, image by image and over all of them: overlap, distances, sizes, and lesions that are none.

Overlap is that of whole masks: a lesion that was missed counts with a Dice of 0. Distances are in mm where the image
is calibrated, and shares of the reader's equivalent diameter (of the disc of its area) everywhere; where nothing of a
lesion was found there is no distance, and the count says of how many images it is told.

References
----------
Equivalent diameter and measures of overlap: Taha and Hanbury 2015, doi:10.1186/s12880-015-0068-x. Bland and Altman
1986, doi:10.1016/S0140-6736(86)90837-8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from usdlr.core.errors import DataError
from usdlr.core.units import Spacing
from usdlr.evaluation.detection import collect, detection, strata
from usdlr.evaluation.instances import Matching, match_objects
from usdlr.evaluation.intervals import undefined
from usdlr.evaluation.outline_means import mean_of, median_of, share_of, sizes_of
from usdlr.evaluation.overlap import BoolArray, overlap
from usdlr.evaluation.resampling import REPLICATES
from usdlr.imaging.components import short_axes
from usdlr.imaging.mask import LesionMask, measure

Labels = npt.NDArray[np.integer[Any]]
DISTANCES = ("hausdorff_mm", "average_hausdorff_mm", "hausdorff95_mm", "boundary_error_mm")
SHARES = tuple(name.replace("_mm", "_share") for name in DISTANCES)
MEANS = ("dice", "iou", *DISTANCES, *SHARES)
# What is told of lesions by size: distances of whole masks, as the published protocol has them, and Dice.
BY_SIZE = ("dice", "average_hausdorff_mm", "hausdorff_mm")
# From this Dice on, most of a lesion and little else is in an outline.
GOOD = 0.5
THIRDS = 3


@dataclass(frozen=True, eq=False)
class OutlinedImage:
    """One image, as a reader and as software outlined it.

    Parameters
    ----------
    patient_id, image_id : str
        Whose, and which.
    kind : str
        What the image is, e.g. ``lesion`` or ``background``.
    reference, predicted : int array, (rows, columns)
        0 outside, 1.. inside the reader's and the software's lesions.
    scores : mapping of int to float
        Score of every predicted lesion.
    spacing : Spacing or None
        In mm; ``None`` where the image is not calibrated.
    groups : mapping of str to str
        What the image belongs to, e.g. ``{"device": "A"}``.
    """

    patient_id: str
    image_id: str
    kind: str
    reference: Labels
    predicted: Labels
    scores: Mapping[int, float]
    spacing: Spacing | None
    groups: Mapping[str, str] = field(default_factory=dict)


def judge_image(image: OutlinedImage) -> dict[str, Any]:
    """One row of the table of images.

    Returns
    -------
    dict
        ``patient_id image_id kind``, the groups, ``lesions`` and ``found_lesions`` (counts), ``score`` (the highest),
        ``dice iou`` and the distances of whole masks, ``reader_mm software_mm``, the longest diameters of the largest
        lesion of the reader and of what covers it, and ``reader_short_mm software_short_mm``, their short axes.
    """
    truth, guess = np.asarray(image.reference) > 0, np.asarray(image.predicted) > 0
    found = overlap(truth, guess, image.spacing or Spacing(1.0, 1.0)).as_dict()
    row: dict[str, Any] = {
        "patient_id": image.patient_id,
        "image_id": image.image_id,
        "kind": image.kind,
        **{str(name): str(value) for name, value in image.groups.items()},
        "lesions": len(np.unique(image.reference[truth])),
        "found_lesions": len(np.unique(image.predicted[guess])),
        "score": max(image.scores.values(), default=math.nan),
        "dice": _number(found["dice"]) if truth.any() else math.nan,
        "iou": _number(found["iou"]) if truth.any() else math.nan,
    }
    unit = image.spacing or Spacing(1.0, 1.0)
    diameter = math.sqrt(4 * float(truth.sum()) * unit.pixel_area_mm2 / math.pi)
    for name, share in zip(DISTANCES, SHARES, strict=True):
        value = _number(found[name])
        row[name] = value if image.spacing is not None else math.nan
        row[share] = value / diameter if diameter else math.nan
    largest = _largest(image.reference)
    covering = _covering(image.predicted, largest)
    row["reader_mm"], row["software_mm"] = (_diameter(part, image.spacing) for part in (largest, covering))
    row["reader_short_mm"], row["software_short_mm"] = (_short(part, image.spacing) for part in (largest, covering))
    return row


def judge_images(
    images: Sequence[OutlinedImage], *, covered: float, smallest_mm: float, match: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Judge every image.

    Parameters
    ----------
    images : sequence of OutlinedImage
        Each once.
    covered, smallest_mm : float
        As :func:`usdlr.evaluation.instances.match_objects` takes them; without a calibration no lesion is too small,
        and no size is told.
    match : bool
        Whether lesions are matched one by one, which takes most of the time; without, two tables are empty.

    Returns
    -------
    images : DataFrame
        Rows of :func:`judge_image`.
    matched, objects : DataFrame
        From :func:`usdlr.evaluation.detection.collect`, of images with a lesion.

    Raises
    ------
    DataError
        If there is no image, or one twice.
    """
    if not images:
        raise DataError("found no image to judge, expected at least one; leave the source out")
    rows = [judge_image(image) for image in images]
    matchings: list[tuple[str, str, Matching]] = []
    for image in images if match else ():
        if not (np.asarray(image.reference) > 0).any():
            continue
        spacing, least = (image.spacing, smallest_mm) if image.spacing is not None else (Spacing(1.0, 1.0), 0.0)
        reference = np.asarray(image.reference, dtype=np.int64)
        predicted = np.asarray(image.predicted, dtype=np.int64)
        matching = match_objects(reference, predicted, spacing, covered=covered, smallest_mm=least)
        if image.spacing is None:
            matching = _without_mm(matching)
        matchings.append((image.patient_id, image.image_id, matching))
    matched, objects = collect(matchings)
    return pd.DataFrame(rows), matched, objects


def outline_metrics(
    images: pd.DataFrame,
    matched: pd.DataFrame,
    objects: pd.DataFrame,
    *,
    groups: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that is told of the outlines of one source.

    Parameters
    ----------
    images, matched, objects : DataFrame
        From :func:`judge_images`.
    groups : sequence of str
        Columns of ``images`` by which Dice is told apart.
    replicates, seed : int
        Of the patient bootstrap.

    Returns
    -------
    dict
        Estimates as plain data: a mean of each of :data:`MEANS` and, as ``NAME_median``, a median, ``good`` (share of
        images with a Dice of 0.5 or more), ``without_a_lesion.KIND`` (share of such images on which one was found),
        ``recall precision false_positives_per_image``, ``too_small`` (a reader's lesions that these leave out for their
        short axis; None where lesions were not matched), ``groups``, ``strata`` and ``strata_tests``, ``diameters`` and
        ``short_axes`` (software against reader), ``confidence``.

    Raises
    ------
    DataError
        If the images have no column of a group.
    """
    missing = [name for name in groups if name not in images]
    if missing:
        raise DataError(
            f"found no column {', '.join(missing)} in the table of images, expected one per group; leave it out of the "
            "groups or give it to every image"
        )
    given = {"replicates": replicates, "seed": seed}
    shown = images[images["lesions"] > 0]
    out: dict[str, Any] = {name: mean_of(shown, name, **given).as_dict() for name in MEANS}
    out |= {f"{name}_median": median_of(shown, name, **given).as_dict() for name in MEANS}
    out["good"] = share_of(shown, shown["dice"] >= GOOD).as_dict()
    out["without_a_lesion"] = {
        str(kind): share_of(part, part["found_lesions"] > 0).as_dict()
        for kind, part in images[images["lesions"] == 0].groupby("kind")
    }
    found = detection(matched, **given) if len(matched) else {}
    why = "lesions were not matched one by one" if len(shown) else "no image with a lesion"
    for name in ("recall", "precision", "false_positives_per_image"):
        out[name] = found.get(name, undefined(0, why)).as_dict()
    out["too_small"] = int(matched["dropped"].sum()) if len(matched) else None
    out["groups"] = {
        name: {
            str(value): mean_of(part, "dice", **given).as_dict()
            for value, part in shown.groupby(shown[name].fillna("unknown"))
        }
        for name in groups
    }
    calibrated = len(objects) > 0 and bool(objects["short_axis_mm"].notna().any())
    if calibrated:
        table, tests = strata(objects, measures=BY_SIZE)
        out["strata"], out["strata_tests"] = table.to_dict("records"), tests
    out["diameters"] = sizes_of(shown, "reader_mm", "software_mm", **given)
    out["short_axes"] = sizes_of(shown, "reader_short_mm", "software_short_mm", **given)
    out["confidence"] = _confidence(shown)
    return out


def score_curve(objects_of: Sequence[OutlinedImage], *, covered: float) -> pd.DataFrame:
    """Recall against false lesions per image as the least score rises (a free-response curve).

    Parameters
    ----------
    objects_of : sequence of OutlinedImage
        With and without a lesion; none is left out for its size.
    covered : float
        Share of a reader's lesion that one predicted lesion alone must cover to have found it.

    Returns
    -------
    DataFrame
        ``score recall false_per_image``, from the strictest to the mildest score. An outlined lesion is false if it
        touches none of the reader's: one that touches a lesion without finding it is not, which differs from
        :func:`usdlr.evaluation.instances.match_objects`.

    References
    ----------
    Bunch et al. 1977, doi:10.1117/12.955926.
    """
    hits: list[float] = []  # the score at which each lesion is found
    false: list[float] = []
    lesions = 0
    for image in objects_of:
        names = [int(name) for name in np.unique(image.reference) if name]
        lesions += len(names)
        best = dict.fromkeys(names, -math.inf)
        for number, score in image.scores.items():
            guess = np.asarray(image.predicted) == number
            touched = [name for name in names if (guess & (np.asarray(image.reference) == name)).any()]
            if not touched:
                false.append(score)
            for name in touched:
                truth = np.asarray(image.reference) == name
                if (guess & truth).sum() >= covered * truth.sum():
                    best[name] = max(best[name], score)
        hits += [score for score in best.values() if score > -math.inf]
    points = sorted({*hits, *false}, reverse=True)
    return pd.DataFrame(
        {
            "score": points,
            "recall": [sum(hit >= point for hit in hits) / lesions if lesions else math.nan for point in points],
            "false_per_image": [sum(one >= point for one in false) / max(len(objects_of), 1) for point in points],
        }
    )


def _without_mm(matching: Matching) -> Matching:
    """The same matching where a pixel has no size: no length and no area may be told."""
    objects = matching.objects.assign(
        **dict.fromkeys(("short_axis_mm", "area_mm2", "hausdorff_mm", "average_hausdorff_mm"), np.nan)
    )
    bare = replace(
        matching.overlap,
        hausdorff_mm=None,
        average_hausdorff_mm=None,
        hausdorff95_mm=None,
        boundary_error_mm=None,
        reference_mm2=math.nan,
        predicted_mm2=math.nan,
    )
    return Matching(objects, bare, matching.dropped)


def _confidence(images: pd.DataFrame) -> dict[str, Any] | None:
    """Whether the score tells good outlines from bad ones: rank correlation with Dice, and the mean Dice in thirds."""
    known = images.dropna(subset=["score", "dice"]).sort_values("score", kind="stable")
    if len(known) < THIRDS or known["score"].nunique() < 2 or known["dice"].nunique() < 2:
        return None
    parts = np.array_split(np.arange(len(known)), THIRDS)
    return {
        "spearman": float(spearmanr(known["score"], known["dice"]).statistic),
        "n": len(known),
        "thirds": [
            {
                "score_from": float(known["score"].iloc[part[0]]),
                "score_to": float(known["score"].iloc[part[-1]]),
                "dice": float(known["dice"].iloc[part].mean()),
                "n": len(part),
            }
            for part in parts
        ],
    }


def _largest(labels: Labels) -> BoolArray:
    numbers, areas = np.unique(np.asarray(labels)[np.asarray(labels) > 0], return_counts=True)
    if not len(numbers):
        return np.zeros(np.asarray(labels).shape, dtype=bool)
    return np.asarray(np.asarray(labels) == numbers[int(areas.argmax())])


def _covering(predicted: Labels, lesion: BoolArray) -> BoolArray:
    """The predicted lesion that covers most of a reader's; empty where none touches it."""
    return _largest(np.where(np.isin(predicted, _most(predicted, lesion)), predicted, 0))


def _most(predicted: Labels, lesion: BoolArray) -> list[int]:
    numbers, areas = np.unique(np.asarray(predicted)[lesion & (np.asarray(predicted) > 0)], return_counts=True)
    return [int(numbers[int(areas.argmax())])] if len(numbers) else []


def _diameter(mask: BoolArray, spacing: Spacing | None) -> float:
    if spacing is None or not mask.any():
        return math.nan
    return measure(LesionMask(mask, spacing)).longest_diameter_mm


def _short(mask: BoolArray, spacing: Spacing | None) -> float:
    return math.nan if spacing is None or not mask.any() else short_axes(mask.astype(np.int64), spacing)[1]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
