"""What a reader's form asks to be recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping

from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Action, Opinion

FIELDS = ("act", "group", "p_sln", "p_nsln", "colleague", "image")
"""Fields of a form that are sent again after a conflict."""
_ACTS = (Act.OPINION, Act.ACCEPT, Act.REJECT, Act.MODIFY, Act.DEFER, Act.COMMENT, Act.CONFIRM, Act.ADJUDICATE)
_GROUPED = (Act.OPINION, Act.MODIFY, Act.ADJUDICATE)


def action_of(token: str, seen: int, key: str, reason: str, sent: Mapping[str, str]) -> Action:
    """The action that a form asks for.

    Parameters
    ----------
    token : str
        Of the axilla.
    seen : int
        Version that was on the screen.
    key : str
        Name of the request.
    reason : str
        In the reader's words.
    sent : mapping of str to str
        The form's :data:`FIELDS`; those that do not belong to its act are left out.

    Raises
    ------
    InputError
        If it asks for nothing that a form may ask for, or a probability or group is none.
    """
    if sent["act"] not in _ACTS:
        raise InputError(
            f"found the request {sent['act'][:20]!r}, expected one of the page's forms; open the page again"
        )
    act = Act(sent["act"])
    return Action(
        act,
        token,
        seen,
        key,
        reason=reason.replace("\r\n", "\n").strip(),
        opinion=_opinion(sent) if act in _GROUPED else None,
        colleague=sent.get("colleague", "") if act is Act.DEFER else "",
        image=sent.get("image", "") if act is Act.CONFIRM else "",
    )


def _opinion(sent: Mapping[str, str]) -> Opinion:
    group = sent.get("group", "")
    if group not in set(RiskGroup):
        raise InputError("found no risk group, expected one of the four; choose one")
    return Opinion(RiskGroup(group), probability_of(sent.get("p_sln", "")), probability_of(sent.get("p_nsln", "")))


def probability_of(text: str) -> float | None:
    """A probability that was typed in per cent; ``None`` for nothing.

    Parameters
    ----------
    text : str
        With a point or a comma.

    Raises
    ------
    InputError
        If it is no number from 0 to 100.

    Examples
    --------
    >>> probability_of("23,4"), probability_of(" 7 % "), probability_of("")
    (0.234, 0.07, None)
    """
    plain = text.strip().removesuffix("%").strip().replace(",", ".")
    if not plain:
        return None
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", plain, re.ASCII) or float(plain) > 100:
        raise InputError(f"found {text[:20]!r} as a probability, expected a number from 0 to 100; correct it")
    return round(float(plain) / 100, 10)
