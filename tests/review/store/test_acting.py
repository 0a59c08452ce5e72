"""What readers do: recorded once, in one transaction, and never over somebody else's word."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.review.store.made import (
    SQUARE,
    answered,
    axilla_record,
    key,
    people,
    wish,
)
from usdlr.core.errors import DataError, InputError
from usdlr.core.types import MaskSource, RiskGroup
from usdlr.review.acts import Account, Act, Action, Opinion, Reading, Role, Status
from usdlr.review.records import AxillaRecord
from usdlr.review.store.accounts import disable
from usdlr.review.store.acting import Conflict, Done, Repeated, act
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.reading import (
    axilla,
    explanation,
    image,
    picture,
    put_explanation,
    state,
    without_explanation,
)
from usdlr.review.store.worklist import WorklistQuery, worklist

HIGH = RiskGroup.HR_SLN_LR_NSLN


@pytest.fixture
def record(store: Store) -> AxillaRecord:
    made = axilla_record()
    load_axillae(store, [made])
    return made


@pytest.fixture
def readers(store: Store, record: AxillaRecord) -> list[Account]:
    return people(store, "anna", "bert", "clara", "dora")


class Reader:
    """One reader who always looks before acting."""

    def __init__(self, store: Store, record: AxillaRecord, account: Account) -> None:
        self.store, self.record, self.account = store, record, account

    def does(self, kind: Act, *, reading: Reading = Reading.OPEN, **more: Any) -> Status:
        seen = state(self.store, self.record.token).version
        if kind in (Act.CONTOUR, Act.CONFIRM):
            more.setdefault("image", self.record.images[0].token)
        if kind is Act.IMAGES:
            more.setdefault("used", (self.record.images[0].token,))
        done = act(self.store, wish(kind, self.record.token, seen, **more), self.account, reading=reading)
        assert isinstance(done, Done)
        assert done.state == state(self.store, self.record.token)
        (row,) = (one for one in worklist(self.store, WorklistQuery()).rows if one.token == self.record.token)
        assert (row.status, row.assigned) == (done.state.status, done.state.assigned)
        return done.state.status


@pytest.fixture
def team(store: Store, record: AxillaRecord, readers: list[Account]) -> list[Reader]:
    return [Reader(store, record, account) for account in readers]


def test_a_reading_from_unread_to_reviewed(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna = team[0]
    assert state(store, record.token).status is Status.UNREAD
    for kind in (Act.COMMENT, Act.OPINION, Act.CONFIRM, Act.CONTOUR, Act.IMAGES):
        assert anna.does(kind) is Status.STARTED
    assert anna.does(Act.ACCEPT) is Status.REVIEWED
    found = state(store, record.token)
    assert found.version == 7
    assert found.outlines == {record.images[0].token: SQUARE}
    assert found.used == (record.images[0].token,)
    assert found.answer == answered(p_sln=0.13)
    (verdict,) = found.verdicts
    assert (verdict.account, verdict.display, verdict.act, verdict.group) == (
        "anna",
        "Dr Anna",
        Act.ACCEPT,
        RiskGroup.LR_SLN,
    )
    kinds = [event.kind for event in events(store, token=record.token)]
    assert kinds == ["loaded", "comment", "opinion", "confirm", "contour", "images", "accept"]
    assert check(store).whole


def test_second_reader_agrees_differs_changes_the_mind(team: list[Reader]) -> None:
    anna, bert, _, _ = team
    assert anna.does(Act.ACCEPT) is Status.REVIEWED
    assert bert.does(Act.ACCEPT) is Status.REVIEWED
    assert bert.does(Act.MODIFY) is Status.DISAGREED
    assert anna.does(Act.MODIFY) is Status.REVIEWED
    assert bert.does(Act.REJECT) is Status.DISAGREED
    assert anna.does(Act.REJECT) is Status.REVIEWED


def test_adjudication_by_a_third_reader_only(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna, bert, clara, dora = team
    with pytest.raises(InputError, match="no disagreement"):
        clara.does(Act.ADJUDICATE)
    anna.does(Act.ACCEPT)
    bert.does(Act.MODIFY)
    with pytest.raises(InputError, match="third reader"):
        bert.does(Act.ADJUDICATE)
    assert clara.does(Act.ADJUDICATE) is Status.ADJUDICATED
    found = state(store, record.token).verdicts[-1]
    assert (found.act, found.group) == (Act.ADJUDICATE, RiskGroup.HR_SLN_HR_NSLN)
    with pytest.raises(InputError, match="no disagreement"):
        dora.does(Act.ADJUDICATE)
    assert clara.does(Act.ADJUDICATE, opinion=Opinion(HIGH, 0.5)) is Status.ADJUDICATED
    assert bert.does(Act.MODIFY) is Status.ADJUDICATED
    assert anna.does(Act.ACCEPT) is Status.DISAGREED
    assert dora.does(Act.ADJUDICATE) is Status.ADJUDICATED
    assert len(state(store, record.token).verdicts) == 4


def test_deferral_lasts_until_the_colleague_answers(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna, bert, clara, _ = team
    assert anna.does(Act.DEFER, colleague="bert") is Status.DEFERRED
    assert state(store, record.token).assigned == "bert"
    assert clara.does(Act.ACCEPT) is Status.DEFERRED
    assert bert.does(Act.COMMENT) is Status.DEFERRED
    assert bert.does(Act.MODIFY) is Status.DISAGREED
    assert anna.does(Act.DEFER) is Status.DEFERRED
    assert state(store, record.token).assigned == ""
    assert anna.does(Act.ADJUDICATE) is Status.ADJUDICATED


def test_another_group_by_a_redrawn_contour_asks_for_new_verdicts(
    store: Store, record: AxillaRecord, team: list[Reader]
) -> None:
    anna, bert, _, _ = team
    anna.does(Act.ACCEPT)
    assert bert.does(Act.CONTOUR) is Status.REVIEWED
    assert bert.does(Act.CONTOUR, answer=answered(HIGH, 0.4)) is Status.STARTED
    found = state(store, record.token)
    assert [verdict.group for verdict in found.verdicts] == [RiskGroup.LR_SLN]
    assert bert.does(Act.ACCEPT) is Status.REVIEWED
    assert anna.does(Act.REJECT) is Status.DISAGREED
    row = worklist(store, WorklistQuery()).rows[0]
    assert (row.group, row.p_sln) == (HIGH, 0.4)
    assert check(store).whole


def test_same_request_twice_is_recorded_once(store: Store, record: AxillaRecord, readers: list[Account]) -> None:
    wanted = wish(Act.ACCEPT, record.token, 1)
    first = act(store, wanted, readers[0])
    assert isinstance(first, Done)
    assert act(store, wanted, readers[0]) == Repeated(first.number)
    other = Action(Act.COMMENT, record.token, 2, wanted.key, reason="Something else.")
    with pytest.raises(InputError, match="another request"):
        act(store, other, readers[0])
    with pytest.raises(InputError, match="another request"):
        act(store, wanted, readers[1])
    assert [event.kind for event in events(store, token=record.token)] == ["loaded", "accept"]


def test_who_was_slower_is_told_who_and_when(store: Store, record: AxillaRecord, readers: list[Account]) -> None:
    assert isinstance(act(store, wish(Act.ACCEPT, record.token, 1), readers[0]), Done)
    late = wish(Act.REJECT, record.token, 1)
    found = act(store, late, readers[1])
    assert isinstance(found, Conflict)
    assert (found.by, found.kind, found.version) == ("Dr Anna", "accept", 2)
    assert found.at == events(store, token=record.token)[-1].at
    assert state(store, record.token).version == 2
    again = act(store, wish(Act.REJECT, record.token, 2, key=late.key), readers[1])
    assert isinstance(again, Done)


def test_many_at_once_one_wins_each_round(store: Store, record: AxillaRecord, readers: list[Account]) -> None:
    results: list[Any] = []

    def work(account: Account) -> None:
        for _ in range(5):
            seen = state(store, record.token).version
            wanted = wish(Act.COMMENT, record.token, seen)
            results.append(act(store, wanted, account))
            results.append(act(store, wanted, account))

    threads = [threading.Thread(target=work, args=(account,)) for account in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [found for found in results if isinstance(found, Done)]
    assert len(results) == 40
    assert len(done) == len(events(store, token=record.token)) - 1
    assert len({found.number for found in done}) == len(done)
    assert check(store).whole


def test_hidden_reading_needs_an_own_opinion_first(team: list[Reader]) -> None:
    anna, bert = team[:2]
    for kind in (Act.ACCEPT, Act.REJECT, Act.MODIFY):
        with pytest.raises(InputError, match="own reading first"):
            anna.does(kind, reading=Reading.HIDDEN)
    anna.does(Act.OPINION, reading=Reading.HIDDEN)
    with pytest.raises(InputError, match="own reading first"):
        bert.does(Act.ACCEPT, reading=Reading.HIDDEN)
    assert anna.does(Act.ACCEPT, reading=Reading.HIDDEN) is Status.REVIEWED


def test_who_may_not_cannot(store: Store, record: AxillaRecord, readers: list[Account]) -> None:
    viewer = people(store, "vera", role=Role.VIEWER)[0]
    wanted = wish(Act.ACCEPT, record.token, 1)
    with pytest.raises(InputError, match="viewer"):
        act(store, wanted, viewer)
    with pytest.raises(InputError, match="viewer"):
        act(store, wanted, Account(viewer.id, viewer.name, viewer.display, Role.ADMINISTRATOR))
    people(store, "root", role=Role.ADMINISTRATOR)
    disable(store, readers[0], by=None)
    with pytest.raises(InputError, match="closed"):
        act(store, wanted, readers[0])
    with pytest.raises(InputError, match="colleague"):
        act(store, wish(Act.DEFER, record.token, 1, colleague="anna"), readers[1])
    with pytest.raises(InputError, match="colleague"):
        act(store, wish(Act.DEFER, record.token, 1, colleague="vera"), readers[1])
    with pytest.raises(InputError, match="yourself"):
        act(store, wish(Act.DEFER, record.token, 1, colleague="bert"), readers[1])
    assert state(store, record.token).version == 1


@pytest.mark.parametrize(
    ("kind", "more", "match"),
    [
        (Act.REJECT, {"reason": " \n"}, "no reason"),
        (Act.COMMENT, {"reason": ""}, "no reason"),
        (Act.COMMENT, {"reason": "x" * 4001}, "4001"),
        (Act.OPINION, {"opinion": None}, "no opinion"),
        (Act.OPINION, {"opinion": Opinion(HIGH, 1.2)}, "outside"),
        (Act.OPINION, {"opinion": Opinion(HIGH, float("nan"))}, "outside"),
        (Act.MODIFY, {"opinion": Opinion(RiskGroup.LR_SLN)}, "model's own"),
        (Act.CONTOUR, {"image": "elsewhere"}, "another axilla"),
        (Act.CONTOUR, {"outlines": ()}, "no outlines"),
        (Act.CONTOUR, {"outlines": (((1.0, 1.0), (2.0, 2.0)),)}, "fewer than three"),
        (Act.CONTOUR, {"outlines": (((1.0, 1.0), (2.0, 2.0), (float("inf"), 1.0)),)}, "nowhere"),
        (Act.IMAGES, {"used": ("elsewhere",)}, "another axilla"),
        (Act.IMAGES, {"used": ()}, "no used"),
        (Act.ACCEPT, {"answer": answered()}, "'answer'"),
        (Act.ACCEPT, {"key": "short"}, "proper name"),
        (Act.ACCEPT, {"token": "nobody"}, "no axilla"),
    ],
)
def test_incomplete_requests_are_refused(
    store: Store, record: AxillaRecord, readers: list[Account], kind: Act, more: dict[str, Any], match: str
) -> None:
    more = ({"image": record.images[0].token} if kind is Act.CONTOUR else {}) | more
    wanted = wish(kind, more.pop("token", record.token), 1, **more)
    with pytest.raises(InputError, match=match):
        act(store, wanted, readers[0])
    assert len(events(store, token=record.token)) == 1


def test_full_disk_records_nothing_and_the_retry_once(file_store: Store) -> None:
    record = axilla_record()
    load_axillae(file_store, [record])
    anna = people(file_store, "anna")[0]
    path = str(file_store.path)
    with sqlite3.connect(path) as plain:
        used = plain.execute("PRAGMA page_count").fetchone()[0]
    limits = [used + 1]

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count={limits[0]}")

    wanted = wish(Act.COMMENT, record.token, 1, reason="x" * 4000)
    for pages, full in ((used, True), (2**30, False)):
        limits[0] = pages
        with file_store.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            limit(raw)
        if full:
            failures = 0
            # Pages that earlier rows left free take a few comments before the file has to grow.
            for _ in range(20):
                seen = state(file_store, record.token).version
                wanted = wish(Act.COMMENT, record.token, seen, reason="x" * 4000)
                try:
                    act(file_store, wanted, anna)
                except DataError as error:
                    failures += "full" in str(error)
                    assert state(file_store, record.token).version == seen
                    break
            assert failures == 1
        else:
            done = act(file_store, wanted, anna)
            assert isinstance(done, Done)
            assert act(file_store, wanted, anna) == Repeated(done.number)
    assert check(file_store).whole


def test_explanations_belong_to_one_answer(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna = team[0]
    assert without_explanation(store, 5) == [record.token]
    assert put_explanation(store, record.token, {"blocks": [1.5, float("nan")]}, {"map.png": b"\x89PNG"}, seen=1)
    assert explanation(store, record.token) == {"blocks": [1.5, None]}
    assert picture(store, record.token, "map.png") == b"\x89PNG"
    assert picture(store, record.token, "other.png") is None
    assert without_explanation(store, 5) == []
    anna.does(Act.ACCEPT)
    assert explanation(store, record.token) is not None
    anna.does(Act.CONTOUR)
    assert explanation(store, record.token) is None
    assert picture(store, record.token, "map.png") is None
    assert not put_explanation(store, record.token, {}, {}, seen=2)
    assert without_explanation(store, 5) == [record.token]
    assert put_explanation(store, record.token, {}, {}, seen=3)


def test_axilla_and_images_by_token(store: Store, record: AxillaRecord) -> None:
    found = axilla(store, record.token)
    assert found is not None
    assert found.row == {"age_years": 57.0, "birads": None, "bmode_path": "images/1.png"}
    assert found.images == record.images
    shot = record.images[1]
    assert image(store, shot.token) == (shot, record.token)
    assert image(store, key()) is None
    assert axilla(store, key()) is None
    with pytest.raises(InputError, match="no axilla"):
        state(store, key())


def test_in_hidden_reading_nothing_shows_the_answer_before_the_own_opinion(team: list[Reader]) -> None:
    anna = team[0]
    for kind in (Act.CONTOUR, Act.IMAGES):
        with pytest.raises(InputError, match="own reading first"):
            anna.does(kind, reading=Reading.HIDDEN)


def test_a_verdict_on_an_earlier_answer_says_so(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna, bert = team[:2]
    anna.does(Act.ACCEPT)
    assert [one.earlier for one in state(store, record.token).verdicts] == [False]
    bert.does(Act.CONTOUR, answer=answered(p_sln=0.121))  # the group stays, the number does not
    bert.does(Act.ACCEPT)
    found = state(store, record.token)
    assert found.status is Status.REVIEWED
    assert {one.account: one.earlier for one in found.verdicts} == {"anna": True, bert.account.name: False}


def test_a_confirmation_is_of_the_contour_that_was_seen(store: Store, record: AxillaRecord, team: list[Reader]) -> None:
    anna, token = team[0], record.images[0].token
    anna.does(Act.CONFIRM)
    assert state(store, record.token).confirmed == (token,)
    anna.does(Act.CONTOUR)
    assert state(store, record.token).confirmed == ()
    anna.does(Act.CONFIRM)
    load_axillae(store, [replace(record, answer=answered(p_sln=0.4))])
    assert state(store, record.token).confirmed == ()


def test_a_request_sent_again_is_the_same_whatever_the_model_says_by_then(
    store: Store, record: AxillaRecord, team: list[Reader]
) -> None:
    anna, bert = team[:2]
    first = wish(Act.CONTOUR, record.token, 1, image=record.images[0].token)
    assert isinstance(act(store, first, anna.account), Done)
    bert.does(Act.CONTOUR, image=record.images[1].token)
    assert isinstance(act(store, replace(first, answer=answered(p_sln=0.15)), anna.account), Repeated)


@pytest.fixture
def by_software(store: Store, readers: list[Account]) -> Reader:
    made = axilla_record(2, mask_source=MaskSource.AUTOMATIC)
    load_axillae(store, [made])
    return Reader(store, made, readers[0])


@pytest.mark.parametrize("kind", [Act.ACCEPT, Act.MODIFY])
def test_no_verdict_rests_on_a_contour_at_which_nobody_has_looked(store: Store, by_software: Reader, kind: Act) -> None:
    token, images = by_software.record.token, by_software.record.images
    told = (
        r"found the contour of image {} drawn by software and confirmed by nobody, .* redraw it, or leave the image out"
    )
    account = by_software.account

    def refused(number: int) -> None:
        with pytest.raises(InputError, match=told.format(number)):
            act(store, wish(kind, token, state(store, token).version), account)

    refused(1)
    # What says nothing of the picture may be said.
    act(store, wish(Act.COMMENT, token, state(store, token).version), account)
    act(store, wish(Act.CONFIRM, token, state(store, token).version, image=images[0].token), account)
    refused(2)
    # Redrawn, it is a reader's.
    act(store, wish(Act.CONTOUR, token, state(store, token).version, image=images[1].token), account)
    done = act(store, wish(kind, token, state(store, token).version), account)
    assert isinstance(done, Done)
    assert done.state.status is Status.REVIEWED


def test_a_contour_by_software_that_is_left_out_needs_no_look(store: Store, by_software: Reader) -> None:
    token, images = by_software.record.token, by_software.record.images
    account = by_software.account
    act(store, wish(Act.CONFIRM, token, state(store, token).version, image=images[0].token), account)
    act(store, wish(Act.IMAGES, token, state(store, token).version, used=(images[0].token,)), account)
    assert isinstance(act(store, wish(Act.ACCEPT, token, state(store, token).version), account), Done)


def test_an_answer_on_such_a_contour_may_be_rejected(store: Store, by_software: Reader) -> None:
    token = by_software.record.token
    assert isinstance(act(store, wish(Act.REJECT, token, state(store, token).version), by_software.account), Done)


def test_an_adjudication_too_needs_every_contour_looked_at(
    store: Store, by_software: Reader, readers: list[Account]
) -> None:
    """An image that was left out, and comes back after the readers differed, has been seen by nobody."""
    anna, bert, clara = (Reader(store, by_software.record, account) for account in readers[:3])
    first, second = (image.token for image in by_software.record.images)
    anna.does(Act.CONFIRM, image=first)
    anna.does(Act.IMAGES, used=(first,))
    anna.does(Act.ACCEPT)
    assert bert.does(Act.REJECT) is Status.DISAGREED
    anna.does(Act.IMAGES, used=(first, second))
    with pytest.raises(InputError, match="found the contour of image 2 drawn by software and confirmed by nobody"):
        clara.does(Act.ADJUDICATE)
    clara.does(Act.CONFIRM, image=second)
    assert clara.does(Act.ADJUDICATE) is Status.ADJUDICATED
