"""Whether the store says what its log says: the chain, every list that repeats it, and the guards in the database.

Compared with the log are all predictions, also those of earlier loads, what lists show of an axilla, which image a name
stands for, who has read what, every request with the event that it became, every account with its role, standing,
shown name, origin and stored password, and which answer an explanation is of. The triggers that guard the log are
compared with what the migrations make, in their bodies.

Not covered, since the log does not tell it: the words and pictures of an explanation (the bundle gives them anew), what
pages say of a model (loading the list writes it anew), where image files lie, sessions, counted sign-ins, and the
one-time code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from usdlr.review.acts import Act
from usdlr.review.store import schema
from usdlr.review.store.audit import Anchor, ChainReport, event_of, verify_on
from usdlr.review.store.compared import differing, kept
from usdlr.review.store.engine import Store
from usdlr.review.store.guards import wrong_guards
from usdlr.review.store.passwords import fingerprint
from usdlr.review.store.told import LOADED

_AT_ONCE = 250
_CHANGING = ("display", "role", "disabled", "secret")


@dataclass(frozen=True)
class StoreReport:
    """What a check of the whole store found.

    Parameters
    ----------
    chain : ChainReport
        Of the audit log.
    axillae : int
        That were compared with it.
    wrong : tuple of str
        A sentence for everything that differs from what the log tells.
    notes : tuple of str
        A sentence for everything that the log does not tell of, for it was written by an older version.
    """

    chain: ChainReport
    axillae: int
    wrong: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.chain.whole and not self.wrong


def check(store: Store, *, anchor: Anchor | None = None) -> StoreReport:
    """Compare everything with the audit log; see the module for what that is.

    Parameters
    ----------
    store : Store
        Which.
    anchor : Anchor, optional
        From an earlier export.
    """
    with store.reading() as connection:
        chain = verify_on(connection, anchor=anchor)
        tokens = connection.scalars(select(schema.axilla.c.token).order_by(schema.axilla.c.number)).all()
        notes: list[str] = []
        wrong = [*wrong_guards(connection), *_accounts(connection, notes), *_pairs(connection, set(tokens))]
        for start in range(0, len(tokens), _AT_ONCE):
            for one in kept(connection, tokens[start : start + _AT_ONCE]):
                wrong += differing(one)
    return StoreReport(chain, len(tokens), tuple(wrong), tuple(notes))


def _pairs(connection: Connection, tokens: set[str]) -> Iterator[str]:
    """Every act of a reader has its request, every axilla that was loaded is there, and the other way round."""
    place, log = schema.request, schema.event
    named = set(connection.scalars(select(place.c.number)))
    acts = set(connection.scalars(select(log.c.number).where(log.c.kind.in_([str(act) for act in Act]))))
    for number in sorted(named ^ acts):
        yield f"event {number} and the requests do not agree"
    loads = connection.execute(select(log.c.number, log.c.token).where(log.c.kind == LOADED).order_by(log.c.number))
    for number, token in loads:
        if token not in tokens:
            yield f"the axilla that event {number} loaded is gone"


def _accounts(connection: Connection, notes: list[str]) -> Iterator[str]:
    """Every account is what its events made of it; passwords that no event ever told of are noted."""
    log, place = schema.event, schema.account
    told: dict[str, dict[str, object]] = {}
    for row in connection.execute(select(log).where(log.c.kind == "account").order_by(log.c.number)):
        try:
            after = event_of(row._mapping).after
        except ValueError:
            yield f"event {row.number} cannot be read"
            continue
        name = str(after.get("name", ""))
        if after.get("made"):
            first = {"provider": after.get("provider"), "number": len(told) + 1, "disabled": False, "secret": _UNTOLD}
            told[name] = first | {"display": after.get("display"), "role": after.get("role")}
        elif name not in told:
            yield f"event {row.number} changes an account that none made"
            continue
        told[name] |= {field: after[field] for field in _CHANGING if field in after}
    rows = {str(row.name): row for row in connection.execute(select(place).order_by(place.c.id))}
    for name in told.keys() - rows.keys():
        yield f"account {told[name]['number']} is gone, or has another name"
    for name, row in rows.items():
        wanted = told.get(name)
        if wanted is None:
            yield f"account {row.id} was made by nobody that the log knows"
            continue
        secret = None if row.password is None else fingerprint(row.password)
        held = {field: row._mapping[field] for field in ("display", "role", "provider", "disabled")}
        held |= {"number": row.id, "secret": secret}
        # Until passwords stood in the log, a local account was made without a word of one.
        if wanted["secret"] is _UNTOLD:
            wanted["secret"] = None
            if row.provider == wanted["provider"] == "" and secret is not None:
                notes.append(f"the log does not tell the password of account {row.id}, an older version set it")
                wanted["secret"] = secret
        for field in sorted(field for field, value in held.items() if wanted[field] != value):
            yield f"account {row.id} has another {_WORDS.get(field, field)} than the log tells"
        if row.subject != name.removeprefix(f"{row.provider}:"):
            yield f"account {row.id} has another name at the hospital's sign-in than the log tells"


_UNTOLD = object()
_WORDS = {"disabled": "standing", "secret": "password"}
