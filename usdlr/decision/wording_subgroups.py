"""Sentences on subgroups: which of them differ, which are too few, and what a difference does not say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import count, estimate_text, finite, level_text, p_words, percent, plural

LEVEL = 0.05  # of P after Holm's correction
MOST_TOLD = 6  # small subgroups named one by one
CAVEAT = (
    "Subgroups are exploratory: with so many comparisons some differ by chance (P values after Holm's correction allow "
    "for all of them), and wide intervals do not show that groups are alike."
)
UNDIVIDED = "Nothing is known of these axillae that would divide them."
OVERLAP = "Intervals that overlap do not show that groups are alike."
TITLES: Mapping[str, str] = {
    "centre_id": "Centre",
    "device": "Scanner",
    "density": "Breast density",
    "elastography": "Elastography",
}
_TESTED: Mapping[str, str] = {"fnr": "The false-negative rate", "auc": "The AUC", "calibration": "Calibration"}


def why_sentence(*, adjective: str, strata: bool) -> str:
    """What a difference between groups does not say, and to whom nothing is promised."""
    return (
        "A difference between groups does not say why: they differ in their patients, not only in how the model treats "
        f"them. The false-negative rates are those of the {adjective}cascade, at thresholds made for "
        f"{'the strata of the contract' if strata else 'all patients together'}; nothing is promised for a group "
        "unless the contract names it."
    )


def absent_sentence(columns: Sequence[str]) -> str:
    """Which divisions were not looked at; empty where none is missing."""
    if not columns:
        return ""
    names = ", ".join(TITLES.get(name, name.replace("_", " ")).lower() for name in columns)
    return f"Not looked at, for want of a column: {names}. How the model does there is not known."


def same_sentence(title: str, other: str) -> str:
    """Says that two variables divide the axillae alike, so that their tests are one.

    Examples
    --------
    >>> same_sentence("Scanner", "Centre")
    'Scanner divides these axillae as Centre does: their tests are one, and count once.'
    """
    return f"{title} divides these axillae as {other} does: their tests are one, and count once."


def levels_note(fewest: int, mark: str, stage: Stage, *, known_nsln: str) -> str:
    """What the table of levels marks and counts."""
    among = "" if stage is Stage.SLN else f"SLN-positive axillae, {known_nsln}. "
    return (
        f"{among}{mark} Fewer than {fewest} positive or {fewest} negative axillae. Missed, spared: by the cascade's "
        "answer; DEFER is neither."
    )


def tests_note(comparisons: int) -> str:
    """What the P values allow for, and who is left out of the tests."""
    return (
        f"Holm's correction allows for all {count(comparisons)} tests of both stages. Levels with few positive or "
        "negative axillae, and axillae of which the variable is not known, are left out."
    )


def unlike_sentence(stage: Stage, key: str, variable: Mapping[str, Any], *, known_nsln: str, adjective: str) -> str:
    """Says that a variable's levels were found to differ; empty where the test does not show it.

    Parameters
    ----------
    stage : Stage
        Which stage.
    key : str
        ``fnr``, ``auc`` or ``calibration``.
    variable : mapping
        ``title``, ``levels`` with their estimates, and ``tests`` with ``levels`` and ``p_holm``.
    known_nsln, adjective : str
        Among whom the NSLN status is known; ``"uncertified "`` or nothing.
    """
    test = (variable.get("tests") or {}).get(key) or {}
    p_holm = finite(test.get("p_holm"))
    if p_holm is None or p_holm >= LEVEL:
        return ""
    among = f" ({known_nsln})" if stage is Stage.NSLN else ""
    cascade = f"of the {adjective}cascade " if key == "fnr" else ""
    return (
        f"{_TESTED[key]} {cascade}at the {stage.upper()} stage{among} is not the same by {_name(variable['title'])}: "
        f"{_levels(variable['levels'], test['levels'], key)}; {p_words(p_holm)} after Holm's correction. The "
        "number for all axillae does not hold in each of these groups."
    )


def _levels(levels: Iterable[Mapping[str, Any]], tested: Collection[str], key: str) -> str:
    """The tested levels with their numbers, the largest first; the largest and the smallest of many."""
    of = "calibration_slope" if key == "calibration" else key
    chosen = sorted(
        (level for level in levels if level["level"] in tested), key=lambda level: -(finite(level[of]["value"]) or 0.0)
    )
    told = [_level(level, key) for level in chosen]
    if len(told) > 4:
        return f"from {told[0]} to {told[-1]}, among {count(len(told))} groups"
    return " against ".join(told)


def _level(level: Mapping[str, Any], key: str) -> str:
    at = level_text(level["level"])
    if key == "fnr":
        return f"{percent(level['fnr']['value'])} ({count(level['missed'])} of {count(level['positives'])}) at {at}"
    if key == "auc":
        return f"{estimate_text(level['auc'])} (n = {count(level['n'])}) at {at}"
    slope, shift = estimate_text(level["calibration_slope"]), estimate_text(level["calibration_intercept"])
    return f"slope {slope}, intercept {shift} (n = {count(level['n'])}) at {at}"


def small_sentence(stage: Stage, small: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Subgroups too small to judge; empty where there is none.

    Parameters
    ----------
    stage : Stage
        Which stage.
    small : sequence of (str, mapping)
        Title of the variable, and the level with ``level n positives``.
    """
    if not small:
        return ""
    told = [
        f"{title} {row['level']} (n = {count(row['n'])}, {count(row['positives'])} positive)" for title, row in small
    ]
    more = f" and {count(len(told) - MOST_TOLD)} more" if len(told) > MOST_TOLD else ""
    return (
        f"At the {stage.upper()} stage, {plural(len(told), 'subgroup')} with too few axillae of either status to "
        f"judge: {'; '.join(told[:MOST_TOLD])}{more}."
    )


def division_sentence(others: Sequence[str], n: int) -> str:
    """Says that centre and scanner or maker divide the axillae alike; empty where none does.

    Parameters
    ----------
    others : sequence of str
        What divides as the centre does, e.g. ``scanner``.
    n : int
        Axillae of which both are known.
    """
    if not others:
        return ""
    named = " and ".join(others)
    names = f"Centre, {named}" if len(others) > 1 else f"Centre and {named}"
    return (
        f"{names} divide the {count(n)} axillae of which they are known in the same way: what is said of a centre "
        f"cannot be told from what is said of its {named}."
    )


def _name(title: str) -> str:
    """A variable's title within a sentence; ``BI-RADS`` stays as it is."""
    return title if title[1:2].isupper() else f"{title[0].lower()}{title[1:]}"
