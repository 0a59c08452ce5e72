"""The page of one axilla: it fits one sheet, says what the numbers say, and names nobody."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader

from usdlr.core.types import RiskGroup, Stage
from usdlr.core.units import Spacing
from usdlr.decision.explanation import (
    ABSENCE,
    CLINICAL_VALUE,
    SIGNED_MAP,
    SIZE,
    Agreement,
    BlockShare,
    Change,
    Explanation,
    FamilySum,
    FeatureTerm,
    ImageWeight,
    Neighbour,
    StageExplanation,
)
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE
from usdlr.report.case import CaseInputs, case_page
from usdlr.report.case_figures import answer_figure, share_words
from usdlr.report.case_pictures import by_modality
from usdlr.report.figures_heatmap import HeatCase, HeatPanel
from usdlr.report.gallery import GalleryCase
from usdlr.report.html import render
from usdlr.report.pdf import pdf_bytes
from usdlr.report.tables import Marks

BLOCKS = ("bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral", "elasto.peritumoral", "radiomics")
SIDE = 48


def made_stage(stage: Stage, *, absent: bool = False) -> StageExplanation:
    shares = [0.12, -0.34, None if absent else 0.56, None if absent else -0.078, 1.9]
    base = -0.789
    changes = (
        Change(SIZE, "tumour_size_mm", 18.2, 11.4, True, 0.1229, 2.0, 100.0, 0.1),
        Change(CLINICAL_VALUE, "age_years", 61.0, None, False, None, 18.0, 100.0, 1.0),
        *(Change(ABSENCE, name, probability=0.4) for name in BLOCKS[:4]),
        Change(ABSENCE, "radiomics", crosses=True, probability=0.0876),
    )
    terms = tuple(
        FeatureTerm(
            f"bmode.intratumoral.original.glcm.F{place}", f"a long word for a feature of its own {place}", 3.0, 2.0, 0.1
        )
        for place in range(30)
    )
    return StageExplanation(
        stage,
        probability=0.7772,
        low=0.6171,
        high=0.8838,
        logit=base + sum(share or 0.0 for share in shares),
        base=base,
        threshold=0.12344,
        blocks=tuple(BlockShare(name, adds) for name, adds in zip(BLOCKS, shares, strict=True)),
        score=3.0,
        terms=(FeatureTerm("clinical.tumour_size_mm", "tumour size (mm)", None, 19.2, 0.5), *terms),
        families=(FamilySum("clinical", "tumour_size_mm", "tumour size (mm)", 1, 0.5),),
        changes=changes,
        agreements=(
            Agreement(0, "bmode.intratumoral", SIGNED_MAP, 0.31, 30),
            Agreement(0, BLOCKS[1], "Grad-CAM", None, 3),
        ),
        image_weights=(ImageWeight(0, "bmode.intratumoral", 0.7), ImageWeight(1, "bmode.intratumoral", 0.3)),
        pooling="attention",
        model_id="0123456789ab",
        notes=("something that could not be told",),
    )


def made_inputs(group: RiskGroup = RiskGroup.HR_SLN_HR_NSLN, *, absent: bool = False) -> CaseInputs:
    reached = Stage.SLN if group is RiskGroup.LR_SLN else Stage.NSLN
    explanation = Explanation(
        group,
        reached,
        "Uncertified: high risk of a positive sentinel lymph node; if it is positive, high risk of positive nodes.",
        "not_certifiable",
        tuple(made_stage(stage, absent=absent) for stage in Stage),
        tuple(Neighbour(0.4 + place / 10, place % 2 == 0, None) for place in range(5)),
    )
    rng = np.random.default_rng(0)
    lesion = np.zeros((SIDE, SIDE), dtype=bool)
    lesion[16:32, 16:32] = True
    ring = np.zeros_like(lesion)
    ring[12:36, 12:36] = True
    ring &= ~lesion
    pixels = rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    image = GalleryCase(1, pixels, lesion, ring, Spacing(0.5, 0.5), str(group), 0.7, 0.7, None, None)
    panels = [
        HeatPanel(name, rng.normal(size=(SIDE, SIDE)) * where, 0.1)
        for name, where in zip(BLOCKS, (lesion, ring), strict=False)
    ]
    heat = {stage: HeatCase(1, stage, pixels.astype(float), lesion, ring, panels, 0.7, None) for stage in Stage}
    return CaseInputs(
        number=7,
        explanation=explanation,
        variables={"tumour_size_mm": "tumour size (mm)", "age_years": "age (years)"},
        marks=Marks(True, False, True),
        contract=(
            "Uncertified: the calibration patients hold 27 SLN-positive and 11 NSLN-positive axillae, but at least 29 "
            "and 29 are needed to show with 95 % confidence that at most 10 % of SLN-positive axillae and at most 10 % "
            "of NSLN-positive axillae (among dissected axillae) are missed; the thresholds shown promise nothing.",
        ),
        cohort="Cohort: 293 patients, 293 axillae, 367 image sets from 2 centres (north, south); 10 excluded rows.",
        bundle_id="5ed71f12be6b",
        images=2,
        image=replace(image, stiffness=rng.uniform(0, 200, (SIDE, SIDE))),
        heat=heat,
        others={("Grad-CAM", Stage.SLN): heat[Stage.SLN]},
        flags=("pixel size from a header field of lower trust", "lossy compression"),
        absent=("elastography",) if absent else (),
        warnings=("Unlike the patients that the model was made with: the answer may not hold for this patient.",),
        comparators=(("MSKCC sentinel-node nomogram", "41.4 %"),),
    )


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)))


@pytest.mark.parametrize(
    ("group", "absent"), [(RiskGroup.LR_SLN, False), (RiskGroup.HR_SLN_HR_NSLN, False), (RiskGroup.DEFER, True)]
)
def test_paper_is_one_sheet(group: RiskGroup, absent: bool) -> None:
    inputs = made_inputs(group, absent=absent)
    pages = PdfReader(io.BytesIO(pdf_bytes(case_page(inputs, full=False)))).pages
    assert len(pages) == 1
    text = re.sub(r"\s+", " ", pages[0].extract_text())
    assert str(group) in text
    assert "not a medical device" in text
    assert "5ed71f12be6b" in text
    assert "0123456789ab" in text
    assert "293 patients" in text
    assert "Unlike the patients" in text


def test_the_screen_says_the_same_and_more() -> None:
    text = text_of(render(case_page(made_inputs())))
    assert NOT_A_MEDICAL_DEVICE in text
    assert text.count("77.7") >= 2
    assert "threshold 12.3" in text
    assert "With a stated tumour size of 11.4 mm instead of 18.2 mm" in text
    assert "Of the 5 training axillae" in text
    assert "absent" not in text
    for share in ("+0.12", "−0.34", "+0.56", "−0.08", "+1.90", "−0.79"):
        assert share in text
    assert "Something that could not be told." in text
    assert "MSKCC sentinel-node nomogram: 41.4" in text


def test_a_stage_that_was_not_reached_says_so() -> None:
    document = case_page(made_inputs(RiskGroup.LR_SLN))
    text = text_of(render(document))
    assert "P(NSLN positive | SLN positive, x): not reached." in text
    svg = answer_figure(made_inputs(RiskGroup.LR_SLN).explanation).svg
    assert svg.count("not reached") == 1
    assert svg.count("77.7 %") == 1


def test_absent_blocks_are_called_absent_and_not_zero() -> None:
    svg = answer_figure(made_inputs(absent=True).explanation).svg
    assert svg.count(">absent<") == 4
    text = text_of(render(case_page(made_inputs(absent=True))))
    assert "Not there: elastography." in text


def test_a_document_without_sections_has_no_contents() -> None:
    assert "<nav" in render(case_page(made_inputs()))
    assert "<nav" not in render(case_page(made_inputs(), full=False))


def test_defer_is_not_explained_away() -> None:
    text = text_of(render(case_page(made_inputs(RiskGroup.DEFER), full=False)))
    assert "as long as the contract is uncertified, the answer is DEFER for everybody" in text
    assert "With a stated tumour size" not in text


def test_nothing_but_the_numbers() -> None:
    """Without pictures, terms, neighbours and changes there is still a page."""
    bare = made_inputs()
    stages = tuple(
        replace(stage, terms=(), families=(), changes=(), agreements=(), image_weights=(), notes=(), score=None)
        for stage in bare.explanation.stages
    )
    inputs = CaseInputs(
        1, replace(bare.explanation, stages=stages, neighbours=()), {}, bare.marks, bare.contract, bare.cohort, "0" * 12
    )
    text = text_of(render(case_page(inputs)))
    assert "Quality flags: none." in text
    assert "None" not in text.replace("None.", "")
    assert len(PdfReader(io.BytesIO(pdf_bytes(case_page(inputs, full=False)))).pages) == 1


def test_pages_are_the_same_each_time() -> None:
    first, again = (case_page(made_inputs(), full=False) for _ in range(2))
    assert render(first) == render(again)


def test_regions_of_one_image_are_put_together() -> None:
    """What the panels add, and their colours, are kept: regions do not overlap."""
    case = made_inputs().heat[Stage.SLN]
    (panel,) = by_modality(case).panels
    assert panel.block == "bmode.combined"
    assert panel.adds == pytest.approx(0.2)
    for one in case.panels:
        shown = one.values != 0
        assert np.array_equal(panel.values[shown], one.values[shown])


def test_words_of_blocks() -> None:
    assert [share_words(name) for name in (*BLOCKS, "clinical", "elasto")] == [
        "B-mode, lesion",
        "B-mode, ring",
        "elastography, lesion",
        "elastography, ring",
        "radiomics and size",
        "clinical values",
        "elastography altogether",
    ]
