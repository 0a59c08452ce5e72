"""The printed page is one sheet, says what the page says, and never shows what belongs to another contour."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from scipy import ndimage

from tests.report.pdf_reading import squeezed
from tests.review.dicom.made import MODEL, STATE, axilla
from tests.review.reading_list import reading_list, told
from usdlr.core.types import RiskGroup, SpacingSource
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.decision.wording_review import NO_VERDICT, OTHER_EXPLANATION
from usdlr.report.gallery import GalleryCase
from usdlr.review import paper_pictures
from usdlr.review.acts import Act, AxillaState, ReaderVerdict, Status
from usdlr.review.paper import axilla_pdf, worklist_pdf
from usdlr.review.store.worklist import WorklistRow
from usdlr.review.words import interval_text, mm_text, probability_text

VERDICTS = (
    ReaderVerdict(
        "kern", "Dr M. Kern", Act.MODIFY, RiskGroup.HR_SLN_LR_NSLN, "Two nodes with thick cortex.",
        "2026-03-01T14:05:09+00:00", 7,
    ),
    ReaderVerdict("berg", "Dr A. Berg", Act.REJECT, None, "Contour misses the rim.", "2026-03-02T09:15:00+00:00", 9),
)  # fmt: skip


def _text(content: bytes) -> tuple[int, str]:
    pages = PdfReader(io.BytesIO(content)).pages
    return len(pages), squeezed(" ".join(page.extract_text() for page in pages))


def test_an_axilla_with_its_verdicts_and_explanation_is_one_sheet(run_folder: Path) -> None:
    model, (record, plain, pictures) = reading_list(run_folder)[0], told(run_folder)
    state = AxillaState(2, Status.DISAGREED, "", record.answer, verdicts=VERDICTS)
    content = axilla_pdf(model, record, state, plain, pictures=pictures)
    assert content == axilla_pdf(model, record, state, plain, pictures=pictures)
    pages, text = _text(content)
    assert pages == 1
    first = record.answer.stages[0]
    interval = interval_text(first.low, first.high)
    for words in (probability_text(first.probability), interval, record.patient_id, record.answer.reason):
        assert squeezed(words) in text
    for words in (*model.contract, *record.answer.warnings, NOT_A_MEDICAL_DEVICE, SIMULATED, model.digest):
        assert squeezed(words) in text
    for words in ("Dr M. Kern", "Modified", "HR-SLN/LR-NSLN", "Two nodes with thick cortex.", "2026-03-01 14:05 UTC"):
        assert squeezed(words) in text
    for words in ("Dr A. Berg", "Rejected", "Contour misses the rim.", "Readers disagree"):
        assert squeezed(words) in text
    assert record.images[0].image_id not in text
    assert record.patient_id not in str(PdfReader(io.BytesIO(content)).metadata)


def test_without_an_explanation_the_numbers_and_measures_are_there(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    record = records[0]
    pages, text = _text(axilla_pdf(model, record, AxillaState(0, Status.UNREAD, "", record.answer), None))
    assert pages == 1
    assert squeezed(NO_VERDICT) in text
    assert record.answer.diameter_mm is not None
    assert squeezed(mm_text(record.answer.diameter_mm)) in text
    for stage in record.answer.stages:
        assert (squeezed(probability_text(stage.probability)) in text) == stage.reached


def test_an_explanation_of_another_contour_is_not_printed(run_folder: Path) -> None:
    model, (record, plain, _) = reading_list(run_folder)[0], told(run_folder)
    first = record.answer.stages[0]
    moved = replace(record.answer, stages=(replace(first, probability=first.probability / 2), record.answer.stages[1]))
    image = record.images[0]
    state = AxillaState(1, Status.STARTED, "", moved, outlines={image.token: image.contour})
    _, text = _text(axilla_pdf(model, record, state, plain))
    assert squeezed(OTHER_EXPLANATION) in text
    assert "Figure1." not in text
    assert "redrawnbyareader" in text
    assert squeezed(probability_text(first.probability / 2)) in text


def test_a_long_reason_is_printed_to_its_end(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    long = replace(VERDICTS[0], reason=" ".join(f"word{number}" for number in range(1200)))
    state = AxillaState(1, Status.REVIEWED, "", records[0].answer, verdicts=(long,))
    _, text = _text(axilla_pdf(model, records[0], state, None))
    assert "word1199" in text


def test_the_worklist_prints_what_is_shown_and_hides_what_is_hidden(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    rows = [
        WorklistRow(one.token, one.number, one.patient_id, one.side, one.centre_id,
                    None if place == 0 else one.answer.group, None if place == 0 else one.answer.stages[0].probability,
                    None if place == 0 else one.answer.stages[1].probability, (), True,
                    Status.REVIEWED if place else Status.UNREAD, "", place, False, place > 0)
        for place, one in enumerate(records)
    ]  # fmt: skip
    _, text = _text(worklist_pdf(rows, model=model, note="For Dr M. Kern."))
    for place, one in enumerate(records):
        assert one.patient_id in text
        assert (squeezed(probability_text(one.answer.stages[0].probability)) in text) == (place > 0)
        assert one.token not in text
    assert "hidden" in text
    assert f"{len(rows) - 1}of{len(rows)}reviewed." in text
    assert squeezed(NOT_A_MEDICAL_DEVICE) in text
    assert "Thelistisempty." in _text(worklist_pdf([], model=model))[1]


def test_the_printed_list_gives_no_second_probability_where_the_cascade_stops(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    rows = [
        WorklistRow(one.token, one.number, one.patient_id, one.side, one.centre_id, group, 0.123, 0.4321 + place / 10,
                    (), False, Status.UNREAD, "", 0, False, True, contract)
        for place, (one, group, contract) in enumerate(zip(
            records, (RiskGroup.LR_SLN, RiskGroup.DEFER, RiskGroup.HR_SLN_LR_NSLN),
            ("certified", "not_certifiable", "marginal"), strict=False))
    ]  # fmt: skip
    _, text = _text(worklist_pdf(rows, model=model))
    assert "43.2%" not in text
    assert "53.2%" not in text
    assert "63.2%" in text
    assert "DEFER,uncertified" in text
    assert "HR-SLN/LR-NSLN,marginal,uncertified" in text
    assert "LR-SLN," not in text


def test_a_contract_that_does_not_hold_for_a_patient_is_not_printed_as_theirs(run_folder: Path) -> None:
    model, records, _ = reading_list(run_folder)
    certified = replace(model, contract=("Certified: at most 10 % are missed.",), contract_status="certified")
    held = "Whatthefalse-negativecontractsaysofpatientslikethese"
    broken = "Thecontractdoesnotholdforthispatient"
    for contract, there, absent in (("not_certifiable", broken, held), ("certified", held, broken)):
        answer = replace(records[0].answer, contract=contract)
        _, text = _text(axilla_pdf(certified, records[0], AxillaState(0, Status.UNREAD, "", answer), None))
        assert there in text
        assert absent not in text
        place = text.index("Certified:atmost10%aremissed.")
        assert ("notofthisone." in text[:place]) is (there == broken)


def test_a_relative_ring_grows_and_shrinks_with_a_redrawn_contour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[GalleryCase] = []

    def look(case: GalleryCase) -> bytes:
        drawn.append(case)
        return b""

    monkeypatch.setattr(paper_pictures, "render_case", look)
    # 30 x 40 pixels are a disc of 39.09 pixels across, which is 20 units: a margin of 2 units is 3.909 pixels.
    unit = 20.0 / math.sqrt(4 * 1200 / math.pi)
    record = axilla(
        tmp_path,
        row_mm=None,
        col_mm=None,
        spacing_source=SpacingSource.LESION_RELATIVE,
        calipers=(),
        row={"row_mm": unit, "col_mm": unit},
    )
    image = record.images[0]
    # 15 x 20 pixels, a quarter of the area: half as wide a ring.
    smaller = ((29.5, 39.5), (29.5, 59.5), (44.5, 59.5), (44.5, 39.5))
    for outlines, pixels, width in (({}, 1200, 3.909), ({image.token: (smaller,)}, 300, 1.9544)):
        paper_pictures.bmode_picture(MODEL, record, replace(STATE, outlines=outlines), image)
        case = drawn[-1]
        assert case.lesion.sum() == pixels
        away = ndimage.distance_transform_edt(~case.lesion)
        np.testing.assert_array_equal(case.ring, (away > 0) & (away <= width))
        assert case.unit == "units"
        assert case.spacing.row_mm * math.sqrt(4 * pixels / math.pi) == pytest.approx(20.0)
