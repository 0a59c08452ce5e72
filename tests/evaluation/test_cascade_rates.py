from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup
from usdlr.evaluation.alignment import endpoint_counts
from usdlr.evaluation.cascade import EVERYBODY, GROUPINGS, HR_SLN, LR_EITHER, cascade_rates, predictive_values

NAN = float("nan")
# group, sln, nsln; counted by hand below
ROWS = [
    ("LR-SLN", 1, NAN),
    ("LR-SLN", 1, 1),
    ("LR-SLN", 0, NAN),
    ("LR-SLN", NAN, NAN),
    ("HR-SLN/LR-NSLN", 1, 1),
    ("HR-SLN/LR-NSLN", 1, 0),
    ("HR-SLN/LR-NSLN", 0, 0),
    ("HR-SLN/HR-NSLN", 1, 1),
    ("HR-SLN/HR-NSLN", 1, 1),
    ("HR-SLN/HR-NSLN", 1, NAN),
    ("DEFER", 1, 1),
    ("DEFER", 0, NAN),
    ("DEFER", NAN, NAN),
]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = {"patient_id": [f"p{i // 2}" for i in range(len(ROWS))], "side": ["left", "right"] * 6 + ["left"]}
    decisions = pd.DataFrame({**keys, "risk_group": [row[0] for row in ROWS]})
    labels = pd.DataFrame({**keys, "sln": [row[1] for row in ROWS], "nsln": [row[2] for row in ROWS]})
    return decisions, labels.sample(frac=1, random_state=0)


def counts(estimate: dict[str, object]) -> tuple[object, object]:
    return estimate["events"], estimate["n"]


def test_rates_counted_by_hand() -> None:
    found = cascade_rates(*tables())
    assert counts(found["fnr_sln"]) == (2, 8)
    assert counts(found["fnr_nsln"]) == (2, 5)  # one lost at each stage
    assert counts(found["defer_rate"]) == (3, 13)
    assert counts(found["defer_rate_sln_positive"]) == (1, 8)
    assert counts(found["defer_rate_nsln_positive"]) == (1, 5)
    assert counts(found["verified_share"]) == (6, 8)
    assert found["groups"]["LR-SLN"] == {
        "n": 4,
        "sln_positive": 2,
        "sln_unknown": 1,
        "nsln_positive": 1,
        "nsln_unknown": 1,
    }
    assert list(found["groups"]) == [group.value for group in RiskGroup]


def test_defer_is_never_a_miss() -> None:
    decisions, labels = tables()
    found = cascade_rates(decisions.assign(risk_group="DEFER"), labels)
    assert (found["fnr_sln"]["value"], found["fnr_nsln"]["value"]) == (0.0, 0.0)
    assert found["defer_rate"]["value"] == 1.0
    assert found["groups"]["LR-SLN"]["n"] == 0


def test_unknown_is_never_a_negative() -> None:
    decisions, labels = tables()
    found = cascade_rates(decisions.assign(risk_group="LR-SLN"), labels.assign(sln=NAN, nsln=NAN))
    assert (found["fnr_sln"]["value"], found["fnr_sln"]["n"]) == (None, 0)
    assert found["groups"]["LR-SLN"]["sln_unknown"] == len(ROWS)
    assert endpoint_counts(labels) == {
        "sln": {"positive": 8, "negative": 3, "unknown": 2},
        "nsln": {"positive": 5, "negative": 1, "unknown": 2},
    }


def test_nullable_booleans_are_read_as_labels() -> None:
    decisions, labels = tables()
    nullable = labels.assign(
        **{name: labels[name].map({1.0: True, 0.0: False}).astype("boolean") for name in ("sln", "nsln")}
    )
    assert cascade_rates(decisions, nullable) == cascade_rates(decisions, labels)


def test_tables_that_do_not_match_are_refused() -> None:
    decisions, labels = tables()
    with pytest.raises(InputError, match=r"12 axillae in the decisions and 13 in the labels \(1 absent, 0 extra\)"):
        cascade_rates(decisions.head(12), labels)
    with pytest.raises(InputError, match="more than once in the labels"):
        cascade_rates(decisions, pd.concat([labels, labels.head(1)]))
    with pytest.raises(InputError, match="no column 'nsln'"):
        cascade_rates(decisions, labels.drop(columns="nsln"))
    with pytest.raises(InputError, match="label sln"):
        cascade_rates(decisions, labels.assign(sln=np.arange(len(labels))))


def reached() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The axillae above, two to a patient, with the stage that answered: deferred ones at either stage."""
    decisions, labels = tables()
    stage = ["sln" if row[0] == "LR-SLN" or place == 10 else "nsln" for place, row in enumerate(ROWS)]
    return decisions.assign(stage_reached=stage), labels


def test_predictive_values_counted_by_hand() -> None:
    found = predictive_values(*reached())["groups"]
    low = found["LR-SLN"]
    assert (low["n"], counts(low["sln"]["negative"]), counts(low["sln"]["positive"])) == (4, (1, 3), (2, 3))
    # The SLN-negative one is NSLN negative whether or not its NSLN status was written down.
    assert (counts(low["nsln"]["negative"]), low["nsln"]["unknown"]) == ((1, 2), 2)
    assert (counts(low["nsln"]["negative_least"]), counts(low["nsln"]["negative_most"])) == ((1, 3), (2, 3))
    assert counts(low["nsln"]["negative_sln_positive"]) == (0, 1)
    spared = found[LR_EITHER]
    assert (spared["n"], counts(spared["nsln"]["negative"]), counts(spared["nsln"]["positive"])) == (7, (3, 5), (2, 5))
    assert (counts(spared["nsln"]["negative_least"]), counts(spared["nsln"]["negative_most"])) == ((3, 6), (4, 6))
    assert counts(spared["nsln"]["negative_sln_positive"]) == (1, 3)
    assert counts(found[HR_SLN]["sln"]["positive"]) == (5, 6)
    assert counts(found["HR-SLN/HR-NSLN"]["nsln"]["positive"]) == (2, 2)
    assert counts(found[EVERYBODY]["sln"]["positive"]) == (8, 11)


def test_groups_add_up_to_all_axillae() -> None:
    found = predictive_values(*reached())
    assert list(found["groups"]) == list(GROUPINGS)
    for stage, kind in (("sln", "negative"), ("sln", "positive"), ("nsln", "negative"), ("nsln", "negative_most")):
        parts = [counts(found["groups"][str(group)][stage][kind]) for group in RiskGroup]
        assert tuple(map(sum, zip(*parts, strict=True))) == counts(found["groups"][EVERYBODY][stage][kind])
    assert found["stage_reached"] == {
        "LR-SLN": {"sln": 4, "nsln": 0},
        "HR-SLN/LR-NSLN": {"sln": 0, "nsln": 3},
        "HR-SLN/HR-NSLN": {"sln": 0, "nsln": 3},
        "DEFER": {"sln": 1, "nsln": 2},
    }


def test_a_group_of_nobody_and_of_nobody_known_predicts_nothing() -> None:
    decisions, labels = reached()
    found = predictive_values(decisions.assign(risk_group="DEFER"), labels.assign(sln=NAN))
    for name in GROUPINGS:
        entry = found["groups"][name]
        assert (entry["sln"]["negative"]["value"], entry["nsln"]["negative_most"]["value"]) == (None, None)
    assert found["groups"]["DEFER"]["sln"]["unknown"] == len(ROWS)
    assert found["groups"]["LR-SLN"]["n"] == 0


def test_predictive_values_without_a_stage_or_a_group_are_refused() -> None:
    with pytest.raises(InputError, match="no column 'stage_reached'"):
        predictive_values(*tables())
    decisions, labels = reached()
    for word in ("low", None):
        wrong = decisions["risk_group"].where(decisions["risk_group"] != "DEFER", word)
        with pytest.raises(InputError, match=r"3 of 13 decisions are in none"):
            predictive_values(decisions.assign(risk_group=wrong), labels)
