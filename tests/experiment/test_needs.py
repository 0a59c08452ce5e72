"""A fold with too few patients of a class for a learner is refused in words, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.baselines.ridge import RidgeScore
from usdlr.baselines.signature import SignatureNomogram
from usdlr.core.errors import DataError
from usdlr.core.leak import Rows
from usdlr.experiment.config import ExperimentConfig, SelectionSettings
from usdlr.experiment.data_settings import DataSettings
from usdlr.experiment.needs import require_learnable, training_needs
from usdlr.models.settings import NetworkSettings


def config(**parts: Any) -> ExperimentConfig:
    return ExperimentConfig("name", "question", DataSettings("simulated"), **{"baselines": ["size"], **parts})


def cohort(nsln: Sequence[int], negatives: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training patients of one fold: ``negatives`` without a positive node, the others with the NSLN labels given."""
    count = negatives + len(nsln)
    patients = [f"p{place:02}" for place in range(count)]
    labels = pd.DataFrame(
        {
            "patient_id": patients,
            "side": "left",
            "sln": [0.0] * negatives + [1.0] * len(nsln),
            "nsln": [0.0] * negatives + [float(label) for label in nsln],
        }
    )
    return pd.DataFrame({"fold": "1", "patient_id": patients, "split": "train"}), labels


def test_needs_are_those_of_the_learners_themselves() -> None:
    """Two patients of each class are enough for the ridge, three for the signature; one fewer is not."""
    rng = np.random.default_rng(0)
    for least, learner in ((2, RidgeScore()), (3, SignatureNomogram())):
        for positives in (least - 1, least):
            y = np.array([0.0] * 12 + [1.0] * positives)
            X = pd.DataFrame(rng.normal(size=(len(y), 3)) + y[:, None], columns=["bmode.a", "bmode.b", "clinical.c"])
            who = Rows.of([f"p{i}" for i in range(len(y))], ["train"] * len(y))
            if positives == least:
                learner.fit(X, y, rows=who)
            else:
                with pytest.raises(DataError, match=rf"expected at least {least}"):
                    learner.fit(X, y, rows=who)


@pytest.mark.parametrize(
    ("parts", "enough", "who"),
    [
        ({}, 2, "the ridge scores of the blocks"),
        ({"model": NetworkSettings(score=False)}, 1, "the networks"),
        ({"baselines": ["size", "radiomics_signature"]}, 3, "the baseline radiomics_signature"),
        ({"baselines": ["radiomics_svm@bmode"]}, 3, "the baseline radiomics_svm@bmode"),
        ({"selection": SelectionSettings(steps=["variance", {"lasso": {}}])}, 3, "the selection step lasso"),
        ({"readout": "signature"}, 3, "the signature readout"),
    ],
)
def test_one_patient_fewer_than_the_most_demanding_learner_needs(parts: dict[str, Any], enough: int, who: str) -> None:
    chosen = config(**parts)
    assert training_needs(chosen)[0].least == enough
    splits, labels = cohort([1] * enough + [0] * 4)
    require_learnable(splits, labels, chosen)
    splits, labels = cohort([1] * (enough - 1) + [0] * 4)
    with pytest.raises(
        DataError,
        match=f"found {enough - 1} positive training patients of stage nsln in fold 1, expected at least {enough} for "
        f"{who}; use fewer folds",
    ):
        require_learnable(splits, labels, chosen)


def test_two_sides_of_a_patient_are_one_patient_and_unknown_is_no_negative() -> None:
    splits, labels = cohort([1, 0, 0, 0, 0])
    twice = pd.concat([labels, labels[labels["nsln"] == 1].assign(side="right")], ignore_index=True)
    with pytest.raises(DataError, match="found 1 positive training patients of stage nsln"):
        require_learnable(splits, twice, config())
    splits, labels = cohort([1, 1, 1, 0, 0, 0])
    labels.loc[labels["sln"] == 1, "nsln"] = labels["nsln"].where(labels["nsln"] == 1)
    with pytest.raises(DataError, match="found 0 negative training patients of stage nsln"):
        require_learnable(splits, labels, config())


def test_every_rest_of_a_cross_fitting_holds_both_classes() -> None:
    chosen = config(readout={"signature": {"folds": 2}})
    splits, labels = cohort([1] * 4 + [0] * 4)
    require_learnable(splits, labels, chosen)
    # Three known negatives of stage 2 among many unknown ones: with some seeds all of them fall into one part.
    splits, labels = cohort([1] * 4 + [0] * 30)
    unknown = labels.index[labels["sln"].eq(1) & labels["nsln"].eq(0)][3:]
    labels.loc[unknown, "nsln"] = np.nan
    found = [_refusal(splits, labels, config(readout="signature", seed=seed)) for seed in range(12)]
    refusals = [sentence for sentence in found if sentence]
    assert 0 < len(refusals) < 12  # a quarter is expected
    assert all("found no negative training patient of stage nsln in fold 1 for the networks" in one for one in refusals)


def _refusal(splits: pd.DataFrame, labels: pd.DataFrame, chosen: ExperimentConfig) -> str:
    try:
        require_learnable(splits, labels, chosen)
    except DataError as error:
        return str(error)
    return ""
