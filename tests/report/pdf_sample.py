"""A document of every kind of block, with what is hard to set among it."""

from __future__ import annotations

import io

from matplotlib.figure import Figure as Canvas
from PIL import Image

from usdlr.report.document import (
    Document,
    Figure,
    Folded,
    Gallery,
    LinkRow,
    Links,
    Listing,
    Meanings,
    Notice,
    PageTable,
    Picture,
    Points,
    Prose,
    Section,
    Tile,
)
from usdlr.report.style import Drawing, draw

LONG = "A cell of some three hundred letters, with 0.84 (0.79–0.89) in it, that goes on for a while, " * 3
WORD = "bmode.peritumoral.wavelet-HL.glcm." + "Contrast" * 30


def sketch(name: str, size: tuple[float, float] = (7.4, 3.0)) -> Drawing:
    def paint(figure: Canvas) -> None:
        axes = figure.add_axes((0.1, 0.2, 0.85, 0.7))
        axes.fill_between([0, 1], [0, 1], alpha=0.3)
        axes.plot([0, 1], [0, 1])
        axes.set_xlabel(f"{name} ≥ 5 mm² × 3")

    return draw(name, f"Sketch {name}", "How it is read. " * 6, size, paint)


def png(width: int, height: int, mode: str = "RGBA") -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (width, height), (10, 120, 60, 255)).convert(mode).save(stream, format="png")
    return stream.getvalue()


def picture(number: int, width: int, height: int, *, wide: bool = False, mode: str = "RGBA") -> Picture:
    lines = (("Group", "LR-SLN"), ("P(SLN positive | x)", "6 %"))
    return Picture(f"Case {number}", png(width, height, mode), "a case", lines, wide)


def forty_rows() -> PageTable:
    rows = tuple((f"Row {row}", *(f"0.{row:02d} (0.{at}1–0.{at}9)" for at in range(3))) for row in range(40))
    return PageTable("Forty rows", ("", "AUC (95 % interval)", "Brier score", "Slope"), rows, ("Its note",))


def twelve_columns() -> PageTable:
    head = ("Subgroup", *(f"Heading number {at} (mm²)" for at in range(11)))
    return PageTable(
        "Twelve columns", head, tuple((f"G{row}", *(f"{row}.{at} (0.1–0.9)" for at in range(11))) for row in range(6))
    )


ITEMS = tuple(
    LinkRow(f"{at}a", f"What is to be reported in item {at}", f"Answer {at}", ("tables", "nowhere", "")[at % 3])
    for at in range(12)
)
SECTIONS = (
    Section(
        "tables", "Tables", "Tables that break", (Prose(("First & <b>last</b>.", "10\u202f000, 5 %.")), forty_rows())
    ),
    Section(
        "wide",
        "Wide",
        "Tables that are wide",
        (
            twelve_columns(),
            PageTable("Long cells", ("Name", "Text", "n"), (("a", LONG, "12"), (WORD, LONG * 8, "13")), texts=(1,)),
            PageTable("Thirty columns", tuple(f"C{at}" for at in range(30)), (tuple(f"v{at}" for at in range(30)),)),
        ),
    ),
    Section("empty", "Empty", "Nothing here", ()),
    Section(
        "figures",
        "Figures",
        "Figures",
        (
            Figure(sketch("one")),
            Figure(sketch("tall", (7.4, 12.0))),
            Folded(
                "What is folded",
                (
                    Prose(("It stands open.",)),
                    PageTable("Folded table", ("a", "b"), (("c", "d"),)),
                    Folded("Deeper", (Listing("seed: 7\n  key: " + "v" * 300 + "\n" + "line\n" * 90),)),
                ),
            ),
            Points(("One point.", "Another point. " * 12)),
            Meanings((("LR-SLN", "What it means. " * 9), ("DEFER", "Usual pathway."))),
        ),
    ),
    Section("checklist", "Checklist", "Checklist", (Links("TRIPOD+AI", ITEMS, ("How it is read",)),)),
    Section(
        "gallery",
        "Gallery",
        "Pictures",
        (
            Gallery((picture(1, 560, 442), picture(2, 1286, 389, wide=True), picture(3, 300, 700, mode="L"))),
            Gallery((picture(4, 1200, 288, wide=True), picture(5, 600, 288, mode="RGB")), wide=True),
            Gallery(()),
        ),
    ),
    Section(
        "odd",
        "Odd",
        "Odd tables",
        (
            PageTable("No rows", ("First", "Second"), ()),
            PageTable("No head", (), (("x1", "x2"),)),
            PageTable("Nothing", (), ()),
            PageTable("Ragged", ("r1", "r2", "r3"), (("only one",), ("p", "q", "r", "too many"))),
            Prose(()),
            Points(()),
            Meanings(()),
        ),
    ),
)
EVERYTHING = Document(
    kind="Study report",
    title="A title (simulated, uncertified)",
    question="Is it ≤ or ≥?",
    summary="All of it in one paragraph. " * 5,
    tiles=tuple(Tile(f"Tile {at}", f"{at}.5 %", "5 of 81") for at in range(7)),
    notices=tuple(
        Notice(kind, f"Notice {kind}", "Words. " * 9) for kind in ("conflict", "simulated", "device", "other")
    ),
    opening=(Prose(("The opening.",)), PageTable("Opening table", ("a", "b"), (("c", "d"),))),
    sections=SECTIONS,
    footer="Research software, not a medical device.",
)
BARE = Document("Kind", "Title", "Question", "Summary", (), (), (), (), "Footer")
