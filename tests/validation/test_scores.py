"""Scores from elsewhere: what a file may look like, and numbers that other libraries confirm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.multitest import multipletests

from tests.validation.test_share import T, Tables, centre_tables
from usdlr.cli.main import main
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import Stage
from usdlr.evaluation.external import external_metrics
from usdlr.validation.scores import cascade_groups, score_metrics
from usdlr.validation.scores_read import ScoreColumns, StageColumns, read_scores
from usdlr.validation.verdict import verdicts

ONE = {Stage.SLN: StageColumns("sln", ("p_sln",))}
BOTH = {
    Stage.SLN: StageColumns("sln", ("p_sln", "other", "noise"), T[Stage.SLN], 0.1),
    Stage.NSLN: StageColumns("nsln", ("p_nsln",), T[Stage.NSLN], 0.1),
}


def wide(tables: Tables) -> pd.DataFrame:
    """One row per axilla, as a study would share it."""
    predictions, decisions, labels = tables
    table = predictions.pivot(index=["patient_id", "side"], columns="stage", values="probability").reset_index()
    table = table.rename(columns={"sln": "p_sln", "nsln": "p_nsln"}).merge(labels, on=["patient_id", "side"])
    random = np.random.default_rng(0)
    table["other"] = np.clip(table["p_sln"] + random.normal(0, 0.2, len(table)), 0, 1)
    table["noise"] = random.uniform(size=len(table))
    return table.merge(decisions, on=["patient_id", "side"])


@pytest.fixture(scope="module")
def tables() -> Tables:
    return centre_tables(250, 4)


@pytest.fixture(scope="module")
def path(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("scores") / "shared.csv"
    wide(tables).to_csv(found, index=False)
    return found


def text(tmp_path: Path, content: str, encoding: str = "utf-8") -> Path:
    found = tmp_path / "one.csv"
    found.write_bytes(content.encode(encoding))
    return found


class TestReading:
    def test_commas_semicolons_marks_and_words_are_the_same_file(self, tmp_path: Path) -> None:
        plain = "patient_id,sln,p_sln\na,1,0.75\nb,0,0.25\nc,,0.5\n"
        other = "PATIENT_ID;SLN;P_SLN\r\na;yes;0,75\r\nb;Negative;,25\r\nc;unknown;5e-1\r\n"
        first = read_scores(text(tmp_path, plain), ScoreColumns(ONE))
        second = read_scores(text(tmp_path, other, "utf-8-sig"), ScoreColumns(ONE))
        third = read_scores(text(tmp_path, plain.replace(",", "\t"), "utf-16"), ScoreColumns(ONE))
        for one in (second, third):
            assert one.keys.equals(first.keys)
            assert one.outcome[Stage.SLN] == pytest.approx(first.outcome[Stage.SLN], nan_ok=True)
            assert one.scores[Stage.SLN]["p_sln"].tolist() == [0.75, 0.25, 0.5]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("patient_id,sln,p_sln\na,1,0.5\nb,maybe,0.5\n", "sln = 'maybe' in row 3"),
            ("patient_id,sln,p_sln\na,1,1.5\n", "p_sln = '1.5' in row 2.*--scale score"),
            ("patient_id,sln,p_sln\na,1,\n", "p_sln = None in row 2"),
            ("patient_id,sln,p_sln\na,1,inf\n", "p_sln = 'inf' in row 2"),
            ("patient_id,sln,p_sln\na,1,1.234.5\n", "p_sln = '1.234.5' in row 2"),
            ("patient_id,sln,p_sln\n,1,0.5\n", "no patient_id in row 2"),
            ("patient_id,sln,p_sln\n", "no row"),
            ("patient_id,sln,p_sin\na,1,0.5\n", "no column 'p_sln'.*p_sin"),
            ("patient_id,side,sln,p_sln\na,left,1,0.5\na,left,0,0.5\n", "second time in row 3"),
            ("patient_id,sln,p_sln,p_sln\na,1,0.5,0.6\n", "'p_sln' twice"),
        ],
    )
    def test_mistakes_are_told_by_row_and_column(self, content: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=words):
            read_scores(text(tmp_path, content), ScoreColumns(ONE))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"stages": {}},
            {"stages": ONE, "scale": "percent"},
            {"stages": ONE, "subgroups": ("p_sln",)},
            {"stages": {Stage.SLN: StageColumns("sln", ())}},
            {"stages": {Stage.SLN: StageColumns("sln", ("p",), 1.5)}},
            {"stages": {Stage.SLN: StageColumns("sln", ("p",), 0.5, 10.0)}},
            {"stages": {Stage.SLN: StageColumns("sln", ("p",), None, 0.1)}},
        ],
    )
    def test_requests_that_cannot_work(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError):
            ScoreColumns(**wrong)  # type: ignore[arg-type]  # wrong on purpose

    def test_rows_of_a_patient_without_a_side_are_one_cluster(self, tmp_path: Path) -> None:
        rows = [f"p{k // 2},{int(k % 5 < 2)},{(k * 7 % 40) / 40}" for k in range(40)]
        once = read_scores(text(tmp_path, "\n".join(["patient_id,sln,p_sln", *rows])), ScoreColumns(ONE))
        apart = read_scores(
            text(
                tmp_path,
                "\n".join(["patient_id,sln,p_sln", *(f"q{k}{row[row.index(',') :]}" for k, row in enumerate(rows))]),
            ),
            ScoreColumns(ONE),
        )
        both = [score_metrics(one)["stages"]["sln"]["estimates"]["auc_by_patient"] for one in (once, apart)]
        assert both[0]["value"] == both[1]["value"]
        assert "20 patients" in both[0]["method"]
        assert "40 patients" in both[1]["method"]


class TestNumbers:
    def test_they_are_those_of_a_validation_to_the_last_digit(self, tables: Tables, path: Path) -> None:
        _, decisions, labels = tables
        stages = {stage: StageColumns(one.outcome, one.scores[:1], one.threshold, 0.1) for stage, one in BOTH.items()}
        read = read_scores(path, ScoreColumns(stages))
        found = score_metrics(read)
        shares = [f"contribution.{name}" for name in ("radiomics", "base")]
        # As a validation holds them: log-odds of the very probabilities that the file tells.
        told = pd.concat([read.predicted(stage, f"p_{stage}").assign(stage=str(stage)) for stage in Stage])
        table = told.assign(fold="bundle", split="external", model_id="0" * 12, **dict.fromkeys(shares, 0.0))
        table = table.assign(logit_low=table["logit"] - 1, logit_high=table["logit"] + 1)
        whole = external_metrics(predictions=table, labels=labels, thresholds=T, baselines={}, cohort={})
        for stage in map(str, Stage):
            assert found["stages"][stage]["estimates"] == whole["stages"][stage]
        expected = verdicts(decisions, labels, {"sln": 0.1, "nsln": 0.1})
        for stage in Stage:
            assert found["stages"][str(stage)]["verdict"] == expected[stage].as_dict()

    def test_groups_are_the_cascades(self, tables: Tables, path: Path) -> None:
        groups = cascade_groups(read_scores(path, ScoreColumns(BOTH)))
        assert groups is not None
        decided = tables[1].set_index(["patient_id", "side"])["risk_group"].sort_index()
        assert (groups.to_numpy() == decided.to_numpy()).all()
        assert cascade_groups(read_scores(path, ScoreColumns(ONE))) is None

    def test_other_libraries_agree(self, tables: Tables, path: Path) -> None:
        found = score_metrics(read_scores(path, ScoreColumns(BOTH)))
        table = wide(tables)
        known = table[table["sln"].notna()]
        part = found["stages"]["sln"]
        assert part["estimates"]["auc"]["value"] == pytest.approx(roc_auc_score(known["sln"], known["p_sln"]))
        assert part["others"]["noise"]["auc"]["value"] == pytest.approx(roc_auc_score(known["sln"], known["noise"]))
        assert part["estimates"]["brier"]["value"] == pytest.approx(brier_score_loss(known["sln"], known["p_sln"]))
        called = known[known["sln"] == 1]["p_sln"] >= T[Stage.SLN]
        exact = binomtest(int(called.sum()), len(called)).proportion_ci(method="exact")
        rate = part["estimates"]["sensitivity"]
        assert (rate["low"], rate["high"]) == pytest.approx((exact.low, exact.high))

    def test_every_pair_is_compared_and_corrected_for_all(self, path: Path) -> None:
        found = score_metrics(read_scores(path, ScoreColumns(BOTH)))["comparisons"]
        assert set(found) == {"sln: p_sln minus other", "sln: p_sln minus noise", "sln: other minus noise"}
        tests = [one["stages"]["sln"]["p_value"] for one in found.values()]
        adjusted = multipletests([test["value"] for test in tests], method="holm")[1]
        assert [test["p_holm"] for test in tests] == pytest.approx(adjusted.tolist())

    def test_scores_of_any_scale_are_ranked_and_nothing_more(self, tables: Tables, tmp_path: Path) -> None:
        table = wide(tables).assign(p_sln=lambda t: 100 * t["p_sln"] - 3)
        table.to_csv(tmp_path / "raw.csv", index=False)
        columns = ScoreColumns({Stage.SLN: StageColumns("sln", ("p_sln",), 100 * T[Stage.SLN] - 3, 0.1)}, scale="score")
        part = score_metrics(read_scores(tmp_path / "raw.csv", columns))["stages"]["sln"]
        known = table[table["sln"].notna()]
        assert part["estimates"]["auc"]["value"] == pytest.approx(roc_auc_score(known["sln"], known["p_sln"]))
        assert not {"brier", "calibration_slope", "log_loss"} & set(part["estimates"])
        assert "decision_curve" not in part
        missed = (known["sln"] == 1) & (known["p_sln"] < 100 * T[Stage.SLN] - 3)
        assert part["verdict"]["rate"]["events"] == int(missed.sum())

    def test_log_odds_are_probabilities_in_another_dress(self, tables: Tables, path: Path, tmp_path: Path) -> None:
        table = wide(tables)
        table["p_sln"] = np.log(table["p_sln"] / (1 - table["p_sln"]))
        table.to_csv(tmp_path / "z.csv", index=False)
        limit = float(np.log(T[Stage.SLN] / (1 - T[Stage.SLN])))
        odds = ScoreColumns({Stage.SLN: StageColumns("sln", ("p_sln",), limit, 0.1)}, scale="log_odds")
        plain = ScoreColumns({Stage.SLN: StageColumns("sln", ("p_sln",), T[Stage.SLN], 0.1)})
        first = score_metrics(read_scores(tmp_path / "z.csv", odds))["stages"]["sln"]
        second = score_metrics(read_scores(path, plain))["stages"]["sln"]
        for key in ("auc", "brier", "calibration_slope", "sensitivity"):
            assert first["estimates"][key]["value"] == pytest.approx(second["estimates"][key]["value"], abs=1e-9)

    @pytest.mark.parametrize("outcome", ["1,1,1,1", "0,0,0,0", "1", ",,,", "1,0"])
    def test_hardly_anything_is_a_reason_and_no_number(self, outcome: str, tmp_path: Path) -> None:
        rows = [f"p{k},{word},0.5" for k, word in enumerate(outcome.split(","))]
        found = score_metrics(
            read_scores(text(tmp_path, "\n".join(["patient_id,sln,p_sln", *rows])), ScoreColumns(ONE))
        )
        auc = found["stages"]["sln"]["estimates"]["auc"]
        assert auc["value"] is None
        assert auc["method"].startswith("undefined")


def test_the_command_writes_a_page_and_numbers(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(path).assign(centre=lambda t: np.where(np.arange(len(t)) % 2, "A", "B"))
    table.to_csv(tmp_path / "in.csv", index=False, sep=";", decimal=",")
    words = ["evaluate", "--predictions", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out")]
    words += [
        "--sln_scores",
        "p_sln",
        "other",
        "--sln_threshold",
        "0.25",
        "--sln_alpha",
        "0.1",
        "--subgroups",
        "centre",
    ]
    assert main(words) == 0
    assert "report:" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(found["stages"]) == {"sln", "nsln"}  # the second by the file's own names
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "SLN target of 10" in page
    assert "centre: A" in page
    assert "p0001" not in page
    assert (tmp_path / "out" / "figures" / "scores.svg").is_file()


def test_wrong_requests_end_with_exit_code_2(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--predictions", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out")]) == 2
    plain = text(tmp_path, "id,outcome,value\na,1,0.5\n")
    assert main(["evaluate", "--predictions", str(plain), "--out", str(tmp_path / "out")]) == 2
    assert "--sln_outcome" in capsys.readouterr().err
    words = ["evaluate", "--predictions", str(plain), "--out", str(tmp_path / "out"), "--patient", "id"]
    assert main([*words, "--sln_outcome", "outcome", "--sln_scores", "value"]) == 0
