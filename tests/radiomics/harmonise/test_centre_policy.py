"""A centre that was not fitted never passes in silence, and a local sample is neuroCombat's reference batch."""

from __future__ import annotations

import importlib
import itertools
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.combat_data import (
    Centres,
    centres,
    deviation,
    fitted,
    neurocombat,
    sample_of,
    transformed,
    where,
)
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows, require_disjoint
from usdlr.radiomics.harmonise.centre_policy import Policy, Reason, UnharmonisedWarning


def test_an_unseen_centre_is_refused_unless_something_else_was_stated() -> None:
    data = centres()
    new = centres((4, 2, 3), seed=5, names=("A", "North", "South"))
    with pytest.raises(
        DataError, match=r"found 2 centres that .* not fitted on \(North, South; 5 rows\), expected some of A, B, C"
    ):
        transformed(fitted(data), new)
    with pytest.raises(DataError, match="unseen = 'local'"):
        fitted(data).policy_of(new.centre)
    with pytest.raises(DataError, match="call adapt with an unlabelled sample of each"):
        transformed(fitted(data, unseen="local"), new)


def test_an_unseen_centre_let_through_is_said_aloud() -> None:
    data = centres()
    new = centres((4, 2, 3), seed=5, names=("A", "North", "South"))
    model = fitted(data, unseen="none")
    with pytest.warns(UnharmonisedWarning) as said:
        found = transformed(model, new)
    assert [str(one.message) for one in said] == [note.sentence for note in model.notes_of(new.centre)]
    assert [(note.centre, note.rows, note.policy) for note in model.notes_of(new.centre)] == [
        ("North", 2, Policy.NONE),
        ("South", 3, Policy.NONE),
    ]
    assert "fitted on A, B, C" in model.notes_of(new.centre)[0].sentence
    np.testing.assert_array_equal(found[4:], new.X[4:])
    assert not np.isclose(found[:4], new.X[:4]).all()
    assert model.policy_of(new.centre) == ["fitted"] * 4 + ["none"] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformed(model, new.take(np.arange(4)))


@pytest.mark.parametrize(("parametric", "eb", "mean_only"), list(itertools.product([True, False], repeat=3)))
def test_a_local_sample_against_a_reference_equals_neurocombat_with_that_reference(
    parametric: bool, eb: bool, mean_only: bool
) -> None:
    """With a reference, only the reference centre's rows set the scale, whoever else was fitted."""
    data, north = centres(), centres((40,), seed=6, names=("North",))
    both = data.take(where(data, "B"))
    together = Centres(
        np.vstack([both.X, north.X]), both.centre + north.centre, pd.concat([both.covariates, north.covariates])
    )
    options: dict[str, Any] = {"parametric": parametric, "eb": eb, "mean_only": mean_only}
    expected = neurocombat(together, ref_batch="B", **options)["data"].T[len(both.X) :]
    for training in (data, both):  # a single training centre will do
        model = fitted(training, unseen="local", reference="B", **options)
        adapted = model.adapt(north.X, "North", rows=sample_of(north.X))
        assert deviation(transformed(adapted, north), expected, north.X) < 1e-11


def test_a_frozen_prior_shrinks_as_neurocombat_does_with_the_moments_of_all_training_centres() -> None:
    module: Any = importlib.import_module("neuroCombat.neuroCombat")
    data, north = centres(), centres((40,), seed=6, names=("North",))
    estimates = neurocombat(data)["estimates"]
    standard = ((north.X - estimates["stand.mean"][:, 0]) / np.sqrt(estimates["var.pooled"][:, 0])).T
    raw = (standard.mean(axis=1), standard.var(axis=1, ddof=1))
    prior = (np.ravel(estimates["gamma_hat"]), np.ravel(np.array(estimates["delta_hat"])))
    gamma, delta = module.it_sol(
        standard, *raw, prior[0].mean(), prior[0].var(ddof=1), module.aprior(prior[1]), module.bprior(prior[1])
    )
    adapted = fitted(data, unseen="local", local_prior="training").adapt(north.X, "North", rows=sample_of(north.X))
    np.testing.assert_allclose(adapted.shift_[3], gamma, rtol=1e-9)
    np.testing.assert_allclose(adapted.spread_[3], delta, rtol=1e-9)

    gamma = module.postmean(raw[0], prior[0].mean(), 1, 1, prior[0].var(ddof=1))
    adapted = fitted(data, unseen="local", local_prior="training", mean_only=True).adapt(
        north.X, "North", rows=sample_of(north.X)
    )
    np.testing.assert_allclose(adapted.shift_[3], gamma, rtol=1e-9)
    np.testing.assert_array_equal(adapted.spread_[3], 1.0)


@pytest.mark.parametrize("parametric", [True, False])
def test_a_local_sample_brings_the_centre_to_the_training_level(parametric: bool) -> None:
    rng = np.random.default_rng(3)
    batch = np.repeat(np.arange(6), 60)
    X = rng.normal(size=(360, 50)) * rng.uniform(0.7, 1.4, 6)[batch][:, None] + rng.normal(0, 1, 6)[batch][:, None]
    data = Centres(X, [f"centre {b}" for b in batch], pd.DataFrame(index=range(360)))
    model = fitted(data, unseen="local", parametric=parametric)
    before = json.dumps(model.to_dict())
    sample, later = (1.2 + 1.3 * rng.normal(size=(n, 50)) for n in (60, 2000))
    adapted = model.adapt(sample, "North", rows=sample_of(sample))
    found = adapted.transform(later, centre=["North"] * 2000)
    level = transformed(model, data)
    # A shift from 60 patients has a standard error of 0.13.
    assert abs(later.mean() - level.mean()) > 0.9
    assert abs(found.mean() - level.mean()) < 0.15
    assert abs(found.std() / level.std() - 1) < 0.05 < 0.3 < abs(later.std() / level.std() - 1)
    assert adapted.policy_of(["North", "centre 0"]) == ["local", "fitted"]
    assert adapted.patients_[-1] == 60
    # The old object does not change, nor does what the new one says of training centres.
    assert json.dumps(model.to_dict()) == before
    np.testing.assert_array_equal(transformed(adapted, data), level)
    again = adapted.adapt(later, "North", rows=sample_of(later)).adapt(sample, "South", rows=sample_of(sample))
    assert again.centres_[-2:] == ["North", "South"]
    np.testing.assert_array_equal(again.shift_[-1], adapted.shift_[-1])


def test_a_local_centre_is_never_part_of_a_frozen_prior() -> None:
    data, north = centres(), centres((40,), seed=6, names=("North",))
    model = fitted(data, unseen="local", local_prior="training", parametric=False)
    rows = sample_of(north.X)
    once = model.adapt(north.X, "North", rows=rows)
    twice = model.adapt(north.X * 3, "South", rows=rows).adapt(north.X, "North", rows=rows)
    np.testing.assert_array_equal(twice.shift_[-1], once.shift_[-1])
    # The cloud of the training centres' raw estimates bounds the answer.
    assert model.raw_shift_.min() <= once.shift_[-1].min() <= once.shift_[-1].max() <= model.raw_shift_.max()


def test_a_local_sample_is_apart_from_those_it_is_judged_on() -> None:
    data, north = centres(), centres((40,), seed=6, names=("North",))
    model = fitted(data, unseen="local")
    for split in ("test", "calibration"):
        with pytest.raises(LeakError, match=f"found 40 {split} rows in the fit of the local harmonisation"):
            model.adapt(north.X, "North", rows=sample_of(north.X, split))
    adapted = model.adapt(north.X, "North", rows=sample_of(north.X))
    with pytest.raises(LeakError, match="found 1 of 1 patients"):
        require_disjoint(adapted.fitted_patients_, ["local-3"], "harmonisation")
    assert "local-" not in json.dumps(adapted.to_dict())


def test_a_local_sample_that_will_not_do() -> None:
    data, north = centres(), centres((40,), seed=6, names=("North",))
    with pytest.raises(ConfigError, match="found unseen = 'refuse', expected 'local' to adapt"):
        fitted(data).adapt(north.X, "North", rows=sample_of(north.X))
    model = fitted(data, unseen="local", min_local=30)
    with pytest.raises(DataError, match=r"found 12 patients in the local sample of North, expected at least 30"):
        model.adapt(north.X[:12], "North", rows=sample_of(north.X[:12]))
    twice = Rows.of([f"local-{i // 2}" for i in range(40)], ["external"] * 40)
    with pytest.raises(DataError, match=r"found 20 patients"):  # forty images of twenty patients
        model.adapt(north.X, "North", rows=twice)
    with pytest.raises(DataError, match="found the training centre A, expected a new one"):
        model.adapt(north.X, "A", rows=sample_of(north.X))
    holes = north.X.copy()
    holes[:15, 4] = np.nan
    holes[:, 7] = 3.0
    adapted = model.adapt(holes, "North", rows=sample_of(holes))
    assert [(one.feature, one.reason) for one in adapted.passed_through_] == [
        ("x4", Reason.TOO_FEW),
        ("x7", Reason.CONSTANT),
    ]
    lonely = fitted(data.take(where(data, "A")), unseen="local", reference="A")
    lonely.local_prior = "training"
    with pytest.raises(DataError, match="found no estimate of a training centre to shrink towards"):
        lonely.adapt(north.X, "North", rows=sample_of(north.X))


def test_a_centre_far_from_the_others_is_better_shrunk_towards_its_own_features() -> None:
    """Three centres that hardly differ, a new one 1.5 standard deviations off, twenty patients of it."""
    rng = np.random.default_rng(0)
    batch = np.repeat(np.arange(3), 60)
    X = rng.normal(size=(180, 200)) + rng.normal(0, 0.3, (3, 200))[batch]
    data = Centres(X, [f"centre {b}" for b in batch], pd.DataFrame(index=range(180)))
    shift = 1.5 + rng.normal(0, 0.3, 200)
    sample = shift + 1.3 * rng.normal(size=(20, 200))
    error = {}
    for prior in ("sample", "training"):
        model = fitted(data, unseen="local", local_prior=prior).adapt(sample, "North", rows=sample_of(sample))
        left = model.transform(shift[None], centre=["North"])[0] - model.scale_.mean
        error[prior] = float(np.sqrt(np.mean(left**2)))
    raw = float(np.sqrt(np.mean((sample.mean(axis=0) - shift) ** 2)))
    assert error["sample"] < raw < 2 * raw < error["training"]
