"""Subgroups with planted differences, and the tests against statsmodels and scipy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import chi2, chi2_contingency, fisher_exact
from sklearn.metrics import roc_auc_score
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.types import Stage
from usdlr.evaluation.delong import placements
from usdlr.evaluation.heterogeneity import auc_heterogeneity, calibration_interaction, miss_heterogeneity
from usdlr.evaluation.levels import UNKNOWN, Variable, levels
from usdlr.evaluation.subgroups import study_subgroups, subgroups

VARIABLES = (
    Variable("centre_id", "Centre"),
    Variable("tumour_size_mm", "Tumour size", (20.0, 50.0), "mm"),
    Variable("elastography", "Elastography"),
    Variable("density", "Breast density"),
)


def cohort(n: int = 900, seed: int = 0, *, spoilt: str = "") -> pd.DataFrame:
    """Three centres; the model is right everywhere, or useless at one of them."""
    random = np.random.default_rng(seed)
    risk = random.normal(-0.5, 1.5, n)
    rows = pd.DataFrame({"patient_id": [f"p{i:04d}" for i in range(n)], "side": "left"})
    rows["centre_id"] = random.choice(["a", "b", "c"], n)
    rows["y"] = (random.random(n) < expit(risk)).astype(float)
    seen = np.where(rows["centre_id"] == spoilt, random.permutation(risk), risk)
    rows["probability"] = expit(seen)
    rows["called"] = (rows["probability"] >= 0.2).astype(int)
    rows["tumour_size_mm"] = random.uniform(5, 60, n)
    rows["elastography"] = random.random(n) < 0.5
    return rows


def test_every_level_has_its_own_numbers() -> None:
    rows = cohort()
    found = subgroups(rows, variables=VARIABLES)
    table = {(row["variable"], row["level"]): row for row in found.table.to_dict("records")}
    for name in "abc":
        mine = rows[rows["centre_id"] == name]
        row = table["centre_id", name]
        assert row["auc"] == pytest.approx(roc_auc_score(mine["y"], mine["probability"]))
        positive = mine[mine["y"] == 1]
        assert row["fnr"] == pytest.approx((positive["called"] == 0).mean())
        assert row["sensitivity"] == pytest.approx(positive["called"].mean())
        assert row["specificity"] == pytest.approx((mine.loc[mine["y"] == 0, "called"] == 0).mean())
        fit = sm.Logit(mine["y"], sm.add_constant(logit(mine["probability"]))).fit(disp=0)
        assert row["calibration_slope"] == pytest.approx(fit.params.iloc[1], abs=1e-6)
        assert (row["n"], row["positives"]) == (len(mine), int(mine["y"].sum()))
    assert table["all", "all"]["n"] == 900
    sizes = found.table[found.table["variable"] == "tumour_size_mm"]
    assert sizes["level"].tolist() == ["<=20 mm", ">20 to 50 mm", ">50 mm"]
    assert sizes["n"].sum() == 900
    assert found.table.loc[found.table["variable"] == "elastography", "level"].tolist() == ["no", "yes"]
    assert found.absent == ("density",)


def test_a_centre_at_which_the_model_fails_is_found() -> None:
    fair, spoilt = (subgroups(cohort(spoilt=name), variables=VARIABLES) for name in ("", "c"))
    for name in ("auc", "calibration", "fnr"):
        p_value = spoilt.tests["centre_id"][name].p_value
        assert p_value is not None
        assert p_value < 0.01
        assert (spoilt.adjusted()["centre_id"][name] or 0) >= p_value
        assert (spoilt.tests["elastography"][name].p_value or 0) > 0.01
        assert (fair.tests["centre_id"][name].p_value or 0) > 0.01
    worst = spoilt.table[spoilt.table["variable"] == "centre_id"].set_index("level")
    assert worst["fnr"].idxmax() == "c"
    assert spoilt.tests["centre_id"]["fnr"].gap == pytest.approx(worst["fnr"].max() - worst["fnr"].min())


def test_tests_are_calibrated_under_no_difference() -> None:
    p_values = []
    for seed in range(100):
        rows = cohort(240, seed)
        at = logit(rows["probability"])
        part = rows[rows["y"] == 1]
        counts = part.assign(missed=part["called"] == 0).groupby("centre_id")["missed"].agg(["sum", "size"])
        p_values.append(
            (
                auc_heterogeneity(rows["y"], rows["probability"], rows["centre_id"]).p_value,
                calibration_interaction(rows["y"], at, rows["centre_id"]).p_value,
                miss_heterogeneity(counts["sum"], counts["size"], list("abc"), draws=199).p_value,
            )
        )
    for column in np.array(p_values, dtype=float).T:
        assert np.mean(column < 0.05) <= 0.11
        assert np.mean(column < 0.5) == pytest.approx(0.5, abs=0.17)


def test_q_is_that_of_a_meta_analysis() -> None:
    rows = cohort(spoilt="b")
    areas, variances = [], []
    for name in "abc":
        mine = rows[rows["centre_id"] == name]
        part = placements(mine["y"].to_numpy(), mine["probability"].to_numpy())
        areas.append(part.auc[0])
        variances.append(part.covariance[0, 0])
    expected = combine_effects(np.array(areas), np.array(variances))
    found = auc_heterogeneity(rows["y"], rows["probability"], rows["centre_id"])
    assert (found.statistic, found.degrees) == pytest.approx((expected.q, 2))
    assert found.p_value == pytest.approx(chi2.sf(expected.q, 2))


def test_calibration_interaction_is_that_of_statsmodels() -> None:
    rows = cohort(spoilt="b")
    at = logit(rows["probability"])
    dummies = pd.get_dummies(rows["centre_id"], drop_first=True).astype(float)
    own = pd.concat([dummies, dummies.mul(at, axis=0).add_suffix("_slope")], axis=1).assign(at=at, one=1.0)
    full = sm.Logit(rows["y"], own).fit(disp=0).llf
    common = sm.Logit(rows["y"], own[["at", "one"]]).fit(disp=0).llf
    found = calibration_interaction(rows["y"], at, rows["centre_id"])
    assert (found.statistic, found.degrees) == pytest.approx((2 * (full - common), 4), rel=1e-6)


def test_misses_are_compared_exactly() -> None:
    missed, positives = [1, 8], [60, 70]
    counts = np.array([missed, np.subtract(positives, missed)])
    found = miss_heterogeneity(missed, positives, ["a", "b"])
    assert found.statistic == pytest.approx(chi2_contingency(counts, correction=False).statistic)
    assert found.p_value == pytest.approx(fisher_exact(counts).pvalue, abs=0.01)
    assert found.p_value == miss_heterogeneity(missed, positives, ["a", "b"]).p_value


def test_separated_levels_have_a_limit() -> None:
    y, at = np.tile([0.0, 0.0, 1.0, 1.0], 2), np.concatenate([[-2, -1, 1, 2], [1, -1, -2, 2]])
    found = calibration_interaction(y, at, list("aaaabbbb"))
    common = sm.Logit(y, sm.add_constant(at)).fit(disp=0).llf
    own = sm.Logit(y[4:], sm.add_constant(at[4:])).fit(disp=0).llf
    # The separated level fits without error: its likelihood is 1.
    assert found.statistic == pytest.approx(2 * (own - common), abs=1e-3)


def test_small_levels_are_marked_and_left_out_of_the_tests() -> None:
    rows = cohort()
    few = rows.index[(rows["centre_id"] == "c") & (rows["y"] == 1)][9:]
    found = subgroups(rows.drop(index=few), variables=VARIABLES)
    centres = found.table[found.table["variable"] == "centre_id"].set_index("level")
    assert centres["small"].tolist() == [False, False, True]
    assert centres.loc["c", "positives"] == 9
    assert centres["auc"].notna().all()
    for test in found.tests["centre_id"].values():
        assert test.levels == ("a", "b")


@pytest.mark.parametrize(
    ("spared", "why"),
    [
        ("a", "only 1 level holds at least 10 positives and 10 negatives"),
        ("", "no level holds at least 10 positives and 10 negatives"),
    ],
)
def test_no_test_says_how_many_levels_are_large_enough(spared: str, why: str) -> None:
    rows = cohort()
    for name in {"a", "b", "c"} - {spared}:
        rows = rows.drop(index=rows.index[(rows["centre_id"] == name) & (rows["y"] == 1)][9:])
    found = subgroups(rows, variables=VARIABLES)
    assert set(found.tests["centre_id"]) == {"auc", "calibration", "fnr"}
    for test in found.tests["centre_id"].values():
        assert (test.method, test.p_value, test.gap) == (f"undefined: {why}", None, None)


def test_both_sides_of_a_patient_say_no_more_than_one() -> None:
    one = cohort(300)
    two = pd.concat([one, one.assign(side="right")])
    found = [subgroups(rows, variables=VARIABLES[:1]).table for rows in (one, two)]
    for name in ("fnr", "sensitivity", "specificity", "prevalence"):
        for end in ("", "_low", "_high"):
            assert found[1][name + end].tolist() == pytest.approx(found[0][name + end].tolist())
    assert (found[1]["n"] == 2 * found[0]["n"]).all()


def test_unknown_values_and_outcomes() -> None:
    rows = cohort()
    rows.loc[:99, "tumour_size_mm"] = np.nan
    rows.loc[850:, "y"] = np.nan
    found = subgroups(rows, variables=VARIABLES)
    sizes = found.table[found.table["variable"] == "tumour_size_mm"]
    assert sizes["level"].tolist()[-1] == UNKNOWN
    assert sizes["n"].tolist()[-1] == 100
    assert sizes["n"].sum() == 850
    assert UNKNOWN not in found.tests["tumour_size_mm"]["auc"].levels


def test_levels_are_in_their_natural_order() -> None:
    assert levels(pd.Series([50.0, 50.1, 20.0]), VARIABLES[1])[0].tolist() == [">20 to 50 mm", ">50 mm", "<=20 mm"]
    categories, order = levels(pd.Series(["4b", "5", "3", "4a", "10", "x"]), Variable("birads", "BI-RADS"))
    assert order == ["3", "4a", "4b", "5", "10", "x"]
    assert categories.tolist()[0] == "4b"
    nullable = pd.Series([True, None, False], dtype="boolean")
    assert levels(nullable, Variable("e", "E"))[0].tolist() == ["yes", UNKNOWN, "no"]
    assert levels(pd.Series([True, None], dtype=object), Variable("e", "E"))[1] == ["yes", UNKNOWN]
    assert levels(pd.Series([None, None], dtype="string"), Variable("e", "E"))[1] == [UNKNOWN]
    with pytest.raises(DataError, match="found words"):
        levels(pd.Series(["big"]), VARIABLES[1])
    with pytest.raises(ConfigError, match="that rise"):
        Variable("x", "X", (5.0, 5.0))


def test_plain_data_holds_every_estimate() -> None:
    rows = cohort(240)
    rows.loc[rows["centre_id"] == "c", "y"] = 0.0
    found = subgroups(rows, variables=VARIABLES)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    centre = {row["level"]: row for row in plain["variables"]["centre_id"]["levels"]}
    assert centre["c"]["auc"]["value"] is None
    assert centre["c"]["auc"]["method"].startswith("undefined")
    assert centre["a"]["fnr"]["events"] == centre["a"]["missed"]
    assert centre["a"]["fnr"]["n"] == centre["a"]["positives"]
    assert centre["a"]["specificity"]["n"] == centre["a"]["n"] - centre["a"]["positives"]
    for name in ("fnr", "sensitivity", "specificity", "prevalence"):
        assert centre["a"][name]["events"] / centre["a"][name]["n"] == pytest.approx(centre["a"][name]["value"])
    assert plain["variables"]["centre_id"]["tests"]["auc"]["levels"] == ["a", "b"]
    assert "exploratory" in plain["caveat"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="called"), "'called'"),
        (lambda rows: pd.concat([rows, rows]), "more than once"),
        (lambda rows: rows.assign(called=np.nan), "without an answer"),
        (lambda rows: rows.assign(probability=2.0), "expected a probability"),
        (lambda rows: rows.assign(y=3.0), "label y"),
    ],
)
def test_wrong_rows_are_refused(change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    with pytest.raises(InputError, match=words):
        subgroups(change(cohort(30)), variables=VARIABLES)


def test_tests_that_do_not_exist() -> None:
    assert auc_heterogeneity([0, 1, 1], [1, 2, 3], list("aab")).p_value is None
    assert calibration_interaction([0, 1, 1], [1, 2, 3], list("aab")).method.startswith("undefined")
    assert miss_heterogeneity([0, 0], [5, 0], ["a", "b"]).method.startswith("undefined: fewer than two")
    assert miss_heterogeneity([0, 0], [5, 5], ["a", "b"]).method == "undefined: no positive was missed"
    assert miss_heterogeneity([5, 5], [5, 5], ["a", "b"]).method == "undefined: every positive was missed"
    with pytest.raises(InputError, match="do not fit"):
        miss_heterogeneity([6], [5], ["a"])
    with pytest.raises(InputError, match="2 levels for 3 rows"):
        auc_heterogeneity([0, 1, 1], [1, 2, 3], ["a", "b"])
    empty = subgroups(cohort(30).assign(y=np.nan), variables=VARIABLES)
    assert empty.table["n"].tolist() == [0]
    assert empty.as_dict()["variables"]["all"]["levels"][0]["auc"]["value"] is None


def study(n: int = 900, *, spoilt: str = "") -> dict[str, Any]:
    """Both stages of a cohort; the model may fail at one centre at the SLN stage, never at the other stage."""
    rows, random = cohort(n, 3, spoilt=spoilt), np.random.default_rng(7)
    key = rows[["patient_id", "side"]]
    burden = random.normal(0, 1.5, n)
    nsln = np.where(rows["y"] == 1, (random.random(n) < expit(burden)).astype(float), 0.0)
    groups = np.where(rows["called"] == 0, "LR-SLN", np.where(burden < -1.5, "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN"))
    return {
        "predicted": {
            Stage.SLN: key.assign(probability=rows["probability"]),
            Stage.NSLN: key.assign(probability=expit(burden)),
        },
        "decisions": key.assign(risk_group=groups),
        "labels": key.assign(sln=rows["y"], nsln=nsln),
        "axillae": rows[["patient_id", "side", "centre_id", "tumour_size_mm", "elastography"]],
    }


def test_both_stages_are_corrected_together() -> None:
    found = json.loads(json.dumps(study_subgroups(**study(spoilt="c")), allow_nan=False))
    tests = [
        test
        for stage in ("sln", "nsln")
        for variable in found[stage]["variables"].values()
        for test in variable["tests"].values()
        if test["p_value"] is not None
    ]
    expected = multipletests([test["p_value"] for test in tests], method="holm")[1]
    assert [test["p_holm"] for test in tests] == pytest.approx(expected.tolist())
    assert found["sln"]["comparisons"] == found["nsln"]["comparisons"] == len(tests) == 18
    worst = {stage: found[stage]["variables"]["centre_id"]["tests"]["auc"]["p_holm"] for stage in ("sln", "nsln")}
    assert worst["sln"] < 0.001
    assert worst["nsln"] > 0.05
    assert found["sln"]["absent"] == ["device", "age_years", "birads", "density"]
    assert (
        found["nsln"]["variables"]["all"]["levels"][0]["n"]
        == found["sln"]["variables"]["all"]["levels"][0]["positives"]
    )


def test_what_does_not_divide_the_axillae() -> None:
    parts = study(240)
    axillae = parts["axillae"].assign(
        centre_id="one", device=None, birads=pd.array([None] * 240, dtype="string"), age_years=np.nan
    )
    found = study_subgroups(**parts | {"axillae": axillae})["sln"]["variables"]
    assert [level["level"] for level in found["centre_id"]["levels"]] == ["one"]
    for name in ("device", "birads", "age_years"):
        assert [level["level"] for level in found[name]["levels"]] == [UNKNOWN]
        assert all(test["p_value"] is None for test in found[name]["tests"].values())
    none = study_subgroups(**parts | {"axillae": pd.DataFrame()})["nsln"]
    assert list(none["variables"]) == ["all"]
    assert len(none["absent"]) == 7
    assert none["comparisons"] == 0


def test_twelve_centres_and_three_axillae() -> None:
    parts = study(900)
    named = parts["axillae"].assign(centre_id=[f"Centre {1 + place % 12}" for place in range(900)])
    levels = study_subgroups(**parts | {"axillae": named})["sln"]["variables"]["centre_id"]["levels"]
    assert [level["level"] for level in levels] == [f"Centre {number}" for number in range(1, 13)]
    assert sum(level["n"] for level in levels) == 900
    three = study_subgroups(**study(3))
    json.dumps(three, allow_nan=False)
    assert all(level["small"] for level in three["sln"]["variables"]["centre_id"]["levels"])


def test_a_written_not_known_is_not_known() -> None:
    named, order = levels(pd.Series(["not known", None, "b"]), Variable("x", "X"))
    assert named.tolist() == [UNKNOWN, UNKNOWN, "b"]
    assert order == ["b", UNKNOWN]


def test_centre_and_scanner_that_divide_alike_count_once() -> None:
    """Every centre has one scanner: what is tested twice is one test, and Holm's correction must not pay for it."""
    rows = cohort(spoilt="c")
    once = subgroups(rows, variables=VARIABLES)
    device = Variable("device", "Scanner")
    twice = subgroups(
        rows.assign(device=rows["centre_id"].map({"a": "Z", "b": "Y", "c": "X"})),
        variables=(VARIABLES[0], device, *VARIABLES[1:]),
    )
    assert twice.same == {"device": "centre_id"}
    assert {name: twice.adjusted()[name] for name in once.tests} == once.adjusted()
    assert twice.adjusted()["device"] == once.adjusted()["centre_id"]
    plain = [p for tests in once.tests.values() for test in tests.values() if (p := test.p_value) is not None]
    holm = multipletests(plain, method="holm")[1]
    assert sorted(p for part in once.adjusted().values() for p in part.values() if p is not None) == pytest.approx(
        sorted(holm)
    )
    assert set(twice.tests["device"]["auc"].levels) == {"X", "Y", "Z"}
    found = twice.as_dict()["variables"]
    assert found["device"]["same_as"] == "centre_id"
    assert "same_as" not in found["centre_id"]


def test_a_scanner_that_one_axilla_sets_apart_is_tested_by_itself() -> None:
    rows = cohort()
    device = rows["centre_id"].map({"a": "Z", "b": "Y", "c": "X"})
    device.iloc[0] = "X" if rows["centre_id"].iloc[0] != "c" else "Y"
    assert not subgroups(rows.assign(device=device), variables=(VARIABLES[0], Variable("device", "Scanner"))).same
    # Nobody knows either: no division at all.
    nothing = subgroups(rows.assign(centre_id="a", device="Z"), variables=(VARIABLES[0], Variable("device", "Scanner")))
    assert not nothing.same
