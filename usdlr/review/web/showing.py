"""Records in the words, class names and SVG lengths of pages."""

from __future__ import annotations

from collections.abc import Mapping

from usdlr.core.types import ContractStatus, MaskSource, RiskGroup, Side, Site, SpacingSource, Stage
from usdlr.decision.wording import P_NSLN, P_SLN, standing
from usdlr.decision.wording_review import expected_words
from usdlr.review.acts import Opinion
from usdlr.review.contexts.frame import Choice
from usdlr.review.contexts.panels import AnswerView, StepView
from usdlr.review.records import Answered, ImageRecord, StageValue
from usdlr.review.words import interval_text, probability_text, threshold_text

GROUP_KEYS: Mapping[RiskGroup, str] = {
    RiskGroup.LR_SLN: "low",
    RiskGroup.HR_SLN_LR_NSLN: "middle",
    RiskGroup.HR_SLN_HR_NSLN: "high",
    RiskGroup.DEFER: "defer",
}
LABELS: Mapping[Stage, str] = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}
TITLES: Mapping[Stage, str] = {Stage.SLN: "Sentinel lymph node (SLN)", Stage.NSLN: "Non-sentinel lymph nodes (NSLN)"}
SIDES: Mapping[Side, str] = {Side.LEFT: "left", Side.RIGHT: "right", Side.UNKNOWN: "not known"}
SITES: Mapping[Site, str] = {Site.TUMOUR: "Tumour", Site.AXILLA: "Axilla"}
ABOUT_INTERVAL = "The interval is about the model's estimate, not about the patient."
_SOURCES: Mapping[MaskSource, str] = {
    MaskSource.READER: "contour by a reader",
    MaskSource.AUTOMATIC: "contour by software",
}
_SPACINGS: Mapping[SpacingSource, str] = {
    SpacingSource.DICOM_REGION: "from the DICOM ultrasound region",
    SpacingSource.PIXEL_SPACING: "from the DICOM pixel spacing",
    SpacingSource.IMAGER_PIXEL_SPACING: "from the DICOM imager pixel spacing",
    SpacingSource.MANIFEST: "stated by the centre",
}


def percent_length(value: float) -> str:
    """A share of 1 as an SVG length, kept inside its picture.

    Examples
    --------
    >>> percent_length(0.2341), percent_length(1.7)
    ('23.41%', '100.00%')
    """
    return f"{100 * min(1.0, max(0.0, value)):.2f}%"


def answer_view(answer: Answered, contract: tuple[str, ...], *, changed: bool) -> AnswerView:
    """What the model says, ready to be printed.

    Parameters
    ----------
    answer : Answered
        The answer that counts.
    contract : tuple of str
        What the contract says.
    changed : bool
        Whether it was predicted anew here.
    """
    return AnswerView(
        group=str(answer.group),
        group_key=GROUP_KEYS[answer.group],
        reason=answer.reason,
        steps=tuple(_step(number, one) for number, one in enumerate(answer.stages, start=1)),
        standing=standing(answer.contract),
        certified=answer.contract == ContractStatus.CERTIFIED,
        contract=contract,
        about_interval=ABOUT_INTERVAL,
        changed=changed,
    )


def _step(number: int, value: StageValue) -> StepView:
    over = value.probability >= value.threshold
    band = value.contour
    return StepView(
        number=number,
        title=TITLES[value.stage],
        label=LABELS[value.stage],
        probability=probability_text(value.probability),
        threshold=threshold_text(value.threshold, value.probability),
        interval=interval_text(value.low, value.high),
        side="At or above its threshold." if over else "Below its threshold.",
        reached=value.reached,
        at=percent_length(value.probability),
        threshold_at=percent_length(value.threshold),
        low_at=percent_length(value.low),
        span=percent_length(value.high - value.low),
        over=over,
        conformal="" if value.conformal is None else interval_text(*value.conformal),
        contour="" if band is None else interval_text(*band),
        contour_low_at="" if band is None else percent_length(band[0]),
        contour_span="" if band is None else percent_length(band[1] - band[0]),
    )


def image_words(image: ImageRecord) -> str:
    """What an image shows.

    Parameters
    ----------
    image : ImageRecord
        The image set.
    """
    return f"{SITES[image.site]}{', ' + image.view if image.view else ''}"


def source_words(image: ImageRecord, *, redrawn: bool = False) -> str:
    """Who drew the contour, and how good one by software is expected to be.

    Parameters
    ----------
    image : ImageRecord
        The image set.
    redrawn : bool
        Whether a reader has drawn another one since: then nothing is expected of it.
    """
    if image.mask_source is None:
        return "no contour"
    words = _SOURCES[image.mask_source]
    if redrawn or image.mask_source is not MaskSource.AUTOMATIC:
        return words
    expected = expected_words(image.row.get("mask_confidence"), image.row.get("mask_error_mm"))
    return f"{words} ({expected})" if expected else words


def scale_words(image: ImageRecord) -> str:
    """Millimetres per pixel and where they come from, or that there are none."""
    if image.row_mm is None or image.col_mm is None:
        return "not calibrated: no millimetres"
    size = f"{image.row_mm:.3f} mm/px"
    if f"{image.col_mm:.3f}" != f"{image.row_mm:.3f}":
        size = f"{image.row_mm:.3f} × {image.col_mm:.3f} mm/px (row × column)"
    return f"{size}, {_SPACINGS.get(image.spacing_source, 'source not known')}"


def group_choices(chosen: RiskGroup | None = None, *, without: RiskGroup | None = None) -> tuple[Choice, ...]:
    """The risk groups to choose from.

    Parameters
    ----------
    chosen : RiskGroup, optional
        The present one.
    without : RiskGroup, optional
        One that is not offered.
    """
    return tuple(Choice(str(one), str(one), one is chosen) for one in RiskGroup if one is not without)


def opinion_words(opinion: Opinion) -> str:
    """A reader's own reading in words.

    Examples
    --------
    >>> opinion_words(Opinion(RiskGroup.LR_SLN, 0.12))
    'LR-SLN, P(SLN positive | x) 12.0 %'
    """
    parts = [str(opinion.group)]
    if opinion.p_sln is not None:
        parts.append(f"{P_SLN} {probability_text(opinion.p_sln)}")
    if opinion.p_nsln is not None:
        parts.append(f"{P_NSLN} {probability_text(opinion.p_nsln)}")
    return ", ".join(parts)


def time_words(at: str) -> str:
    """A time of the log as pages print it.

    Examples
    --------
    >>> time_words("2026-03-01T09:05:07.123456+00:00")
    '2026-03-01 09:05:07 UTC'
    """
    return f"{at[:10]} {at[11:19]} UTC"
