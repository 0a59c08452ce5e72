from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from tests.report.pdf_reading import A4_PT, MARGIN_PT, dictionaries, look, resources, squeezed, text_of
from tests.report.pdf_sample import BARE, EVERYTHING, SECTIONS, picture, sketch
from usdlr.core.errors import ConfigError, DataError
from usdlr.report.document import (
    Figure,
    Folded,
    Gallery,
    Links,
    Listing,
    Meanings,
    Notice,
    PageTable,
    Points,
    Prose,
    Section,
    Tile,
)
from usdlr.report.figures import draw_all
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.page import study_page
from usdlr.report.pdf import pdf_bytes, pdf_or_say
from usdlr.report.style import Drawing, drawings_pdf


@pytest.fixture(scope="module")
def whole() -> PdfReader:
    return PdfReader(io.BytesIO(pdf_bytes(EVERYTHING)))


def test_everything_that_the_document_says_is_in_the_text(whole: PdfReader) -> None:
    found = text_of(whole)
    said = [EVERYTHING.kind.upper(), EVERYTHING.title, EVERYTHING.question, EVERYTHING.summary, EVERYTHING.footer]
    said += [text for tile in EVERYTHING.tiles for text in (tile.label, tile.value, tile.detail)]
    said += [text for notice in EVERYTHING.notices for text in (notice.title, notice.text)]
    said += [section.title for section in SECTIONS]
    said += ["First & <b>last</b>.", "10 000, 5 %.", "It stands open.", "Deeper", "seed: 7", "v" * 300, "None."]
    for block in EVERYTHING.blocks():
        if isinstance(block, PageTable):
            said += [block.caption, *block.head, *(cell for row in block.rows for cell in row), *block.notes]
        elif isinstance(block, Links):
            said += [block.caption, *block.notes, *(part for row in block.rows for part in (row.number, row.item))]
            said += [row.answer for row in block.rows]
        elif isinstance(block, Figure):
            said += [block.drawing.title, block.drawing.caption, f"{block.drawing.name} ≥ 5 mm² × 3"]
        elif isinstance(block, Points):
            said += block.lines
        elif isinstance(block, Gallery):
            said += [part for one in block.pictures for part in (one.title, *(f"{a}: {b}" for a, b in one.lines))]
    # What is longer than a page is counted below.
    assert [text for text in said if len(text) < 1000 and squeezed(text) not in found] == []
    assert found.count(squeezed("A cell of some three hundred letters")) == 27


def test_the_first_page_is_the_summary_and_nothing_else(whole: PdfReader) -> None:
    first, second = (squeezed(whole.pages[at].extract_text()) for at in (0, 1))
    for text in (EVERYTHING.title, EVERYTHING.summary, "Notice other", "The opening.", "Table 1. Opening table"):
        assert squeezed(text) in first
    assert squeezed(SECTIONS[0].title) not in first
    assert second.index("Contents") < second.index(squeezed(SECTIONS[0].title))


def test_a_first_page_that_is_too_full_is_set_in_smaller_letters() -> None:
    def letters(notices: int) -> tuple[int, float]:
        """Pages, and width in points of a line that always says the same."""
        document = replace(BARE, notices=(Notice("other", "A notice", "Its words. " * 33),) * notices)
        pages = [look(page) for page in PdfReader(io.BytesIO(pdf_bytes(document))).pages]
        return len(pages), next(right - left for text, left, right, _ in pages[0].lines if text.strip() == "A notice")

    (few, large), (more, small_), (many, again) = letters(2), letters(13), letters(60)
    assert (few, more) == (1, 1)
    assert small_ < large == again
    assert many > 2


def test_pages_are_counted(whole: PdfReader) -> None:
    total = len(whole.pages)
    for number, page in enumerate(whole.pages, start=1):
        text = page.extract_text()
        assert f"page {number} of {total}" in text
        assert EVERYTHING.footer in text


def test_nothing_leaves_the_margins(whole: PdfReader) -> None:
    lines, figures = 0, []
    for page in whole.pages:
        assert [round(float(side), 2) for side in page.mediabox] == [0, 0, 595.28, 841.89]
        seen = look(page)
        assert seen.inside, seen.lines
        lines += len(seen.lines)
        figures += seen.figures
    assert lines > 400
    for left, low, right, high in figures:
        assert left >= MARGIN_PT
        assert right <= A4_PT[0] - MARGIN_PT
        assert MARGIN_PT < low < high < A4_PT[1] - MARGIN_PT
    ratios = [(high - low) / (right - left) for left, low, right, high in figures]
    assert ratios == pytest.approx([3.0 / 7.4, 12.0 / 7.4])


def test_the_outline_leads_to_every_heading(whole: PdfReader) -> None:
    entries = [entry for entry in whole.outline if not isinstance(entry, list)]
    assert [entry.title for entry in entries] == ["Summary", "Contents", *(section.title for section in SECTIONS)]
    for entry, section in zip(entries[2:], SECTIONS, strict=True):
        page = whole.get_destination_page_number(entry)
        assert page is not None
        assert squeezed(section.title) in squeezed(whole.pages[page].extract_text())
    inner = [
        one.title for entry in whole.outline if isinstance(entry, list) for one in entry if not isinstance(one, list)
    ]
    assert "Table 2. Forty rows" in inner
    assert "Figure 2. Sketch tall" in inner
    assert "What is folded" in inner


def links_of(reader: PdfReader) -> list[tuple[int, int]]:
    """Page of each link and page that it leads to, both from 1."""
    found = []
    for number, page in enumerate(reader.pages, start=1):
        for note in page.get("/Annots", []):
            led = note.get_object()["/Dest"][0].get_object()
            found.append((number, next(at for at, one in enumerate(reader.pages, start=1) if one == led)))
    return found


def test_contents_and_checklists_lead_to_sections(whole: PdfReader) -> None:
    outline = [entry for entry in whole.outline if not isinstance(entry, list)][2:]
    starts = [(whole.get_destination_page_number(entry) or 0) + 1 for entry in outline]
    found = links_of(whole)
    assert [led for _, led in found[: len(SECTIONS)]] == starts
    assert [led for _, led in found[len(SECTIONS) :]] == [starts[0]] * 4
    lines = "".join(f"{section.title}{start}" for section, start in zip(SECTIONS, starts, strict=True))
    assert squeezed(f"Contents{lines}") in squeezed(whole.pages[1].extract_text())
    assert squeezed(f"Answer 3 (page {starts[0]})") in text_of(whole)
    assert "Answer4(page" not in text_of(whole)


def test_tables_that_break_repeat_their_heads(whole: PdfReader) -> None:
    with_rows = [page.extract_text() for page in whole.pages if re.search(r"^Row \d+", page.extract_text(), re.M)]
    assert len(with_rows) == 2
    assert all("Brier score" in text for text in with_rows)
    rows = [int(row) for text in with_rows for row in re.findall(r"^Row (\d+)", text, re.M)]
    assert rows == list(range(40))


def test_tables_and_figures_are_numbered_as_on_the_screen(whole: PdfReader) -> None:
    page = render(EVERYTHING)
    tables = re.findall(r"<caption><b>(Table \d+)\.</b> ([^<]*)</caption>", page)
    figures = re.findall(r"<figcaption><b>(Figure \d+)\. ([^<]*)\.</b>", page)
    assert (len(tables), len(figures)) == (11, 2)
    found = text_of(whole)
    for label, title in (*tables, *figures):
        assert squeezed(f"{label}. {title}") in found


def test_fonts_are_embedded_and_figures_are_vectors(whole: PdfReader) -> None:
    pictures, forms = 0, 0
    for page in whole.pages:
        below = resources(page)
        for font in (one for one in below if one.get("/Type") == "/FontDescriptor"):
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & font.keys(), font["/FontName"]
        named = {str(one["/BaseFont"]) for one in below if one.get("/Type") == "/Font"}
        assert all("+DejaVuSans" in name for name in named), named
        shown = cast(DictionaryObject, page["/Resources"]).get("/XObject", {})
        for one in (value.get_object() for value in shown.values()):
            if one["/Subtype"] == "/Image":
                pictures += 1
            else:
                forms += 1
                inner = list(dictionaries(one["/Resources"], set()))
                assert not any(part.get("/Subtype") == "/Image" for part in inner)
                assert len(one.get_data()) > 500
    assert (pictures, forms) == (5, 2)


def test_what_a_catalogue_shows(whole: PdfReader) -> None:
    assert whole.metadata is not None
    assert whole.metadata.title == EVERYTHING.title
    assert {"/CreationDate", "/ModDate"} & whole.metadata.keys() == set()
    assert str(cast(DictionaryObject, whole.trailer["/Root"])["/Lang"]) == "en-GB"


SMALL = """
from usdlr.report.document import Document, Figure, PageTable, Section
from usdlr.report.pdf import pdf_bytes
from usdlr.report.style import draw

drawing = draw("one", "One", "How", (4, 2), lambda figure: figure.text(0.1, 0.5, "letters ≥ 5 mm²"))
table = PageTable("A table", ("a", "b"), (("c", "d"),))
sections = (Section("a", "A", "Alpha", (Figure(drawing), table)),)
content = pdf_bytes(Document("k", "t", "q", "s", (), (), (), sections, "f"))
"""


def test_equal_documents_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    here: dict[str, bytes] = {}
    exec(SMALL, here)
    again: dict[str, bytes] = {}
    exec(SMALL, again)
    assert here["content"] == again["content"]
    code = f"{SMALL}\nimport pathlib, sys\npathlib.Path(sys.argv[1]).write_bytes(content)"
    command = [sys.executable, "-c", code, str(tmp_path / "other.pdf")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "5"}, timeout=200)
    assert (tmp_path / "other.pdf").read_bytes() == here["content"]


def test_a_document_with_nothing_in_it_is_one_page() -> None:
    reader = PdfReader(io.BytesIO(pdf_bytes(BARE)))
    assert len(reader.pages) == 1
    assert "page 1 of 1" in reader.pages[0].extract_text()
    assert "Contents" not in reader.pages[0].extract_text()


@pytest.mark.parametrize(
    "blocks",
    [
        (Prose(("no end " * 2000,)),),
        (Points(("no end " * 2000,)),),
        (Meanings((("word", "no end " * 2000), ("x" * 900, "y" * 900))),),
        (PageTable("c", ("a", "b"), (("x", "no end " * 2000),)),),
        (PageTable("c", ("a", "no end " * 300), (("x", "1"),)),),
        (PageTable("no end " * 1000, ("a" * 300, "b"), (("c" * 2000, "d"),), ("no end " * 1000,)),),
        (Figure(replace(sketch("one"), caption="no end " * 2000)),),
        (Gallery((picture(1, 3, 3000), replace(picture(2, 3000, 3), lines=(("no end", "no end " * 1000),)))),),
        (Listing("x" * 20000), Listing("")),
        (Folded("no end " * 800, ()),),
    ],
)
def test_what_no_page_can_hold_goes_on_on_the_next(blocks: tuple[Any, ...]) -> None:
    reader = PdfReader(io.BytesIO(pdf_bytes(replace(BARE, sections=(Section("a", "A", "Alpha", blocks),)))))
    assert len(reader.pages) > 1
    assert all(look(page).inside for page in reader.pages)


@pytest.mark.parametrize("part", ["title", "question", "summary", "footer", "notices", "tiles", "sections"])
def test_no_head_is_too_long(part: str) -> None:
    words = "no end " * 1500
    value: Any = {
        "notices": (Notice("simulated", words, words),),
        "tiles": (Tile(words, words, words),),
        "sections": (Section("a", "A", words, ()),),
    }.get(part, words)
    reader = PdfReader(io.BytesIO(pdf_bytes(replace(BARE, **{part: value}))))
    assert all(look(page).inside for page in reader.pages)


def test_characters_that_no_font_holds_are_marked_and_explained() -> None:
    reader = PdfReader(io.BytesIO(pdf_bytes(replace(BARE, summary="Centre 北京, e\u0301, soft\u00adhyphen, \x07bell"))))
    text = reader.pages[0].extract_text()
    assert "Centre ▯▯, é, softhyphen, bell" in text
    assert "▯ stands for a character" in text
    assert "▯" not in PdfReader(io.BytesIO(pdf_bytes(BARE))).pages[0].extract_text()


@pytest.mark.parametrize("missing", ["reportlab", "pypdf"])
def test_a_missing_library_is_named_and_costs_the_page_nothing(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"no package {missing}.*pip install 'usdlr\[report\]'"):
        pdf_bytes(BARE)
    assert pdf_or_say(BARE) is None
    assert "report.pdf is left out: found no package" in capsys.readouterr().err


def test_drawings_are_painted_again_as_vectors() -> None:
    one = sketch("one")
    reader = PdfReader(io.BytesIO(one.pdf()))
    assert [float(side) for side in reader.pages[0].mediabox] == pytest.approx([0, 0, 7.4 * 72, 3 * 72])
    assert "one ≥ 5 mm² × 3" in reader.pages[0].extract_text()
    assert one.pdf() == one.pdf()
    assert one == sketch("one") != sketch("two")
    together = PdfReader(io.BytesIO(drawings_pdf([one, sketch("two", (4.0, 2.0))])))
    assert [float(page.mediabox.width) for page in together.pages] == pytest.approx([7.4 * 72, 4.0 * 72])
    with pytest.raises(DataError, match="figure bare without its painter"):
        Drawing("bare", "t", "c", "<svg/>").pdf()


def test_the_report_of_a_study(uncertified: StudyInputs) -> None:
    """Of a real page: every table's cells are there, no patient is, and every figure is placed."""
    document = study_page(uncertified, draw_all(uncertified))
    pages = [look(page) for page in PdfReader(io.BytesIO(pdf_bytes(document))).pages]
    found = squeezed("".join(page.text for page in pages))
    for block in document.blocks():
        if isinstance(block, PageTable):
            for text in (block.caption, *(cell for row in block.rows for cell in row)):
                assert squeezed(text) in found, text
        elif isinstance(block, Figure):
            assert squeezed(f"{block.drawing.title}.") in found
    for name in uncertified.labels["patient_id"]:
        assert name not in found
    assert all(page.inside for page in pages)
    placed = [figure for page in pages for figure in page.figures]
    assert len(placed) == sum(isinstance(block, Figure) for block in document.blocks())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text("ab ≥m", max_size=30), min_size=1, max_size=13), min_size=1, max_size=4),
    st.floats(60, 700),
)
def test_columns_fill_the_page_exactly(cells: list[list[str]], width: float) -> None:
    from usdlr.report.pdf_tables import SIZES, fit_columns

    columns = max(len(row) for row in cells)
    head, *rows = [[*row, *[""] * (columns - len(row))] for row in cells]
    size, widths = fit_columns(head, rows, {0}, width)
    assert size in SIZES
    assert sum(widths) <= width * (1 + 1e-9)
    assert all(wide > 0 for wide in widths)
