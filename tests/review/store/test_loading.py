"""Lists are loaded once; another prediction opens the axilla again and loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.review.store.made import DIGEST, LATER, answered, axilla_record, many, model_record, people, wish
from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup, Side
from usdlr.review.acts import Act, Status
from usdlr.review.records import AxillaRecord
from usdlr.review.store.acting import Conflict, Done, act
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store
from usdlr.review.store.exports import reviews_table
from usdlr.review.store.loading import LoadReport
from usdlr.review.store.reading import axilla, load_axillae, load_model, models, state
from usdlr.review.store.worklist import WorklistQuery, worklist


def _anew(record: AxillaRecord) -> AxillaRecord:
    """As a second run of the program makes it: other tokens, another folder, the last digit of a number."""
    other = axilla_record(record.number, images=len(record.images))
    images = tuple(
        replace(one, token=new.token, root="/elsewhere") for one, new in zip(record.images, other.images, strict=True)
    )
    stages = tuple(replace(one, probability=one.probability + 4e-7) for one in record.answer.stages)
    return replace(record, token=other.token, images=images, answer=replace(record.answer, stages=stages))


def test_same_list_again_changes_nothing(store: Store) -> None:
    records = many(230)
    assert load_axillae(store, iter(records)) == LoadReport(new=230)
    rows = worklist(store, WorklistQuery(size=500)).rows
    assert load_axillae(store, [_anew(record) for record in records]) == LoadReport(kept=230)
    assert worklist(store, WorklistQuery(size=500)).rows == rows
    assert len(events(store, limit=1000)) == 230
    found = axilla(store, records[7].token)
    assert found is not None
    assert found.images[0].token == records[7].images[0].token
    assert found.images[0].root == "/elsewhere"
    assert found.answer == records[7].answer
    assert check(store).whole


def test_another_bundle_opens_again_and_keeps_the_log(store: Store) -> None:
    first, second = axilla_record(1), axilla_record(2)
    load_model(store, model_record())
    load_axillae(store, [first, second])
    anna = people(store, "anna")[0]
    assert isinstance(act(store, wish(Act.ACCEPT, first.token, 1), anna), Done)
    load_model(store, model_record(LATER))
    later = replace(_anew(first), digest=LATER, answer=answered(RiskGroup.HR_SLN_LR_NSLN, 0.3))
    report = load_axillae(store, [later, replace(_anew(second), digest=LATER)])
    assert report == LoadReport(renewed=2, reopened=1)
    found = state(store, first.token)
    assert (found.status, found.version, found.verdicts) == (Status.UNREAD, 3, ())
    assert found.answer.group is RiskGroup.HR_SLN_LR_NSLN
    late = act(store, wish(Act.ACCEPT, first.token, 2), anna)
    assert isinstance(late, Conflict)
    assert late.kind == "loaded"
    log = events(store, token=first.token)
    assert [(event.kind, event.digest) for event in log] == [("loaded", DIGEST), ("accept", DIGEST), ("loaded", LATER)]
    assert log[-1].before == {"digest": DIGEST, "group": "LR-SLN", "status": "reviewed"}
    table = reviews_table(store)
    assert table["current"].tolist() == [False, True, True]
    assert table["verdict"].tolist() == ["accept", "", ""]
    assert [model.digest for model in models(store)] == [LATER, DIGEST]
    assert check(store).whole


def test_numbers_stay_and_are_never_given_twice(store: Store) -> None:
    load_axillae(store, [axilla_record(1), axilla_record(2)])
    report = load_axillae(store, [axilla_record(1, patient_id="NEW-1"), axilla_record(5, patient_id="NEW-2")])
    assert report.new == 2
    rows = worklist(store, WorklistQuery()).rows
    assert [(row.number, row.patient_id) for row in rows] == [
        (1, "USD-0001"),
        (2, "USD-0002"),
        (3, "NEW-1"),
        (5, "NEW-2"),
    ]


def test_two_sides_of_a_patient_are_two_axillae(store: Store) -> None:
    left = axilla_record(1)
    right = replace(axilla_record(2, patient_id=left.patient_id), side=Side.RIGHT)
    assert load_axillae(store, [left, right]).new == 2
    assert worklist(store, WorklistQuery(text=left.patient_id)).total == 2


def test_lists_that_cannot_be_kept_are_refused_whole(store: Store) -> None:
    with pytest.raises(InputError, match="twice"):
        load_axillae(store, [axilla_record(1), axilla_record(1)])
    with pytest.raises(InputError, match="control character"):
        load_axillae(store, [axilla_record(1, patient_id="a\x00b")])
    broken = axilla_record(1, answer=answered(p_sln=float("nan")))
    with pytest.raises(InputError, match=r"axilla 1 .*finite"):
        load_axillae(store, [axilla_record(2), broken])
    assert worklist(store, WorklistQuery()).total == 0
