"""An alarm at the stated rate, strangers found, and a score that a file gives back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import binomtest

from tests.inference.made_stage import made_cohort, made_model
from usdlr.core.errors import BundleError, DataError, LeakError
from usdlr.core.files import read_json, write_json
from usdlr.core.leak import Rows
from usdlr.core.types import Stage
from usdlr.decision.deferral import share_limit
from usdlr.evaluation.marginals import Marginals
from usdlr.inference.gaussian import Gaussian
from usdlr.inference.ood import OutOfDistribution
from usdlr.inference.ood_files import OOD, Seen, load_ood, ood_rows, save_ood

Array = npt.NDArray[np.float64]
COLUMNS = [f"bmode.{roi}.original.firstorder.{name}" for roi in ("intratumoral", "peritumoral")
           for name in ("Mean", "Entropy", "Energy", "Variance")]  # fmt: skip
MAP = ["elasto.intratumoral.original.firstorder.Mean", "elasto.intratumoral.original.firstorder.90Percentile"]


def rows(names: list[str], split: str) -> Rows:
    return Rows.of(names, [split] * len(names))


def people(size: int, random: np.random.Generator) -> Seen:
    """Skewed features, embeddings that hang together, every fifth without a map."""
    shared = random.standard_normal((size, 3))
    features = np.exp(0.4 * shared @ random_mix + 0.5 * random.standard_normal((size, len(COLUMNS))))
    kpa = 60 * np.exp(0.4 * random.standard_normal((size, 1)) + 0.05 * random.standard_normal((size, 2)))
    kpa[random.random(size) < 0.2] = np.nan
    design = pd.DataFrame(np.hstack([features, kpa]), columns=[*COLUMNS, *MAP])
    looks = shared @ look_mix + 0.3 * random.standard_normal((size, 12))
    keys = pd.DataFrame({"patient_id": [f"p{number}" for number in range(size)], "side": "left"})
    return Seen(keys, {"bmode.intratumoral": [looks.astype(np.float32)]}, design)


random_mix = np.random.default_rng(1).standard_normal((3, len(COLUMNS)))
look_mix = np.random.default_rng(2).standard_normal((3, 12))


def fitted(train: Seen, tuning: Seen, rate: float = 0.05) -> OutOfDistribution:
    return OutOfDistribution.fit(
        train.looks,
        train.design,
        rows=rows(list(train.keys["patient_id"]), "train"),
        tuned_looks=tuning.looks,
        tuned_design=tuning.design,
        tuned_rows=rows([f"t{name}" for name in tuning.keys["patient_id"]], "tuning"),
        rate=rate,
    )


def alarms(found: OutOfDistribution, seen: Seen) -> npt.NDArray[np.bool_]:
    raised = found.judge(seen.looks, seen.design).alarm
    assert raised is not None
    return raised


def test_a_normal_law_gives_the_distance_of_its_own_covariance() -> None:
    """A law in many rows and few dimensions: shrinking vanishes, and the squared distance is chi-square / p."""
    random = np.random.default_rng(0)
    root = random.standard_normal((4, 4))
    law = Gaussian.fit(random.standard_normal((20000, 4)) @ root)
    fresh = random.standard_normal((4000, 4))
    expected = (fresh**2).sum(axis=1) / 4
    # All four directions are among the five main ones.
    assert np.allclose(law.distances(fresh @ root), expected[:, None], rtol=0.06)


@pytest.mark.parametrize("dimensions", [1, 3, 200])
def test_few_rows_in_many_dimensions_have_a_law(dimensions: int) -> None:
    random = np.random.default_rng(0)
    law = Gaussian.fit(random.standard_normal((12, dimensions)))
    found = law.distances(random.standard_normal((5, dimensions)))
    assert np.isfinite(found).all()
    assert (found > 0).all()
    constant = Gaussian.fit(np.ones((12, dimensions)))
    assert (constant.distances(np.ones((2, dimensions))) == 0).all()
    assert (constant.distances(np.full((2, dimensions), 2.0)) > 1e3).all()


def test_false_alarms_stay_at_the_stated_rate() -> None:
    """Over many fits, the mean rate among fresh patients is at most the stated one, and not far below it."""
    raised, every = 0, 0
    for draw in range(60):
        random = np.random.default_rng(draw)
        found = fitted(people(80, random), people(39, random), rate=0.1)
        fresh = alarms(found, people(100, random))
        raised, every = raised + int(fresh.sum()), every + len(fresh)
    # 36 of 40 ranks: the exact expectation with 39 tuning patients is 4 of 40.
    assert binomtest(raised, every, 0.1).proportion_ci(0.999).low <= 0.1
    assert raised / every > 0.07


def test_the_limit_counts_patients_and_says_where_there_are_too_few() -> None:
    scores, who = np.array([1.0, 5.0, 2.0]), ["a", "a", "b"]
    assert share_limit(scores, who, 0.34) == 5.0
    assert share_limit(scores, who, 0.3) is None
    assert share_limit(np.zeros(0), [], 0.5) is None
    random = np.random.default_rng(0)
    few = fitted(people(60, random), people(12, random))
    assert few.limit is None
    assert few.needed == 19
    seen = people(3, random)
    assert few.judge(seen.looks, seen.design).alarm is None
    told = ood_rows(few, seen)
    assert told["ood_alarm"].isna().all()
    assert told["ood_score"].notna().all()
    assert told["ood_why"].str.contains("12 tuning patients are too few").all()


def test_patients_of_other_splits_are_refused() -> None:
    random = np.random.default_rng(0)
    seen = people(30, random)
    names = list(seen.keys["patient_id"])
    with pytest.raises(LeakError):
        OutOfDistribution.fit(
            seen.looks, seen.design, rows=rows(names, "train"),
            tuned_looks=seen.looks, tuned_design=seen.design, tuned_rows=rows(names, "calibration"),
        )  # fmt: skip


def strangers() -> dict[str, Callable[[Seen], Seen]]:
    def changed(seen: Seen, name: str, change: Callable[[Array], Array]) -> Seen:
        design = seen.design.copy()
        design[name] = change(design[name].to_numpy(np.float64))
        return Seen(seen.keys, seen.looks, design)

    def unit(seen: Seen) -> Seen:  # kPa given as m/s: E = 3 rho v^2
        for name in MAP:
            seen = changed(seen, name, lambda kpa: np.sqrt(kpa / 3))
        return seen

    def noise(seen: Seen) -> Seen:
        look = np.random.default_rng(9).standard_normal((len(seen.keys), 12)).astype(np.float32) * 3
        return Seen(seen.keys, {"bmode.intratumoral": [look]}, seen.design)

    return {
        "unit": unit,
        "gain": lambda seen: changed(seen, COLUMNS[0], lambda grey: grey * 40),
        "embedding": noise,
        "infinite": lambda seen: changed(seen, COLUMNS[0], lambda grey: np.full_like(grey, 1e300)),
    }


@pytest.mark.parametrize("kind", list(strangers()))
def test_strangers_are_found_and_named(kind: str) -> None:
    random = np.random.default_rng(4)
    found = fitted(people(200, random), people(100, random))
    ordinary = people(100, random)
    strange = strangers()[kind](ordinary)
    has = ordinary.design[MAP[0]].notna().to_numpy() if kind == "unit" else np.ones(100, dtype=bool)
    assert alarms(found, ordinary).mean() <= 0.12
    assert alarms(found, strange)[has].mean() >= 0.9
    told = ood_rows(found, strange)[has]
    part = {
        "unit": "radiomics of elastography, inside the lesion",
        "embedding": "what the networks make of B-mode, inside the lesion",
    }.get(kind, "radiomics of B-mode, inside the lesion")
    assert told.loc[told["ood_alarm"].fillna(False), "ood_why"].str.contains(part).mean() > 0.9
    if kind == "unit":
        assert told["ood_why"].str.contains(r"stiffness .*kPa.*usually").mean() > 0.5


def test_an_axilla_without_a_map_is_judged_by_what_it_has() -> None:
    random = np.random.default_rng(4)
    found = fitted(people(200, random), people(100, random))
    seen = people(50, random)
    bare = Seen(seen.keys, seen.looks, seen.design.drop(columns=MAP))
    parts = found.judge(bare.looks, bare.design).parts
    assert parts["table:elasto.intratumoral"].isna().all()
    assert parts.drop(columns="table:elasto.intratumoral").notna().all(axis=None)
    absent = Seen(seen.keys, {"bmode.intratumoral": [np.full((50, 12), np.nan, np.float32)]}, bare.design * np.nan)
    judged = found.judge(absent.looks, absent.design)
    assert np.isnan(judged.score).all()
    assert alarms(found, absent).all()
    assert np.isnan(judged.p).all()


def test_files_give_back_the_same_score_and_damage_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    found = fitted(people(60, random), people(40, random))
    seen = people(20, random)
    assert load_ood(tmp_path) is None
    assert ood_rows(None, seen)["ood_why"].str.contains("holds nothing to compare").all()
    save_ood(tmp_path, found)
    again = load_ood(tmp_path)
    assert again is not None
    first, second = (one.judge(seen.looks, seen.design) for one in (found, again))
    assert np.array_equal(first.score, second.score)
    assert np.array_equal(first.parts, second.parts, equal_nan=True)
    assert "p7" not in (tmp_path / OOD).read_text()
    with pytest.raises(DataError, match="12"):
        again.judge({"bmode.intratumoral": [np.zeros((20, 5), np.float32)]}, seen.design)
    state = read_json(tmp_path / OOD)
    damages: list[dict[str, object]] = [{"limit": "high"}, {"rate": 2}, {"parts": [{}]}, {"columns": []}]
    for damage in damages:
        write_json(tmp_path / OOD, state | damage)
        with pytest.raises(BundleError):
            load_ood(tmp_path)


def test_the_pass_that_predicts_is_the_pass_that_reads() -> None:
    cohort = made_cohort(8)
    model = made_model(cohort)
    raw, readings = model.answer(cohort.cases, cohort.store, cohort.design, 4)
    pd.testing.assert_frame_equal(raw, model.predict_axillae(cohort.cases, cohort.store, cohort.design, 4))
    seen = Seen.of(cohort.cases, cohort.design, dict.fromkeys(Stage, model), dict.fromkeys(Stage, readings))
    assert len(seen.looks["bmode.intratumoral"]) == 2 * len(model.networks)
    embedded = model.embed(cohort.cases, cohort.store, cohort.design, 4)
    own = embedded[[name for name in embedded if str(name).startswith("embedding.bmode.intratumoral")]].to_numpy()
    assert np.array_equal(np.hstack(seen.looks["bmode.intratumoral"][:2]), own.astype(np.float32))
    assert np.isnan(seen.looks["elasto.intratumoral"][0]).all(axis=1).tolist() == cohort.without_map.tolist()


def test_normal_scores_follow_the_law_they_were_counted_on() -> None:
    random = np.random.default_rng(0)
    law = Marginals.of(random.lognormal(size=(5000, 1)), ["a"])
    x = np.array([0.03, 0.25, 1.0, 4.0, 12.0])
    assert np.allclose(law.scores(x[:, None])[:, 0], np.log(x), atol=0.15)
    far = law.scores(np.array([[0.0], [-1.0], [8e30], [np.inf]]))[:, 0]
    assert far[:3].tolist() == [-25.0, -25.0, 25.0]
    assert np.isnan(far[3])
    signed = Marginals.of(random.normal(size=(5000, 1)), ["a"])
    x = np.array([-4.0, -1.0, 0.0, 2.0, 4.0])
    assert np.allclose(signed.scores(x[:, None])[:, 0], x, atol=0.25)
    back = law.values(random.standard_normal((4000, 1)))
    assert np.allclose(np.quantile(back, [0.1, 0.5, 0.9]), np.exp([-1.2816, 0.0, 1.2816]), rtol=0.1)
    few = Marginals.of(np.array([[1.0], [2.0], [np.nan]]), ["a"])
    assert few.steps.tolist() == [1]
    assert np.isnan(few.scores([[1.0]])).all()
    assert few.missing.tolist() == [1]
    assert (law.counts[law.counts > 0] >= 5).all()
