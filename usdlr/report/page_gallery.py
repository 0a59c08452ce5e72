"""The pictures of the study page: example cases, and heat maps beside their crops."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.report.document import Picture
from usdlr.report.figures_heatmap import HeatCase, full_colour, panel_words, render_heat
from usdlr.report.gallery import GalleryCase, render_case, stiffness_scale_kpa
from usdlr.report.inputs import StudyInputs
from usdlr.report.redact import identifiers, redact
from usdlr.report.tables import percent

AREA = {"mm": "mm²", "units": "square unit"}


def gallery_pictures(inputs: StudyInputs) -> tuple[Picture, ...]:
    """The example cases."""
    scale = stiffness_scale_kpa(inputs.gallery)
    return tuple(_example(inputs, case, scale) for case in inputs.gallery)


def heat_pictures(inputs: StudyInputs) -> tuple[Picture, ...]:
    """The heat maps."""
    return tuple(_heat(inputs, case) for case in inputs.heat_maps)


def heat_title(inputs: StudyInputs, case: HeatCase) -> str:
    """Number and stage of a heat map, with the marks of the cohort."""
    return inputs.marks.title(f"Heat map {case.number}, {str(case.stage).upper()} stage")


def heat_note(inputs: StudyInputs) -> str:
    """How to read the heat maps; empty where there are none."""
    if not inputs.heat_maps:
        return ""
    return (
        "What the networks of the bundle use in axillae of its tuning patients, evenly spread from the lowest to the "
        "highest probability. On the left the crop; beside it one panel per image block: vermillion raises the "
        "log-odds, blue lowers them, on a colour scale of the case's own, whose full colour is at least the density at "
        "which the whole crop would add 0.1 nat: a pale map adds next to nothing. The number behind a block is what "
        "its whole map adds to the log-odds before calibration, compared with an empty image, by this image "
        "alone. A map is as coarse as the last feature map of the networks, and shows what they use, not what causes a "
        "metastasis. Solid orange line: lesion contour. Dashed blue line: outer edge of the peritumoral ring. Numbers "
        "are pseudonyms made for this page."
    )


def _example(inputs: StudyInputs, case: GalleryCase, scale_kpa: float) -> Picture:
    beside = "; beside it the stiffness in kPa" if case.stiffness is not None else ""
    return Picture(
        title=inputs.marks.title(f"Case {case.number}"),
        png=render_case(case, scale_kpa),
        alternative=(
            f"Case {case.number}: B-mode image with lesion contour, peritumoral ring and 10 {case.unit} scale bar"
            f"{beside}."
        ),
        lines=(
            (f"{inputs.marks.adjective}group".capitalize(), redact(case.group, identifiers(inputs))),
            (P_SLN, percent(case.p_sln)),
            (P_NSLN, percent(case.p_nsln)),
            ("Found, SLN", _status(case.sln)),
            ("Found, NSLN", _status(case.nsln)),
        ),
        wide=case.stiffness is not None,
    )


def _heat(inputs: StudyInputs, case: HeatCase) -> Picture:
    panels, stage = panel_words(case), str(case.stage).upper()
    return Picture(
        title=heat_title(inputs, case),
        png=render_heat(case),
        alternative=f"Heat map {case.number}, {stage} stage, from left to right: {'; '.join(panels)}.",
        lines=(
            *((f"Panel {place}", words) for place, words in enumerate(panels, start=1)),
            (P_SLN if case.stage is Stage.SLN else P_NSLN, percent(case.probability)),
            (f"Found, {stage}", _status(case.found)),
            ("Full colour", f"{full_colour(case):.2g} nat per {AREA[case.unit]} or more"),
        ),
        wide=True,
    )


def _status(found: bool | None) -> str:
    return "unknown" if found is None else "positive" if found else "negative"
