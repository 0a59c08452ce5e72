"""The calibrator that cross-validation prefers, and whom it may see."""

from __future__ import annotations

import json

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import log_loss

from usdlr.core.errors import ConfigError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.calibration import CALIBRATORS, PlattCalibrator
from usdlr.decision.calibration_choice import (
    AUTO_CANDIDATES,
    FEWEST_PER_CLASS,
    CalibratorChoice,
    calibrator_name,
    candidate_kinds,
    compared,
    fit_calibrator,
    patient_folds,
)

Array = NDArray[np.float64]
EVERY = {"auto": {"candidates": list(CALIBRATORS)}}


def tuning(n: int, split: str = "tuning") -> Rows:
    return Rows.of([f"p{i}" for i in range(n)], [split] * n)


def line(n: int, seed: int = 0) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    x = draw.normal(0, 2, n)
    return x, (draw.random(n) < expit(0.6 * x - 0.5)).astype(float)


def stairs(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Two levels of risk, which no line and no bend can show."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(-3, 3, n)
    return x, (draw.random(n) < np.where(x > 1.5, 0.95, 0.15)).astype(float)


def test_platt_is_mostly_kept_where_a_line_is_the_truth() -> None:
    chosen = []
    for seed in range(12):
        found = fit_calibrator(
            {"auto": {"candidates": list(CALIBRATORS), "repeats": 3}}, *line(120, seed), rows=tuning(120)
        )
        assert found.choice is not None
        assert found.calibrator.kind == found.choice["chosen"]
        assert set(found.choice["candidates"]) == set(CALIBRATORS)
        json.dumps(found.choice)
        chosen.append(found.choice["chosen"])
    # One standard error and four rivals: some of them are ahead by chance.
    assert chosen.count("platt") >= 8


def test_steps_are_found_where_steps_are_the_truth() -> None:
    found = fit_calibrator(EVERY, *stairs(600), rows=tuning(600))
    assert found.choice is not None
    assert found.calibrator.kind in {"isotonic", "venn_abers"}
    best = found.choice["candidates"][found.calibrator.kind]
    assert best["difference"] < -best["standard_error"]
    assert best["log_loss"] == min(each["log_loss"] for each in found.choice["candidates"].values())
    assert "below that of platt by more than a standard error" in found.choice["reason"]
    alone = CALIBRATORS[found.calibrator.kind]().fit(*stairs(600), rows=tuning(600))
    np.testing.assert_array_equal(found.calibrator.transform([0.0, 1.0]), alone.transform([0.0, 1.0]))


def test_one_standard_error_decides() -> None:
    """The same better candidate is taken or not, as its lead is above or below its standard error."""
    x, y = stairs(600)
    found = fit_calibrator({"auto": {"candidates": ["isotonic"]}}, x, y, rows=tuning(600)).choice
    assert found is not None
    assert found["chosen"] == "isotonic"
    few = fit_calibrator({"auto": {"candidates": ["isotonic"]}}, *line(60, 3), rows=tuning(60)).choice
    assert few is not None
    assert few["candidates"]["isotonic"]["difference"] > -few["candidates"]["isotonic"]["standard_error"]
    assert few["chosen"] == "platt"


def test_few_patients_of_a_class_get_platt_and_are_told_so() -> None:
    x, y = stairs(300)
    y[np.flatnonzero(y == 1)[FEWEST_PER_CLASS - 1 :]] = 0
    found = fit_calibrator(EVERY, x, y, rows=tuning(300))
    assert found.choice is not None
    assert (found.choice["chosen"], found.choice["candidates"]) == ("platt", {})
    assert found.choice["reason"].startswith("9 positive and 291 negative tuning patients, fewer than 10 of a class")
    # Ten positive axillae of five patients are five patients.
    few = Rows.of([f"p{i // 2}" for i in range(40)], ["tuning"] * 40)
    twins = fit_calibrator(EVERY, np.linspace(-1, 1, 40), [1, 1] * 5 + [0, 0] * 15, rows=few)
    assert twins.choice is not None
    assert twins.choice["patients_positive"] == 5
    assert twins.choice["candidates"] == {}
    none = fit_calibrator(EVERY, [], [], rows=tuning(0))
    assert none.calibrator.transform([1.5]).tolist() == [1.5]


def test_the_held_out_loss_of_platt_is_that_of_statsmodels_and_scikit_learn() -> None:
    x, y = line(150, 1)
    rows = tuning(150)
    options = {"candidates": [{"platt": {"prior_strength": 0.0}}], "folds": 5, "repeats": 1}
    found = fit_calibrator({"auto": options}, x, y, rows=rows).choice
    assert found is not None
    fold = patient_folds(np.array(rows.patient_id), y, 5, np.random.default_rng(0))
    p = np.empty(150)
    for held in range(5):
        train = fold != held
        fit = sm.GLM(y[train], sm.add_constant(x[train]), family=sm.families.Binomial()).fit(tol=1e-12)
        p[~train] = fit.predict(sm.add_constant(x[~train]))
    assert found["candidates"]["platt"]["log_loss"] == pytest.approx(log_loss(y, p), abs=1e-8)


def test_folds_hold_whole_patients_and_share_the_positive_ones() -> None:
    draw = np.random.default_rng(2)
    patient = np.array([f"p{i}" for i in draw.integers(0, 60, 100)])
    y = (draw.random(100) < 0.3).astype(float)
    fold = patient_folds(patient, y, 5, np.random.default_rng(0))
    for name in np.unique(patient):
        assert len(set(fold[patient == name])) == 1
    ill = {name for name in np.unique(patient) if y[patient == name].any()}
    per_fold = [len(ill & set(patient[fold == held])) for held in range(5)]
    assert max(per_fold) - min(per_fold) <= 1
    everybody = [len(set(patient[fold == held])) for held in range(5)]
    assert max(everybody) - min(everybody) <= 1


def test_the_standard_error_counts_patients_not_axillae() -> None:
    draw = np.random.default_rng(4)
    loss = {"platt": draw.random(50), "beta": draw.random(50)}
    names = np.array([f"p{i}" for i in range(50)])
    once = compared(loss, names, reference="platt")["beta"]
    # The paired t-test's standard error.
    difference = loss["beta"] - loss["platt"]
    assert once["standard_error"] == pytest.approx(difference.std(ddof=1) / np.sqrt(50), abs=1e-8)
    doubled = {kind: np.tile(values, 2) for kind, values in loss.items()}
    assert compared(doubled, np.tile(names, 2), reference="platt")["beta"] == once


def test_axillae_of_a_patient_that_are_alike_change_nothing() -> None:
    """Plain fits on every axilla twice are the same fits, if both stay on one side of every fold."""
    x, y = line(100, 2)
    part = {"auto": {"candidates": [{"platt": {"prior_strength": 0.0}}, {"beta": {"prior_strength": 0.0}}]}}
    once = fit_calibrator(part, x, y, rows=tuning(100)).choice
    rows = Rows.of([f"p{i}" for i in range(100)] * 2, ["tuning"] * 200)
    twice = fit_calibrator(part, np.tile(x, 2), np.tile(y, 2), rows=rows).choice
    assert once is not None
    assert twice is not None
    for kind, each in once["candidates"].items():
        assert twice["candidates"][kind] == pytest.approx(each, abs=1e-7)
    apart = fit_calibrator(part, np.tile(x, 2), np.tile(y, 2), rows=tuning(200)).choice
    assert apart is not None
    assert apart["candidates"]["platt"]["log_loss"] < once["candidates"]["platt"]["log_loss"] - 1e-4


def test_the_choice_does_not_depend_on_the_order_of_rows_and_repeats() -> None:
    x, y = stairs(200, 3)
    names = np.array([f"p{i}" for i in range(200)])
    order = np.random.default_rng(1).permutation(200)
    found = [
        fit_calibrator(EVERY, x[place], y[place], rows=Rows.of(names[place], ["tuning"] * 200)).choice
        for place in (np.arange(200), np.arange(200), order)
    ]
    assert found[0] == found[1]
    for kind, each in found[0]["candidates"].items():  # type: ignore[index]  # auto has a choice
        assert found[2]["candidates"][kind] == pytest.approx(each, abs=1e-7)  # type: ignore[index]  # likewise


@pytest.mark.parametrize("split", ["train", "calibration", "test", "external"])
def test_nobody_but_tuning_patients_is_seen(split: str) -> None:
    x, y = line(60)
    with pytest.raises(LeakError, match=f"found 60 {split} rows in the fit of the calibrator"):
        fit_calibrator(EVERY, x, y, rows=tuning(60, split))
    smuggled = Rows.of([f"p{i}" for i in range(60)], ["tuning"] * 59 + [split])
    with pytest.raises(LeakError, match=f"found 1 {split} rows"):
        fit_calibrator(EVERY, x, y, rows=smuggled)


def test_a_named_calibrator_is_fitted_without_a_choice() -> None:
    x, y = line(60)
    found = fit_calibrator({"platt": {"prior_strength": 2.0}}, x, y, rows=tuning(60))
    assert found.choice is None
    truth = PlattCalibrator(prior_strength=2.0).fit(x, y, rows=tuning(60))
    assert found.calibrator.to_dict() == truth.to_dict()


def test_options_are_checked_before_anything_is_fitted() -> None:
    assert calibrator_name("auto") == "auto"
    assert candidate_kinds("auto") == AUTO_CANDIDATES
    assert candidate_kinds({"beta": {"prior_strength": 0.0}}) == ("beta",)
    assert calibrator_name({"isotonic": {"end_weight": 1.0}}) == "isotonic"
    wrong: list[tuple[object, str]] = [
        ("spline", "expected one of platt, temperature, beta, isotonic, venn_abers, auto"),
        ("temprature", "did you mean 'temperature'"),
        ({"isotonic": {"end_weight": 0.0}}, "end_weight = 0.0, expected a number above 0"),
        ({"beta": {"prior_strength": -1.0}}, "prior_strength = -1.0"),
        ({"auto": {"candidates": ["platt", "spline"]}}, "spline"),
        ({"auto": {"candidates": ["beta", "beta"]}}, "twice"),
        ({"auto": {"candidates": []}}, "expected a list"),
        ({"auto": {"candidates": "beta"}}, "expected a list"),
        ({"auto": {"folds": 1}}, "at least 2 folds"),
        ({"auto": {"repeats": 0}}, "at least 2 folds and 1 repeat"),
    ]
    for part, message in wrong:
        with pytest.raises(ConfigError, match=message):
            calibrator_name(part)  # type: ignore[arg-type]  # as a configuration would give it


def test_platt_is_always_a_candidate() -> None:
    assert list(CalibratorChoice(candidates=["beta"]).candidates) == ["beta", "platt"]
