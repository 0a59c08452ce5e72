"""Scores of radiomics and clinical blocks: each block by itself, training images by models that did not see them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from usdlr.baselines.ridge import EarlierQuestion, RidgeScore
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.inference.scores import BlockScores
from usdlr.models.settings import NetworkSettings

COUNT = 60
JOINT = NetworkSettings()
SPLIT = NetworkSettings(tabular="split")
PATIENTS = tuple(f"person-{place:02d}" for place in range(COUNT))
Labels = npt.NDArray[np.float64]


def design(seed: int = 0) -> pd.DataFrame:
    """A B-mode block that tells, a clinical one that tells the other way round, and a map that is noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(COUNT) % 2
    noise = rng.standard_normal((COUNT, 5))
    return pd.DataFrame(
        {
            "bmode.intratumoral.original.glcm.Contrast": noise[:, 0] + 2 * label,
            "clinical.age_years": 60 + 5 * (noise[:, 1] - 2 * label),
            "elasto.peritumoral.original.firstorder.Mean": noise[:, 2],
            "bmode.intratumoral.original.glcm.Idm": noise[:, 3],
            "elasto.peritumoral.original.firstorder.Range": noise[:, 4],
        },
        index=[f"image-{place}" for place in range(COUNT)],
    )


def labels(targets: int = 1) -> Labels:
    first = np.arange(COUNT) % 2.0
    second = np.where(first == 1, np.arange(COUNT) // 2 % 2, np.nan)
    return np.asarray(np.stack([first, second][:targets], axis=1), dtype=np.float64)


def rows(split: str = "train") -> Rows:
    return Rows.of(PATIENTS, [split] * COUNT)


def fit(settings: NetworkSettings, table: pd.DataFrame, known: Labels, width: int = 1) -> tuple[BlockScores, Any]:
    return BlockScores.fit(settings, table, known, rows=rows(), width=width, seed=4)


def test_a_joint_table_has_one_score_cross_fitted_where_it_was_trained() -> None:
    found, own = fit(JOINT, design(), labels())
    assert found.blocks == ("radiomics",)
    model = RidgeScore(4).fit(design(), labels()[:, 0], rows=rows())
    assert own.shape == (COUNT, 1, 1)
    assert own.dtype == np.float32
    np.testing.assert_allclose(own[:, 0, 0], model.cross_fitted_ - logit(0.5), rtol=1e-6)
    other = found.score(design(1), 1)
    assert other.shape == (COUNT, 1, 1)
    np.testing.assert_allclose(other[:, 0, 0], model.decision_function(design(1)) - model.intercept_, rtol=1e-5)


def test_the_scores_of_split_blocks_add_up_to_the_ridge_of_all_columns() -> None:
    found, own = fit(SPLIT, design(), labels())
    assert found.blocks == ("radiomics.bmode.intratumoral", "radiomics.elasto.peritumoral", "clinical")
    assert own.shape == (COUNT, 3, 1)
    model = RidgeScore(4).fit(design(), labels()[:, 0], rows=rows())
    np.testing.assert_allclose(own[:, :, 0].sum(axis=1), model.cross_fitted_ - logit(0.5), rtol=1e-5, atol=1e-6)
    whole = model.decision_function(design(1)) - model.intercept_
    np.testing.assert_allclose(found.score(design(1), 1)[:, :, 0].sum(axis=1), whole, rtol=1e-5, atol=1e-6)


def test_a_split_block_is_scored_by_its_own_columns() -> None:
    found, own = fit(SPLIT, design(), labels())
    areas = [roc_auc_score(labels()[:, 0], own[:, place, 0]) for place in range(3)]
    assert areas[0] > 0.85
    assert areas[2] > 0.85
    assert 0.25 < areas[1] < 0.75
    # What stands in other blocks' columns does not reach a block's score.
    changed = design(1).assign(**{"clinical.age_years": 0.0})
    before, after = found.score(design(1), 1), found.score(changed, 1)
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (before[:, 2] != after[:, 2]).any()


@pytest.mark.parametrize("settings", [JOINT, SPLIT])
def test_an_image_without_a_map_is_scored_by_a_model_that_never_saw_one(settings: NetworkSettings) -> None:
    """Also where the map alone tells: filled in, it would speak through the weights of what goes with it."""
    table = design()
    maps = [str(name) for name in table if str(name).startswith("elasto")]
    table[maps[0]] += 4 * labels()[:, 0]
    table.loc[table.index[::4], maps] = np.nan
    found, own = fit(settings, table, labels())
    alone = RidgeScore(4).fit(table.drop(columns=maps), labels()[:, 0], rows=rows())
    total = own[:, :, 0].sum(axis=1)
    np.testing.assert_allclose(total[::4], (alone.cross_fitted_ - logit(0.5))[::4], rtol=1e-5, atol=1e-6)
    whole = RidgeScore(4).fit(table, labels()[:, 0], rows=rows())
    seen = np.arange(COUNT) % 4 > 0
    np.testing.assert_allclose(total[seen], (whole.cross_fitted_ - logit(0.5))[seen], rtol=1e-5, atol=1e-6)
    without = found.score(design(1).drop(columns=maps), 1)[:, :, 0].sum(axis=1)
    expected = alone.decision_function(design(1).drop(columns=maps)) - alone.intercept_
    np.testing.assert_allclose(without, expected, rtol=1e-5, atol=1e-6)


def test_the_first_target_leans_on_the_question_asked_before_and_later_ones_on_the_first() -> None:
    """60 patients answer the first question and 30 of them the second, by the same column."""
    both = labels(2)
    both[:, 1] = np.where(both[:, 0] == 1, np.arange(COUNT) // 2 % 2, np.nan)
    seen = np.isfinite(both[:, 1])
    before = EarlierQuestion(design(), both[:, 0], rows())
    expected = RidgeScore(4).fit(design()[seen], both[seen, 1], rows=rows().take(seen), earlier=before)
    joint, _ = fit(JOINT, design(), both, width=2)
    np.testing.assert_array_equal(joint.models[("elasto",)][1].coef_, expected.coef_)
    found, own = BlockScores.fit(JOINT, design(), both[:, 1:], rows=rows(), width=1, seed=4, earlier=both[:, 0])
    np.testing.assert_array_equal(found.models[("elasto",)][0].coef_, expected.coef_)
    np.testing.assert_allclose(own[seen, 0, 0], expected.cross_fitted_terms_[:, 0], rtol=1e-6)
    assert found.fitted_patients == set(PATIENTS)


def test_a_target_is_learnt_from_the_images_it_is_known_for() -> None:
    known = labels(2)
    found, own = fit(JOINT, design(), known, width=2)
    assert own.shape == (COUNT, 1, 2)
    first, second = found.models[("elasto",)]
    seen = np.isfinite(known[:, 1])
    assert first.fitted_patients_ == set(PATIENTS)
    assert len(second.cross_fitted_) == seen.sum()
    np.testing.assert_allclose(own[seen, 0, 1], second.cross_fitted_ - logit(known[seen, 1].mean()), rtol=1e-5)
    above = second.decision_function(design()[~seen]) - second.intercept_
    np.testing.assert_allclose(own[~seen, 0, 1], above, rtol=1e-5)
    assert found.score(design(1), 2).shape == (COUNT, 1, 2)


def test_a_proportional_odds_head_has_one_score_of_the_first_target() -> None:
    _, one = fit(JOINT, design(), labels(1))
    _, own = fit(JOINT, design(), labels(2), width=1)
    np.testing.assert_array_equal(own, one)


def test_a_split_block_without_a_column_that_varies_has_no_score() -> None:
    names = [str(name) for name in design() if str(name).startswith("elasto")]
    flat = design().assign(**dict.fromkeys(names, np.nan))
    found, own = fit(SPLIT, flat, labels())
    assert found.blocks == ("radiomics.bmode.intratumoral", "clinical")
    assert own.shape == found.score(design(1), 1).shape == (COUNT, 2, 1)
    assert fit(JOINT, flat, labels())[0].blocks == ("radiomics",)
    with pytest.raises(DataError, match="no column that varies"):
        fit(JOINT, design() * 0, labels())


def test_without_scores_there_is_nothing() -> None:
    found, own = fit(NetworkSettings(score=False), design(), labels(2), width=2)
    assert found.blocks == ()
    assert own.shape == found.score(design(1), 2).shape == (COUNT, 0, 2)


def test_a_leak_is_refused() -> None:
    for settings in (JOINT, SPLIT):
        with pytest.raises(LeakError, match="60 tuning rows"):
            BlockScores.fit(settings, design(), labels(), rows=rows("tuning"), width=1, seed=0)


def test_state_is_plain_names_no_patient_and_comes_back() -> None:
    found, _ = fit(SPLIT, design(), labels(2), width=2)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert "person" not in text
    again = BlockScores.from_dict(json.loads(text))
    assert again.blocks == found.blocks
    np.testing.assert_array_equal(again.score(design(1), 2), found.score(design(1), 2))
    nothing = BlockScores({}, {})
    assert BlockScores.from_dict(nothing.to_dict()).score(design(), 2).shape == (COUNT, 0, 2)


def test_images_of_a_cohort_without_the_map_are_scored_as_if_it_were_missing() -> None:
    found, _ = fit(JOINT, design(), labels())
    names = [str(name) for name in design() if str(name).startswith("elasto")]
    missing = design(1).assign(**dict.fromkeys(names, np.nan))
    np.testing.assert_array_equal(found.score(design(1).drop(columns=names), 1), found.score(missing, 1))
