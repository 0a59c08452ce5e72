"""``usdlr explain`` on a real bundle: pages that agree with ``usdlr predict``, and name nobody."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pypdf import PdfReader

from tests.tiny import tiny_config
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.provenance import Provenance
from usdlr.core.types import OnUncertified
from usdlr.decision.wording_outlines import rests_on_software
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.experiment.cohort import axilla_labels
from usdlr.experiment.layout import Layout
from usdlr.experiment.neighbours import BundleSettings, training_neighbours
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import write_bundle
from usdlr.inference.explain import explain
from usdlr.inference.member import SHIPPED
from usdlr.inference.predictor import predict_prepared, prepare_cases
from usdlr.ingest.splits import BUNDLE_FOLD


@pytest.fixture(scope="module")
def few(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of the run, one of whom has several images, beside the run's images."""
    folder = tmp_path_factory.mktemp("few")
    cases = tables.CASES.read(run_folder / "cases.parquet")
    many = cases["patient_id"].value_counts(sort=True, ascending=False)
    chosen = [many.index[0], *many.index[-2:]]
    (folder / "ingest").symlink_to(run_folder / "ingest", target_is_directory=True)
    rows = cases[cases["patient_id"].isin(chosen)].reset_index(drop=True)
    tables.CASES.write(rows, folder / "cases.parquet", Provenance("test", {}, {}))
    return folder / "cases.parquet"


@pytest.fixture(scope="module")
def explained(run_folder: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("explained") / "out"
    words = ["--bundle", str(run_folder / "bundle"), "--cases", str(few), "--out", str(out)]
    assert main(["explain", *words, "--all", "--on_uncertified", "zero_miss", "--patch_mm", "8", "--jobs", "1"]) == 0
    return out


@pytest.fixture(scope="module")
def predicted(run_folder: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "out"
    words = ["--bundle", str(run_folder / "bundle"), "--cases", str(few), "--out", str(out)]
    assert main(["predict", *words, "--on_uncertified", "zero_miss", "--jobs", "1"]) == 0
    return out


def pages(folder: Path, ending: str) -> list[Path]:
    return sorted((folder / "pages").glob(f"*.{ending}"))


def text_of(page: Path) -> str:
    if page.suffix == ".pdf":
        return " ".join(part.extract_text() for part in PdfReader(io.BytesIO(page.read_bytes())).pages)
    return page.read_text("utf-8")


def test_pages_print_what_predict_wrote(explained: Path, predicted: Path) -> None:
    """To the printed digit: probability, interval, threshold, shares and group of every axilla."""
    predictions = pd.read_parquet(predicted / "predictions.parquet")
    decisions = pd.read_parquet(predicted / "decisions.parquet")
    htmls, pdfs = pages(explained, "html"), pages(explained, "pdf")
    assert len(htmls) == len(pdfs) == len(decisions) == 3
    for html, pdf, decision in zip(htmls, pdfs, decisions.to_dict("records"), strict=True):
        of = predictions[(predictions[AXILLA_KEY] == [decision["patient_id"], decision["side"]]).all(axis=1)]
        texts = [re.sub(r"[\s\u00a0]+", " ", text_of(page)) for page in (html, pdf)]
        for text in texts:
            assert f": {decision['risk_group']} (simulated, uncertified)" in text
            for row in of.to_dict("records"):
                if row["stage"] == "nsln" and decision["stage_reached"] == "sln":
                    continue
                low, high = (1 / (1 + np.exp(-row[f"logit_{end}"])) for end in ("low", "high"))
                interval = f"{np.floor(1000 * low) / 10:.1f} to {np.ceil(1000 * high) / 10:.1f} %"
                assert f"{100 * row['probability']:.1f} % (90 % interval {interval})" in text
                for name, share in row.items():
                    if str(name).startswith("contribution.") and not pd.isna(share):
                        assert f"{share:+.2f}".lstrip("+").replace("-0.00", "0.00").replace("-", "−") in text


def test_the_table_holds_the_same_shares(explained: Path, predicted: Path) -> None:
    table = pd.read_parquet(explained / "explanations.parquet")
    predictions = pd.read_parquet(predicted / "predictions.parquet").set_index([*AXILLA_KEY, "stage"])
    blocks = table[table["kind"] == "block"]
    assert len(blocks) == 3 * 2 * 5
    for key, part in blocks.groupby([*AXILLA_KEY, "stage"]):
        row = predictions[predictions.index == key].iloc[0]
        for name, adds in zip(part["name"], part["adds"], strict=True):
            told = row[f"contribution.{name}"]
            assert pd.isna(told) if pd.isna(adds) else adds == pytest.approx(told, abs=1e-6)
        assert row["contribution.base"] + part["adds"].sum() == pytest.approx(row["logit"], abs=1e-6)
        terms = table[(table[[*AXILLA_KEY, "stage"]] == list(key)).all(axis=1)]
        score = terms[terms["name"] == "score"]["value"].iloc[0]
        assert terms[terms["kind"] == "term"]["adds"].sum() == pytest.approx(score, abs=1e-9)
        assert terms[terms["kind"] == "family"]["adds"].sum() == pytest.approx(score, abs=1e-9)
    weights = table[table["kind"] == "image_weight"]
    assert len(weights)
    assert weights["value"].between(0, 1).all()


def test_nobody_is_named(explained: Path, few: Path) -> None:
    cases = pd.read_parquet(few)
    ids = set(cases["patient_id"]) | set(cases["image_id"]) | {name[-12:] for name in cases["image_id"]}
    for page in [*pages(explained, "html"), *pages(explained, "pdf")]:
        for text in (page.name, text_of(page)):
            assert not any(one in text for one in ids)
        assert b"Patient" not in page.read_bytes()[:4096]


def test_a_second_call_makes_no_page_anew(run_folder: Path, explained: Path, few: Path) -> None:
    before = {page: page.stat().st_mtime_ns for page in pages(explained, "html")}
    words = ["--bundle", str(run_folder / "bundle"), "--cases", str(few), "--out", str(explained)]
    assert main(["explain", *words, "--all", "--on_uncertified", "zero_miss", "--patch_mm", "8", "--jobs", "1"]) == 0
    assert {page: page.stat().st_mtime_ns for page in pages(explained, "html")} == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected one of them"),
        (["--all", "--patient", "x"], "expected one of them"),
        (["--all", "--side", "left"], "say whose side"),
        (["--patient", "nobody"], "no patient 'nobody'"),
        (["--all", "--on_uncertified", "guess"], "expected defer or zero_miss"),
        (["--all", "--patch_mm", "0"], "expected a side above 0 mm"),
    ],
)
def test_mistakes_are_one_line(
    run_folder: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    given = ["--bundle", str(run_folder / "bundle"), "--cases", str(few), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(["explain", *given, *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error


def test_one_side_of_one_patient(
    run_folder: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pd.read_parquet(few).iloc[0]
    other = "left" if first["side"] == "right" else "right"
    given = ["--bundle", str(run_folder / "bundle"), "--cases", str(few), "--out", str(tmp_path), "--jobs", "1"]
    given += ["--patient", str(first["patient_id"]), "--maps", "false"]
    assert main(["explain", *given, "--side", other]) == 2
    assert f"expected {first['side']}" in capsys.readouterr().err
    assert main(["explain", *given, "--side", str(first["side"])]) == 0
    assert len(pages(tmp_path, "html")) == 1
    assert "Grad-CAM" not in text_of(pages(tmp_path, "html")[0])


def test_neighbours_only_where_the_owner_opted_in(run_copy: Path, cohort: Path, tmp_path: Path) -> None:
    """A training axilla finds itself at no distance, with its own status; a plain bundle has no neighbours."""
    config, layout = tiny_config(cohort), Layout(run_copy)
    cases = tables.CASES.read(layout.cases)
    labels = axilla_labels(cases, config.data)

    def extras(settings: BundleSettings) -> dict[str, Path]:
        return training_neighbours(
            settings, layout, cases, labels, ensemble=config.ensemble, batch_size=config.fit.batch_size, threads=1
        )

    assert not config.bundle.neighbours
    assert extras(BundleSettings()) == {}
    plain = load_bundle(layout.bundle)
    write_bundle(
        tmp_path / "bundle",
        members={SHIPPED: layout.member(BUNDLE_FOLD)},
        preparation=config.preparation,
        on_uncertified=OnUncertified.ZERO_MISS,
        card=plain.card,
        extras=extras(BundleSettings(neighbours=True)),
    )
    splits = layout.read_splits(cases["patient_id"].unique())
    taught = splits[(splits["fold"] == BUNDLE_FOLD) & (splits["split"] == "train")]["patient_id"].iloc[0]
    rows = cases[cases["patient_id"] == taught].reset_index(drop=True)
    bundle = load_bundle(tmp_path / "bundle")
    prepared = prepare_cases(bundle.preparation, rows, run_copy, jobs=1, ledger=tmp_path / "ledger")
    prediction = predict_prepared(bundle, prepared, on_uncertified=None)
    key = (str(taught), str(rows["side"].iloc[0]))
    near = explain(bundle, prepared, prediction, key, maps=False).explanation.neighbours
    status = float(labels[(labels[AXILLA_KEY] == list(key)).all(axis=1)]["sln"].astype("float64").iloc[0])
    assert len(near) == 5
    assert near[0].distance == pytest.approx(0.0, abs=1e-3)
    assert near[0].sln == (None if np.isnan(status) else bool(status))
    assert explain(plain, prepared, prediction, key, maps=False).explanation.neighbours == ()


def test_a_page_says_that_software_drew_the_contour(run_folder: Path, few: Path, tmp_path: Path) -> None:
    cases = tables.CASES.read(few)
    patient = str(cases["patient_id"].iloc[-1])
    own = cases["patient_id"] == patient
    cases.loc[own, "mask_source"] = "automatic"
    cases.loc[own, "mask_confidence"] = 0.8
    cases.loc[own, "mask_error_mm"] = 0.9
    (tmp_path / "ingest").symlink_to(run_folder / "ingest", target_is_directory=True)
    tables.CASES.write(cases, tmp_path / "cases.parquet", Provenance("test", {}, {}))
    words = ["--bundle", str(run_folder / "bundle"), "--cases", str(tmp_path / "cases.parquet")]
    out = tmp_path / "out"
    assert main(["explain", *words, "--out", str(out), "--patient", patient, "--maps", "false", "--jobs", "1"]) == 0
    (html,), (pdf,) = pages(out, "html"), pages(out, "pdf")
    for page in (html, pdf):
        text = re.sub(r"[\s\u00a0]+", " ", unescape(text_of(page)))
        assert AUTOMATIC_CONTOUR in text
        assert rests_on_software(0.8, 0.9) in text
    assert len(PdfReader(pdf).pages) == 1
