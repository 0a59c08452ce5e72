"""The reader study against published results of the Van Dyke data, and against pseudovalues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.evaluation.metrics import delong_difference
from usdlr.evaluation.obuchowski_rockette import Generality, jackknife_covariance
from usdlr.evaluation.readers import Covariance, reader_study

Array = NDArray[np.float64]

# Van Dyke et al., cine MRI in aortic dissection (1993): five radiologists, 69 patients without and 45 with a dissection
# of the aorta, two ways of magnetic resonance imaging, ratings 1 to 5; distributed with the R packages RJafroc and
# MRMCaov. One pair of digits per patient: the ratings of the first and of the second way. One line per reader. First
# the patients without a dissection, then those with one.
HEALTHY = """
13 23 23 12 52 12 12 12 13 12 11 13 41 12 12 12 12 12 12 11 11 11 31 11 34 12 11 23 11 42 12 11 14 13 12 33 11 22 13 21 12 12 22 33 33 11 31 11 13 33 33 11 11 13 14 11 12 24 22 11 12 14 11 34 34 22 11 11 11
23 32 22 22 22 22 22 22 23 32 22 22 52 22 22 21 32 22 22 22 21 22 22 22 43 22 22 22 22 32 22 21 22 22 21 22 22 22 22 22 23 21 22 22 23 22 22 22 22 22 22 22 22 22 23 22 22 43 32 22 22 32 22 22 22 22 21 22 22
22 24 22 22 32 52 13 12 22 22 41 21 41 23 22 22 32 22 21 22 11 21 32 21 44 11 11 35 21 22 11 11 22 21 22 42 12 21 12 42 12 21 11 13 22 21 21 21 22 23 33 21 11 13 22 12 11 22 23 12 13 54 11 42 24 12 21 12 21
12 12 11 11 11 11 33 11 12 11 11 11 11 12 12 11 11 11 12 11 21 11 11 11 23 12 11 12 11 22 11 11 11 11 12 12 11 11 12 11 11 11 11 11 12 11 12 11 32 31 12 12 11 11 11 11 11 12 11 12 11 11 11 33 12 13 12 11 11
32 52 13 21 12 12 12 12 21 22 22 12 21 11 11 12 22 22 11 12 32 22 21 12 13 12 12 23 12 11 22 11 12 22 32 12 21 21 12 11 12 31 31 33 22 11 12 12 23 13 12 11 12 12 12 12 11 32 42 12 22 33 11 22 13 23 11 11 31
"""  # noqa: E501 - one reader per line
DISSECTED = """
55 53 55 55 45 55 55 55 44 55 55 55 45 34 44 23 43 55 55 55 55 55 55 55 13 55 45 43 55 45 55 55 34 54 55 55 15 13 55 55 55 45 45 55 11
55 33 55 55 55 55 55 45 22 55 55 55 43 44 24 22 24 55 54 55 55 55 54 55 22 45 32 33 55 45 55 53 22 44 22 55 25 22 55 55 55 55 35 55 22
55 42 55 55 55 55 55 55 55 55 55 55 53 45 24 31 54 55 55 55 55 55 55 55 22 55 23 23 55 55 55 54 23 55 55 55 25 23 54 55 55 55 55 55 21
55 54 55 55 55 55 55 55 54 55 55 55 54 55 55 15 55 55 55 55 55 55 55 55 54 55 45 54 44 45 55 55 35 55 55 55 15 23 55 55 55 55 55 55 55
55 22 55 24 55 55 55 55 15 54 45 55 43 54 23 23 33 55 55 55 55 55 55 45 12 45 41 33 23 22 15 53 12 55 14 55 15 13 53 55 55 35 55 55 23
"""  # noqa: E501 - one reader per line


def van_dyke() -> tuple[pd.DataFrame, pd.DataFrame]:
    lines = [
        f"{first} {second}".split() for first, second in zip(HEALTHY.split("\n"), DISSECTED.split("\n"), strict=True)
    ]
    rows = [
        (f"r{reader}", f"p{case:03d}", "left", modality, float(pair[place]))
        for reader, line in enumerate(lines[1:-1], start=1)
        for case, pair in enumerate(line)
        for place, modality in enumerate(("first", "second"))
    ]
    truth = pd.DataFrame({"patient_id": [f"p{case:03d}" for case in range(114)], "side": "left"})
    truth["sln"] = np.repeat([0.0, 1.0], [69, 45])
    return pd.DataFrame(rows, columns=["reader", "patient_id", "side", "modality", "score"]), truth


def test_random_readers_and_cases_are_those_of_mrmcaov() -> None:
    # MRMCaov (Smith and Hillis), example of the manuscript docs/jss/MRMCaov.tex, DeLong covariances.
    study = reader_study(*van_dyke())
    published = {
        "variance": 0.0007921325,
        "cov1": 0.0003420090,
        "cov2": 0.0003395265,
        "cov3": 0.0002358497,
        "ms_modality": 0.004796171,
        "ms_interaction": 0.0005510306,
    }
    for name, value in published.items():
        assert study.components[name] == pytest.approx(value, rel=1e-6)
    test = study.tests[Generality.READERS_AND_CASES]
    assert (test.statistic, test.df1, test.df2) == pytest.approx((4.484854, 1, 15.06611), rel=1e-6)
    assert test.p_value == pytest.approx(0.05123303, rel=1e-6)
    gap = test.differences["second"]
    assert gap.value == pytest.approx(0.04380032, rel=1e-6)
    assert (gap.low, gap.high) == pytest.approx((-0.0002665519, 0.0878671960), rel=1e-5)
    first, second = study.modalities["first"], study.modalities["second"]
    assert (first.value, first.low, first.high) == pytest.approx((0.8970370, 0.8253461, 0.9687280), rel=1e-6)
    assert (second.value, second.low, second.high) == pytest.approx((0.9408374, 0.8942155, 0.9874592), rel=1e-6)
    assert (study.n, study.positives, study.unknown, study.covariance) == (114, 45, 0, Covariance.DELONG)
    aucs = [0.9196457, 0.8587762, 0.9038647, 0.9731079, 0.8297907]
    assert study.auc["first"].tolist() == pytest.approx(aucs, rel=1e-6)


def test_fixed_readers_and_fixed_cases_are_those_of_mrmcaov() -> None:
    study = reader_study(*van_dyke(), covariance=Covariance.JACKKNIFE)
    published = {"variance": 0.0008022883, "cov1": 0.0003466137, "cov2": 0.0003440748, "cov3": 0.0002390284}
    for name, value in published.items():
        assert study.components[name] == pytest.approx(value, rel=1e-6)
    readers = study.tests[Generality.CASES]
    assert (readers.statistic, readers.df1) == pytest.approx((5.475953, 1), rel=1e-6)
    assert readers.df2 is None
    assert readers.p_value == pytest.approx(0.01927984, rel=1e-6)
    gap = readers.differences["second"]
    assert (gap.low, gap.high) == pytest.approx((0.00711473, 0.08048591), rel=1e-5)
    fifth = study.per_reader["r5"]["second"]
    assert (fifth.value, fifth.low, fifth.high) == pytest.approx((0.10016103, 0.013809995, 0.186512066), rel=1e-6)
    cases = study.tests[Generality.READERS]
    assert (cases.statistic, cases.df2, cases.p_value) == pytest.approx((8.704, 4, 0.04195875), rel=1e-4)
    assert cases.differences["second"].low == pytest.approx(0.00258042, rel=1e-5)


def simulated(seed: int, *, cases: int = 40, readers: int = 4, gain: float = 0.0, sides: int = 1) -> Any:
    random = np.random.default_rng(seed)
    y = (np.arange(cases) % 5 < 2).astype(float)
    shared = random.normal(0, 1, cases)
    rows = []
    for reader in range(readers):
        skill, hers = random.normal(0, 0.3), random.normal(0, 0.6, cases)
        for modality in ("aided", "plain"):
            lift = 1.2 + skill + random.normal(0, 0.15) + (gain if modality == "aided" else 0)
            score = lift * y + shared + hers + random.normal(0, 0.8, cases)
            rows += [
                (f"r{reader}", f"p{case // sides}", f"s{case % sides}", modality, value)
                for case, value in enumerate(score)
            ]
    truth = pd.DataFrame(
        {"patient_id": [f"p{c // sides}" for c in range(cases)], "side": [f"s{c % sides}" for c in range(cases)]}
    ).assign(sln=y)
    return pd.DataFrame(rows, columns=["reader", "patient_id", "side", "modality", "score"]), truth


def dorfman_berbaum_metz(scores: pd.DataFrame, truth: pd.DataFrame) -> tuple[float, float]:
    """F and p-value of an analysis of variance of jackknife pseudovalues, cases left out one by one."""
    modalities, readers = sorted(scores["modality"].unique()), sorted(scores["reader"].unique())
    case = [tuple(row) for row in truth[["patient_id", "side"]].itertuples(index=False)]
    value = scores.set_index(["modality", "reader", "patient_id", "side"])["score"].to_dict()
    y, c = truth["sln"].to_numpy(), len(case)
    pseudo = np.empty((len(modalities), len(readers), c))
    for i, modality in enumerate(modalities):
        for j, reader in enumerate(readers):
            x = np.array([value[modality, reader, *key] for key in case])
            whole = roc_auc_score(y, x)
            for k in range(c):
                kept = np.arange(c) != k
                pseudo[i, j, k] = c * whole - (c - 1) * roc_auc_score(y[kept], x[kept])
    t, r = len(modalities), len(readers)
    grand = pseudo.mean()
    m_i, m_j, m_k = pseudo.mean((1, 2)), pseudo.mean((0, 2)), pseudo.mean((0, 1))
    m_ij, m_ik, m_jk = pseudo.mean(2), pseudo.mean(1), pseudo.mean(0)
    ms_t = r * c * ((m_i - grand) ** 2).sum() / (t - 1)
    ms_tr = c * ((m_ij - m_i[:, None] - m_j[None] + grand) ** 2).sum() / ((t - 1) * (r - 1))
    ms_tc = r * ((m_ik - m_i[:, None] - m_k[None] + grand) ** 2).sum() / ((t - 1) * (c - 1))
    rest = pseudo - m_ij[:, :, None] - m_ik[:, None, :] - m_jk[None]
    rest += m_i[:, None, None] + m_j[None, :, None] + m_k[None, None] - grand
    ms_trc = (rest**2).sum() / ((t - 1) * (r - 1) * (c - 1))
    error = ms_tr + max(ms_tc - ms_trc, 0)
    df2 = error**2 / (ms_tr**2 / ((t - 1) * (r - 1)))
    return float(ms_t / error), float(f_distribution.sf(ms_t / error, t - 1, df2))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_jackknife_equals_dorfman_berbaum_metz(seed: int) -> None:
    scores, truth = simulated(seed, gain=0.4)
    found = reader_study(scores, truth, covariance=Covariance.JACKKNIFE).tests[Generality.READERS_AND_CASES]
    assert (found.statistic, found.p_value) == pytest.approx(dorfman_berbaum_metz(scores, truth), rel=1e-9)


def test_jackknife_over_patients_is_leaving_them_out() -> None:
    random = np.random.default_rng(5)
    y, patient = (np.arange(30) % 3 == 0).astype(float), np.arange(30) // 2
    scores = np.round(random.normal(0, 1, (3, 30)) + y, 1)
    without = np.array([[roc_auc_score(y[patient != p], row[patient != p]) for p in range(15)] for row in scores])
    expected = 14 / 15 * 15 * np.cov(without, bias=True)
    assert jackknife_covariance(y, scores, patient) == pytest.approx(expected, abs=1e-14)


def test_one_reader_is_delongs_paired_difference() -> None:
    scores, truth = van_dyke()
    one = scores[scores["reader"] == "r5"]
    study = reader_study(one, truth)
    wide = one.pivot_table(index="patient_id", columns="modality", values="score").sort_index()
    expected = delong_difference(truth["sln"], wide["second"], wide["first"])
    found = study.tests[Generality.CASES].differences["second"]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert study.tests[Generality.READERS_AND_CASES].method.startswith("undefined: one reader")
    assert study.tests[Generality.READERS_AND_CASES].differences["second"].value is None
    assert study.modalities["first"].low is not None
    assert "ms_reader" not in study.as_dict()["components"]


def test_patients_with_two_axillae_are_left_out_together() -> None:
    scores, truth = simulated(3, sides=2)
    study = reader_study(scores, truth)
    assert study.covariance is Covariance.JACKKNIFE
    with pytest.raises(ConfigError, match="expected the jackknife"):
        reader_study(scores, truth, covariance=Covariance.DELONG)
    # Each side given as another patient's, identical: the interval must know that it is one patient.
    scores, truth = simulated(4)
    twice = pd.concat([scores, scores.assign(side="s1")])
    both = pd.concat([truth, truth.assign(side="s1")])
    once = reader_study(scores, truth, covariance=Covariance.JACKKNIFE).components
    doubled = reader_study(twice, both).components
    assert doubled["variance"] == pytest.approx(once["variance"])
    assert doubled["cov2"] == pytest.approx(once["cov2"])


def test_false_alarms_are_as_rare_as_stated() -> None:
    p_values = [
        reader_study(*simulated(seed, cases=60, readers=5)).tests[Generality.READERS_AND_CASES].p_value
        for seed in range(100)
    ]
    assert np.mean(np.array(p_values, dtype=float) < 0.05) <= 0.12
    gains = [
        reader_study(*simulated(seed, cases=60, readers=5, gain=1.5), reference="plain")
        .tests[Generality.READERS_AND_CASES]
        .p_value
        for seed in range(10)
    ]
    assert np.mean(np.array(gains, dtype=float) < 0.05) > 0.8


def test_reference_and_order_of_rows_do_not_matter() -> None:
    scores, truth = van_dyke()
    swapped = reader_study(scores.sample(frac=1, random_state=1), truth.iloc[::-1], reference="second")
    straight = reader_study(scores, truth)
    test, other = (study.tests[Generality.READERS_AND_CASES] for study in (swapped, straight))
    assert test.p_value == pytest.approx(other.p_value)
    assert test.differences["first"].value == pytest.approx(-(other.differences["second"].value or 0))
    assert list(swapped.auc.columns) == ["second", "first"]


def test_three_modalities_have_a_common_test() -> None:
    scores, truth = van_dyke()
    third = scores[scores["modality"] == "second"].assign(modality="third")
    study = reader_study(pd.concat([scores, third]), truth)
    test = study.tests[Generality.READERS_AND_CASES]
    assert test.df1 == 2
    assert test.differences["third"].value == pytest.approx(test.differences["second"].value)


def test_unknown_axillae_are_left_out_and_counted() -> None:
    scores, truth = van_dyke()
    truth.loc[[0, 113], "sln"] = np.nan
    study = reader_study(scores, truth)
    assert (study.n, study.positives, study.unknown) == (112, 44, 2)


def test_readings_without_spread_are_defined() -> None:
    scores, truth = van_dyke()
    same = scores.assign(score=[float(name > "p068") for name in scores["patient_id"]])
    study = reader_study(same, truth)
    assert study.tests[Generality.READERS_AND_CASES].method == "undefined: the error variance is zero"
    assert study.tests[Generality.CASES].differences["second"].low is None
    assert study.modalities["first"].value == 1.0
    constant = reader_study(scores.assign(score=2.0), truth)
    assert constant.auc.to_numpy().tolist() == [[0.5, 0.5]] * 5


def drop(column: str) -> Callable[[pd.DataFrame, pd.DataFrame], Any]:
    return lambda scores, truth: (scores.drop(columns=column), truth)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("score"), "column 'score'"),
        (lambda scores, truth: (scores, truth.drop(columns="sln")), "column 'sln'"),
        (lambda scores, truth: (scores.iloc[1:], truth), "1 of 1140 readings missing"),
        (lambda scores, truth: (pd.concat([scores, scores]), truth), "readings twice"),
        (lambda scores, truth: (scores, pd.concat([truth, truth])), "more than once in the labels"),
        (lambda scores, truth: (scores, truth.iloc[2:]), "found 2 axillae that were read"),
        (lambda scores, truth: (scores[scores["modality"] == "first"], truth), "1 modalities"),
        (lambda scores, truth: (scores.assign(score="x"), truth), "1140 of 1140"),
        (lambda scores, truth: (scores, truth.assign(sln=0.0)), "found 0 positive"),
        (lambda scores, truth: (scores, truth.assign(sln=2.0)), "label sln"),
    ],
)
def test_impossible_studies_are_refused(
    change: Callable[[pd.DataFrame, pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        reader_study(*change(*van_dyke()))


def test_unknown_reference_is_refused() -> None:
    scores, truth = van_dyke()
    with pytest.raises(ConfigError, match="expected one of first, second"):
        reader_study(scores, truth, reference="none")
    one = truth.assign(patient_id="a", side=truth["patient_id"])
    both = scores.assign(side=scores["patient_id"], patient_id="a")
    with pytest.raises(DataError, match="holds all positives"):
        reader_study(both, one)
