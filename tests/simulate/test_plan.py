"""Which image sets a cohort consists of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from usdlr.simulate.centres import CENTRES
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.plan import ExportFormat, Plan, plan_cohort
from usdlr.simulate.scenario import SCENARIOS


def planned(patients: int, **centre: float) -> Plan:
    north = replace(CENTRES["north"], **centre)  # type: ignore[arg-type]  # numbers of any field
    return plan_cohort(Path("out"), [north, CENTRES["south"]], patients, 4, SCENARIOS["default"], ExportFormat.PNG)


def test_patients_are_spread_evenly_and_their_images_are_named_in_order() -> None:
    plan = planned(5, second_view_rate=1.0, second_lesion_rate=1.0)
    assert plan.patients["centre_id"].value_counts().to_dict() == {"simulated-north": 3, "simulated-south": 2}
    first = [item for item in plan.image_sets if item.patient_id == "simulated-north-00001"]
    assert [item.image_id[-1] for item in first] == ["a", "b", "c", "d"]
    assert [item.lesion_id for item in first] == ["1", "1", "2", "2"]
    assert first[0].view == first[2].view != first[1].view == first[3].view
    assert [item.source_id for item in first[1:3]] == ["simulated-north-00001-b", "simulated-north-00001-c-2"]
    ids = [item.image_id for item in plan.image_sets]
    assert len(set(ids)) == len(ids)


def test_a_larger_cohort_has_the_image_sets_of_the_smaller_one() -> None:
    small = [item for item in planned(40).image_sets if item.centre.name == "south"]
    large = [item for item in planned(80).image_sets if item.centre.name == "south"]
    assert large[: len(small)] == small
    assert large[0].random("tissue").random() == small[0].random("tissue").random()


@pytest.mark.parametrize(("side", "outer"), [("left", 2), ("right", 10)])
def test_the_outer_upper_quadrant_lies_towards_the_arm(side: str, outer: int) -> None:
    """Seen from the front, the left breast's arm is on the viewer's right: two o'clock."""
    plan = planned(300)
    location = plan.patients.set_index("patient_id")["location"]
    hours = {
        item.clock_hour
        for item in plan.image_sets
        if item.side == side and item.lesion_id == "1" and location[item.patient_id] == "upper outer"
    }
    assert hours == {outer}
    assert {item.clock_hour for item in plan.image_sets if location[item.patient_id] == "central"} == {None}


def test_an_image_shows_the_whole_lesion_and_not_always_the_same_depth() -> None:
    plan = planned(200)
    for item in plan.image_sets:
        rows, cols = item.shape
        assert min(rows * item.spacing.row_mm, cols * item.spacing.col_mm) > item.latents["size_mm"] + 5
        assert item.shape == item.shape  # asked twice, drawn once
    shares = [item.shape[0] / item.centre.rows for item in plan.image_sets]
    assert max(shares) - min(shares) > 0.3
    assert set(plan.image_sets[0].latents) == set(LATENTS)
