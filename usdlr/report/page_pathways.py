"""The section on what becomes of 1,000 axillae: each way's surgery, what the groups predict, and how steep it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision import wording_pathways as words
from usdlr.decision.numbers import (
    EN_DASH,
    Estimate,
    count,
    counted_rate,
    events_text,
    finite,
    methods,
    outcome_text,
    percent,
    rate_interval,
    rate_text,
    share_text,
)
from usdlr.evaluation.cascade import EVERYBODY, GROUPINGS, HR_SLN, LR_EITHER
from usdlr.evaluation.pathways import BY_RULE, Way
from usdlr.report.document import Block, Figure, Folded, Meanings, PageTable, Points, Prose, Section
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_thresholds import shift_table, steepness
from usdlr.report.pathway_words import AMONG, FATES, OUTCOMES, SHOWN, way_name
from usdlr.report.style import Drawing

ANCHOR = "pathways"
_RULES: Mapping[Way, str] = {
    Way.CURRENT: words.CURRENT_RULE,
    Way.Z0011: words.Z0011_RULE,
    Way.CASCADE: words.CASCADE_RULE,
}


def pathways_section(inputs: StudyInputs, figures: Mapping[str, Drawing]) -> Section | None:
    """What each way does to 1,000 axillae, in words, figures and tables.

    Parameters
    ----------
    inputs : StudyInputs
        Of whose ``metrics`` the paths ``cascade.pathways``, ``cascade.predictive`` and ``cascade.threshold_shift`` are
        shown; each may be absent.
    figures : mapping of str to Drawing
        ``pathways`` and ``thresholds``, where drawn.

    Returns
    -------
    Section or None
        None where none of the three paths is there.
    """
    cascade, blocks = inputs.metrics["cascade"], list[Block]()
    found, predictive, shift = (cascade.get(name) for name in ("pathways", "predictive", "threshold_shift"))
    if found is not None and not found["axillae"]["sln_known"]:
        blocks.append(Prose((words.NOBODY_KNOWN,)))
    elif found is not None:
        blocks += [Prose(_opening(inputs, found)), Meanings(_meanings(inputs))]
        blocks += _figure(figures, "pathways")
        blocks += [pathways_table(inputs, found), Points(_assumptions(inputs, found)), shares_table(inputs, found)]
    if predictive is not None:
        blocks += [
            predictive_table(inputs, predictive),
            Folded("Which stage answered", (stages_table(inputs, predictive),)),
        ]
    if shift is not None:
        blocks += [Prose(steepness(inputs, shift)), *_figure(figures, "thresholds"), shift_table(inputs, shift)]
    return Section(ANCHOR, "Per 1,000", "What becomes of 1,000 axillae", tuple(blocks)) if blocks else None


def pathways_table(inputs: StudyInputs, found: Mapping[str, Any]) -> PageTable:
    """What is done under each way, what it spares and what it costs, per 1,000 axillae of known SLN status."""
    ways, n = found["ways"], count(found["axillae"]["sln_known"])
    rows = [(label, *(_certain(ways[way]["fates"][fate]) for way in Way), n) for fate, label in FATES.items()]
    rows += [(label, *(_certain(ways[way][name]) for way in Way), n) for name, label in OUTCOMES.items()]
    shown = [ways[way][name][key] for way in Way for name in OUTCOMES for key in ("least", "most")]
    return PageTable(
        inputs.marks.title("What becomes of 1,000 axillae"),
        (
            "",
            *(f"{way_name(way, inputs.marks.adjective)}, per 1,000 (95 % interval)" for way in Way),
            "n (axillae with known SLN status)",
        ),
        tuple(rows),
        words.table_notes(
            found["axillae"], methods(one for one in shown if one["method"] != BY_RULE), known_nsln=inputs.known_nsln
        ),
    )


def shares_table(inputs: StudyInputs, found: Mapping[str, Any]) -> PageTable:
    """The same outcomes as rates among those whom they are about and whose status is known."""
    rows, shown = [], []
    for name, ways in SHOWN.items():
        for way in ways:
            entry = found["ways"][way][name]
            shown.append(entry["share"])
            label = f"{way_name(way, inputs.marks.adjective)}: {OUTCOMES[name][0].lower()}{OUTCOMES[name][1:]}"
            label = label.replace(": sLN", ": SLN").replace(": nSLN", ": NSLN")
            share = entry["share"]
            # Metrics of an earlier version do not hold it: a dash, never the count of something else.
            left_out = count(entry.get("left_out"))
            rows.append((label, AMONG[name], rate_text(share), events_text(share), left_out))
    return PageTable(
        inputs.marks.title("The same as rates, among axillae with known status"),
        ("", "Among whom", "Rate (95 % interval)", "Axillae", "Axillae left out"),
        tuple(rows),
        (words.rates_note(methods(shown), known_nsln=inputs.known_nsln),),
        texts=(1,),
    )


def predictive_table(inputs: StudyInputs, predictive: Mapping[str, Any]) -> PageTable:
    """What each risk group says about the nodes."""
    rows, shown = [], list[Estimate]()
    for name in GROUPINGS:
        entry = predictive["groups"][name]
        sln, nsln = entry[str(Stage.SLN)], entry[str(Stage.NSLN)]
        estimates = [sln["negative"], nsln["negative"], nsln["negative_sln_positive"]]
        shown += estimates
        cells = [counted_rate(one) for one in estimates]
        cells.insert(2, _bounds(nsln))
        rows.append((_grouping(name), count(entry["n"]), *(cells if entry["n"] else [EN_DASH] * len(cells))))
    return PageTable(
        inputs.marks.title("Negative predictive values of the risk groups, out-of-fold"),
        (
            "",
            "Axillae (n)",
            "SLN negative (95 % interval)",
            "NSLN negative, all axillae with known status (95 % interval)",
            "NSLN negative, from all to none of the unknown positive (95 % interval)",
            "NSLN negative, SLN-positive axillae with known status (95 % interval)",
        ),
        tuple(rows),
        words.predictive_notes(methods(shown), known_nsln=inputs.known_nsln, adjective=inputs.marks.adjective),
    )


def stages_table(inputs: StudyInputs, predictive: Mapping[str, Any]) -> PageTable:
    """How many axillae each stage answered."""
    reached = predictive["stage_reached"]
    rows = [
        (str(one), *(count(reached[one][stage]) for stage in Stage), count(sum(reached[one].values())))
        for one in RiskGroup
    ]
    sums = [sum(reached[one][stage] for one in RiskGroup) for stage in Stage]
    rows.append(("All", *map(count, sums), count(sum(sums))))
    return PageTable(
        inputs.marks.title(f"The stage that answered, n = {count(sum(sums))} axillae"),
        ("", "SLN stage (axillae)", "NSLN stage (axillae)", "Axillae in all"),
        tuple(rows),
        ("Counts of axillae, out-of-fold.",),
    )


def _opening(inputs: StudyInputs, found: Mapping[str, Any]) -> tuple[str, ...]:
    cascade, rule = found["ways"][Way.CASCADE], found["ways"][Way.Z0011]
    missed = {
        Stage.SLN: cascade["sln_positive_without_surgery"]["share"],
        Stage.NSLN: cascade["nsln_positive_undissected"]["share"],
    }
    return (
        words.ways_sentence(found["axillae"], cascade, rule, adjective=inputs.marks.adjective),
        words.left_sentence(missed, inputs.contract["alpha"], known_nsln=inputs.known_nsln),
        *((words.UNCERTIFIED_WAYS,) if inputs.uncertified else ()),
    )


def _meanings(inputs: StudyInputs) -> tuple[tuple[str, str], ...]:
    return tuple((way_name(way, inputs.marks.adjective), rule) for way, rule in _RULES.items())


def _assumptions(inputs: StudyInputs, found: Mapping[str, Any]) -> tuple[str, ...]:
    held, tolerated = found["axillae"], found.get("tolerated")
    lines = (
        words.biopsy_sentence(inputs.metrics["references"]["sentinel_biopsy_fnr"]),
        words.IRRADIATION,
        words.NO_OUTCOME,
        words.undecided_sentence(found["z0011"]),
        words.unknown_sentence(held),
        words.needle_counted(int(held["needle_proven"] or 0)),
        words.tolerated_sentence(tolerated, inputs.contract["alpha"]) if tolerated is not None else "",
    )
    return tuple(line for line in lines if line)


def _certain(entry: Mapping[str, Any]) -> str:
    """A fate or an outcome; a dash where the way's own rule excludes it."""
    first = entry.get("least", entry)
    if first["method"] == BY_RULE:
        return EN_DASH
    return outcome_text(entry) if "least" in entry else share_text(entry)


def _bounds(nsln: Mapping[str, Any]) -> str:
    least, most = nsln["negative_least"], nsln["negative_most"]
    first, last = finite(least["value"]), finite(most["value"])
    if first is None or last is None:
        return rate_text(least)
    if least["events"] == most["events"]:
        return rate_text(least)
    return f"{percent(first)} to {percent(last)} ({rate_interval(least['low'], most['high'])})"


def _grouping(name: str) -> str:
    told = {
        LR_EITHER: "LR-SLN or HR-SLN/LR-NSLN (no dissection)",
        HR_SLN: "HR-SLN, either NSLN group (biopsy)",
        EVERYBODY: "All axillae, for comparison",
    }
    return told.get(name, name)


def _figure(figures: Mapping[str, Drawing], name: str) -> Iterable[Block]:
    return [Figure(figures[name])] if name in figures else []
