"""The conformal interval keeps its promise on simulated patients, and breaks it where it says that it may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from usdlr.core.leak import Rows
from usdlr.core.types import Stage
from usdlr.decision.calibration import PlattCalibrator
from usdlr.decision.uncertainty import LogitInterval
from usdlr.decision.wording_intervals import conformal_sentence, contour_sentence

TUNING, NEW, REPEATS = 40, 60, 80


def patients(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a model that is far too sure and bent, and what became of the patients."""
    x = rng.normal(0, 1.2, n)
    return 3 * x + np.sin(3 * x), (rng.uniform(size=n) < expit(x - 0.5 + shift)).astype(float)


def fitted(rng: np.random.Generator) -> LogitInterval:
    score, label = patients(rng, TUNING)
    rows = Rows.of([str(place) for place in range(TUNING)], ["tuning"] * TUNING)
    return LogitInterval.fit(score, PlattCalibrator().fit(score, label, rows=rows), {}, rows=rows, labels=label)


def excess(shift: float) -> np.ndarray:
    """Mean of outcome minus probability, overall and in four ranges of it, in units of its standard error."""
    rng = np.random.default_rng(7)
    sums = []
    for _ in range(REPEATS):
        pair = fitted(rng).venn_abers
        assert pair is not None
        score, label = patients(rng, NEW, shift)
        low, high = pair.interval(score)
        chosen = np.where(label == 1, high, low)  # theorem 1: the probability of the label that turns out
        ranges = np.digitize(chosen, [0.25, 0.5, 0.75])
        sums.append([(label - chosen).sum(), *(((label - chosen) * (ranges == one)).sum() for one in range(4))])
    found = np.array(sums)
    return np.asarray(found.mean(axis=0) / (found.std(axis=0, ddof=1) / np.sqrt(REPEATS)))


def test_one_of_the_two_probabilities_is_calibrated_among_exchangeable_patients() -> None:
    assert np.abs(excess(0.0)).max() < 4


def test_other_patients_break_it() -> None:
    assert np.abs(excess(1.5)).max() > 6


def test_the_interval_holds_both_probabilities_and_the_stated_one() -> None:
    found = fitted(np.random.default_rng(1))
    assert found.venn_abers is not None
    score = np.linspace(-8, 8, 41)
    both = found.venn_abers.interval(score)
    for stated in (np.zeros(41), np.full(41, 0.5), np.ones(41)):
        low, high = found.conformal(score, stated)
        assert (low <= np.minimum(both[0], stated)).all()
        assert (high >= np.maximum(both[1], stated)).all()
        assert ((low >= 0) & (high <= 1)).all()


def test_it_survives_storage_and_older_intervals_have_none() -> None:
    found = fitted(np.random.default_rng(2))
    score = np.linspace(-5, 5, 11)
    again = LogitInterval.from_dict(found.to_dict())
    for one, other in zip(found.conformal(score, expit(score)), again.conformal(score, expit(score)), strict=True):
        np.testing.assert_array_equal(one, other)
    older = {name: value for name, value in found.to_dict().items() if name != "venn_abers"}
    assert np.isnan(LogitInterval.from_dict(older).conformal(score, expit(score))).all()


def test_one_class_says_nothing() -> None:
    rows = Rows.of(["a", "b", "c"], ["tuning"] * 3)
    calibrator = PlattCalibrator().fit([0.1, 0.2, 0.3], [1, 1, 1], rows=rows)
    found = LogitInterval.fit([0.1, 0.2, 0.3], calibrator, {}, rows=rows, labels=[1, 1, 1])
    low, high = found.conformal([0.2], [0.6])
    assert (low[0], high[0]) == (0.0, 1.0)


@pytest.mark.parametrize("stage", list(Stage))
def test_the_sentence_claims_no_more_than_the_theorem(stage: Stage) -> None:
    said = conformal_sentence(stage, 0.3101, 0.4519)
    assert "31.0–45.2" in said  # outward
    assert "if this axilla is exchangeable" in said
    assert "does not bound this patient's own risk" in said
    assert "confidence" not in said
    assert "without one" in conformal_sentence(stage, float("nan"), 0.4)


def test_the_sentence_about_contours_counts_what_was_lost() -> None:
    common = {"same": 3, "asked": 12, "mean_abs_mm": 0.8}
    said = contour_sentence(Stage.SLN, 0.0712, 0.2, n=10, **common)  # type: ignore[arg-type]
    assert "redrawn 10 times" in said
    assert "0.8 mm" in said
    assert "7.1–20.0" in said
    assert "3 of 10 answers are the same" in said
    assert "2 further contours could not be measured" in said
    assert "not about other errors" in said
    none = contour_sentence(Stage.SLN, float("nan"), float("nan"), n=0, **common)  # type: ignore[arg-type]
    assert "unknown" in none
    assert "nan" not in none
