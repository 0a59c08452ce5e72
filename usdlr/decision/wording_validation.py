"""The sentences of an external validation. None claims more than its interval allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from usdlr.core.types import Stage
from usdlr.decision.wording import DISSECTED, rate_sentence


class Standing(StrEnum):
    """What a validation says of a target."""

    HELD = "held"
    BROKEN = "broken"
    UNDETERMINED = "undetermined"


def verdict_sentence(
    stage: Stage,
    standing: Standing,
    *,
    alpha: float,
    misses: int,
    positives: int,
    low: float | None,
    high: float | None,
    further_clean: int | None = None,
    further_same: int | None = None,
    towards: Standing | None = None,
    known_nsln: str = DISSECTED,
) -> str:
    """The verdict on one target in plain words, with what would settle it.

    Parameters
    ----------
    stage : Stage
        Whose positives.
    standing : Standing
        The verdict.
    alpha : float
        The target.
    misses, positives : int
        Missed, and of how many.
    low, high : float or None
        Ends of the 95 % interval, as rates.
    further_clean, further_same : int or None
        Further positives that would settle it: without a miss, and at the observed rate.
    towards : Standing or None
        What it would then be, at the observed rate.
    known_nsln : str
        Among whom the NSLN status is known.

    Examples
    --------
    >>> verdict_sentence(Stage.SLN, Standing.HELD, alpha=0.1, misses=0, positives=36, low=0.0, high=0.0974)
    'SLN target of 10 % held: 0 of 36 SLN-positive axillae missed, 0.0 % (95 % interval 0.0 to 9.8 %).'
    """
    among = f" ({known_nsln})" if stage is Stage.NSLN else ""
    name, target = stage.upper(), f"{100 * alpha:g} %"
    start = f"{name} target of {target} {standing}"
    if positives == 0:
        needed = f"; at least {further_clean} positives without a miss would be needed" if further_clean else ""
        return f"{start}: no {name}-positive axilla{among} is known, so nothing can be said{needed}."
    told = rate_sentence(misses, positives, low, high, what=f"{name}-positive axillae{among} missed").rstrip(".")
    if standing is not Standing.UNDETERMINED:
        return f"{start}: {told}."
    needs = []
    if further_clean is not None:
        needs.append(f"held after {_positives(further_clean)} without a miss")
    if (
        further_same is not None
        and towards is not None
        and (towards is not Standing.HELD or further_same != further_clean)
    ):
        needs.append(f"{towards} after {further_same} at the observed rate")
    rest = (
        f" It would be {', or '.join(needs)}." if needs else " The rate is too near to the target to be told from it."
    )
    return f"{start}: {told}; the interval lies on both sides of the target.{rest}"


def _positives(number: int) -> str:
    return f"{number} further positive{'' if number == 1 else 's'}"


def void_statement(void: Sequence[str], reached: Sequence[str], *, certified: bool) -> str:
    """Whom the contract of the bundle reaches.

    Parameters
    ----------
    void : sequence of str
        Centres at which it is void.
    reached : sequence of str
        Centres that the plan names as those of the development.
    certified : bool
        Whether there was a certificate at all.

    Examples
    --------
    >>> void_statement(["east"], [], certified=True)[:54]
    'The false-negative contract of the bundle is void for '
    """
    if not certified:
        return (
            "The bundle carries no certified false-negative contract, here as little as elsewhere: its thresholds are "
            "judged as they are, and nothing is promised to anybody."
        )
    lines = []
    if void:
        lines.append(
            f"The false-negative contract of the bundle is void for {', '.join(void)}: it speaks of patients "
            "like those that it was certified on. A verdict below says what the frozen thresholds did among these "
            "patients; it is no new contract."
        )
    if reached:
        lines.append(
            f"By the plan {', '.join(reached)} took part in the development: for later patients of the same kind the "
            "contract is in force, and the verdict says whether it was kept."
        )
    return " ".join(lines)


def target_statement(asked: Mapping[str, float], stated: Mapping[str, float]) -> str:
    """That the verdicts are about other targets than the contract; empty where they are the same.

    Parameters
    ----------
    asked, stated : mapping of str to float
        By stage, the rate of missed positives that the plan judges by, and the one that the contract was made for.

    Examples
    --------
    >>> target_statement({"sln": 0.05, "nsln": 0.1}, {"sln": 0.1, "nsln": 0.1})[:71]
    'The verdicts judge SLN 5 %; the thresholds were set for SLN 10 %: a cer'
    """
    other = [stage for stage in asked if abs(asked[stage] - stated[stage]) > 1e-12]
    if not other:
        return ""
    ours, theirs = (", ".join(f"{stage.upper()} {100 * of[stage]:g} %" for stage in other) for of in (asked, stated))
    return (
        f"The verdicts judge {ours}; the thresholds were set for {theirs}: a certificate of the bundle, and alpha in "
        "the figures, are about the latter alone."
    )


def seen_statement(seen: int) -> str:
    """That patients of the development were left out; empty where there was none.

    Examples
    --------
    >>> seen_statement(2)[:45]
    '2 patients were used to make the model: they '
    """
    if not seen:
        return ""
    who = f"{seen} patient{' was' if seen == 1 else 's were'}"
    return f"{who} used to make the model: they were found by their images, left out, and count nowhere on this page."


def lock_statement(hash_: str, amendments: int, *, apart: bool, late: int = 0) -> str:
    """That plan, bundle and patients were fixed, and what that shows.

    Parameters
    ----------
    hash_ : str
        First digits of the lock in force.
    amendments : int
        Locks after the first.
    apart : bool
        Whether it was locked by a command of its own, before this one.
    late : int
        Amendments made after outcomes had been opened.
    """
    if apart:
        start = f"Plan, bundle, patients and outcomes were locked beforehand (lock {hash_})"
    else:
        start = (
            f"Plan, bundle, patients and outcomes were locked by the same command that then read the outcomes (lock "
            f"{hash_}): this shows that nothing was exchanged on the way, not that nobody had looked before"
        )
    if not amendments:
        return f"{start}; there is no amendment."
    counted = f"{amendments} amendment{'' if amendments == 1 else 's'}"
    after = f", {late} of them after outcomes had been opened" if late else ", none after outcomes had been opened"
    return f"{start}; there {'is' if amendments == 1 else 'are'} {counted}{after}."


def centres_statement(name: str, centres: int, random: tuple[float, float, float] | None, *, digits: int = 2) -> str:
    """A pooled estimate in words; empty with fewer than two centres or no interval.

    Examples
    --------
    >>> centres_statement("AUC, SLN stage", 3, (0.71, 0.62, 0.79))
    'AUC, SLN stage, mean over 3 centres: 0.71 (95 % interval 0.62 to 0.79).'
    """
    if centres < 2 or random is None:
        return ""
    value, low, high = (f"{end:.{digits}f}" for end in random)
    return f"{name}, mean over {centres} centres: {value} (95 % interval {low} to {high})."


def hypothesis_sentence(name: str, low: float | None, high: float | None, bound: float) -> str:
    """Whether an estimate was shown to exceed what the plan asked for.

    Examples
    --------
    >>> hypothesis_sentence("AUC, SLN stage", 0.62, 0.79, 0.7)
    'AUC, SLN stage: not shown to exceed 0.7 (95 % interval 0.62 to 0.79).'
    """
    if low is None or high is None:
        return f"{name}: cannot be estimated, so it is not shown to exceed {bound:g}."
    ends = f"95 % interval {low:.2f} to {high:.2f}"
    if low > bound:
        return f"{name}: shown to exceed {bound:g} ({ends})."
    if high < bound:
        return f"{name}: lies below {bound:g} ({ends})."
    return f"{name}: not shown to exceed {bound:g} ({ends})."


def range_sentence(name: str, low: float | None, high: float | None, within: tuple[float, float]) -> str:
    """Whether an estimate was shown to lie in the range that the plan asked for.

    Examples
    --------
    >>> range_sentence("Calibration slope, SLN stage", 0.4, 0.7, (0.8, 1.2))
    'Calibration slope, SLN stage: lies outside 0.8 to 1.2 (95 % interval 0.40 to 0.70).'
    """
    span = f"{within[0]:g} to {within[1]:g}"
    if low is None or high is None:
        return f"{name}: cannot be estimated, so it is not shown to lie within {span}."
    ends = f"95 % interval {low:.2f} to {high:.2f}"
    if low >= within[0] and high <= within[1]:
        return f"{name}: shown to lie within {span} ({ends})."
    if high < within[0] or low > within[1]:
        return f"{name}: lies outside {span} ({ends})."
    return f"{name}: not shown to lie within {span} ({ends})."


def by_centre_sentence(stage: Stage, found: Sequence[Standing]) -> str:
    """How the verdicts on a target fall over centres.

    Examples
    --------
    >>> by_centre_sentence(Stage.SLN, [Standing.HELD, Standing.UNDETERMINED, Standing.HELD])
    'By centre, SLN: held at 2, undetermined at 1 of 3.'
    """
    parts = [f"{one} at {list(found).count(one)}" for one in Standing if one in found]
    return f"By centre, {stage.upper()}: {', '.join(parts)} of {len(found)}."


def size_sentence(stage: Stage, positives: int, needed: int | None, alpha: float, *, settled: bool = False) -> str:
    """Whether as many positives came as the plan wanted for a verdict.

    Examples
    --------
    >>> size_sentence(Stage.SLN, 40, 231, 0.1)[:52]
    'SLN: 40 positives came of the 231 that the plan aske'
    """
    name = stage.upper()
    if needed is None:
        return (
            f"{name}: {positives} positives came. The plan expects a rate that is not below {100 * alpha:g} %, so no "
            "number of them could show that the target is held."
        )
    if positives >= needed:
        return f"{name}: {positives} positives came, at least the {needed} that the plan asked for."
    if settled:
        return (
            f"{name}: {positives} positives came of the {needed} that the plan asked for; they settled it all the same."
        )
    return (
        f"{name}: {positives} positives came of the {needed} that the plan asked for; an undetermined verdict "
        "is then an ordinary outcome."
    )


def observed_expected_sentence(stage: Stage, positives: int, expected: float, n: int) -> str:
    """Calibration in the large in words, without an interpretation beyond the counts.

    Examples
    --------
    >>> observed_expected_sentence(Stage.SLN, 40, 25.2, 100)
    'SLN stage: 40 of 100 axillae are positive; the predicted risks add up to 25.2.'
    """
    return (
        f"{stage.upper()} stage: {positives} of {n} axillae are positive; the predicted risks add up to {expected:.1f}."
    )
