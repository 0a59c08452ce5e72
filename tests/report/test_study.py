from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import DataError, InputError, TableError
from usdlr.core.types import OnUncertified, Stage
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED, proxy_notice
from usdlr.report.audit import conflicts
from usdlr.report.document import Block, Document, LinkRow, Notice, Picture, Section, Tile
from usdlr.report.figures import draw_all
from usdlr.report.html import render
from usdlr.report.inputs import REQUIRED, StudyInputs
from usdlr.report.page import study_page
from usdlr.report.sentences import contract_statement, summary, uncertified_folds
from usdlr.report.study import write_report

With = Callable[[StudyInputs, dict[str, Any]], StudyInputs]
Ceilings = Callable[[dict[str, Any]], dict[str, Any]]
VOID = {"meta", "img", "br", "hr", "link", "input", "col"}
PROSE = {"p", "figcaption", "caption", "h1", "h2", "h3", "dd", "dt", "span"}


class Reader(HTMLParser):
    """Collects tags, attributes and visible text; complains about anything left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.blocks: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"caption", "p", "figcaption", "h1"}:
            self.blocks.append((tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.texts.append((self.open[-1] if self.open else "", data))
        if self.blocks and self.blocks[-1][0] in self.open:
            tag, text = self.blocks[-1]
            self.blocks[-1] = tag, text + data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def words(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(text for _, text in read(page).texts).replace("\u00a0", " "))


def page_of(inputs: StudyInputs) -> str:
    return render(study_page(inputs, draw_all(inputs)))


@pytest.fixture(scope="module")
def plain(study: Callable[..., StudyInputs]) -> str:
    return page_of(study())


@pytest.fixture(scope="module")
def marked(uncertified: StudyInputs) -> str:
    return page_of(replace(uncertified, gallery=uncertified.gallery[:1]))


def test_files_and_bytes(uncertified: StudyInputs, tmp_path: Path) -> None:
    inputs = replace(uncertified, gallery=uncertified.gallery[:2])
    first, second = write_report(inputs, tmp_path / "a"), write_report(inputs, tmp_path / "b")
    assert [path.relative_to(tmp_path / "a").as_posix() for path in first] == [
        "report.html",
        "report.pdf",
        "model_card.md",
        "data_card.md",
        *(f"figures/{name}.svg" for name in ("false_negative", "cascade", "roc", "auc", "calibration", "cohort")),
        *(f"figures/{name}.svg" for name in ("pathways", "thresholds", "subgroups_sln", "subgroups_nsln")),
        *(f"figures/{name}.svg" for name in ("net_benefit", "survival")),
        *(f"figures/{name}.csv" for name in ("roc", "calibration", "pathways", "thresholds")),
        *(f"figures/{name}.csv" for name in ("subgroups", "net_benefit", "survival")),
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for path in first[1:]:
        if path.suffix == ".svg":
            ElementTree.parse(path)


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    certified: StudyInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usdlr.report.study.pdf_or_say", lambda document: None)
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    (tmp_path / "report.pdf").write_bytes(b"old")
    (tmp_path / "figures").write_bytes(b"no folder")
    with pytest.raises(DataError, match="found no way to write"):
        write_report(certified, tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
    (tmp_path / "figures").unlink()
    assert tmp_path / "report.pdf" not in write_report(certified, tmp_path)
    assert not (tmp_path / "report.pdf").exists()


@pytest.mark.parametrize("which", ["plain", "marked"])
def test_the_page_asks_the_network_for_nothing(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    for tag, attributes in read(page).tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, value)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_no_patient_is_named(certified: StudyInputs, plain: str) -> None:
    names = {*certified.labels["patient_id"], *certified.exclusions["patient_id"], *certified.exclusions["source_id"]}
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", plain)
    assert not [name for name in names if name in text]


def test_ids_in_the_page_are_unique(plain: str) -> None:
    ids = [attributes["id"] for _, attributes in read(plain).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("which", ["plain", "marked"])
def test_no_placeholder_is_left_unfilled(which: str, request: pytest.FixtureRequest) -> None:
    assert not re.search(r"\{[\w.\[\]'()]+\}", words(request.getfixturevalue(which)))


def test_required_statements(certified: StudyInputs, plain: str) -> None:
    text = words(plain)
    assert NOT_A_MEDICAL_DEVICE in text
    assert "Certified with 95 % confidence" in text
    assert "among dissected axillae" in text
    assert "verified share" in text
    assert "P(NSLN positive | SLN positive, x)" in text
    assert "sentinel lymph node biopsy itself misses about 10 %" in text
    assert "axillary dissection about 5 %" in text
    assert "pooled over folds" in text
    assert "mean of 5 of 5 folds' AUC" in text
    assert "Clopper-Pearson" in text
    assert "paired DeLong interval" in text
    assert SIMULATED not in text
    assert certified.config_yaml.splitlines()[0] in text


def test_the_order_of_the_sections(plain: str) -> None:
    order = [
        "summary",
        "device",
        "contract",
        "misses",
        "cascade",
        "discrimination",
        "calibration",
        "cohort",
        "gallery",
        "making",
    ]
    places = [plain.index('aria-label="Summary"'), plain.index('class="notice device"')]
    places += [plain.index(f'<section id="{name}"') for name in order[2:]]
    assert places == sorted(places)


def test_numbers_of_the_metrics_stand_on_the_page(certified: StudyInputs, plain: str) -> None:
    text = words(plain)
    for key in ("fnr_sln", "fnr_nsln", "defer_rate", "verified_share"):
        rate = certified.metrics["cascade"][key]
        assert f"{rate['events']} of {rate['n']}" in text
        assert f"{100 * rate['value']:.1f} %" in text
    for stage in Stage:
        auc = certified.metrics["stages"][stage]["auc"]
        assert f"{auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f})" in text


def test_every_caption_and_figure_title_is_marked(marked: str) -> None:
    reader = read(marked)
    captions = [text for tag, text in reader.blocks if tag == "caption"]
    assert len(captions) >= 9
    for caption in captions:
        assert "simulated" in caption
        assert "uncertified" in caption
    titles = re.findall(r"<b>(Figure \d+\. .*?)</b>", marked)
    assert len(titles) == 12
    for title in titles:
        assert "simulated" in title
        assert "uncertified" in title
    assert all("uncertified" in text for tag, text in reader.blocks if tag == "h1")


def test_every_sentence_about_thresholds_or_groups_says_uncertified(marked: str) -> None:
    # There the thresholds are probabilities at which one would act, and the groups are those that are compared.
    others = r'<section id="(worth|subgroups)".*?</section>'
    page = re.sub(others, "", marked, flags=re.DOTALL)
    reader = read(page)
    prose = [text for tag, text in reader.blocks if tag != "caption"]
    prose += re.findall(r"<dd>(Uncertified.*?|[^<]*threshold[^<]*)</dd>", page)
    lacking = []
    for block in prose:
        # A dash, a colon or a semicolon carries a sentence on; only a full stop ends it.
        for sentence in re.split(r"(?<=[A-Za-z0-9)%])\.\s", block.replace("\u00a0", " ")):
            about = re.search(r"threshold|risk group|\bgroups?\b|LR-SLN|HR-SLN", sentence)
            sample = re.search(
                r"groups? of equal size|how far two groups lie|between small groups|ratio to LR-SLN", sentence
            )
            if about and not sample and "uncertified" not in sentence.lower():
                lacking.append(sentence.strip())
    assert not lacking


def test_proxies_and_simulation_are_told(uncertified: StudyInputs, marked: str) -> None:
    text = words(marked)
    assert SIMULATED in text
    for stage in Stage:
        assert proxy_notice(stage, uncertified.metrics["proxies"][stage]) in text
    assert "among axillae with known status" in text
    assert "Uncertified: the calibration patients hold 88 SLN-positive and 12 NSLN-positive axillae" in text
    assert marked.index("notice uncertified") < marked.index("notice simulated") < marked.index("notice proxy")


def test_deferring_runs_show_the_deferred(study: Callable[..., StudyInputs]) -> None:
    inputs = study(certified=False, on_uncertified=OnUncertified.DEFER, pictures=False, patients=90)
    text = words(page_of(inputs))
    assert "90 of 90 were deferred" in text
    assert "No answer (DEFER)" in text
    assert "Example cases" not in text


def test_hostile_words_are_escaped(certified: StudyInputs, with_metrics: With) -> None:
    hostile = '<script>alert("x")</script><img src=http://evil.example/x>'
    exclusions = certified.exclusions.assign(sentence=hostile, code=hostile)
    metrics = copy.deepcopy(dict(certified.metrics))
    metrics |= {"experiment": hostile, "question": hostile}
    metrics["cohort"] = {**metrics["cohort"], "centres": [hostile], "exclusions": {hostile: 19}}
    metrics["baselines"]["size"]["title"] = hostile
    metrics["stages"]["sln"]["auc"]["method"] = hostile
    inputs = with_metrics(
        replace(certified, exclusions=exclusions, config_yaml=hostile, provenance={"command": hostile, "seed": None}),
        metrics,
    )
    page = page_of(inputs)
    for tag, attributes in read(page).tags:
        assert tag != "script"
        assert not (attributes.get("src") or "").startswith("http")
    assert "&lt;script&gt;" in page


def test_free_text_loses_its_identifiers(certified: StudyInputs) -> None:
    inputs = replace(
        certified,
        config_yaml="cases: /data/PAT0003/x.png\n",
        provenance={
            "command": "usdlr run",
            "seed": None,
            "inputs": {"PAT0004": "aa"},
            "config": {"secret": 1},
            "note": "PAT0005",
        },
    )
    text = words(page_of(inputs))
    assert not re.search(r"PAT\d{4}", text)
    assert "Seed: none" in text


def test_undefined_estimates_are_words(certified: StudyInputs, with_metrics: With) -> None:
    metrics = copy.deepcopy(dict(certified.metrics))
    why = "undefined: all 5 axillae are positive"
    for key in metrics["stages"]["sln"]:
        metrics["stages"]["sln"][key] |= {"value": None, "low": float("nan"), "high": None, "method": why}
    metrics["cascade"]["fnr_nsln"] = {"value": None, "low": None, "high": None, "n": 0, "events": 0, "method": ""}
    text = words(page_of(with_metrics(certified, metrics)))
    assert "not estimable (all 5 axillae are positive)" in text
    assert "not estimable (no axillae with known status)" in text
    assert not re.search(r"\bnan\b|\bNone\b(?!\.)", text)


def test_agreeing_numbers_raise_no_conflict(certified: StudyInputs, plain: str) -> None:
    assert conflicts(certified) == ()
    assert "contradicts itself" not in plain


def test_a_planted_disagreement_is_the_first_notice(certified: StudyInputs, with_metrics: With) -> None:
    metrics = copy.deepcopy(dict(certified.metrics))
    metrics["cascade"]["fnr_sln"]["events"] += 1
    metrics["cascade"]["groups"]["DEFER"]["n"] = 4
    metrics["stages"]["nsln"]["auc"]["n"] = 3
    inputs = with_metrics(certified, metrics)
    found = conflicts(inputs)
    assert len(found) == 3
    page = page_of(inputs)
    assert page.index("notice conflict") < page.index("notice device")


def test_decisions_of_other_axillae_are_refused(certified: StudyInputs) -> None:
    with pytest.raises(InputError):
        conflicts(replace(certified, decisions=certified.decisions.iloc[1:]))


def test_a_certified_bundle_with_uncertified_folds_says_so(certified: StudyInputs, with_metrics: With) -> None:
    metrics = copy.deepcopy(dict(certified.metrics))
    metrics["cascade"]["folds"]["3"]["status"] = "not_certifiable"
    inputs = with_metrics(certified, metrics)
    assert uncertified_folds(inputs).startswith("1 of 5 folds could not certify")
    assert "4 of 5 folds' contracts were certified" in contract_statement(inputs)[-1]
    assert uncertified_folds(certified) == ""
    assert "rest partly on uncertified thresholds" in words(page_of(inputs))


def test_the_summary_is_one_paragraph_with_the_misses_first(certified: StudyInputs) -> None:
    text = summary(certified)
    rate = certified.metrics["cascade"]["fnr_sln"]
    assert "\n" not in text
    assert f"{rate['events']} of {rate['n']} missed" in text[:90]


def test_missing_metrics_and_columns_are_refused(certified: StudyInputs, with_metrics: With) -> None:
    metrics = {key: value for key, value in certified.metrics.items() if key != "references"}
    with pytest.raises(TableError, match=r"no references\.sentinel_biopsy_fnr \(2 paths"):
        with_metrics(certified, metrics)
    with pytest.raises(TableError, match="labels: found no column 'nsln'"):
        replace(certified, labels=certified.labels.drop(columns="nsln"))
    with pytest.raises(TableError, match="an axilla twice"):
        replace(certified, labels=pd.concat([certified.labels, certified.labels.head(1)]))
    assert len(REQUIRED) == len(set(REQUIRED))


def test_only_test_rows_with_known_status_are_drawn(certified: StudyInputs) -> None:
    extra = certified.predictions.assign(split="tuning", fold="9")
    rows = replace(certified, predictions=pd.concat([certified.predictions, extra])).stage_rows(Stage.NSLN)
    known = (certified.labels["sln"] == 1) & certified.labels["nsln"].notna()
    assert len(rows) == int(known.sum())
    assert set(np.unique(rows["truth"])) == {0.0, 1.0}


def test_oracle_and_limit_stand_in_the_tables_of_a_simulation(
    certified: StudyInputs, with_metrics: With, with_ceilings: Ceilings
) -> None:
    text = words(page_of(with_metrics(certified, with_ceilings(dict(certified.metrics)))))
    n = int(((certified.labels["sln"] == 1) & certified.labels["nsln"].notna()).sum())
    for row in (
        "Limit: the true form, measured on these images 0.88 (0.84–0.91) 0.88 (0.83–0.92) – – 251",
        "Oracle: best possible with the truth known 0.93 (0.90–0.96) 0.93 (0.89–0.97) – – 251",
        f"Limit: the true form, measured on these images 0.86 (0.80–0.91) 0.86 (0.79–0.92) – – {n}",
        f"Oracle: best possible with the truth known 0.92 (0.87–0.96) 0.92 (0.86–0.97) – – {n}",
    ):
        assert row in text, row
    assert "The model's share of the way from chance (0.5) to the limit: 0.86 (0.71–0.98); paired bootstrap." in text
    assert "not estimable (the limit is 0.505, too near to 0.5 to be shared)." in text
    summed = summary(with_metrics(certified, with_ceilings(dict(certified.metrics))))
    assert "reaches an area of 0.88 (0.84–0.91) (the limit), the truth itself 0.93 (0.90–0.96)" in summed
    assert "the model goes 0.86 (0.71–0.98) of the way from chance to that limit" in summed


def test_real_patients_have_neither_oracle_nor_limit(certified: StudyInputs) -> None:
    text = words(page_of(certified))
    assert "Oracle" not in text
    assert "best possible" not in text


def test_every_field_of_the_page_is_documented_and_shown() -> None:
    template = (Path(__file__).parents[2] / "usdlr/report/templates/document.html.j2").read_text(encoding="utf-8")
    prefixes = {
        Document: "page",
        Section: "section",
        Tile: "tile",
        Notice: "notice",
        Picture: "picture",
        LinkRow: "row",
    }
    for kind, prefix in prefixes.items():
        for field in fields(kind):
            assert re.search(rf"{prefix}\.{field.name}\b", template), field.name
            assert re.search(rf"^    [\w, ]*\b{field.name}\b[\w, ]* : ", kind.__doc__ or "", re.MULTILINE), field.name


def test_every_block_is_shown() -> None:
    template = (Path(__file__).parents[2] / "usdlr/report/templates/document.html.j2").read_text(encoding="utf-8")
    for kind in get_args(Block):
        assert f'block.kind == "{kind.kind}"' in template


def test_pictures_are_inline_and_described(plain: str) -> None:
    pictures = [attributes for tag, attributes in read(plain).tags if tag == "img"]
    assert len(pictures) == 4
    for picture in pictures:
        assert (picture["src"] or "").startswith("data:image/png;base64,iVBOR")
        assert "10 mm scale bar" in (picture["alt"] or "")
