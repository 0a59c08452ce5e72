"""One stage's rows: who is judged, and whom the cascade misses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import InputError
from usdlr.core.types import Stage
from usdlr.evaluation.cascade import cascade_rates
from usdlr.evaluation.stage_rows import stage_rows

GROUPS = ["LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER", "LR-SLN", "LR-SLN"]
SLN = [1.0, 1.0, 1.0, 1.0, 0.0, np.nan]
NSLN = [1.0, 1.0, 0.0, np.nan, 0.0, np.nan]


def tables() -> dict[str, pd.DataFrame]:
    key = pd.DataFrame({"patient_id": list("abcdef"), "side": "left"})
    return {
        "predicted": key.assign(probability=[0.1, 0.5, 0.7, 0.9, 0.05, 0.2]),
        "labels": key.assign(sln=SLN, nsln=NSLN),
        "decisions": key.assign(risk_group=GROUPS),
        "axillae": key.assign(centre_id=list("xxyyxy"), tumour_size_mm=[10, 20, np.nan, 30, 5, 6], probability=9.0),
    }


def rows(stage: Stage, **change: pd.DataFrame) -> pd.DataFrame:
    parts = tables() | change
    return stage_rows(stage, parts["predicted"], parts["labels"], parts["decisions"], parts["axillae"])


def test_each_stage_holds_the_axillae_that_it_is_judged_on() -> None:
    sln, nsln = rows(Stage.SLN), rows(Stage.NSLN)
    assert sln["patient_id"].tolist() == list("abcde")
    assert sln["y"].tolist() == [1, 1, 1, 1, 0]
    assert sln["called"].tolist() == [0, 1, 1, 1, 0]
    # A negative sentinel node settles the others; without dissection their status is not known.
    assert nsln["patient_id"].tolist() == list("abc")
    assert nsln["called"].tolist() == [0, 0, 1]
    assert sln["probability"].tolist() == [0.1, 0.5, 0.7, 0.9, 0.05]
    assert sln["centre_id"].tolist() == list("xxyyx")
    assert np.isnan(sln["tumour_size_mm"].iloc[2])


@pytest.mark.parametrize("stage", list(Stage))
def test_the_missed_are_those_of_the_cascade(stage: Stage) -> None:
    parts = tables()
    positive = rows(stage)[lambda part: part["y"] == 1]
    rate = cascade_rates(parts["decisions"], parts["labels"])[f"fnr_{stage}"]
    assert (int((positive["called"] == 0).sum()), len(positive)) == (rate["events"], rate["n"])


def test_the_order_of_rows_and_further_axillae_change_nothing() -> None:
    parts = tables()
    more = pd.concat([parts["axillae"], parts["axillae"].iloc[:1].assign(patient_id="z")]).sample(
        frac=1, random_state=1
    )
    indexed = parts["predicted"].sample(frac=1, random_state=0).set_index(["patient_id", "side"])
    pd.testing.assert_frame_equal(rows(Stage.SLN, axillae=more, predicted=indexed), rows(Stage.SLN))


def test_nothing_known_of_the_axillae() -> None:
    assert list(rows(Stage.SLN, axillae=pd.DataFrame())) == ["patient_id", "side", "y", "probability", "called"]
    parts = tables()
    assert "called" not in stage_rows(Stage.SLN, parts["predicted"], parts["labels"])


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("axillae", lambda table: table.iloc[1:], "no description of 1 of 6"),
        ("axillae", lambda table: pd.concat([table, table.iloc[:1]]), "more than once"),
        ("labels", lambda table: table.iloc[1:], "expected the same ones"),
        ("decisions", lambda table: table.iloc[1:], "expected the same ones"),
        ("predicted", lambda table: table.drop(columns="probability"), "'probability'"),
        ("predicted", lambda table: table.drop(columns="side"), "'side'"),
    ],
)
def test_tables_that_do_not_fit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    with pytest.raises(InputError, match=words):
        rows(Stage.SLN, **{name: change(tables()[name])})
