"""Numbers and states in words, in one place: pages, paper, DICOM objects and exports agree to the printed digit."""

from __future__ import annotations

import math
from collections.abc import Mapping

from usdlr.core.types import Stage
from usdlr.decision.explanation import StageExplanation
from usdlr.decision.wording import percent
from usdlr.decision.wording_explanation import threshold_words
from usdlr.review.acts import Act, Role, Status

_STATUS: Mapping[Status, str] = {
    Status.UNREAD: "Unread",
    Status.STARTED: "Started",
    Status.DEFERRED: "Deferred to a colleague",
    Status.REVIEWED: "Reviewed",
    Status.DISAGREED: "Readers disagree",
    Status.ADJUDICATED: "Adjudicated",
}
_ACTS: Mapping[Act, str] = {
    Act.OPINION: "Own opinion",
    Act.ACCEPT: "Accepted",
    Act.REJECT: "Rejected",
    Act.MODIFY: "Modified",
    Act.DEFER: "Deferred to a colleague",
    Act.COMMENT: "Comment",
    Act.CONTOUR: "Contour redrawn",
    Act.CONFIRM: "Automatic contour confirmed",
    Act.IMAGES: "Choice of images changed",
    Act.ADJUDICATE: "Adjudicated",
}
_ROLES: Mapping[Role, str] = {
    Role.VIEWER: "Viewer",
    Role.REVIEWER: "Reviewer",
    Role.ADMINISTRATOR: "Administrator",
}


def probability_text(probability: float) -> str:
    """A probability in per cent with one digit.

    Parameters
    ----------
    probability : float
        0 to 1.

    Examples
    --------
    >>> probability_text(0.2341), probability_text(1.0)
    ('23.4 %', '100.0 %')
    """
    return percent(probability)


def interval_text(low: float, high: float) -> str:
    """An interval of a probability in per cent, its ends rounded outward.

    Parameters
    ----------
    low, high : float
        Ends, 0 to 1.

    Examples
    --------
    >>> interval_text(0.1234, 0.4561), interval_text(0.07, 0.07)
    ('12.3 to 45.7 %', '7.0 to 7.0 %')
    """
    # Ten digits first: 0.07 * 1000 is 70.00000000000001 and must not become 7.1 %.
    ends = math.floor(round(1000 * low, 7)) / 10, math.ceil(round(1000 * high, 7)) / 10
    return f"{ends[0]:.1f} to {ends[1]:.1f} %"


def threshold_text(threshold: float, probability: float | None = None) -> str:
    """A threshold in per cent, with as many digits as it takes to lie on the side of the probability where it is.

    Parameters
    ----------
    threshold : float
        0 to 1.
    probability : float, optional
        What it is compared with; without it, one digit.

    Examples
    --------
    >>> threshold_text(0.1231), threshold_text(0.12314, 0.12310)
    ('12.3 %', '12.314 %')
    """
    if probability is None:
        return percent(threshold)
    same = (probability,) * 3
    return threshold_words(StageExplanation(Stage.SLN, *same, 0.0, 0.0, threshold, ()))


def mm_text(value: float) -> str:
    """A length in millimetres with one digit.

    Parameters
    ----------
    value : float
        Millimetres.

    Examples
    --------
    >>> mm_text(18.26)
    '18.3 mm'
    """
    return f"{value:.1f} mm"


def status_words(status: Status) -> str:
    """Where an axilla stands, for the worklist.

    Examples
    --------
    >>> status_words(Status.DISAGREED)
    'Readers disagree'
    """
    return _STATUS[status]


def act_words(act: Act) -> str:
    """What a reader did, for lists of events.

    Examples
    --------
    >>> act_words(Act.CONTOUR)
    'Contour redrawn'
    """
    return _ACTS[act]


def role_words(role: Role) -> str:
    """What an account may do, in a word.

    Examples
    --------
    >>> role_words(Role.ADMINISTRATOR)
    'Administrator'
    """
    return _ROLES[role]
