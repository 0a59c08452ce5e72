"""Shared results taken together give what the full tables give, and a page that names no patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from tests.validation.test_share import ALPHA, T, Tables, centre_tables, share, written
from usdlr.core.errors import DataError
from usdlr.core.types import Stage
from usdlr.decision.wording_sharing import open_verdict_sentence, withheld_sentence
from usdlr.evaluation.alignment import by_axilla, label_table
from usdlr.evaluation.stage_metrics import stage_estimates
from usdlr.report.html import render
from usdlr.validation.evaluate import pooled_over
from usdlr.validation.share_combine import combine, combined, fine_enough, pooled_scores
from usdlr.validation.share_curves import binned_curves
from usdlr.validation.share_page import combined_figures, combined_page, write_combined
from usdlr.validation.verdict import verdicts

NAMES = ("North", "South", "West")


@pytest.fixture(scope="module")
def centres() -> dict[str, Tables]:
    return {name: centre_tables(500, seed, unknown=0.0, name=f"{name}-") for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def shares(centres: dict[str, Tables]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(share(tables, name))) for name, tables in centres.items()]


def in_full(tables: Tables) -> dict[str, Any]:
    """A centre's entry as a validation that holds the patients makes it."""
    predictions, decisions, labels = tables
    truth = label_table(labels)
    status = {Stage.SLN: truth["sln"], Stage.NSLN: truth["nsln"].where(truth["sln"] == 1)}
    stages = {}
    for stage in Stage:
        rows = by_axilla(predictions[predictions["stage"] == str(stage)], ("logit", "probability"), "predictions")
        stages[str(stage)] = stage_estimates(rows, T[stage], status[stage])
    found = verdicts(decisions, labels, ALPHA)
    people = {"axillae": len(truth), "patients": int(labels["patient_id"].nunique())}
    return {**people, "stages": stages, "verdicts": {str(stage): one.as_dict() for stage, one in found.items()}}


def test_pooling_files_is_pooling_tables(centres: dict[str, Tables]) -> None:
    full = pooled_over({name: in_full(tables) for name, tables in centres.items()})
    # Without the rounding of how many patients have two axillae.
    found = combined([share(tables, name, smallest=1) for name, tables in centres.items()])
    for stage in map(str, Stage):
        for measure in ("auc", "calibration_slope", "calibration_intercept"):
            for part in ("fixed", "random", "prediction", "tau2"):
                ours, theirs = found["stages"][stage][measure][part], full[stage][measure][part]
                # Files hold six digits; a prediction interval of three centres is some twelve times as sensitive.
                assert ours == pytest.approx(theirs, abs=2e-5), (stage, measure, part)
        rate = found["rates"][f"fnr_{stage}"]
        assert not rate["withheld"]
        for part in ("fixed", "random", "prediction"):
            assert rate["pooled"][part] == pytest.approx(full[stage]["fnr"][part], abs=1e-6)


def test_all_axillae_together_have_the_exact_interval(centres: dict[str, Tables]) -> None:
    single = {name: tuple(table[table["side"] == "left"] for table in tables) for name, tables in centres.items()}
    shares = [share(tables, name) for name, tables in single.items()]  # type: ignore[arg-type]  # three tables
    table = pd.concat([decisions.merge(labels, on=["patient_id", "side"]) for _, decisions, labels in single.values()])
    positives = table[table["sln"] == 1]
    exact = binomtest(int((positives["risk_group"] == "LR-SLN").sum()), len(positives)).proportion_ci(method="exact")
    fixed = combined(shares)["rates"]["fnr_sln"]["pooled"]["fixed"]
    assert (fixed["low"], fixed["high"]) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_twenty_patients_with_two_axillae_are_no_forty() -> None:
    """0 of 40 would keep 10 %; 0 of 20 patients, both axillae alike, does not: its upper end is 16.8 %."""
    random = np.random.default_rng(1)
    one = pd.DataFrame({"patient_id": [f"p{k:02d}" for k in range(60)], "side": "left"})
    one = one.assign(sln=[1.0] * 20 + [0.0] * 40, nsln=np.nan, z=[2.0] * 20 + [-2.0] * 40)
    both = pd.concat([one, one.assign(side="right")], ignore_index=True)
    keys = both[["patient_id", "side"]]
    z = both["z"] + random.normal(0, 0.1, len(both))
    predictions = pd.concat([keys.assign(stage=stage, logit=z, probability=1 / (1 + np.exp(-z))) for stage in ALPHA])
    decisions = keys.assign(risk_group=np.where(both["sln"] == 1, "HR-SLN/HR-NSLN", "LR-SLN"))
    tables = (predictions, decisions, both[["patient_id", "side", "sln", "nsln"]])
    found = combined([json.loads(json.dumps(share(tables, "North")))])
    (told,) = found["verdicts"]["sln"]
    assert told["standing"] == "undetermined" == str(verdicts(*tables[1:], ALPHA)[Stage.SLN].standing)
    assert told["rate"]["n"] == 40
    assert told["rate"]["high"] == pytest.approx(binomtest(0, 20).proportion_ci(method="exact").high)
    pooled = found["rates"]["fnr_sln"]["pooled"]["fixed"]
    assert pooled["high"] == pytest.approx(told["rate"]["high"])


def test_a_withheld_count_opens_a_range_that_holds_the_truth(shares: list[dict[str, Any]]) -> None:
    tables = centre_tables(40, 11, unknown=0.0, name="small-")
    small = json.loads(json.dumps(share(tables, "Small")))
    assert small["counts"]["missed_sln"] is None
    assert small["counts"]["sln_positive"] is not None
    found = combined([*shares, small])
    rate = found["rates"]["fnr_sln"]
    assert rate["withheld"] == ["Small"]
    assert rate["pooled"] is None
    with_patients = combined([*shares, share(tables, "Small", smallest=1)])["rates"]["fnr_sln"]["pooled"]["fixed"]
    assert rate["least"]["fixed"]["value"] <= with_patients["value"] <= rate["most"]["fixed"]["value"]
    assert rate["least"]["fixed"]["value"] < rate["most"]["fixed"]["value"]


def test_bins_of_all_centres_add_up(centres: dict[str, Tables], shares: list[dict[str, Any]]) -> None:
    pooled = pooled_scores([one["stages"]["sln"]["scores"] for one in shares])
    assert pooled is not None
    p = np.concatenate([t[0].loc[t[0]["stage"] == "sln", "probability"].to_numpy() for t in centres.values()])
    y = np.concatenate([t[2]["sln"].to_numpy() for t in centres.values()])
    for kind, name in ((1, "positive"), (0, "negative")):
        assert pooled[name] == np.histogram(p[y == kind], bins=pooled["edges"])[0].tolist()
    # Net benefit and sensitivity at an edge are those of every single patient.
    found = binned_curves(pooled)
    for place, edge in enumerate(pooled["edges"][:-1]):
        called = p >= edge
        assert found["tpr"][place] == pytest.approx(called[y == 1].mean())
        benefit = (called & (y == 1)).mean() - (called & (y == 0)).mean() * edge / (1 - edge)
        assert found["net_benefit"][place] == pytest.approx(benefit)


def test_a_coarse_centre_does_not_make_all_curves_coarse(shares: list[dict[str, Any]]) -> None:
    binned = {one["centre"]: one["stages"]["sln"]["scores"] for one in shares}
    coarse = {"edges": [0.0, 1.0], "positive": [6], "negative": [9], "predicted": [0.4]}
    assert set(fine_enough({**binned, "Coarse": coarse})) == set(NAMES)
    assert fine_enough({"Coarse": coarse}) == ["Coarse"]
    assert fine_enough({}) == []
    assert pooled_scores([]) is None


def test_one_centre_alone_and_hardly_anybody(tmp_path: Path) -> None:
    one = written(share(centre_tables(300, 4), "Alone"), tmp_path / "one.json")
    few = written(share(centre_tables(6, 5), "Few"), tmp_path / "few.json")
    assert combine([one])["stages"]["sln"]["auc"]["random"]["value"] is None
    found = combine([few])
    assert found["stages"]["sln"]["auc"] is None
    assert found["stages"]["sln"]["scores"] is None
    page = render(combined_page(found, combined_figures(found), {"few.json": "0" * 12}))
    assert "withheld: too few patients" in page


def test_the_page(shares: list[dict[str, Any]], tmp_path: Path) -> None:
    small = json.loads(json.dumps(share(centre_tables(40, 11, unknown=0.0), "simulated-small")))
    paths = [written(one, tmp_path / f"{place}.json") for place, one in enumerate([*shares, small])]
    names = {path.name for path in write_combined(paths, tmp_path / "out")}
    assert {"combined.html", "combined.pdf", "combined.json", "curves.csv", "areas.svg", "curves.svg"} <= names
    page = (tmp_path / "out" / "combined.html").read_text(encoding="utf-8")
    for words in (*NAMES, "withheld by simulated-small", "Simulated patients", "not a medical device", "0123456789ab"):
        assert words in page
    assert "North-0001" not in page


def test_what_cannot_be_combined_writes_nothing(shares: list[dict[str, Any]], tmp_path: Path) -> None:
    path = written(shares[0], tmp_path / "north.json")
    with pytest.raises(DataError, match="each centre once"):
        write_combined([path, path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sentences_claim_no_more_than_the_files() -> None:
    assert "no rate can be given" in withheld_sentence("Missed", ["North"], None, 0.3)
    assert "2.0–5.5" in withheld_sentence("Missed", ["North"], 0.0201, 0.0549)  # ends rounded outward
    assert open_verdict_sentence("nsln", 0.05, ["held", "broken"]).startswith("NSLN target of 5 %: held or broken")
