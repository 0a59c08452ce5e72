"""U+0000 and halves of surrogate pairs, which PostgreSQL cannot hold: refused in words on both, or left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import argon2
import pytest
from sqlalchemy import select

from tests.review.store.made import PASSWORD, answered, axilla_record, model_record, people, wish
from tests.review.web.made import Browser
from usdlr.core.errors import InputError
from usdlr.review.acts import Account, Act, Role
from usdlr.review.records import AxillaRecord
from usdlr.review.settings import ReviewSettings
from usdlr.review.store import passwords, schema
from usdlr.review.store.accounts import (
    Refused,
    accounts,
    change_password,
    create_account,
    external_account,
    first_administrator,
    redeem,
    sign_in,
)
from usdlr.review.store.acting import Done, act
from usdlr.review.store.audit import events
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store
from usdlr.review.store.exports import write_exports
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.reading import axilla, image, load_model, state
from usdlr.review.store.worklist import WorklistQuery, worklist
from usdlr.review.web.app import create_app

BAD = ("\x00", "\ud800", "\udfff")
FINE = "Größe 5 µm 🙂 \u202e\u200b\ufeff\uffff\x0b\x1b\ttab"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def record(store: Store) -> AxillaRecord:
    found = axilla_record()
    load_model(store, model_record())
    load_axillae(store, [found])
    return found


@pytest.fixture
def anna(store: Store) -> Account:
    return people(store, "anna")[0]


@pytest.mark.parametrize("bad", BAD)
def test_requests_are_refused_in_words(store: Store, record: AxillaRecord, anna: Account, bad: str) -> None:
    before = len(events(store))
    token = record.token
    for action in (
        wish(Act.COMMENT, token, 1, reason=f"a{bad}b"),
        wish(Act.REJECT, token, 1, reason=bad),
        wish(Act.DEFER, token, 1, colleague=f"be{bad}rt"),
        wish(Act.CONFIRM, token, 1, image=bad),
        wish(Act.IMAGES, token, 1, used=(record.images[0].token, bad)),
        wish(Act.COMMENT, f"{token}{bad}", 1),
        wish(Act.COMMENT, token, 1, key=f"12345678{bad}"),
    ):
        with pytest.raises(InputError, match="cannot be stored"):
            act(store, action, anna)
    assert len(events(store)) == before
    assert check(store).whole


def test_all_other_text_is_kept_as_it_is(store: Store, record: AxillaRecord, anna: Account, tmp_path: Any) -> None:
    assert isinstance(act(store, wish(Act.COMMENT, record.token, 1, reason=FINE), anna), Done)
    assert events(store)[-1].after["reason"] == FINE
    assert check(store).whole
    assert write_exports(store, tmp_path / "out")


@pytest.mark.parametrize("bad", BAD)
def test_names_are_refused_and_shown_names_lose_it(store: Store, bad: str) -> None:
    for name in (f"an{bad}na", bad):
        with pytest.raises(InputError, match="cannot be used"):
            create_account(store, name, "Anna", Role.VIEWER, PASSWORD, by=None)
        with pytest.raises(InputError, match="cannot be printed"):
            external_account(store, name, "Anna", Role.VIEWER, provider="oidc")
        assert sign_in(store, name, PASSWORD, client=f"10.0.0.1{bad}") == Refused("The name or the password is wrong.")
    with pytest.raises(InputError, match="no name to show"):
        create_account(store, "anna", bad, Role.VIEWER, PASSWORD, by=None)
    first_administrator(store)
    with pytest.raises(InputError, match="code"):
        redeem(store, bad, "root", "Root", PASSWORD)
    assert accounts(store) == []
    made = create_account(store, "anna", f"Dr{bad}Anna", Role.VIEWER, f"good pass {bad} word", by=None)
    assert made.display == "Dr Anna"
    assert not isinstance(sign_in(store, "anna", f"good pass {bad} word", client="c"), Refused)
    change_password(store, made, f"another {bad} good one", old=f"good pass {bad} word", by=made)
    shown = external_account(store, "s", f"Dr{bad}Bert", Role.VIEWER, provider="oidc")
    assert external_account(store, "s", f"Dr{bad}Bert {bad}", Role.VIEWER, provider="oidc") == shown
    assert shown.display == "Dr Bert"
    assert check(store).whole


@pytest.mark.parametrize("bad", BAD)
def test_a_search_leaves_it_out(store: Store, record: AxillaRecord, bad: str) -> None:
    found = worklist(store, WorklistQuery(text=f"usd{bad}-0{bad}001{bad}"))
    assert [row.number for row in found.rows] == [1]
    assert worklist(store, WorklistQuery(text=bad)).total == 1
    with pytest.raises(InputError, match="cannot be stored"):
        worklist(store, WorklistQuery(assigned=f"an{bad}na"))


@pytest.mark.parametrize("bad", BAD)
def test_addresses_that_hold_it_are_nobodys(store: Store, record: AxillaRecord, bad: str) -> None:
    for ask in (axilla, image, state):
        with pytest.raises(InputError, match="cannot be stored"):
            ask(store, f"{record.token}{bad}")


LISTED: dict[str, Callable[[AxillaRecord, str], AxillaRecord]] = {
    "patient": lambda one, bad: replace(one, patient_id=f"USD{bad}"),
    "centre": lambda one, bad: replace(one, centre_id=f"Köln{bad}"),
    "image": lambda one, bad: replace(one, images=(replace(one.images[0], image_id=f"i{bad}"), one.images[1])),
    "view": lambda one, bad: replace(one, images=(replace(one.images[0], view=bad), one.images[1])),
    "clinical": lambda one, bad: replace(one, clinical=(("Age", f"57{bad}"),)),
    "warning": lambda one, bad: replace(one, answer=answered(warnings=(f"Another{bad} centre.",))),
    "row": lambda one, bad: replace(one, row={"device": f"x{bad}"}),
    "name in the row": lambda one, bad: replace(one, row={f"dev{bad}": 1}),
}


@pytest.mark.parametrize("bad", ["\x00", "\ud800"])
@pytest.mark.parametrize("where", sorted(LISTED))
def test_a_list_that_holds_it_is_refused(store: Store, where: str, bad: str) -> None:
    with pytest.raises(InputError, match=r"axilla 2.*mend the cases table"):
        load_axillae(store, [axilla_record(1), LISTED[where](axilla_record(2), bad)])
    with store.reading() as connection:
        assert connection.execute(select(schema.axilla)).all() == []


@pytest.mark.parametrize("bad", ["%00", "%ED%A0%80", "%00%ED%BF%BF"])
def test_forms_of_the_page_answer_calmly(store: Store, record: AxillaRecord, bad: str) -> None:
    """As a browser would send it, byte by byte; half a pair has no UTF-8, and becomes what stands for no character."""
    create_account(store, "boss", "Boss", Role.ADMINISTRATOR, PASSWORD, by=None)
    browser = Browser(create_app(store, settings=ReviewSettings(), live=None))
    headers = {"Origin": "http://127.0.0.1", "Content-Type": "application/x-www-form-urlencoded"}

    def send(path: str, csrf: str, body: str) -> Any:
        return browser.post(path, content=f"csrf={csrf}&{body}", headers=headers)

    sent = send("/sign-in", browser.token("/sign-in"), f"name=bo{bad}ss&password={PASSWORD}{bad}&target=/{bad}")
    assert sent.status_code == 401
    assert browser.sign_in("boss", PASSWORD).status_code == 303
    csrf = browser.token("/account")
    places = {
        f"/axillae/{record.token}/acts": f"act=comment&seen=1&key=12345678&reason=a{bad}b",
        "/worklist": f"text=usd{bad}-0001",
        "/admin/accounts": f"role=viewer&name=an{bad}na&display=An{bad}na&password={PASSWORD}{bad}",
        "/account/password": f"old={bad}&password=new good {bad} word&again=new good {bad} word",
    }
    answers = {path: send(path, csrf, body).status_code for path, body in places.items()}
    surrogate = bad == "%ED%A0%80"
    assert answers == {
        f"/axillae/{record.token}/acts": 303 if surrogate else 422,
        "/worklist": 303,
        "/admin/accounts": 422,
        "/account/password": 422,
    }
    # Words in JSON may hold half a pair; there are none among a contour's fields that are stored unseen.
    body = '{"seen": 1, "key": "12345678\\ud800", "outlines": [[[1, 1], [2, 2], [3, 1]]]}'
    told = browser.post(
        f"/axillae/{record.token}/contours/{record.images[0].token}",
        content=body,
        headers={"Origin": "http://127.0.0.1", "X-CSRF-Token": csrf, "Content-Type": "application/json"},
    )
    assert told.status_code == 422
    assert state(store, record.token).version == (2 if surrogate else 1)
    assert check(store).whole
