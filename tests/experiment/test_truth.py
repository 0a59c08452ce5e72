"""Oracle and limit of a simulated cohort, from truth files written here by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import DataError
from usdlr.core.files import write_json
from usdlr.core.types import Stage
from usdlr.evaluation.ceiling import CeilingScores
from usdlr.experiment.data_settings import DataSettings
from usdlr.experiment.truth import LimitDesign, ceiling_lines, ceiling_scores, read_truth, run_truth, truth_files
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.export import simulate
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS, Scenario

FOLDS = 5
AXILLA = ["patient_id", "side"]


@dataclass
class Simulated:
    """A cohort with its truth on disk, labels and splits."""

    root: Path
    table: pd.DataFrame
    labels: pd.DataFrame
    splits: pd.DataFrame

    def scores(self) -> dict[str, CeilingScores]:
        return ceiling_scores(read_truth(self.root, self.labels), self.labels, self.splits)

    def auc(self, name: str, stage: str) -> float:
        """Mean over folds of scikit-learn's AUC of the scores."""
        rows = self.scores()[name].predictions.query("stage == @stage").merge(self.labels, on=AXILLA)
        rows = rows[rows[stage].notna() & ((rows["sln"] == 1) if stage == "nsln" else True)]
        return float(np.mean([roc_auc_score(part[stage], part["score"]) for _, part in rows.groupby("fold")]))


Measure = Callable[[pd.DataFrame], pd.DataFrame]


def exactly(latents: pd.DataFrame) -> pd.DataFrame:
    return latents


def simulated(
    root: Path,
    scenario: Scenario = SCENARIOS["default"],
    measure: Measure = exactly,
    *,
    patients: int = 500,
    centres: tuple[str, ...] = ("north", "south"),
    views: int = 1,
) -> Simulated:
    parts = [draw_cohort(CENTRES[name], patients // len(centres), 3, scenario) for name in centres]
    table = pd.concat(parts, ignore_index=True)
    keys = ["centre_id", *AXILLA]
    table[[*keys, *LATENTS, "p_sln", "p_nsln", "sln_true", "nsln_true"]].to_parquet(root / "truth.parquet")
    images = []
    for view in range(views):
        for lesion in ("1", "2"):
            rows = table[[*keys, *LATENTS]].assign(lesion_id=lesion, view=f"view {view}", source_id=f"{view}{lesion}")
            seen = measure(table[list(LATENTS)]) if lesion == "1" else table[list(LATENTS)] * 3
            images.append(pd.concat([rows, seen.add_prefix("measured.")], axis=1))
    pd.concat(images).sample(frac=1, random_state=0).to_parquet(root / "truth_images.parquet")
    write_json(root / "cohort.json", {"simulated": True, "scenario": scenario.as_dict()})
    labels = table[AXILLA].assign(
        sln=table["sln_positive"].astype("Float64").astype("float64"),
        nsln=table["nsln_positive"].astype("Float64").astype("float64"),
    )
    fold = np.random.default_rng(1).integers(0, FOLDS, len(table))
    ids = table["patient_id"]
    splits = [pd.DataFrame({"fold": "bundle", "patient_id": ids, "split": "train"})]
    for k in range(FOLDS):
        split = np.select([fold == k, fold == (k + 1) % FOLDS], ["test", "calibration"], "train")
        splits.append(pd.DataFrame({"fold": str(k), "patient_id": ids, "split": split}))
    return Simulated(root, table, labels, pd.concat(splits, ignore_index=True))


def noisy(factor: float) -> Measure:
    def measure(latents: pd.DataFrame) -> pd.DataFrame:
        random = np.random.default_rng(8)
        return pd.DataFrame(
            {
                name: latent.value(
                    latent.standardised(latents[name].to_numpy(float)) + factor * random.normal(size=len(latents))
                )
                for name, latent in LATENTS.items()
            }
        )

    return measure


def nothing(latents: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(8)
    return pd.DataFrame({name: latent.value(random.normal(size=len(latents))) for name, latent in LATENTS.items()})


@pytest.mark.parametrize("stage", ["sln", "nsln"])
def test_oracle_is_scikit_learns_auc_of_the_true_probabilities(tmp_path: Path, stage: str) -> None:
    cohort = simulated(tmp_path)
    rows = cohort.scores()["oracle"].predictions.query("stage == @stage").merge(cohort.labels, on=AXILLA)
    assert len(rows) == len(cohort.table)
    known = rows[stage].notna() & ((rows["sln"] == 1) | (stage == "sln"))
    truth = cohort.table[stage + "_positive"].notna() & (
        (cohort.table["sln_positive"].fillna(False)) if stage == "nsln" else True
    )
    expected = roc_auc_score(cohort.table[stage + "_positive"][truth].astype(int), cohort.table[f"p_{stage}"][truth])
    assert roc_auc_score(rows.loc[known, stage], rows.loc[known, "score"]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scenario", ["default", "interaction", "elastography_only"])
def test_limit_on_the_true_latents_comes_close_to_the_oracle(tmp_path: Path, scenario: str) -> None:
    cohort = simulated(tmp_path, SCENARIOS[scenario], patients=1000)
    for stage in ("sln", "nsln"):
        oracle, limit = cohort.auc("oracle", stage), cohort.auc("limit", stage)
        assert oracle > 0.75
        assert oracle - 0.05 < limit < oracle + 0.02


def test_limit_falls_as_the_measurement_gets_worse_and_pure_noise_is_chance(tmp_path: Path) -> None:
    aucs = []
    for number, measure in enumerate((exactly, noisy(1.0), nothing)):
        folder = tmp_path / str(number)
        folder.mkdir()
        aucs.append(simulated(folder, SCENARIOS["size_only"], measure, patients=1000).auc("limit", "sln"))
    assert aucs[0] > aucs[1] + 0.03 > aucs[2]
    assert aucs[2] == pytest.approx(0.5, abs=0.06)


def test_views_are_averaged_and_other_lesions_are_not_looked_at(tmp_path: Path) -> None:
    signs = iter([1, -1])

    def opposite(latents: pd.DataFrame) -> pd.DataFrame:  # two views whose errors cancel
        return latents + next(signs) * (noisy(0.5)(latents) - latents)

    cohort = simulated(tmp_path, measure=opposite, views=2)
    measured = read_truth(tmp_path, cohort.labels).measured
    np.testing.assert_allclose(measured, cohort.table[list(LATENTS)], rtol=1e-9)


def test_labels_and_true_latents_in_the_truth_files_reach_no_score(tmp_path: Path) -> None:
    cohort = simulated(tmp_path, measure=nothing)
    before = {name: part.predictions for name, part in cohort.scores().items()}
    images = pd.read_parquet(tmp_path / "truth_images.parquet")
    positive = images.merge(cohort.table[[*AXILLA, "sln_true", "nsln_true"]], on=AXILLA)["sln_true"].to_numpy(float)
    for name in ("measured.sln_true", "measured.p_sln", "sln_positive", "measured.age"):
        images[name] = positive
    for name in LATENTS:
        images[name] = positive
    images.to_parquet(tmp_path / "truth_images.parquet")
    truth = pd.read_parquet(tmp_path / "truth.parquet")
    truth.assign(sln_true=~truth["sln_true"], nsln_true=True, size_mm=1.0).to_parquet(tmp_path / "truth.parquet")
    after = {name: part.predictions for name, part in cohort.scores().items()}
    for name, table in before.items():
        pd.testing.assert_frame_equal(table, after[name])


def test_labels_of_test_patients_reach_no_limit(tmp_path: Path) -> None:
    cohort = simulated(tmp_path)
    first = cohort.splits[(cohort.splits["fold"] == "0") & (cohort.splits["split"] != "train")]
    others = cohort.labels["patient_id"].isin(first["patient_id"])
    labels = cohort.labels.copy()
    labels.loc[others, "sln"] = 1 - labels.loc[others, "sln"]
    changed = ceiling_scores(read_truth(tmp_path, labels), labels, cohort.splits)["limit"].predictions
    same = cohort.scores()["limit"].predictions
    pick = (same["fold"] == "0") & (same["stage"] == "sln")
    pd.testing.assert_frame_equal(same[pick], changed[pick])
    assert not np.allclose(same["score"][~pick], changed["score"][~pick])


def test_measurements_of_other_patients_reach_no_imputation(tmp_path: Path) -> None:
    def no_map(latents: pd.DataFrame) -> pd.DataFrame:
        missing = np.random.default_rng(2).random(len(latents)) < 0.25
        return latents.assign(**{name: latents[name].mask(missing) for name in ("stiffness_kpa", "rim_kpa")})

    cohort = simulated(tmp_path, measure=no_map)
    truth = read_truth(tmp_path, cohort.labels)
    fold = cohort.splits[cohort.splits["fold"] == "0"].set_index("patient_id")["split"]
    apart = (fold == "calibration").loc[list(cohort.labels["patient_id"])].to_numpy()
    spoilt = truth.measured.mask(apart[:, None] & truth.measured.notna(), 7.0)
    before = ceiling_scores(truth, cohort.labels, cohort.splits)["limit"].predictions.query("fold == '0'")
    after = ceiling_scores(replace(truth, measured=spoilt), cohort.labels, cohort.splits)["limit"].predictions
    pd.testing.assert_frame_equal(before, after.query("fold == '0'"))


def test_missing_stiffness_is_predicted_and_flagged(tmp_path: Path) -> None:
    logit = SCENARIOS["interaction"].sln  # echogenicity_db*stiffness_kpa
    scores = np.random.default_rng(4).normal(size=(400, len(LATENTS)))
    size, stiffness = list(LATENTS).index("size_mm"), list(LATENTS).index("stiffness_kpa")
    scores[:, stiffness] = 0.5 * scores[:, size] + 0.2
    measured = pd.DataFrame(
        {name: latent.middle + latent.spread * scores[:, k] for k, (name, latent) in enumerate(LATENTS.items())}
    )
    for name, latent in LATENTS.items():
        if latent.log:
            measured[name] = latent.middle * np.exp(latent.spread * scores[:, list(LATENTS).index(name)])
    lost = measured.copy()
    lost.loc[:99, "stiffness_kpa"] = np.nan
    lost["size_mm"] = measured["size_mm"].clip(lower=LATENTS["size_mm"].low)
    columns = LimitDesign(logit).fit(lost.iloc[50:]).columns(lost)
    echo = LATENTS["echogenicity_db"].standardised(measured["echogenicity_db"].to_numpy())
    np.testing.assert_allclose(columns[:, 0], echo * scores[:, stiffness], atol=0.05)
    flags = columns[:, 1:]
    assert [flag.tolist() for flag in flags.T if flag.any()] == [[1.0] * 100 + [0.0] * 300]


def test_centre_is_a_column_where_it_matters(tmp_path: Path) -> None:
    shifted = replace(SCENARIOS["size_only"], centre_effect=5.0)  # the log-odds differ by 2
    cohort = simulated(tmp_path, shifted, patients=800, centres=("north", "south"))
    with_centre = cohort.auc("limit", "sln")
    write_json(tmp_path / "cohort.json", {"scenario": SCENARIOS["size_only"].as_dict()})
    assert with_centre > cohort.auc("limit", "sln") + 0.02


@pytest.mark.parametrize("measure", [exactly, nothing])
def test_without_terms_both_are_one_half_by_definition(tmp_path: Path, measure: Measure) -> None:
    found = simulated(tmp_path, SCENARIOS["no_signal"], measure, patients=200).scores()
    assert found["limit"].chance == found["oracle"].chance == {"sln", "nsln"}
    assert set(found["limit"].predictions["score"]) == {0.5}


def test_a_truth_that_the_cohort_was_not_written_with_is_refused_before_any_work(tmp_path: Path) -> None:
    """A table of another scenario has the same ids; only its hash tells."""
    root = simulate(tmp_path / "cohort", patients=2, seed=1)
    data = DataSettings(centre="simulated", root=str(root))
    assert set(run_truth(data)) == {"cohort", "truth", "truth_images"}
    truth = pd.read_parquet(root / "truth.parquet")
    truth.assign(p_sln=1 - truth["p_sln"]).to_parquet(root / "truth.parquet", index=False)
    with pytest.raises(DataError, match=r"a truth\.parquet in .* that is not the one cohort\.json was written with"):
        run_truth(data)


def test_real_data_has_no_truth(tmp_path: Path) -> None:
    assert truth_files(tmp_path) == {}
    assert ceiling_lines({"stages": {"sln": {}}}) == []


@pytest.mark.parametrize("name", ["truth_images.parquet", "cohort.json"])
def test_half_a_truth_is_refused(tmp_path: Path, name: str) -> None:
    simulated(tmp_path, patients=20)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"without {name}"):
        truth_files(tmp_path)


def test_truth_of_other_patients_is_refused(tmp_path: Path) -> None:
    cohort = simulated(tmp_path, patients=40)
    others = cohort.labels.assign(patient_id=cohort.labels["patient_id"].str.replace("north", "west"))
    with pytest.raises(DataError, match=r"found 20 of 40 axillae of the run absent from truth\.parquet") as refused:
        read_truth(tmp_path, others)
    assert "simulated-" not in str(refused.value)


def damaged(root: Path, what: str) -> None:
    truth, images = root / "truth.parquet", root / "truth_images.parquet"
    table = pd.read_parquet(truth)
    if what == "twice":
        pd.concat([table, table.head(1)]).to_parquet(truth)
    elif what == "one image set less":
        seen = pd.read_parquet(images)
        gone = (seen["patient_id"] == table["patient_id"][0]) & (seen["lesion_id"] == "1")
        seen[~gone].to_parquet(images)
    elif what == "no column":
        pd.read_parquet(images).drop(columns="measured.rim_kpa").to_parquet(images)
    elif what == "not a table":
        truth.write_bytes(b"PAR1 and then nothing")
    elif what == "no probability":
        table.assign(p_nsln=np.nan).to_parquet(truth)
    elif what == "no scenario":
        write_json(root / "cohort.json", {"coefficients": {}})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("twice", "1 rows too many"),
        ("one image set less", r"1 of 40 axillae of the run absent from truth_images\.parquet with lesion_id = 1"),
        ("no column", r"truth_images\.parquet unreadable or without one of its columns"),
        ("not a table", r"truth\.parquet unreadable"),
        ("no probability", "true probabilities outside 0 to 1"),
        ("no scenario", "no scenario in cohort.json"),
    ],
)
def test_damaged_truth_is_refused(tmp_path: Path, what: str, message: str) -> None:
    cohort = simulated(tmp_path, patients=40)
    damaged(tmp_path, what)
    with pytest.raises(DataError, match=message):
        read_truth(tmp_path, cohort.labels)


def test_training_patients_of_one_class_are_refused(tmp_path: Path) -> None:
    cohort = simulated(tmp_path, patients=60)
    labels = cohort.labels.assign(sln=1.0)
    with pytest.raises(DataError, match="of one class at stage sln"):
        ceiling_scores(read_truth(tmp_path, labels), labels, cohort.splits)


def test_lines_say_what_cannot_be_estimated() -> None:
    part: dict[str, Any] = {"auc": {"value": None, "low": None}, "share_of_limit": {"value": None}}
    best = {"stages": {stage: {"auc": {"value": 0.5}} for stage in ("sln", "nsln")}}
    lines = ceiling_lines({"stages": {"sln": part, "nsln": part}, "limit": best, "oracle": best})
    assert lines[1] == (
        "NSLN: AUC not estimable of a limit of 0.50 (share not estimable) and an oracle of 0.50; simulated"
    )
    assert len(lines) == len(Stage)
