"""The section on survival: how the patients of each risk group fared, and what cannot be concluded from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.decision import wording_survival as words
from usdlr.decision.numbers import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    finite,
    methods_of,
    plural,
    rate_text,
)
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.evaluation.survival_summary import UNAVAILABLE
from usdlr.report.document import Block, Figure, PageTable, Prose, Section
from usdlr.report.figures_survival import ratio_text, survival_found
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing

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
        lines = (words.not_worked_out(why),)
        return Section(ANCHOR, WORD, TITLE, (Prose(lines),))
    blocks: list[Block] = [Prose(tuple(_opening(inputs, found)))]
    if "survival" in figures:
        blocks.append(Figure(figures["survival"]))
    blocks.append(_groups_table(inputs, found))
    if "score" in found:
        blocks.append(_score_table(inputs, found))
    return Section(ANCHOR, WORD, TITLE, tuple(blocks))


def _opening(inputs: StudyInputs, found: Mapping[str, Any]) -> Iterator[str]:
    adjective, hazards = inputs.marks.adjective, found["hazards"]
    yield words.follow_up_sentence(
        found["patients"], found["events"], found["unknown"], found["follow_up"], adjective=adjective
    )
    yield words.nothing_causal(adjective=adjective)
    changing = {name: hazards["proportional_p"][name] for name in hazards["doubtful"]}
    yield words.log_rank_sentence(found["log_rank"], adjective) + words.doubtful_sentence(changing, adjective=adjective)


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
            *(rate_text(share) if finite(share.get("value")) is not None else words.why_not(share) for share in shares),
            _median(entry["median"]),
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


def _median(estimate: Estimate) -> str:
    return "not reached" if finite(estimate.get("value")) is None else words.months_text(estimate, unit=False)


def _given(share: Estimate, at_risk: int) -> Estimate:
    """A share of survival; none where too few are still under observation for it to mean anything."""
    if at_risk >= FEWEST_AT_RISK:
        return share
    why = words.few_at_risk(at_risk, words=count(at_risk))
    return {**share, "value": None, "low": None, "high": None, "method": why}


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
            words.score_note(
                name, "; ".join(methods_of([*score["auc"].values(), hazard])) or "No estimate has a value"
            ),
            *((words.CHANGES,) if changes else ()),
        ),
    )
