"""The pictures of the study page: example cases, and heat maps beside their crops."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.decision.numbers import percent
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.decision.wording_page import HEAT
from usdlr.report.document import Picture
from usdlr.report.figures_heatmap import HeatCase, full_colour, panel_words, render_heat
from usdlr.report.gallery import GalleryCase, render_case, stiffness_scale_kpa
from usdlr.report.inputs import StudyInputs
from usdlr.report.redact import identifiers, redact

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
    return HEAT if inputs.heat_maps else ""


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
