"""Plain models: the same numbers as scikit-learn by hand, on the training rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from usdlr.baselines.pipelines import BASELINES, baseline_named, check_baselines, fit_and_score
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows

SIZE = "clinical.tumour_size_mm"
NAMES = sorted(BASELINES)
# These divide their training rows themselves; their own files hold them against other code.
DIVIDING = ("radiomics_ridge", "radiomics_signature", "radiomics_svm")
PLAIN = [name for name in NAMES if name not in DIVIDING]


def data(count: int, seed: int, columns: int = 12) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Larger tumours and one bright feature go with the label; some values are missing or infinite."""
    rng = np.random.default_rng(seed)
    y = np.tile([0.0, 1.0], count)[:count]
    X = pd.DataFrame({f"bmode.intratumoral.original.firstorder.F{i}": rng.normal(size=count) for i in range(columns)})
    X.iloc[:, 0] += 1.5 * y
    X = X.mask(rng.uniform(size=X.shape) < 0.05).copy()
    X.iloc[3, 1], X.iloc[4, 2] = np.inf, -np.inf
    X[SIZE] = rng.lognormal(2.5 + 0.5 * y, 0.4)
    return X, y


def rows(count: int, split: str = "train") -> Rows:
    return Rows.of([f"p{i}" for i in range(count)], [split] * count)


def score(name: str, train: pd.DataFrame, y: npt.ArrayLike, judged: pd.DataFrame, seed: int = 3) -> Any:
    return fit_and_score(baseline_named(name), train, y, rows=rows(len(train)), judged=judged, seed=seed)


def by_hand(name: str, train: pd.DataFrame, y: Any, judged: pd.DataFrame, seed: int) -> Any:
    """The same models, spelled out."""
    a, b = (part.replace([np.inf, -np.inf], np.nan) for part in (train, judged))
    if name == "size":
        median = a[SIZE].median()
        a, b = (np.log(1 + part[[SIZE]].fillna(median).to_numpy()) for part in (a, b))
        return LogisticRegression().fit(a, y).predict_proba(b)[:, 1]
    if name == "radiomics_boosting":
        model = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, min_samples_leaf=5, random_state=seed)
        return model.fit(a.to_numpy(), y).predict_proba(b.to_numpy())[:, 1]
    imputer = SimpleImputer(strategy="median").fit(a.to_numpy())
    a, b = (imputer.transform(part.to_numpy()) for part in (a, b))
    if name == "radiomics_lasso":
        scaler = StandardScaler().fit(a)
        a, b = scaler.transform(a), scaler.transform(b)
        model = LogisticRegression(l1_ratio=1, C=0.2, solver="liblinear", random_state=seed)
    else:
        kind = {"radiomics": ExtraTreesClassifier, "radiomics_forest": RandomForestClassifier}[name]
        model = kind(n_estimators=500, min_samples_leaf=3, class_weight="balanced", random_state=seed)
    return model.fit(a, y).predict_proba(b)[:, 1]


@pytest.mark.parametrize("name", PLAIN)
def test_equals_scikit_learn_by_hand(name: str) -> None:
    train, y = data(60, 0)
    judged, _ = data(25, 1)
    np.testing.assert_allclose(score(name, train, y, judged), by_hand(name, train, y, judged, 3), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_thirty_rows_still_give_an_order(name: str) -> None:
    """A second stage may have no more; a constant score would be no comparison."""
    train, y = data(30, 2, columns=100)
    judged, truth = data(200, 3, columns=100)
    found = score(name, train, y, judged)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert np.ptp(found) > 0.05
    assert found[truth == 1].mean() > found[truth == 0].mean()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_scores(name: str) -> None:
    train, y = data(40, 4)
    judged, _ = data(10, 5)
    np.testing.assert_array_equal(score(name, train, y, judged), score(name, train, y, judged))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["tuning", "calibration", "test"])
def test_rows_of_another_split_are_refused(name: str, split: str) -> None:
    train, y = data(10, 6)
    with pytest.raises(LeakError, match=f"found 10 {split} rows in the fit of the baseline {name}"):
        fit_and_score(baseline_named(name), train, y, rows=rows(10, split), judged=train, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_judged_rows_do_not_reach_the_fit(name: str) -> None:
    """The score of one row is the same whoever is judged beside it."""
    train, y = data(40, 7)
    judged, _ = data(10, 8)
    beside = judged.copy()
    beside.iloc[1:] *= 1000
    np.testing.assert_array_equal(score(name, train, y, judged)[:1], score(name, train, y, beside)[:1])


def test_size_reads_size_alone() -> None:
    train, y = data(60, 9)
    judged, _ = data(20, 10)
    shuffled = train.copy()
    others = [column for column in train.columns if column != SIZE]
    shuffled[others] = np.random.default_rng(0).normal(size=(60, len(others)))
    blank = judged.copy()
    blank[others] = np.nan
    found = score("size", train, y, judged)
    np.testing.assert_array_equal(found, score("size", shuffled, y, blank))
    # Larger is riskier.
    order = np.argsort(judged[SIZE].to_numpy())
    assert (np.diff(found[order]) >= 0).all()


def test_size_needs_size() -> None:
    train, y = data(20, 11)
    with pytest.raises(DataError, match=r"add tumour_size_mm to data\.clinical or leave the baseline out"):
        score("size", train.drop(columns=[SIZE]), y, train)
    with pytest.raises(DataError, match="found no value in the columns of the baseline size"):
        score("size", train.assign(**{SIZE: np.nan}), y, train)


@pytest.mark.parametrize("labels", [[1.0] * 10, [0.0] * 10, [0.0, 1.0] * 4 + [np.nan] * 2, [0.0, 2.0] * 5])
def test_labels_that_are_not_both_classes_are_refused(labels: list[float]) -> None:
    train, _ = data(10, 12)
    with pytest.raises(DataError, match="expected 0 and 1"):
        score("size", train, labels, train)


@pytest.mark.parametrize("name", NAMES)
def test_column_that_no_training_row_has_changes_nothing(name: str) -> None:
    train, y = data(40, 13)
    judged, _ = data(10, 14)
    column = "elasto.intratumoral.original.firstorder.Mean"
    found = score(name, train.assign(**{column: np.nan}), y, judged.assign(**{column: 5.0}))
    np.testing.assert_array_equal(found, score(name, train, y, judged))


def test_boosting_takes_the_default_leaf_where_there_are_rows_enough() -> None:
    train, y = data(100, 15)
    judged, _ = data(10, 16)
    a, b = (part.replace([np.inf, -np.inf], np.nan).to_numpy() for part in (train, judged))
    model = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=200, random_state=3).fit(a, y)
    np.testing.assert_allclose(score("radiomics_boosting", train, y, judged), model.predict_proba(b)[:, 1], atol=1e-12)


@pytest.mark.parametrize("name", DIVIDING)
def test_too_few_patients_to_divide(name: str) -> None:
    train, y = data(20, 17)
    few = Rows.of([f"p{int(label)}{i // 2 % 2}" for i, label in enumerate(y)], ["train"] * 20)
    with pytest.raises(
        DataError, match=r"found 2 training patients in the rarer class of the baseline .* or leave it out"
    ):
        fit_and_score(baseline_named(name), train, y, rows=few, judged=train, seed=0)


def test_unknown_baseline() -> None:
    with pytest.raises(ConfigError, match="found baseline 'xgboost', expected some of size, radiomics"):
        baseline_named("xgboost")


def test_every_baseline_has_words_for_the_report() -> None:
    assert all(baseline.name == name and len(baseline.title) > 10 for name, baseline in BASELINES.items())


RING = "bmode.peritumoral.original.firstorder."
BLOCKED = [f"{name}@bmode.peritumoral" for name in NAMES if name != "size"]


def with_ring(count: int, seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    X, y = data(count, seed)
    rng = np.random.default_rng(seed + 100)
    ring = {f"{RING}F{place}": rng.normal(size=count) + y * (place == 0) for place in range(4)}
    return pd.concat([X, pd.DataFrame(ring)], axis=1), y


@pytest.mark.parametrize("name", BLOCKED)
def test_a_block_is_the_same_learner_on_its_columns_alone(name: str) -> None:
    train, y = with_ring(60, 20)
    judged, _ = with_ring(20, 21)
    ring = [column for column in train if str(column).startswith(RING)]
    found = score(name, train, y, judged)
    np.testing.assert_array_equal(found, score(name.split("@")[0], train[ring], y, judged[ring]))
    assert np.ptp(found) > 0.05


def test_clinical_block_reads_no_picture() -> None:
    train, y = with_ring(60, 22)
    judged, _ = with_ring(20, 23)
    found = score("radiomics_boosting@clinical", train, y, judged)
    np.testing.assert_array_equal(found, score("radiomics_boosting@clinical", train[[SIZE]], y, judged[[SIZE]]))


def test_block_names_are_safe_and_have_words() -> None:
    for name, own, title in (
        (
            "radiomics_forest@bmode.peritumoral",
            "radiomics_forest@bmode-peritumoral",
            "radiomics of the B-mode ring (random forest)",
        ),
        ("radiomics@elasto", "radiomics@elasto", "radiomics of elastography (extremely randomised trees)"),
        (
            "radiomics_ridge@embedding.bmode.peritumoral-2.5mm",
            "radiomics_ridge@embedding-bmode-peritumoral-2-5mm",
            "embeddings of the B-mode 2.5 mm ring, not cross-fitted (ridge logistic regression)",
        ),
    ):
        baseline = baseline_named(name)
        assert (baseline.name, baseline.title) == (own, title)
        assert baseline_named(own).title == title
    assert baseline_named("radiomics_svm@embedding").reads_embeddings
    assert not baseline_named("radiomics_svm@bmode").reads_embeddings
    assert not baseline_named("radiomics_svm").reads_embeddings


def checked(*names: str, clinical: tuple[str, ...] = ("tumour_size_mm",)) -> list[str]:
    return check_baselines(names, clinical=clinical, rois=["peritumoral"], image_blocks=["bmode.peritumoral"])


def test_baselines_that_have_nothing_to_read_are_refused() -> None:
    assert checked("size", "radiomics@bmode.peritumoral") == ["size", "radiomics@bmode-peritumoral"]
    assert checked("radiomics", clinical=()) == ["radiomics"]
    for names, message in (
        (["size"], "without its column among data.clinical"),
        (["radiomics@clinical"], "without data.clinical"),
        (["radiomics@bmode.intratumoral"], "expected intratumoral among them"),
        (["radiomics@embedding.elasto"], "expected elasto among them"),
        (["size@bmode"], "expected size without a block"),
        (["radiomics_forrest"], "did you mean 'radiomics_forest'"),
        (["radiomics@bmode", "radiomics@bmode"], "one or more different names"),
        (["radiomics@bmode.peritumoral", "radiomics@bmode-peritumoral"], "one or more different names"),
        ([], "one or more different names"),
    ):
        with pytest.raises(ConfigError) as error:
            checked(*names, clinical=())
        assert message in str(error.value)


def test_a_block_that_no_image_has_is_refused() -> None:
    train, y = data(20, 24)
    with pytest.raises(DataError, match="found no column of the block elasto for the baseline radiomics@elasto"):
        score("radiomics@elasto", train, y, train)


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "size"])
def test_a_title_names_no_variable_that_is_not_read(name: str) -> None:
    baseline = BASELINES[name]
    assert "and" not in baseline.titled([]).split()
    assert " and size (" in baseline.titled(["tumour_size_mm"])
    for clinical in (["age_years"], ["tumour_size_mm", "age_years"]):
        assert " and clinical variables (" in baseline.titled(clinical)
        assert "size" not in baseline.titled(clinical)


@pytest.mark.parametrize("name", ["size", "radiomics_forest@clinical", "radiomics_forest@bmode"])
def test_a_title_of_fixed_columns_is_the_same_everywhere(name: str) -> None:
    baseline = baseline_named(name)
    assert baseline.titled([]) == baseline.titled(["age_years"]) == baseline.title
