"""The section on what becomes of 1,000 axillae: each way's surgery, what the groups predict, and how steep it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.wording import rate_sentence
from usdlr.evaluation.cascade import EVERYBODY, GROUPINGS, HR_SLN, LR_EITHER
from usdlr.evaluation.pathways import BY_RULE, Way
from usdlr.report.document import Block, Figure, Folded, Meanings, PageTable, Points, Prose, Section
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_thresholds import shift_table, steepness
from usdlr.report.pathway_words import (
    AMONG,
    FATES,
    OUTCOMES,
    SHOWN,
    counted_rate,
    methods,
    outcome_text,
    population_text,
    share_text,
    way_name,
)
from usdlr.report.style import Drawing
from usdlr.report.tables import (
    EN_DASH,
    Estimate,
    count,
    events_text,
    finite,
    percent,
    promise,
    rate_interval,
    rate_text,
)

ANCHOR = "pathways"
_ITEMS = {
    "sln_positive_count": "number of positive sentinel nodes",
    "cn_stage": "clinical nodal stage",
    "tumour_size_mm": "tumour size",
}
_RULES: Mapping[Way, str] = {
    Way.CURRENT: (
        "The classical pathway: a sentinel biopsy for everybody, and a dissection if it is positive. Since the trials "
        "Z0011, IBCSG 23-01 and AMAROS guidelines no longer ask for it with one or two positive nodes; it stands here "
        "as what the others are measured against."
    ),
    Way.Z0011: (
        "As dissection if positive, but no dissection with one or two positive sentinel nodes, cN0 and a tumour of at "
        "most 50 mm on ultrasound (T1 or T2). Where an item is unknown and no other forbids sparing, the axilla is "
        "counted apart and never guessed."
    ),
    Way.CASCADE: (
        "LR-SLN: no axillary surgery. HR-SLN/LR-NSLN: a sentinel biopsy, and no dissection even if it is positive. "
        "HR-SLN/HR-NSLN: a sentinel biopsy, and a dissection if it is positive. DEFER: the usual pathway, counted "
        "here as dissection if positive."
    ),
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
        blocks.append(Prose(("No axilla has a known SLN status: the ways cannot be compared.",)))
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
    rows = [(words, *(_certain(ways[way]["fates"][fate]) for way in Way), n) for fate, words in FATES.items()]
    rows += [(words, *(_certain(ways[way][name]) for way in Way), n) for name, words in OUTCOMES.items()]
    shown = [ways[way][name][key] for way in Way for name in OUTCOMES for key in ("least", "most")]
    return PageTable(
        inputs.marks.title("What becomes of 1,000 axillae"),
        (
            "",
            *(f"{way_name(way, inputs.marks.adjective)}, per 1,000 (95 % interval)" for way in Way),
            "n (axillae with known SLN status)",
        ),
        tuple(rows),
        (
            f"Shares of the same {population_text(found)}, out-of-fold, times 1,000; rounding may make a sum 999 or "
            "1,001. Interval ends are rounded outward. A dash: excluded by the rule itself. Spared: against "
            "dissection if positive, and counted also where the operation was needed; how often that was, the next "
            "rows say.",
            "From one number to another: if none, and if all, of the axillae that it depends on and whose NSLN status "
            "or way is unknown counted; the interval then reaches from the lower end of the first to the upper end of "
            f"the second. NSLN status {inputs.known_nsln}.",
            f"Intervals: {methods(one for one in shown if one['method'] != BY_RULE)}. Exact ones, because misses are "
            "few and a bootstrap gives none where nothing was missed"
            f"{_bilateral(found)}.",
        ),
    )


def shares_table(inputs: StudyInputs, found: Mapping[str, Any]) -> PageTable:
    """The same outcomes as rates among those whom they are about and whose status is known."""
    rows, shown = [], []
    for name, ways in SHOWN.items():
        for way in ways:
            entry = found["ways"][way][name]
            shown.append(entry["share"])
            words = f"{way_name(way, inputs.marks.adjective)}: {OUTCOMES[name][0].lower()}{OUTCOMES[name][1:]}"
            words = words.replace(": sLN", ": SLN").replace(": nSLN", ": NSLN")
            share = entry["share"]
            # Metrics of an earlier version do not hold it: a dash, never the count of something else.
            left_out = count(entry.get("left_out"))
            rows.append((words, AMONG[name], rate_text(share), events_text(share), left_out))
    return PageTable(
        inputs.marks.title("The same as rates, among axillae with known status"),
        ("", "Among whom", "Rate (95 % interval)", "Axillae", "Axillae left out"),
        tuple(rows),
        (
            f"NSLN status {inputs.known_nsln}. Left out: axillae that may belong to the second column's and of "
            "which that is not known, for want of their NSLN status or because the Z0011 rule cannot "
            "be decided. Who was dissected may differ from who was not, so that these rates need not hold for the "
            f"others. Rates: {methods(shown)}.",
        ),
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
        (
            f"Groups of the {inputs.marks.adjective}cascade; after each rate, the axillae that it rests on. "
            "Axillae of unknown SLN status count nowhere. The positive predictive value is the rest to 100 %. "
            f"Predictive values hold at this cohort's share of positive axillae. Rates: {methods(shown)}.",
            "SLN negative: of all axillae with known SLN status. NSLN negative, all with known status: SLN-negative "
            "axillae, which count as NSLN negative because the sentinel status is taken as right, together with the "
            f"SLN-positive ones whose NSLN status is known ({inputs.known_nsln}). Axillae of unknown NSLN status are "
            "all SLN positive, so that leaving them out flatters this share; the next column counts them too, first "
            "all as positive, then none. Last column: SLN-positive axillae alone, as far as their NSLN status is known "
            f"({inputs.known_nsln}).",
        ),
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
    way, rule, adjective = found["ways"][Way.CASCADE], found["ways"][Way.Z0011], inputs.marks.adjective
    missed, undissected = way["sln_positive_without_surgery"]["share"], way["nsln_positive_undissected"]["share"]
    lines = [
        f"Three ways of deciding are laid side by side for the same {population_text(found)}. Of 1,000 such axillae "
        f"the {adjective}cascade spares {share_text(way['biopsies_spared']['least'])} the sentinel biopsy and "
        f"{outcome_text(way['dissections_spared'])} the dissection; the Z0011 rule spares "
        f"{outcome_text(rule['dissections_spared'])} the dissection and none the biopsy (95 % intervals in brackets).",
        f"SLN-positive axillae left without surgery: {_sentence(missed, inputs, Stage.SLN)} NSLN-positive axillae left "
        f"undissected ({inputs.known_nsln}): {_sentence(undissected, inputs, Stage.NSLN)}",
    ]
    if inputs.uncertified:
        lines.append(
            "The thresholds are uncertified: this describes the tested axillae and promises nothing of others."
        )
    return tuple(lines)


def _sentence(share: Estimate, inputs: StudyInputs, stage: Stage) -> str:
    alpha = float(inputs.contract["alpha"][stage])
    return rate_sentence(share["events"], share["n"], share["low"], share["high"], alpha=alpha)


def _meanings(inputs: StudyInputs) -> tuple[tuple[str, str], ...]:
    return tuple((way_name(way, inputs.marks.adjective), rule) for way, rule in _RULES.items())


def _assumptions(inputs: StudyInputs, found: Mapping[str, Any]) -> tuple[str, ...]:
    held, rule, references = found["axillae"], found["z0011"], inputs.metrics["references"]
    lines = [
        "Assumed of every way: the sentinel biopsy finds what the tables state, and everybody follows the way. In "
        f"truth a biopsy misses about {promise(references['sentinel_biopsy_fnr'])} of positive axillae.",
        "The Z0011 rule asks for breast conservation with whole-breast irradiation, which is not in the tables: it is "
        "applied as if everybody had both, and spares too many where not. Giuliano and others, JAMA 318 (2017) 918, "
        "doi:10.1001/jama.2017.11470.",
        "A node left in place is not a recurrence: none of the ways says what becomes of the patients.",
    ]
    if rule["undecided"]:
        lacking = ", ".join(f"{_ITEMS[name]} of {count(n)}" for name, n in rule["lacking"].items() if n)
        lines.append(
            f"The Z0011 rule cannot be decided for {count(rule['undecided'])} of {count(rule['sln_positive'])} "
            f"SLN-positive axillae; unknown: {lacking}."
        )
    if held["nsln_unknown"]:
        lines.append(
            f"NSLN status is unknown in {count(held['nsln_unknown'])} of {count(held['sln_positive'])} SLN-positive "
            "axillae."
        )
    if held["needle_proven"]:
        lines.append(f"{count(held['needle_proven'])} axillae were proven by needle and are counted as if biopsied.")
    if "tolerated" in found and finite(found["tolerated"][Stage.SLN]) is not None:
        alpha, most = inputs.contract["alpha"], found["tolerated"]
        parts = [f"{1000 * float(most[s]):.1f} {s.upper()}-positive (alpha {promise(alpha[s])})" for s in Stage]
        lines.append(
            f"At most {' and '.join(parts)} axillae in 1,000 may be missed without breaking alpha; NSLN positives as "
            "far as known."
        )
    return tuple(lines)


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
    words = {
        LR_EITHER: "LR-SLN or HR-SLN/LR-NSLN (no dissection)",
        HR_SLN: "HR-SLN, either NSLN group (biopsy)",
        EVERYBODY: "All axillae, for comparison",
    }
    return words.get(name, name)


def _bilateral(found: Mapping[str, Any]) -> str:
    both = found["axillae"]["patients_with_two"]
    return f"; both axillae of {count(both)} patients are in, which widens them" if both else ""


def _figure(figures: Mapping[str, Drawing], name: str) -> Iterable[Block]:
    return [Figure(figures[name])] if name in figures else []
