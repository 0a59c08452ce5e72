"""The section on survival: how the patients of each risk group fared, and what cannot be concluded from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.evaluation.survival_summary import UNAVAILABLE
from usdlr.report.document import Block, Figure, PageTable, Prose, Section
from usdlr.report.figures_survival import log_rank_sentence, ratio_text, survival_found
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing
from usdlr.report.tables import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    finite,
    methods_of,
    number,
    plural,
    rate_text,
)

ANCHOR, WORD, TITLE = "survival", "Survival", "Disease-free survival"
FEWEST_AT_RISK = 5
SCORES: Mapping[str, str] = {"p_sln": P_SLN, "p_nsln": P_NSLN}


def survival_section(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section | None:
    """What became of the patients of each risk group; None where nobody's follow-up is known.

    Where it could not be worked out, the section says why.
    """
    told: Mapping[str, Any] | None = inputs.metrics.get("survival")
    if told is None:
        return None
    found = survival_found(inputs)
    if found is None:
        why = str(told.get(UNAVAILABLE) or "nobody's follow-up is known")
        lines = (f"Follow-up is in the tables, but survival was not worked out: {why}.",)
        return Section(ANCHOR, WORD, TITLE, (Prose(lines),))
    blocks: list[Block] = [Prose(tuple(_opening(inputs, found)))]
    if "survival" in figures:
        blocks.append(Figure(figures["survival"]))
    blocks.append(_groups_table(inputs, found))
    if "score" in found:
        blocks.append(_score_table(inputs, found))
    return Section(ANCHOR, WORD, TITLE, tuple(blocks))


def _opening(inputs: StudyInputs, found: Mapping[str, Any]) -> Iterator[str]:
    adjective = inputs.marks.adjective
    follow_up = found["follow_up"]
    median = (
        f"Median follow-up: {_months(follow_up)} (reverse Kaplan-Meier)"
        if finite(follow_up.get("value")) is not None
        else f"Median follow-up: {_why(follow_up)}"
    )
    unknown = (
        f" The follow-up of {plural(found['unknown'], 'further tested patient')} is not known; they are in no figure "
        "here, which is harmless only if that has nothing to do with how they fared."
        if found["unknown"]
        else ""
    )
    yield (
        f"{plural(found['patients'], 'patient')} with known follow-up, {plural(found['events'], 'event')} (return of "
        f"disease or death). {median}.{unknown} Time belongs to a patient: both sides count once, in the "
        f"{adjective}risk group of the worse one, and a deferred side stands between low and high risk."
    )
    yield (
        f"These curves do not show what the model would have changed. Surgery and treatment followed the nodes that "
        f"were found, as far as known, and not the model, so the {adjective}groups differ in treatment as well as in "
        "disease, and nothing causal follows. They show how patients fare whom the model puts apart, and nothing more."
    )
    yield log_rank_sentence(found["log_rank"], adjective) + _doubtful(inputs, found["hazards"])


def _doubtful(inputs: StudyInputs, hazards: Mapping[str, Any]) -> str:
    names = hazards["doubtful"]
    if not names:
        return ""
    p_values = ", ".join(f"p = {number(hazards['proportional_p'][name], 3)}" for name in names)
    return (
        f" The hazard ratio of the {inputs.marks.adjective}group {' and '.join(names)} changes over time (test of "
        f"scaled Schoenfeld residuals: {p_values}): one number does not describe it."
    )


def _groups_table(inputs: StudyInputs, found: Mapping[str, Any]) -> PageTable:
    hazards, groups = found["hazards"], found["groups"]
    times = list(next(iter(groups.values()))["survival"]) if groups else []
    rows, shown = [], []
    for name, entry in groups.items():
        ratio = hazards["ratios"].get(name)
        shares = [_given(entry["survival"][time], entry["at_risk"][time]) for time in times]
        shown += [*shares, entry["median"], *([ratio] if ratio is not None else [])]
        rows.append((
            name,
            count(entry["n"]),
            count(entry["events"]),
            *(rate_text(share) if finite(share.get("value")) is not None else _why(share) for share in shares),
            _months(entry["median"], unit=False) if finite(entry["median"].get("value")) is not None else "not reached",
            "1 (reference)" if name == hazards["reference"] else EN_DASH if ratio is None else ratio_text(ratio),
        ))  # fmt: skip
    undefined = [
        f"{name}: {str(ratio.get('method', '')).removeprefix('undefined: ')}"
        for name, ratio in hazards["ratios"].items()
        if finite(ratio.get("value")) is None
    ]
    return PageTable(
        inputs.marks.title(f"Survival of {plural(found['patients'], 'patient')} by risk group"),
        (
            "",
            "Patients",
            "Events",
            *(f"Free of disease at {time} months (95 % interval)" for time in times),
            "Median, months (95 % interval)",
            f"Hazard ratio to {hazards['reference']} (95 % interval)",
        ),
        tuple(rows),
        (
            f"{'; '.join(methods_of(shown)) or 'No estimate has a value'}.",
            f"Survival is given while at least {FEWEST_AT_RISK} patients are under observation.",
            f"{EN_DASH}: no ratio can be given" + (f" ({'; '.join(undefined)})." if undefined else "."),
        ),
    )


def _given(share: Estimate, at_risk: int) -> Estimate:
    """A share of survival; none where too few are still under observation for it to mean anything."""
    if at_risk >= FEWEST_AT_RISK:
        return share
    held = f"only {count(at_risk)}" if at_risk else "nobody"
    return {**share, "value": None, "low": None, "high": None, "method": f"undefined: {held} still at risk"}


def _score_table(inputs: StudyInputs, found: Mapping[str, Any]) -> PageTable:
    score = found["score"]
    name = SCORES.get(score["name"], score["name"])
    hazard = score["hazard"]["ratios"]["score"]
    rows = [
        (f"AUC by {time} months", estimate_text(auc), count(auc.get("events")), count(auc.get("n")))
        for time, auc in score["auc"].items()
    ]
    rows.append((
        "Hazard ratio per standard deviation",
        estimate_text(hazard),
        count(hazard.get("events")),
        count(hazard.get("n")),
    ))  # fmt: skip
    changes = score["hazard"]["doubtful"]
    return PageTable(
        inputs.marks.title(f"Survival against {name}"),
        ("", "Estimate (95 % interval)", "Events", "Patients"),
        tuple(rows),
        (
            f"{name}: the higher value of both sides, made for lymph nodes and not for survival. "
            f"{'; '.join(methods_of([*score['auc'].values(), hazard])) or 'No estimate has a value'}.",
            *(("The hazard ratio changes over time: one number does not describe it.",) if changes else ()),
        ),
    )


def _months(estimate: Estimate, *, unit: bool = True) -> str:
    low, high = finite(estimate.get("low")), finite(estimate.get("high"))
    ends = [EN_DASH if end is None else number(end, 1) for end in (low, high)]
    text = f"{number(float(estimate['value']), 1)}{' months' if unit else ''}"
    if low is None and high is None:
        return f"{text} (interval not estimable)"
    return f"{text} ({ends[0]} to {ends[1] if high is not None else 'beyond follow-up'})"


def _why(estimate: Estimate) -> str:
    return f"not estimable ({str(estimate.get('method', '')).removeprefix('undefined: ')})"
