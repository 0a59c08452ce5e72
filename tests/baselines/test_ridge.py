"""The ridge score: scikit-learn's regression, patients who weigh the same, scores that did not see their patient."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from usdlr.baselines.ridge import STRENGTHS, EarlierQuestion, RidgeScore
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows

Values = npt.NDArray[np.floating[Any]]


def people(count: int, split: str = "train") -> Rows:
    return Rows.of([f"person-{row:03d}" for row in range(count)], [split] * count)


def planted(count: int = 120, columns: int = 8, seed: int = 0) -> tuple[pd.DataFrame, Values]:
    """Two columns that tell, the others noise, on scales of their own."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2.0
    values = rng.uniform(-1.5, 1.5, size=(count, columns))
    values[:, :2] += 0.9 * label[:, None]
    scale = 10.0 ** np.arange(-3, columns - 3)
    return pd.DataFrame(values * scale + 5 * scale, columns=[f"bmode.f{place}" for place in range(columns)]), label


def fitted(design: pd.DataFrame, label: Values, rows: Rows | None = None, seed: int = 0) -> RidgeScore:
    return RidgeScore(seed).fit(design, label, rows=rows or people(len(design)))


def test_is_scikit_learns_regression_of_the_same_strength() -> None:
    design, label = planted()
    score = fitted(design, label)
    assert score.strength_ in STRENGTHS
    scaled = StandardScaler().fit(design.to_numpy())
    reference = LogisticRegression(C=score.strength_, max_iter=5000, tol=1e-8).fit(
        scaled.transform(design.to_numpy()), label.astype(int)
    )
    other, _ = planted(seed=1)
    for rows in (design, other):
        expected = reference.decision_function(scaled.transform(rows.to_numpy()))
        np.testing.assert_allclose(score.decision_function(rows), expected, atol=1e-3)
        expected = reference.predict_proba(scaled.transform(rows.to_numpy()))
        np.testing.assert_allclose(score.predict_proba(rows), expected, atol=3e-4)


def test_the_columns_order_and_unknown_ones_do_not_matter_when_it_is_applied() -> None:
    design, label = planted()
    score = fitted(design, label)
    shuffled = design[design.columns[::-1]].assign(another=1.0)
    np.testing.assert_array_equal(score.decision_function(shuffled), score.decision_function(design))


def test_the_strength_follows_what_is_there_to_learn() -> None:
    """Two columns that tell support a weaker penalty than pure noise."""
    design, label = planted(240, columns=2)
    rng = np.random.default_rng(3)
    noise = pd.DataFrame(rng.standard_normal((240, 200)), columns=[f"c{place}" for place in range(200)])
    assert fitted(design, label).strength_ > fitted(noise, label).strength_


def test_noise_looks_good_to_the_model_that_saw_it_and_worthless_to_those_that_did_not() -> None:
    """The reason for cross-fitting: what learns on top of in-sample scores learns to trust noise."""
    inside, outside = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = pd.DataFrame(rng.standard_normal((120, 300)), columns=[f"c{place}" for place in range(300)])
        label = np.arange(120) % 2.0
        score = fitted(noise, label, seed=seed)
        inside.append(roc_auc_score(label, score.decision_function(noise)))
        outside.append(roc_auc_score(label, score.cross_fitted_))
    assert min(inside) > 0.8
    assert abs(np.mean(outside) - 0.5) < 0.06
    assert max(outside) < 0.68


def test_cross_fitted_scores_find_what_is_there() -> None:
    design, label = planted(200)
    score = fitted(design, label)
    assert roc_auc_score(label, score.cross_fitted_) > 0.75


@pytest.mark.parametrize("images", [1, 3])
def test_a_patients_own_label_does_not_reach_its_cross_fitted_score(images: int) -> None:
    """Every patient has one column that nobody else has, and nothing else.

    A model that saw the patient reads the label off that column; to one that did not, all patients it did not see
    look the same. So the cross-fitted scores are one number per fold, the same for both classes.
    """
    owner = np.repeat(np.arange(40), images)
    label = (np.arange(40) % 2.0)[owner]
    design = pd.DataFrame(np.eye(40)[owner], columns=[f"mark{place}" for place in range(40)])
    rows = Rows.of([f"p{name:02d}" for name in owner], ["train"] * len(owner))
    score = fitted(design, label, rows)
    assert roc_auc_score(label, score.decision_function(design)) == 1.0
    found = np.round(score.cross_fitted_, 9)
    # By chance, two folds may share a number.
    assert 1 <= len(set(found)) <= 5
    assert all(set(label[found == number]) == {0.0, 1.0} for number in set(found))
    if images > 1:  # were an image held out without the patient's others, the column would give it away
        alone = fitted(design, label, people(len(owner)))
        assert roc_auc_score(label, alone.cross_fitted_) > 0.9


def test_every_patient_weighs_the_same_however_many_images_there_are() -> None:
    design, label = planted(80)
    design.iloc[::7, 3] = np.nan
    once = fitted(design, label)
    repeated = np.concatenate([np.arange(80), np.tile(np.arange(3), 40)])  # three patients with 41 images
    rows = Rows.of([f"person-{row:03d}" for row in repeated], ["train"] * len(repeated))
    often = fitted(design.iloc[repeated], label[repeated], rows)
    for name in ("fill_", "center_", "scale_"):
        np.testing.assert_allclose(getattr(often, name), getattr(once, name), rtol=1e-9)
    assert often.strength_ == once.strength_
    np.testing.assert_allclose(often.coef_, once.coef_, atol=1e-4)
    everybody = np.tile(np.arange(80), 3)
    rows = Rows.of([f"person-{row:03d}" for row in everybody], ["train"] * 240)
    thrice = fitted(design.iloc[everybody], label[everybody], rows)
    assert thrice.strength_ == once.strength_
    np.testing.assert_allclose(thrice.decision_function(design), once.decision_function(design), atol=1e-3)
    # Without patients in common, as many more rows do count.
    crowd = fitted(design.iloc[repeated], label[repeated], people(len(repeated)))
    assert np.abs(crowd.decision_function(design) - once.decision_function(design)).max() > 0.05


def test_missing_values_take_the_training_median_and_extremes_count_no_further() -> None:
    design, label = planted(100, columns=3)
    score = fitted(design, label)
    middle = pd.DataFrame([design.median()])
    missing = middle.copy()
    missing.iloc[0, 1] = np.nan
    infinite = middle.copy()
    infinite.iloc[0, 1] = np.inf
    expected = score.decision_function(middle)
    np.testing.assert_allclose(score.decision_function(missing), expected)
    np.testing.assert_allclose(score.decision_function(infinite), expected)
    step = design.std(ddof=0).to_numpy()[1]
    far = middle.copy()
    far.iloc[0, 1] = design.mean().to_numpy()[1] + 5 * step
    further = middle.copy()
    further.iloc[0, 1] = design.mean().to_numpy()[1] + 500 * step
    np.testing.assert_allclose(score.decision_function(further), score.decision_function(far))


def test_the_terms_of_groups_add_up_to_the_score() -> None:
    design, label = planted()
    groups = {"one": list(design.columns[:3]), "none": ["another"], "rest": list(design.columns[3:])}
    score = RidgeScore().fit(design, label, rows=people(120), groups=groups)
    plain = fitted(design, label)
    np.testing.assert_array_equal(score.coef_, plain.coef_)
    np.testing.assert_allclose(score.cross_fitted_terms_.sum(axis=1), plain.cross_fitted_, atol=1e-12)  # half positive
    terms = score.terms(design, groups)
    np.testing.assert_allclose(terms.sum(axis=1) + score.intercept_, score.decision_function(design), atol=1e-12)
    assert not terms[:, 1].any()
    by_hand = (design.iloc[:, :3] - design.iloc[:, :3].mean()) / design.iloc[:, :3].std(ddof=0)
    np.testing.assert_allclose(terms[:, 0], by_hand.to_numpy() @ score.coef_[:3], atol=1e-9)


def test_a_clinical_variable_is_not_read_from_the_textures_that_follow_it() -> None:
    """Size tells; forty textures follow it with some noise. Held back alike, they would share its weight."""
    rng = np.random.default_rng(7)
    size = rng.standard_normal(400)
    label = (size + rng.standard_normal(400) > 0).astype(float)
    textures = {f"bmode.t{place}": size + 0.5 * rng.standard_normal(400) for place in range(40)}
    groups = {"clinical": ["clinical.tumour_size_mm"], "textures": list(textures)}
    design = pd.DataFrame({**textures, "clinical.tumour_size_mm": size})
    score = RidgeScore().fit(design, label, rows=people(400), groups=groups)
    own, follow = score.terms(design, groups).std(axis=0)
    assert own > 2 * follow
    alike = design.rename(columns={"clinical.tumour_size_mm": "bmode.size"})
    groups = {"size": ["bmode.size"], "textures": list(textures)}
    own, follow = RidgeScore().fit(alike, label, rows=people(400)).terms(alike, groups).std(axis=0)
    assert own < follow
    # As written: scikit-learn's ridge of standardised columns, the clinical one ten times as large.
    scaled = StandardScaler().fit_transform(design.to_numpy()).clip(-5, 5) * np.array([1.0] * 40 + [10.0])
    reference = LogisticRegression(C=score.strength_, max_iter=5000, tol=1e-8).fit(scaled, label.astype(int))
    np.testing.assert_allclose(score.decision_function(design), reference.decision_function(scaled), atol=2e-3)


def leaning(seed: int, columns: int = 60) -> tuple[pd.DataFrame, Values, Values]:
    """600 patients answer one question and 80 of the last 200 another; both follow the same six columns."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((600, columns))
    told = values[:, :6].sum(axis=1)
    first = (told + 2 * rng.standard_normal(600) > 0).astype(float)
    second = (told + 2 * rng.standard_normal(600) > 0).astype(float)
    return pd.DataFrame(values, columns=[f"c{place}" for place in range(columns)]), first, second


def areas(seed: int, first: Values | None = None) -> tuple[float, float]:
    """Areas on patients nobody saw, of a score that leans on an earlier question and of one that does not."""
    design, own, second = leaning(seed)
    first = own if first is None else first
    taught, everyone = np.arange(80), np.arange(400)
    rows = people(400)
    before = EarlierQuestion(design.iloc[everyone], first[everyone], rows)
    own_rows = Rows.of(rows.patient_id[:80], rows.split[:80])
    lent = RidgeScore(seed).fit(design.iloc[taught], second[taught], rows=own_rows, earlier=before)
    alone = RidgeScore(seed).fit(design.iloc[taught], second[taught], rows=own_rows)
    new = slice(400, 600)
    return tuple(roc_auc_score(second[new], one.decision_function(design.iloc[new])) for one in (lent, alone))


def test_a_question_of_few_patients_leans_on_a_related_one_of_many() -> None:
    found = np.array([areas(seed) for seed in range(6)])
    assert (found[:, 0] > found[:, 1]).mean() >= 5 / 6
    assert found.mean(axis=0)[0] > found.mean(axis=0)[1] + 0.04


def test_an_unrelated_earlier_question_costs_little() -> None:
    """The score enters with a weight of its own, which is learnt from the question's own patients."""
    rng = np.random.default_rng(0)
    found = np.array([areas(seed, rng.integers(0, 2, 600).astype(float)) for seed in range(6)])
    assert found.mean(axis=0)[0] > found.mean(axis=0)[1] - 0.03


def test_what_the_earlier_question_knows_of_a_patient_does_not_reach_its_cross_fitted_score() -> None:
    """Every patient has one column that nobody else has, and the earlier label is the later one."""
    label = np.arange(40) % 2.0
    design = pd.DataFrame(np.eye(40), columns=[f"mark{place}" for place in range(40)])
    score = RidgeScore(0).fit(design, label, rows=people(40), earlier=EarlierQuestion(design, label, people(40)))
    assert roc_auc_score(label, score.decision_function(design)) == 1.0
    found = np.round(score.cross_fitted_, 9)
    assert all(set(label[found == number]) == {0.0, 1.0} for number in set(found))


@pytest.mark.parametrize("filler", [7.0, np.nan, np.inf])
def test_constant_and_missing_columns_are_left_out(filler: float) -> None:
    design, label = planted()
    score = fitted(design.assign(useless=filler), label)
    assert score.columns_ == list(design.columns)
    np.testing.assert_array_equal(score.decision_function(design), fitted(design, label).decision_function(design))


def test_a_column_of_a_few_known_values_is_harmless() -> None:
    design, label = planted()
    sparse = np.full(120, np.nan)
    sparse[:2] = [1.0, 2.0]
    score = fitted(design.assign(sparse=sparse), label)
    assert np.isfinite(score.cross_fitted_).all()
    assert np.isfinite(score.decision_function(design.assign(sparse=1e9))).all()


def test_a_modality_that_nobody_has_is_missing_and_another_lost_column_is_refused() -> None:
    design, label = planted(columns=4)
    design.columns = ["bmode.a", "bmode.b", "elasto.a", "clinical.age_years"]
    score = fitted(design, label)
    without = design.drop(columns="elasto.a")
    missing = design.assign(**{"elasto.a": np.nan})
    np.testing.assert_array_equal(score.decision_function(without), score.decision_function(missing))
    with pytest.raises(DataError, match=r"no feature 'bmode\.b'"):
        score.decision_function(design.drop(columns="bmode.b"))


@pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
def test_a_leak_is_refused(split: str) -> None:
    design, label = planted()
    rows = Rows.of(people(120).patient_id, [*["train"] * 119, split])
    with pytest.raises(LeakError, match=f"1 {split} rows in the fit of the"):
        fitted(design, label, rows)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros(120), "found the labels 0.0 in the training rows of the ridge score, expected 0 and 1"),
        (np.where(np.arange(120) == 5, np.nan, np.arange(120) % 2), "found the labels .*nan"),
        (np.arange(120) % 3.0, r"found the labels 0.0, 1.0, 2.0"),
        (np.where(np.arange(120) == 5, 1.0, 0.0), "found 1 training patient in the rarer class .*expected at least 2"),
    ],
)
def test_impossible_labels_are_refused(label: Values, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fitted(planted()[0], label)


def test_columns_that_say_nothing_at_all_are_refused() -> None:
    label = np.arange(20) % 2.0
    with pytest.raises(DataError, match="no column that varies"):
        fitted(pd.DataFrame({"a": np.ones(20), "b": np.full(20, np.nan)}), label)


def test_two_patients_of_a_class_are_enough() -> None:
    design, label = planted(30)
    label = np.where(np.arange(30) < 2, 1.0, 0.0)
    score = fitted(design, label)
    assert np.isfinite(score.cross_fitted_).all()
    assert (score.cross_fitted_ != 0).all(), "every patient was held out once"


def test_state_is_plain_names_no_patient_and_comes_back() -> None:
    design, label = planted()
    score = fitted(design, label)
    text = json.dumps(score.to_dict(), allow_nan=False)
    assert "person" not in text
    again = RidgeScore.from_dict(json.loads(text))
    np.testing.assert_array_equal(again.decision_function(design), score.decision_function(design))
    assert again.to_dict() == score.to_dict()
    assert again.fitted_patients_ == frozenset()
    assert not len(again.cross_fitted_)
    assert score.fitted_patients_ == people(120).patients


def test_the_same_seed_gives_the_same_and_another_divides_in_another_way() -> None:
    design, label = planted(columns=40)
    one, same, other = (fitted(design, label, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.cross_fitted_, same.cross_fitted_)
    assert one.to_dict() == same.to_dict()
    assert not np.allclose(one.cross_fitted_, other.cross_fitted_)


def test_the_order_of_columns_changes_nothing() -> None:
    design, label = planted()
    mirrored: Any = design[design.columns[::-1]]
    np.testing.assert_allclose(
        fitted(mirrored, label).decision_function(design), fitted(design, label).decision_function(design), atol=1e-3
    )


def test_folds_do_not_give_the_labels_away_by_their_intercepts() -> None:
    """On pure noise, held-out scores must not run against the labels, though a fold rich in positives leaves few."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(33), rng.integers(1, 9, 33))
        outcome = np.zeros(33)
        outcome[rng.permutation(33)[:11]] = 1.0
        label = outcome[patients]
        design = pd.DataFrame(rng.normal(size=(len(patients), 30)), columns=[f"bmode.a.b.c.F{i}" for i in range(30)])
        rows = Rows.of([f"p{i}" for i in patients], ["train"] * len(patients))
        scores = RidgeScore(seed).fit(design, label, rows=rows).cross_fitted_
        found.append(roc_auc_score(label, scores))
    assert abs(np.mean(found) - 0.5) < 0.05
