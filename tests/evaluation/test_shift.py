"""The shift alarm: rarely where nothing shifts, surely where something does; its parts against other sources."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import binom, chi2, kruskal, kstest

from usdlr.core.errors import DataError
from usdlr.evaluation.domain import ROWS, SAMPLE, copula_sample, domain_auc
from usdlr.evaluation.drift import share_p, smooth_p, words_p
from usdlr.evaluation.kernel_shift import KernelSummary, weighted_chi2
from usdlr.evaluation.label_shift import prevalence_difference, prevalence_from_predictions
from usdlr.evaluation.marginals import Marginals
from usdlr.evaluation.reference import RARE, PatientRows, Reference, told_levels
from usdlr.evaluation.shift import ANSWERS, CASE_MIX, IMAGES, LOOKS, MISSING, shift_report

NAMES = [f"{modality}.{roi}.original.glcm.F{number}" for modality in ("bmode", "elasto")
         for roi in ("intratumoral", "peritumoral") for number in range(15)]  # fmt: skip
MIX = np.random.default_rng(11).standard_normal((6, len(NAMES)))
LOOK = np.random.default_rng(12).standard_normal((6, 24))


def centre(size: int, random: np.random.Generator, **shift: float) -> PatientRows:
    """Axillae of a made-up centre, some patients with two; every fifth patient has no map."""
    sides = np.where(random.random(size) < 0.1, 2, 1)
    owner = np.repeat(np.arange(size), sides)
    hidden = random.standard_normal((size, 6))[owner] + 0.1 * random.standard_normal((len(owner), 6))
    values = np.exp(0.4 * hidden @ MIX + random.standard_normal((len(owner), len(NAMES))) + shift.get("images", 0.0))
    gone = (random.random(size) < 0.2 + shift.get("missing", 0.0))[owner]
    values[gone[:, None] & np.array([name.startswith("elasto") for name in NAMES])] = np.nan
    looks = hidden @ LOOK + 0.5 * random.standard_normal((len(owner), 24)) + shift.get("looks", 0.0)
    looks[gone, :8] = np.nan
    keys = pd.DataFrame({"patient_id": [f"p{number:05d}" for number in owner], "side": "left"})
    keys["side"] = np.where(keys.duplicated("patient_id"), "right", "left")
    case = pd.DataFrame({
        "age_years": np.round(random.normal(60 + shift.get("age", 0.0), 10, size))[owner],
        "tumour_size_mm": random.lognormal(3, 0.4, len(owner)),
        "birads": random.choice(["3", "4a", "4b", "5"], size, p=[0.02, 0.28, 0.3, 0.4])[owner],
        "cn_stage": random.choice(["cN0", "cN1"], size)[owner],
        "centre_id": "made",
        "device": "Scanner",
    })  # fmt: skip
    odds = pd.DataFrame(hidden[:, :2] + shift.get("answers", 0.0), columns=["sln", "nsln"])
    return PatientRows.of(keys, pd.DataFrame(values, columns=NAMES), case, looks, odds)


def reference(random: np.random.Generator, size: int = 190) -> Reference:
    made = centre(size, random)
    held = made.take(np.arange(len(made)) % 3 == 0)
    ends = {stage: {"n": 100, "positive": 30, "held_n": 40, "held_positive": 12} for stage in ("sln", "nsln")}
    return Reference.of(made, held, read=NAMES[::3], endpoints=ends)


@cache
def known() -> Reference:
    return reference(np.random.default_rng(5))


def test_an_identical_centre_raises_no_alarm_at_more_than_the_stated_rate() -> None:
    """One hundred centres like the reference's, each with another reference; the bound is met by chance 99 times."""
    alarms = 0
    for draw in range(100):
        random = np.random.default_rng([3, draw])
        found = shift_report(reference(random, 120), centre(40, random), rate=0.05)
        alarms += bool(found["alarm"])
    assert alarms <= binom.isf(0.01, 100, 0.05)


@pytest.mark.parametrize(
    ("shift", "kind"),
    [
        ({"images": 0.8}, IMAGES),
        ({"missing": 0.4}, MISSING),
        ({"looks": 1.5}, LOOKS),
        ({"answers": 1.5}, ANSWERS),
        ({"age": 12.0}, CASE_MIX),
    ],
)
def test_every_kind_of_shift_is_found_where_it_is(shift: dict[str, float], kind: str) -> None:
    found = shift_report(known(), centre(80, np.random.default_rng(1), **shift))
    assert found["alarm"]
    assert found["kinds"][kind]["alarm"]
    if kind in (CASE_MIX, ANSWERS):
        assert not found["kinds"][IMAGES]["alarm"]
    if kind == IMAGES:
        assert found["domain_auc"]["value"] > 0.9
        assert np.mean([one["difference"]["value"] > 0 for one in found["features"]]) > 0.95
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("size", [0, 1, 3, 12])
def test_few_patients_give_a_result_or_none(size: int) -> None:
    rows = centre(20, np.random.default_rng(2)).take(np.arange(20) < size)
    found = shift_report(known(), rows)
    assert found["patients"] == size
    assert (found["alarm"] is None) == (size < 3) or found["alarm"] is False
    json.dumps(found, allow_nan=False)


def test_columns_that_nobody_has_or_that_never_vary_are_no_test() -> None:
    rows = centre(60, np.random.default_rng(2))
    bare = PatientRows(
        rows.design.drop(columns=[name for name in NAMES if name.startswith("elasto")]).assign(**{NAMES[0]: 7.0}),
        rows.case.drop(columns=["birads", "age_years"]), np.full_like(rows.looks, np.nan), rows.log_odds * np.nan,
        rows.axillae,
    )  # fmt: skip
    found = shift_report(known(), bare)
    by_name = {one["column"]: one for one in found["features"]}
    assert by_name["elasto.intratumoral.original.glcm.F0"]["p"] is None
    assert by_name[NAMES[0]]["p"] < 1e-6
    assert found["kinds"][MISSING]["alarm"]
    assert found["kinds"][ANSWERS]["alarm"] is None


def test_both_axillae_of_a_patient_count_once() -> None:
    random = np.random.default_rng(8)
    keys = pd.DataFrame({"patient_id": [f"p{number}" for number in range(50)], "side": "left"})
    parts: list[Any] = [
        pd.DataFrame(random.standard_normal((50, len(NAMES))), columns=NAMES),
        pd.DataFrame({"age_years": random.normal(60, 9, 50), "birads": ["4a"] * 50}),
        random.standard_normal((50, 24)),
        pd.DataFrame(random.standard_normal((50, 2)), columns=["sln", "nsln"]),
    ]
    once = PatientRows.of(keys, *parts)
    doubled: list[Any] = [
        np.vstack([one, one]) if isinstance(one, np.ndarray) else pd.concat([one, one]) for one in parts
    ]
    twice = PatientRows.of(
        pd.concat([keys, keys.assign(side="right")], ignore_index=True),
        *doubled,
    )
    assert twice.axillae == 100
    first, second = (shift_report(known(), one) for one in (once, twice))
    assert first["p_value"] == pytest.approx(second["p_value"], rel=1e-9)
    assert first["features"] == second["features"]


def test_the_summary_holds_nobody_and_comes_back_from_its_files() -> None:
    first = known()
    assert min(first.features.counts[first.features.counts > 0]) >= 5
    assert all(count >= 5 for levels in first.words.values() for count in levels.values())
    assert first.words["birads"].get("3", 5) >= 5
    text = json.dumps(first.to_dict(), allow_nan=False)
    assert "p0000" not in text
    arrays = first.to_arrays()
    assert all(np.isfinite(one).all() for one in arrays.values())
    # No array has a row for each patient.
    assert first.counts["patients"] not in {length for one in arrays.values() for length in one.shape}
    second = Reference.from_files(json.loads(text), arrays)
    rows = centre(60, np.random.default_rng(2))
    a, b = (shift_report(one, rows) for one in (first, second))
    assert a["kinds"][MISSING] == b["kinds"][MISSING]
    assert a["p_value"] == pytest.approx(b["p_value"], rel=1e-4)
    for damage in ({"words": 3}, {"read": ["none"], "features": ["x"]}, {"kernels": ["other"]}):
        with pytest.raises(DataError):
            Reference.from_files(json.loads(text) | damage, arrays)


def test_rare_levels_are_not_told() -> None:
    assert told_levels(pd.Series(["a"] * 9 + ["b"] * 3), "kind") == {"a": 9}
    assert told_levels(pd.Series(["a"] * 9 + ["b"] * 3 + [None] * 4), "kind") == {"a": 9, RARE: 7}


def test_levels_that_are_not_told_are_no_shift() -> None:
    """Three of 190 patients with a rare level, untold, and two of 40 here: Fisher's test would say 0.2, none 0.03."""
    rows = centre(40, np.random.default_rng(2))
    case = rows.case.assign(birads=["4a"] * 38 + ["3"] * 2)
    here = PatientRows(rows.design, case, rows.looks, rows.log_odds, 40)
    made = centre(190, np.random.default_rng(2))
    made = PatientRows(made.design, made.case.assign(birads=["4a"] * 187 + ["3"] * 3), made.looks, made.log_odds, 190)
    summary = Reference.of(made, made, read=NAMES[::3], endpoints={})
    assert summary.words["birads"] == {"4a": 187}
    words = {one["column"]: one for one in shift_report(summary, here)["case_mix"]["words"]}
    assert words["birads"]["p"] > 0.2


def test_the_smooth_test_sees_location_as_the_rank_test_does() -> None:
    """Its first part is the Kruskal-Wallis statistic of the binned values (scipy), up to the tie correction."""
    random = np.random.default_rng(0)
    first, second = random.integers(0, 2, 60), random.integers(0, 2, 40)
    counts = [np.bincount(one, minlength=2)[None, :] for one in (first, second)]
    statistic = kruskal(first, second).statistic
    assert smooth_p(*counts)[0] == pytest.approx(float(chi2.sf(statistic, 1)), rel=1e-9)
    assert np.isnan(smooth_p(np.array([[9, 0]]), np.array([[20, 20]]))[0])
    assert np.isnan(smooth_p(np.array([[50, 0]]), np.array([[20, 0]]))[0])


def test_drift_is_uniform_under_the_hypothesis_although_the_steps_are_the_references_own() -> None:
    random = np.random.default_rng(4)
    p: list[float] = []
    for _ in range(40):
        law = Marginals.of(random.lognormal(size=(150, 20)), [str(place) for place in range(20)])
        p += smooth_p(law.counts, law.place(random.lognormal(size=(40, 20)))).tolist()
    assert kstest(p, "uniform").pvalue > 0.001
    assert np.mean(np.array(p) < 0.01) < 0.025


def test_shares_and_levels() -> None:
    assert share_p((8, 2), (1, 9)) == pytest.approx(0.005477, abs=1e-6)  # Fisher's exact test, two-sided
    assert np.isnan(share_p((0, 0), (3, 4)))
    assert np.isnan(words_p({"a": 40}, {"a": 30}))
    assert np.isnan(words_p({"a": 4}, {"a": 3, "b": 1}))
    assert words_p({"a": 40, "b": 40, "c": 40}, {"a": 10, "b": 10, "c": 60}) < 1e-4


def test_the_discrepancy_estimates_a_gaussian_kernels() -> None:
    """Against the exact kernel mean discrepancy of two samples, as Gretton et al. define it (biased form)."""
    random = np.random.default_rng(0)
    here, there = random.standard_normal((80, 4)) + 0.7, random.standard_normal((120, 4))
    summary = KernelSummary.of(there, features=1500, seed=1)
    spread = 1 / float(np.sqrt((summary.frequencies**2).mean()))

    def kernel(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
        apart = ((a[:, None] - b[None]) ** 2).sum(axis=2)
        return float(np.exp(-apart / (2 * spread**2)).mean())

    exact = kernel(here, here) + kernel(there, there) - 2 * kernel(here, there)
    squared, p = summary.test(here)
    assert squared == pytest.approx(exact, rel=0.15)
    assert p < 1e-6
    assert all(np.isnan(summary.test(here[:3])))


def test_the_null_of_the_discrepancy() -> None:
    assert weighted_chi2(3.841459, np.ones(1)) == pytest.approx(0.05, abs=1e-6)
    random = np.random.default_rng(0)
    weights = np.array([3.0, 1.0, 0.5, 0.1])
    drawn = (random.standard_normal((200000, 4)) ** 2) @ weights
    for level in (0.5, 0.1, 0.01):
        assert weighted_chi2(float(np.quantile(drawn, 1 - level)), weights) == pytest.approx(level, rel=0.12)
    p = [KernelSummary.of(random.standard_normal((100, 6)), seed=draw).test(random.standard_normal((30, 6)))[1]
         for draw in range(200)]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) <= binom.isf(0.005, 200, 0.05) / 200


def test_the_domain_classifier_says_with_whom_it_compared() -> None:
    random = np.random.default_rng(6)
    same, other = centre(80, random), centre(80, random, images=0.8)
    made = centre(200, random)
    against_rows = [domain_auc(known(), one.design, own=made.design) for one in (same, other)]
    assert against_rows[0].value is not None
    assert against_rows[1].value is not None
    assert abs(against_rows[0].value - 0.5) < 0.12
    assert against_rows[1].value > 0.9
    assert ROWS in against_rows[0].method
    assert SAMPLE in domain_auc(known(), same.design).method
    assert domain_auc(known(), same.design.head(5)).value is None
    drawn = copula_sample(known(), 4000, 0)
    absent = np.isnan(drawn[:, [place for place, name in enumerate(known().read) if name.startswith("elasto")]])
    assert absent.mean() == pytest.approx(known().groups["elasto.intratumoral"][1] / 190, abs=0.03)
    assert (absent.all(axis=1) == absent.any(axis=1)).all()
    own = np.corrcoef(np.nan_to_num(drawn), rowvar=False)
    kept = [place for place, name in enumerate(known().read) if name.startswith("bmode")]
    assert np.abs(own - known().correlation)[np.ix_(kept, kept)].max() < 0.15


def test_prevalence_from_predictions_of_a_shifted_centre() -> None:
    """Two normal classes with known log-odds: the estimate finds the true share, whatever the model was used to."""
    random = np.random.default_rng(0)
    y = random.random(3000) < 0.6
    x = random.standard_normal(3000) + np.where(y, 1.5, 0.0)
    odds = 1.5 * x - 1.125 + np.log(0.2 / 0.8)  # exact where 20 % are positive
    found = prevalence_from_predictions(1 / (1 + np.exp(-odds)), 0.2, patient=np.arange(3000))
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.6 < found.high
    assert abs(found.value - 0.6) < 0.04
    assert prevalence_from_predictions([0.2] * 5, 0.2, patient=list("abcde")).value is None
    assert prevalence_from_predictions([0.2] * 50, 0.0, patient=np.arange(50)).value is None


def test_newcombes_example() -> None:
    """Newcombe 1998, example (a), method 10: 56/70 against 48/80."""
    found = prevalence_difference(48, 80, 56, 70)
    assert found.low == pytest.approx(0.0524, abs=5e-5)
    assert found.high == pytest.approx(0.3339, abs=5e-5)
    assert prevalence_difference(0, 0, 1, 2).value is None
