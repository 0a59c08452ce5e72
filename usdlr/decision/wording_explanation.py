"""What a clinician reads of an explanation: all of it speaks of the model, and claims no more than was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from usdlr.core.types import Stage
from usdlr.decision.explanation import (
    ABSENCE,
    BY_STRATUM,
    NO_ANSWER,
    NO_THRESHOLD,
    SIZE,
    UNKNOWN,
    UNREAD,
    Agreement,
    Change,
    FeatureTerm,
    Neighbour,
    StageExplanation,
)
from usdlr.decision.wording import P_NSLN, P_SLN, percent

ABOUT_THE_MODEL = (
    "This is about the model, not about the patient: one input is changed, the images and all others stay as they are."
)
NO_OTHER_GROUP = (
    "No single value would change the group: as long as the contract is uncertified, the answer is DEFER for everybody."
)
NOT_CAUSES = (
    "Shares say what the model's answer is made of. They are no causes, and a large share makes no answer right."
)
MAPS_SHOW = (
    "Vermillion raises the model's log-odds, blue lowers them; full colour is the same for all panels. A "
    "map is no finer than the network's last layer and does not outline disease."
)
STRANGE = "Unlike the patients that the model was made with: the answer may not hold for this patient."
SIZE_ALONE = "Tumour size alone"
SEEN = "This patient was used to make the model: the prediction proves nothing about it."
NOT_REACHED = "not reached"
GRAD_CAM_NOTE = (
    "Grad-CAM and occlusion are shown for comparison. Grad-CAM has no unit; occlusion is what the log-odds lose per "
    "mm² when a patch is hidden."
)
_LABELS: Mapping[Stage, str] = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}
VARIABLES: Final[Mapping[str, str]] = {
    "tumour_size_mm": "tumour size (mm)",
    "age_years": "age (years)",
    "birads": "BI-RADS category (rank, 2 to 5 as 0 to 5)",
    "cn_stage": "clinical nodal stage (rank, cN0 to cN3 as 0 to 3)",
    "grade_core_biopsy": "grade on core biopsy (1 to 3)",
    "days_us_to_surgery": "time from ultrasound to surgery (days)",
}
# Rank correlation below which the details of a map are said not to be borne out by occlusion.
WEAK: Final = 0.5
_UNSEARCHED: Mapping[str, str] = {
    NO_THRESHOLD: "the threshold is 0 %, below which no probability lies",
    BY_STRATUM: "the threshold itself depends on it",
    UNKNOWN: "its value is not known",
    UNREAD: "no plausible range is known for it",
    NO_ANSWER: "the patient gets no answer whatever its value",
}


def step_sentence(found: StageExplanation, *, reached: bool) -> str:
    """One step of the cascade: probability, interval, threshold and side; or that it was not reached.

    Examples
    --------
    >>> step = StageExplanation(Stage.SLN, 0.0899, 0.0389, 0.1943, -2.31, -0.9, 0.1231, ())
    >>> step_sentence(step, reached=True)
    'P(SLN positive | x) 9.0 % (90 % interval 3.8 to 19.5 %) is below its threshold of 12.3 %.'
    >>> step_sentence(step, reached=False)
    'P(SLN positive | x): not reached.'
    """
    label = _LABELS[found.stage]
    if not reached:
        return f"{label}: {NOT_REACHED}."
    side = "below" if found.probability < found.threshold else "at or above"
    return (
        f"{label} {percent(found.probability)} ({interval_words(found)}) is {side} its threshold of "
        f"{threshold_words(found)}."
    )


def interval_words(found: StageExplanation) -> str:
    """The interval of a probability, its ends rounded outward.

    Examples
    --------
    >>> interval_words(StageExplanation(Stage.SLN, 0.5, 0.3551, 0.6449, 0.0, 0.0, 0.2, ()))
    '90 % interval 35.5 to 64.5 %'
    """
    low, high = math.floor(round(1000 * found.low, 7)) / 10, math.ceil(round(1000 * found.high, 7)) / 10
    return f"90 % interval {low:.1f} to {high:.1f} %"


def threshold_words(found: StageExplanation) -> str:
    """The threshold, with as many digits as it takes to lie on the side of the probability where it is.

    Examples
    --------
    >>> threshold_words(StageExplanation(Stage.SLN, 0.12310, 0.1, 0.2, 0.0, 0.0, 0.12314, ()))
    '12.314 %'
    """
    return _apart(found.threshold, found.probability)


def leading_sentence(found: StageExplanation, words: str | None) -> str:
    """Which block carries the answer of a stage.

    Parameters
    ----------
    found : StageExplanation
        The stage.
    words : str or None
        Of the leading block; ``None``: none leads.

    Examples
    --------
    >>> from usdlr.decision.explanation import BlockShare
    >>> step = StageExplanation(Stage.SLN, 0.1, 0.0, 0.2, -2.0, -0.5, 0.1, (BlockShare("radiomics", -1.5),))
    >>> leading_sentence(step, "radiomics and size")
    'The largest part of it comes from radiomics and size (−1.50 of −1.50 in log-odds against the base value).'
    """
    if words is None or found.leading is None:
        return "No block moves the answer away from the base value in the direction in which it lies."
    share = next(one.adds for one in found.sources or found.blocks if one.name == found.leading)
    return (
        f"The largest part of it comes from {words} ({signed(share or 0.0)} of {signed(found.logit - found.base)} in "
        "log-odds against the base value)."
    )


def term_words(term: FeatureTerm) -> str:
    """One column of the table: its value, what is usual, and what it adds.

    Examples
    --------
    >>> term_words(FeatureTerm("clinical.tumour_size_mm", "tumour size (mm)", 10.16, 19.165, -0.5827))
    'tumour size (mm): 10.2, training mean 19.2; −0.58'
    >>> term_words(FeatureTerm("clinical.age_years", "age (years)", None, 55.6, 0.0))
    'age (years): not known, training median taken; 0.00'
    """
    value = (
        "not known, training median taken"
        if term.value is None
        else f"{number(term.value)}, training mean {number(term.usual)}"
    )
    return f"{term.words}: {value}; {signed(term.adds)}"


def change_sentence(found: Change, stage: StageExplanation, words: str) -> str:
    """What would take a stage's probability across its threshold in the model.

    Parameters
    ----------
    found : Change
        What was found.
    stage : StageExplanation
        The stage as it is.
    words : str
        The variable or the block.

    Examples
    --------
    >>> step = StageExplanation(Stage.SLN, 0.09, 0.04, 0.19, -2.3, -0.9, 0.123, ())
    >>> size = Change(SIZE, "tumour_size_mm", 10.16, 15.6, True, 0.1235, 2.0, 100.0, 0.1)
    >>> change_sentence(size, step, "tumour size (mm)")
    'With a stated tumour size of 15.6 mm instead of 10.2 mm, P(SLN positive | x) would be 12.35 %, at or above its ...'
    """
    label, other = _LABELS[stage.stage], "at or above" if stage.probability < stage.threshold else "below"
    if found.unsearched:
        return f"{_first(words)}: not searched, because {_UNSEARCHED[found.unsearched]}."
    if found.kind == ABSENCE:
        if found.probability is None or not found.crosses:
            return f"Without {words}, {label} would stay on the same side of its threshold."
        return f"Without {words}, {label} would be {_apart(found.probability, stage.threshold)}, {other} its threshold."
    name, unit = _unit(words)
    stated = f"stated {name}" if found.kind == SIZE else name
    if not found.crosses or found.needed is None or found.probability is None:
        return f"No {_range(found, words)} takes {label} across its threshold."
    was = "" if found.found is None else f" instead of {number(found.found)}{unit}"
    return (
        f"With a {stated} of {number(found.needed)}{unit}{was}, {label} would be "
        f"{_apart(found.probability, stage.threshold)}, {other} its threshold."
    )


def changes_lines(stage: StageExplanation, words: Mapping[str, str]) -> list[str]:
    """Every change of a stage in sentences; those that move nothing across are told in one.

    Parameters
    ----------
    stage : StageExplanation
        With its changes.
    words : mapping of str to str
        Of every variable and block.

    Examples
    --------
    >>> size = Change(SIZE, "tumour_size_mm", 10.2, low=2.0, high=100.0, step=0.5)
    >>> step = StageExplanation(Stage.SLN, 0.09, 0.04, 0.19, -2.3, -0.9, 0.123, (), changes=(size,))
    >>> changes_lines(step, {"tumour_size_mm": "tumour size (mm)"})
    ['No stated tumour size from 2 to 100 mm (steps of 0.5 mm) takes P(SLN positive | x) across its threshold.']
    """
    searched = [one for one in stage.changes if not one.unsearched]
    lines = [change_sentence(one, stage, words[one.name]) for one in searched if one.crosses]
    nothing = [f"no {_range(one, words[one.name])}" for one in searched if one.kind != ABSENCE and not one.crosses]
    absences = [one for one in searched if one.kind == ABSENCE]
    if absences and not all(one.crosses for one in absences):
        other = "other " if any(one.crosses for one in absences) else ""
        nothing.append(f"the absence of no {other}block")
    if nothing:
        told = nothing[0] if len(nothing) == 1 else f"{', '.join(nothing[:-1])} and {nothing[-1]}"
        lines.append(f"{_first(told)} takes {_LABELS[stage.stage]} across its threshold.")
    apart = [one for one in stage.changes if one.unsearched and one.kind != ABSENCE]
    return [*lines, *(change_sentence(one, stage, words[one.name]) for one in apart)]


def agreement_sentence(found: Sequence[Agreement]) -> str:
    """How far maps are borne out by occlusion, and what follows for reading them; empty where nothing was compared.

    Examples
    --------
    >>> one = Agreement(0, "bmode.intratumoral", "signed map", 0.2, 30)
    >>> agreement_sentence([one])
    'Signed map and occlusion rank patches alike by 0.20 (Spearman): its details are not borne out, do not rely on ...'
    """
    told = []
    for method in dict.fromkeys(one.method for one in found):
        values = [one.rank_correlation for one in found if one.method == method and one.rank_correlation is not None]
        if not values:
            continue
        low, high = min(values), max(values)
        span = (
            signed(low, plus=False) if len(values) == 1 else f"{signed(low, plus=False)} to {signed(high, plus=False)}"
        )
        weak = ": its details are not borne out, do not rely on them" if low < WEAK else ""
        told.append(f"{_first(method)} and occlusion rank patches alike by {span} (Spearman){weak}")
    return f"{'. '.join(told)}." if told else ""


def maps_sentence(added: float, whole: float) -> str:
    """How much of a stage's answer its images carry at all.

    Parameters
    ----------
    added : float
        What the image blocks add to the calibrated log-odds.
    whole : float
        The calibrated log-odds less the base value.

    Examples
    --------
    >>> maps_sentence(-0.05, -1.52)
    'All image blocks together add −0.05 to the log-odds, of −1.52 against the base value.'
    """
    return f"All image blocks together add {signed(added)} to the log-odds, of {signed(whole)} against the base value."


def comparator_words(probability: float | None, eligible: bool | None, after_surgery: Sequence[str]) -> str:
    """What a published score says, and what it read that is known only after surgery.

    Examples
    --------
    >>> comparator_words(0.414, None, ("lymphovascular_invasion",))
    '41.4 %, read with lymphovascular invasion, known only after surgery'
    >>> comparator_words(None, True, ())
    'applies'
    """
    said = percent(probability) if probability is not None else ("applies" if eligible else "does not apply")
    read = ", ".join(name.replace("_", " ") for name in after_surgery)
    return f"{said}, read with {read}, known only after surgery" if read else said


def size_alone_words(
    size_mm: float, said: Mapping[Stage, float], axillae: Mapping[Stage, int], *, beyond: Sequence[Stage] = ()
) -> str:
    """What a logistic curve of tumour size says where the model reads images too.

    Parameters
    ----------
    size_mm : float
        Of the largest lesion.
    said : mapping of Stage to float
        Probability by stage.
    axillae : mapping of Stage to int
        Training axillae behind each.
    beyond : sequence of Stage
        Those for which no training axilla was as small or as large.

    Examples
    --------
    >>> size_alone_words(23.0, {Stage.SLN: 0.412}, {Stage.SLN: 210})
    '23.0 mm: P(SLN positive) 41.2 % (logistic curve of 210 training axillae)'
    """
    names = {Stage.SLN: "P(SLN positive)", Stage.NSLN: "P(NSLN positive | SLN positive)"}
    far = " of other sizes" if beyond else ""
    parts = [
        f"{names[stage]} {percent(value)} (logistic curve of {axillae[stage]} training axillae"
        f"{far if stage in beyond else ''})"
        for stage, value in said.items()
    ]
    return f"{size_mm:.1f} mm: {', '.join(parts)}"


def neighbours_sentence(found: Sequence[Neighbour]) -> str:
    """What is known of the training axillae most alike; empty where there are none.

    Examples
    --------
    >>> neighbours_sentence([Neighbour(0.5, True, None), Neighbour(0.75, False, False)])[:88]
    'Of the 2 training axillae that the networks see most alike (distance 0.50 to 0.75; two d'
    """
    if not found:
        return ""
    known = [one.sln for one in found if one.sln is not None]
    behind = [one.nsln for one in found if one.sln and one.nsln is not None]
    positive = f"{sum(known)} of {len(known)} with known status were SLN positive"
    if behind:
        positive += f", {sum(behind)} of {len(behind)} of those with known NSLN status NSLN positive"
    return (
        f"Of the {len(found)} training axillae that the networks see most alike (distance {found[0].distance:.2f} to "
        f"{found[-1].distance:.2f}; two drawn at random are some 1.4 apart), {positive}. The networks learnt from "
        "these axillae: this is an illustration, no estimate."
    )


def variable_words(variable: str) -> str:
    """A pre-operative variable in words with its unit.

    Examples
    --------
    >>> variable_words("tumour_size_mm"), variable_words("another_one")
    ('tumour size (mm)', 'another one')
    """
    return VARIABLES.get(variable, variable.replace("_", " "))


def number(value: float) -> str:
    """A value with three digits at least, and no more than it needs.

    Examples
    --------
    >>> number(19.165), number(-100.0), number(0.063716), number(937252.79)
    ('19.2', '−100', '0.0637', '937,253')
    """
    if not math.isfinite(value):
        return str(value)
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "\N{MINUS SIGN}")


def signed(value: float, *, plus: bool = True) -> str:
    """A share in log-odds with its sign, two decimals.

    Examples
    --------
    >>> signed(-0.5827), signed(0.001), signed(0.25)
    ('−0.58', '0.00', '+0.25')
    """
    text = f"{value:+.2f}" if plus else f"{value:.2f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _apart(value: float, other: float) -> str:
    """A rate with as many digits as it takes to differ from another, if it does."""
    digits = 1
    while digits < 6 and value != other and percent(value, digits) == percent(other, digits):
        digits += 1
    return percent(value, digits)


def _first(words: str) -> str:
    return words[:1].upper() + words[1:]


def _range(found: Change, words: str) -> str:
    """What was tried of a variable."""
    name, unit = _unit(words)
    stated = f"stated {name}" if found.kind == SIZE else name
    span = f"{number(found.low or 0.0)} to {number(found.high or 0.0)}{unit}"
    return f"{stated} from {span} (steps of {number(found.step or 0.0)}{unit})"


def _unit(words: str) -> tuple[str, str]:
    """A variable's name, and its unit with a space before it, empty where it has none."""
    name, _, unit = words.removesuffix(")").rpartition(" (")
    return (name, f" {unit}") if unit in ("mm", "years", "days", "units") else (words, "")
