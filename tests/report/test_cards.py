from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.report.card_tables import known_table
from usdlr.report.cards import data_card, model_card
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
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.markdown import plain, to_markdown
from usdlr.report.style import draw

READER = MarkdownIt("commonmark").enable("table")
HOSTILE = "a|b *c* _d_ `e` [f](g) <h> \\i ~~j~~ &amp; $k$ 1. # - x\ny"


def texts(markdown: str) -> str:
    """What somebody reads, by a reader of Markdown that knows nothing of this project."""
    found = []
    for token in READER.parse(markdown):
        if token.type == "inline":
            found.append("".join(part.content for part in token.children or [] if part.type in ("text", "code_inline")))
        if token.type == "fence":
            found.append(token.content)
    return "\n".join(found)


def tables(markdown: str) -> Iterator[list[int]]:
    """The number of cells of every row, table by table."""
    rows: list[int] = []
    for token in READER.parse(markdown):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append(0)
        elif token.type in ("td_open", "th_open"):
            rows[-1] += 1
        elif token.type == "table_close":
            yield rows


def spoken(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def cards(certified: StudyInputs, uncertified: StudyInputs) -> dict[str, Document]:
    return {
        "model": model_card(certified),
        "data": data_card(certified),
        "model, uncertified": model_card(uncertified),
        "data, uncertified": data_card(uncertified),
    }


@pytest.mark.parametrize("which", ["model", "data", "model, uncertified", "data, uncertified"])
def test_markdown_parses_with_whole_tables(cards: dict[str, Document], which: str) -> None:
    document, markdown = cards[which], to_markdown(cards[which])
    wanted = [block for block in document.blocks() if isinstance(block, PageTable)]
    found = list(tables(markdown))
    assert len(found) == len(wanted) > 1
    for table, widths in zip(wanted, found, strict=True):
        assert widths == [len(table.head)] * (1 + len(table.rows)), table.caption
    read = texts(markdown)
    for block in document.blocks():
        if isinstance(block, PageTable):
            cells = [cell for row in block.rows for cell in row]
            assert not [cell for cell in cells if cell.replace("\n", " ").strip(" ") not in read]
        elif isinstance(block, Points | Prose):
            assert all(line in read for line in block.lines)
    assert to_markdown(document) == markdown


@pytest.mark.parametrize("which", ["model", "data", "model, uncertified", "data, uncertified"])
def test_no_patient_and_no_path_is_told(cards: dict[str, Document], which: str) -> None:
    markdown = to_markdown(cards[which])
    assert not re.search(r"PAT\d{4}", markdown)
    assert not re.search(r"(?<![\w/])/(?:home|work|tmp|data|mnt|root)/", markdown)
    assert NOT_A_MEDICAL_DEVICE in texts(markdown)
    assert render(cards[which]).count("<section") >= len(cards[which].sections)


def test_the_model_card_holds_the_numbers_of_the_metrics(certified: StudyInputs, cards: dict[str, Document]) -> None:
    read = spoken(texts(to_markdown(cards["model"])))
    for stage in ("sln", "nsln"):
        rate, auc = certified.metrics["cascade"][f"fnr_{stage}"], certified.metrics["stages"][stage]["auc"]
        assert f"{rate['events']} of {rate['n']} missed" in read
        assert f"{auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f})" in read
        assert f"n = {auc['n']}" in read
    assert "Certified with 95 % confidence" in read
    assert "0123456789ab" in read  # hash of the weights
    assert "To be filled by the author: testing on patients of another source" in read
    assert "Coast, Harbour" in read
    anchors = [section.anchor for section in cards["model"].sections]
    assert len(anchors) == len(set(anchors))
    assert {"model", "use", "contract", "factors", "measures", "evaluation", "training", "figures", "failures"} <= set(
        anchors
    )


def test_what_a_model_is_not_for_follows_its_study(certified: StudyInputs, cards: dict[str, Document]) -> None:
    plainly, marked = texts(to_markdown(cards["model"])), texts(to_markdown(cards["model, uncertified"]))
    for words in ("about real patients:", "about lymph nodes:", "sparing anybody surgery"):
        assert words not in plainly
        assert words in marked
    assert SIMULATED in marked
    assert all("uncertified" in card.title for name, card in cards.items() if "uncertified" in name)
    some = {**certified.metrics, "cohort": {**certified.metrics["cohort"], "where": "cn_stage: cN0"}}
    where = texts(to_markdown(model_card(replace(certified, metrics=some))))
    assert "Not for others than patients with cn_stage: cN0." in where


def test_training_patients_are_counted(certified: StudyInputs) -> None:
    """The shipped model's training rows, planted here: 10 of known SLN status, as many positive as the labels say."""
    known = certified.labels[certified.labels["sln"].notna()].head(10)
    rows = certified.predictions[certified.predictions["stage"] == "sln"]
    rows = rows[rows["patient_id"].isin(known["patient_id"])].assign(fold="bundle", split="train", model_id="feedbeef")
    predictions = pd.concat([certified.predictions, rows], ignore_index=True)
    read = spoken(texts(to_markdown(model_card(replace(certified, predictions=predictions)))))
    positive = int(known["sln"].sum())
    assert f"SLN stage of the bundle: 10 axillae of known status to train on, {positive} positive" in read
    assert "SLN feedbeef" in read


def test_the_data_card_counts_what_is_missing(certified: StudyInputs, cards: dict[str, Document]) -> None:
    read = spoken(texts(to_markdown(cards["data"])))
    missing = int(certified.axillae["tumour_size_mm"].isna().sum())
    (row,) = [row for row in known_table(certified).rows if row[0] == "Tumour size"]
    assert row[1:3] == (str(260 - missing), str(missing))
    assert f"tumour size missing in {missing} of 260" in read
    for words in (
        "327",
        "treated before axillary surgery (9)",
        "Coast (",
        "Aurora 7 (",
        "Finding out who a patient is",
    ):
        assert words in read, words
    assert "the endpoints are proxies" in texts(to_markdown(cards["data, uncertified"]))
    empty = data_card(replace(certified, axillae=certified.axillae.head(0)[[]]))
    assert "What is known of" not in texts(to_markdown(empty)).split("Axillae and what is known of them")[1][:60]


def test_settings_lose_identifiers(certified: StudyInputs) -> None:
    config = {"model": {"backbone": "net-PAT0004", "head": "x"}, "data": {"clinical": ["PAT0003"]}}
    inputs = replace(
        certified,
        config_yaml=yaml.safe_dump(config),
        provenance={"config_hash": "PAT0005", "versions": {"usdlr": "PAT0006"}, "seed": None},
    )
    for card in (model_card(inputs), data_card(inputs)):
        assert not re.search(r"PAT\d{4}", to_markdown(card))


def test_every_block_becomes_markdown_that_reads_the_same() -> None:
    drawing = draw("roc", "A title | of it", "Caption_with_marks.", (3, 2), lambda figure: None)
    document = Document(
        kind="Study report",
        title=HOSTILE,
        question=HOSTILE,
        summary="1. not a list",
        tiles=(Tile("L|l", "5 %", "n = 3"),),
        notices=(Notice("device", "N", HOSTILE),),
        opening=(Prose(("# not a heading", "+ not a list", HOSTILE)),),
        sections=(
            Section(
                "all",
                "All",
                "All of *it*",
                (
                    Points(("- one", "2) two", HOSTILE)),
                    Meanings((("w|o", "m_e_"),)),
                    PageTable("Cap|tion", ("", "A|B"), (("r", HOSTILE), ("", "x|y")), ("1. note",)),
                    PageTable("Empty", ("", "A"), ()),
                    Figure(drawing),
                    Gallery((Picture("Case 1", b"", "what it shows", (), False),)),
                    Links("List", (LinkRow("1", "i|tem", "ans|wer", "all"), LinkRow("2", "b", "c")), ("n",)),
                    Listing("a: `b`\n```\nc: 1"),
                    Folded("More", (Prose(("inside",)),)),
                ),
            ),
        ),
        footer="= foot",
    )
    markdown = to_markdown(document)
    read, flat = texts(markdown), re.sub(r"[\t\n]+", " ", HOSTILE)
    assert read.count(flat) == 6
    for words in (
        "1. not a list",
        "# not a heading",
        "+ not a list",
        "= foot",
        "2) two",
        "1. note",
        "i|tem",
        "ans|wer",
    ):
        assert words in read, words
    assert "a: `b`\n```\nc: 1" in read
    assert "figures/roc.svg" in read
    assert list(tables(markdown)) == [[2, 2, 2], [2], [3, 3, 3]]
    links = [
        part.attrs["href"]
        for token in READER.parse(markdown)
        for part in token.children or []
        if part.type == "link_open"
    ]
    assert links == ["#all"]
    assert '<a id="all"></a>' in markdown
    assert not [token for token in READER.parse(markdown) if token.type == "ordered_list_open"]


def test_plain_text_is_one_line() -> None:
    assert plain("a\n\tb ") == "a b"
