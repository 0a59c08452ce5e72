"""What a request must hold before the axilla is even looked at."""

from __future__ import annotations

import math
import re

from usdlr.core.errors import InputError
from usdlr.review.acts import NEEDS_REASON, Act, Action, Opinion
from usdlr.review.store.plain import storable

LONGEST_REASON = 4000
MOST_POINTS = 100_000
_KEY = re.compile(r"[A-Za-z0-9_.:-]{8,128}")
_FIELDS: dict[Act, frozenset[str]] = {
    Act.OPINION: frozenset({"opinion"}),
    Act.ACCEPT: frozenset({"opinion"}),
    Act.REJECT: frozenset({"opinion"}),
    Act.MODIFY: frozenset({"opinion"}),
    Act.DEFER: frozenset({"colleague"}),
    Act.COMMENT: frozenset({"image"}),
    Act.CONTOUR: frozenset({"image", "outlines", "answer", "proposed"}),
    Act.CONFIRM: frozenset({"image"}),
    Act.IMAGES: frozenset({"used", "answer"}),
    Act.ADJUDICATE: frozenset({"opinion"}),
}
"""What may stand beside the reason."""
_NEEDED: dict[Act, frozenset[str]] = {
    **{act: _FIELDS[act] for act in (Act.OPINION, Act.MODIFY, Act.CONTOUR, Act.CONFIRM, Act.IMAGES, Act.ADJUDICATE)},
    Act.CONTOUR: _FIELDS[Act.CONTOUR] - {"proposed"},
}
_NAMES = ("opinion", "colleague", "image", "outlines", "used", "answer", "proposed")


def check(action: Action) -> None:
    """Refuse a request that lacks something, or holds what does not belong to it.

    Parameters
    ----------
    action : Action
        The request.

    Raises
    ------
    InputError
        Says what is missing or too much, for the reader.

    Examples
    --------
    >>> check(Action(Act.REJECT, "token", 1, "request-1"))
    Traceback (most recent call last):
    ...
    usdlr.core.errors.InputError: found no reason, expected one for 'reject'; write it in a few words
    """
    for text in (action.token, action.key, action.reason, action.colleague, action.image, *action.used):
        if not storable(text):
            raise InputError(
                "found a character that cannot be stored (U+0000, or half of one), expected text; type it anew instead "
                "of pasting it"
            )
    if not _KEY.fullmatch(action.key):
        raise InputError("found a request without a proper name, expected one of its own; open the page again")
    if (action.act in NEEDS_REASON or action.act is Act.COMMENT) and not action.reason.strip():
        raise InputError(f"found no reason, expected one for {str(action.act)!r}; write it in a few words")
    if len(action.reason) > LONGEST_REASON:
        raise InputError(
            f"found a text of {len(action.reason)} characters, expected at most {LONGEST_REASON}; shorten it"
        )
    given = {name for name in _NAMES if getattr(action, name)}
    lacking = sorted(_NEEDED.get(action.act, frozenset()) - given)
    if lacking:
        raise InputError(f"found no {lacking[0]}, expected one for {str(action.act)!r}; fill it in")
    strange = sorted(given - _FIELDS[action.act])
    if strange:
        raise InputError(f"found the field {strange[0]!r}, expected none for {str(action.act)!r}; leave it out")
    if action.opinion is not None:
        _opinion(action.opinion)
    _outlines(action)


def _opinion(opinion: Opinion) -> None:
    for value in (opinion.p_sln, opinion.p_nsln):
        if value is not None and not 0.0 <= value <= 1.0:
            raise InputError("found a probability outside 0 to 100 %, expected one inside; correct it")


def _outlines(action: Action) -> None:
    points = [point for outline in action.outlines for point in outline]
    if action.outlines and any(len(outline) < 3 for outline in action.outlines):
        raise InputError("found an outline of fewer than three points, expected an area; draw it again")
    if len(points) > MOST_POINTS:
        raise InputError(f"found {len(points)} points, expected at most {MOST_POINTS}; draw a simpler outline")
    if not all(math.isfinite(value) for point in points for value in point):
        raise InputError("found a point that is nowhere, expected pixels; draw it again")
