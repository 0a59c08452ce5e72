from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import ConfigError, InputError
from usdlr.core.types import OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.thresholds import exact_p_value
from usdlr.evaluation.cascade import cascade_rates
from usdlr.evaluation.pathways import pathways
from usdlr.evaluation.threshold_shift import CURVES, SHIFTS, threshold_shift

NAN = float("nan")
L, N, H, D = "LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"
DOUBLE = math.log(2)
# Odds of the SLN threshold 1/4 (0.2), of the NSLN threshold 1 (0.5); a shift of ln 2 doubles or halves them:
# 1/9, 1/5, 1/3 and 1/3, 1/2, 2/3. Group as set; p_sln, p_nsln, sln, nsln.
ROWS = [
    (L, 0.10, 0.90, 1, 1),  # below at every shift
    (L, 0.15, 0.40, 1, 0),  # kept, then below the second threshold's 1/2 only: at the low shift not even its 1/3
    (N, 0.20, 0.40, 1, 1),  # on the threshold: not below it
    (N, 0.30, 0.20, 0, NAN),
    (H, 0.30, 0.60, 1, 1),
    (H, 0.90, 0.50, 1, 1),  # on the second threshold
    (H, 0.90, 0.90, 1, NAN),
    (H, 0.90, 0.90, NAN, NAN),
    (L, 0.05, 0.05, 0, 0),
    (D, 0.01, 0.01, 1, 1),  # deferred at every shift
]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = {"patient_id": [f"p{i}" for i in range(len(ROWS))], "side": "left"}
    decisions = pd.DataFrame(
        {
            **keys,
            "risk_group": [row[0] for row in ROWS],
            "p_sln": [row[1] for row in ROWS],
            "t_sln": 0.2,
            "p_nsln": [row[2] for row in ROWS],
            "t_nsln": 0.5,
        }
    )
    labels = pd.DataFrame({**keys, "sln": [row[3] for row in ROWS], "nsln": [row[4] for row in ROWS]})
    return decisions, labels.sample(frac=1, random_state=0)


def events(found: dict[str, Any], moved: str) -> dict[str, list[int]]:
    return {name: found["moved"][moved][name]["events"] for name in CURVES}


def test_counted_by_hand() -> None:
    found = threshold_shift(*tables(), shifts=[-DOUBLE, 0, DOUBLE])
    assert (found["axillae"], found["deferred"]) == (10, 1)
    assert {name: curve["n"] for name, curve in found["moved"]["both"].items()} == {
        "fnr_sln": 7,
        "fnr_nsln": 5,
        "biopsies_spared": 9,
        "dissections_spared": 9,
    }
    assert events(found, "both") == {
        "fnr_sln": [1, 2, 4],
        "fnr_nsln": [1, 2, 4],
        "biopsies_spared": [2, 3, 6],
        "dissections_spared": [1, 3, 5],
    }
    assert events(found, "sln") == {
        "fnr_sln": [1, 2, 4],
        "fnr_nsln": [2, 2, 3],
        "biopsies_spared": [2, 3, 6],
        "dissections_spared": [3, 3, 4],
    }
    assert events(found, "nsln") == {
        "fnr_sln": [2, 2, 2],
        "fnr_nsln": [1, 2, 4],
        "biopsies_spared": [3, 3, 3],
        "dissections_spared": [2, 3, 5],
    }
    assert found["thresholds"]["sln"] == pytest.approx([1 / 9, 1 / 5, 1 / 3])
    assert found["thresholds"]["nsln"] == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    assert json.loads(json.dumps(found)) == found


def study(n: int = 400, bilateral: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decisions of two folds with thresholds of their own, made by the project's own cascade."""
    random = np.random.default_rng(3)
    risk = random.normal(-0.5, 1.5, n)
    sln = (random.random(n) < 1 / (1 + np.exp(-risk))).astype(float)
    nsln = np.where(sln == 1, (random.random(n) < 0.4).astype(float), 0.0)
    nsln[(sln == 1) & (random.random(n) < 0.2)] = NAN
    names = [f"p{i // 2 if bilateral else i}" for i in range(n)]
    side = ["left", "right"] * (n // 2)
    noisy = 1 / (1 + np.exp(-risk - random.normal(0, 0.7, n)))
    scores = pd.DataFrame({"patient_id": names, "side": side, "p_sln": np.round(noisy, 2), "p_nsln": random.random(n)})
    parts = []
    for fold, (t_sln, t_nsln) in enumerate(((0.2, 0.3), (0.12, 0.35))):
        contract = Contract(
            alpha={"sln": 0.1, "nsln": 0.1},
            delta=0.05,
            status="certified",  # type: ignore[arg-type]  # as read from JSON
            required_positives={"sln": 29, "nsln": 29},
            t_sln=t_sln,
            t_nsln=t_nsln,
            positives={"sln": 61, "nsln": 61},
            misses={"sln": 1, "nsln": 1},
            p_value=exact_p_value(1, 61, 0.1),
        )
        parts.append(decide(scores.iloc[fold::2], contract, on_uncertified=OnUncertified.ZERO_MISS))
    return pd.concat(parts), pd.DataFrame({"patient_id": names, "side": side, "sln": sln, "nsln": nsln})


@pytest.mark.parametrize("bilateral", [False, True])
def test_unmoved_thresholds_give_the_headline(bilateral: bool) -> None:
    decisions, labels = study(bilateral=bilateral)
    found, rates = threshold_shift(decisions, labels), cascade_rates(decisions, labels)
    way, place = pathways(decisions, labels)["ways"]["cascade"], SHIFTS.index(0.0)
    expected = {name: rates[name] for name in CURVES[:2]} | {name: way[name]["least"] for name in CURVES[2:]}
    for moved in ("both", "sln", "nsln"):
        for name, entry in expected.items():
            curve = found["moved"][moved][name]
            assert (curve["events"][place], curve["n"], curve["method"]) == (
                entry["events"],
                entry["n"],
                entry["method"],
            )
            ends = curve["low"][place], curve["high"][place]
            assert ends == pytest.approx((entry["low"], entry["high"]), abs=1e-12)


def test_more_is_spared_and_missed_the_higher_the_thresholds() -> None:
    found = threshold_shift(*study())
    for moved in found["moved"].values():
        for curve in moved.values():
            assert curve["events"] == sorted(curve["events"])
            assert all(
                low <= value <= high
                for low, value, high in zip(curve["low"], curve["value"], curve["high"], strict=True)
            )
    flat = found["moved"]["nsln"]["fnr_sln"]["events"]
    assert len(set(flat)) == 1


def test_everything_deferred_misses_nothing_at_any_shift() -> None:
    decisions, labels = study()
    found = threshold_shift(decisions.assign(risk_group=D), labels)
    assert found["deferred"] == found["axillae"] == len(labels)
    assert {count for curve in found["moved"]["both"].values() for count in curve["events"]} == {0}
    assert found["thresholds"]["sln"] == [None] * len(SHIFTS)


def test_the_ends_do_not_move_and_no_class_gives_no_rate() -> None:
    decisions, labels = tables()
    treat_all = decisions.assign(risk_group=H, t_sln=0.0, t_nsln=0.0)
    found = threshold_shift(treat_all, labels.assign(sln=NAN, nsln=NAN))
    assert found["thresholds"] == {"sln": [0.0] * 31, "nsln": [0.0] * 31}
    curve = found["moved"]["both"]["fnr_sln"]
    assert (curve["n"], curve["value"][0], curve["events"][0]) == (0, None, 0)
    found = threshold_shift(decisions.assign(risk_group=L, t_sln=1.0), labels.assign(sln=0, nsln=0))
    assert set(found["moved"]["both"]["biopsies_spared"]["value"]) == {1.0}
    assert found["moved"]["both"]["fnr_nsln"]["method"].startswith("undefined")


def test_what_does_not_follow_is_refused() -> None:
    decisions, labels = tables()
    wrong = decisions["risk_group"].where(decisions["patient_id"] != "p2", L)
    with pytest.raises(InputError, match="found 1 of 10 decisions whose risk group does not follow"):
        threshold_shift(decisions.assign(risk_group=wrong), labels)
    with pytest.raises(ConfigError, match="with 0 among them"):
        threshold_shift(decisions, labels, shifts=[-1, 1])
    with pytest.raises(ConfigError, match="rising"):
        threshold_shift(decisions, labels, shifts=[1, 0])
    with pytest.raises(InputError, match="expected a probability"):
        threshold_shift(decisions.assign(p_sln=1.5), labels)
