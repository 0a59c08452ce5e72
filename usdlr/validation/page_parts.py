"""Tables and sections that a validation's page has and a study's page has not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    events_text,
    finite,
    number,
    percent,
    promise,
    rate_text,
)
from usdlr.decision.wording import verification_sentence
from usdlr.decision.wording_validation import (
    Standing,
    by_centre_sentence,
    hypothesis_sentence,
    lock_statement,
    range_sentence,
    seen_statement,
    size_sentence,
    target_statement,
    verdict_sentence,
    void_statement,
)
from usdlr.decision.wording_validation_page import FROZEN, HOW_LOCK, HOW_VERDICTS
from usdlr.evaluation.verified import read_verified
from usdlr.report.document import Block, Folded, Listing, PageTable, Points, Prose, Section
from usdlr.report.inputs import StudyInputs
from usdlr.report.redact import identifiers, redact_settings

_SHOWN_DIGITS = 12


def verdict_lines(inputs: StudyInputs) -> tuple[str, ...]:
    """The verdict on both targets in a sentence each."""
    return tuple(verdict_text(inputs, inputs.metrics["verdicts"][stage], stage) for stage in Stage)


def by_centre_lines(inputs: StudyInputs) -> tuple[str, ...]:
    """How the verdicts fall by centre, where there are several."""
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    if len(centres) < 2:
        return ()
    return tuple(
        by_centre_sentence(stage, [Standing(part["verdicts"][stage]["standing"]) for part in centres.values()])
        for stage in Stage
    )


def verdict_text(inputs: StudyInputs, found: Mapping[str, Any], stage: Stage) -> str:
    """One verdict in plain words."""
    rate = found["rate"]
    return verdict_sentence(
        stage,
        Standing(found["standing"]),
        alpha=float(found["alpha"]),
        misses=int(rate.get("events") or 0),
        positives=int(rate["n"]),
        low=finite(rate["low"]),
        high=finite(rate["high"]),
        further_clean=found["further_clean"],
        further_same=found["further_same"],
        towards=None if found["towards"] is None else Standing(found["towards"]),
        known_nsln=inputs.known_nsln,
    )


def void_text(inputs: StudyInputs) -> str:
    """Whom the bundle's contract reaches."""
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    reached = [name for name, part in centres.items() if part["development"]]
    void = [name for name in centres if name not in reached]
    status = inputs.metrics["development"]["contract"]["status"]
    contract = inputs.metrics["development"]["contract"]
    told = void_statement(void, reached, certified=status == "certified")
    return f"{told} {target_statement(inputs.metrics['hypotheses']['alpha'], contract['alpha'])}".strip()


def lock_text(inputs: StudyInputs) -> str:
    """That everything was locked."""
    lock = inputs.metrics["lock"]
    late = sum(bool(one["after_outcomes"]) for one in lock["locks"])
    return lock_statement(lock["hash"][:_SHOWN_DIGITS], len(lock["locks"]) - 1, apart=lock["apart"], late=late)


def verdict_section(inputs: StudyInputs) -> Section:
    """Verdicts of all patients and of every centre, and what the unverified may do to the NSLN rate."""
    rows = [_verdict_row("All patients", stage, inputs.metrics["verdicts"][stage]) for stage in Stage]
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    if len(centres) > 1:
        rows += [
            _verdict_row(name, stage, part["verdicts"][stage]) for name, part in centres.items() for stage in Stage
        ]
    methods = dict.fromkeys(
        str(inputs.metrics["verdicts"][stage]["rate"]["method"])
        for stage in Stage
        if finite(inputs.metrics["verdicts"][stage]["rate"]["value"]) is not None
    )
    table = PageTable(
        inputs.marks.title("Verdicts on the false-negative targets"),
        (
            "",
            "Verdict",
            "Target",
            "Missed (95 % interval)",
            "Missed of positive axillae",
            "Further positives until held, none missed",
            "Further positives until settled, at the observed rate",
        ),
        tuple(rows),
        (
            f"NSLN positives: {inputs.known_nsln}. A miss at either stage counts.",
            *((f"Rates: {'; '.join(methods)}.",) if methods else ()),
        ),
        texts=(1,),
    )
    verified = inputs.metrics["cascade"].get("verification")
    told = (
        ()
        if verified is None
        else (verification_sentence(read_verified(verified), proxy=Stage.NSLN in inputs.proxies),)
    )
    blocks: tuple[Block, ...] = (
        Prose((*verdict_lines(inputs), HOW_VERDICTS)),
        table,
        *((Prose(told),) if told else ()),
    )
    return Section("verdict", "Verdict", "Were the false-negative targets kept?", blocks)


def _verdict_row(name: str, stage: Stage, found: Mapping[str, Any]) -> tuple[str, ...]:
    rate = found["rate"]
    towards = f" ({found['towards']})" if found["towards"] else ""
    return (
        f"{name}, {stage.upper()}",
        str(found["standing"]),
        promise(found["alpha"]),
        rate_text(rate),
        events_text(rate),
        count(found["further_clean"]),
        f"{count(found['further_same'])}{towards}",
    )


def plan_section(inputs: StudyInputs) -> Section:
    """The plan, its lock and amendments, what it asked for and what came of it."""
    plan, lock = inputs.metrics["plan"], inputs.metrics["lock"]
    who = [text for text in (plan["registered_by"], plan["registered_on"]) if text]
    lines = [lock_text(inputs), HOW_LOCK, FROZEN]
    if who:
        lines.insert(0, f"Planned by {', '.join(who)}.")
    rows = tuple(_lock_row(one, lock["opened"]) for one in lock["locks"])
    table = PageTable(
        "Locks",
        ("", "Locked at (UTC)", "Axillae", "SHA-256, first digits", "Outcomes", "Reason"),
        rows,
        (f"SHA-256 of the lock in force: {lock['hash']}. Times are those of the machine that locked.",),
        texts=(1, 3, 4, 5),
    )
    names = identifiers(inputs)
    blocks: tuple[Block, ...] = (
        Prose(tuple(lines)),
        table,
        Points(tuple(hypothesis_lines(inputs))),
        Folded("The whole plan", (Listing(redact_settings(inputs.config_yaml, names)),)),
    )
    return Section("plan", "Plan", "The plan and its lock", blocks)


def _lock_row(one: Mapping[str, Any], opened: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    when = [str(entry["opened_at"]) for entry in opened if entry["lock"] == one["hash"]]
    return (
        f"Lock {one['number']}",
        str(one["locked_at"]),
        count(one["axillae"]),
        str(one["hash"])[:_SHOWN_DIGITS],
        f"opened {when[0]}" if when else "not opened under it",
        str(one["reason"]) or ("first lock" if one["number"] == 1 else EN_DASH),
    )


def hypothesis_lines(inputs: StudyInputs) -> Iterator[str]:
    """What came of everything that the plan asked for."""
    metrics = inputs.metrics
    asked, needed = metrics["hypotheses"], metrics["needed"]["verdict"]
    for stage in Stage:
        area, bound = metrics["stages"][stage]["auc"], asked["auc"][stage]
        if bound is not None:
            yield hypothesis_sentence(f"AUC, {stage.upper()} stage", finite(area["low"]), finite(area["high"]), bound)
        if asked["slope"] is not None:
            slope = metrics["stages"][stage]["calibration_slope"]
            low, high = asked["slope"]
            yield range_sentence(
                f"Calibration slope, {stage.upper()} stage", finite(slope["low"]), finite(slope["high"]), (low, high)
            )
    for stage in Stage:
        positives = int(metrics["verdicts"][stage]["rate"]["n"])
        need = needed[stage]
        alpha = float(asked["alpha"][stage])
        settled = metrics["verdicts"][stage]["standing"] != Standing.UNDETERMINED
        yield size_sentence(stage, positives, None if need is None else int(need["positives"]), alpha, settled=settled)


def beside_table(inputs: StudyInputs) -> PageTable:
    """These patients beside those that the model was made with."""
    metrics = inputs.metrics
    here, there = metrics["cohort"], metrics["development"]["cohort"]
    rows: list[tuple[str, ...]] = [
        ("Centres", ", ".join(map(str, there["centres"])), ", ".join(map(str, here["centres"]))),
        *(
            (name, count(there[key]), count(here[key]))
            for name, key in (("Patients", "patients"), ("Axillae", "axillae"), ("Image sets", "image_sets"))
        ),
        ("Rows left out", count(there["excluded"]), count(here["excluded"])),
    ]
    for stage in Stage:
        among = "" if stage is Stage.SLN else ", of SLN-positive axillae"
        rows.append((f"{stage.upper()} positive, of known{among}", _share(there[stage]), _share(here[stage])))
        rows.append((f"{stage.upper()} unknown{among}", count(there[stage]["unknown"]), count(here[stage]["unknown"])))
    for key, title in (("elasto_state", "Elastography"), ("spacing_source", "Pixel size from")):
        words = sorted({*there.get("quality", {}).get(key, {}), *here.get("quality", {}).get(key, {})})
        rows += [
            (f"{title}: {word.replace('_', ' ')}", *(_part(of, key, word) for of in (there, here))) for word in words
        ]
    return PageTable(
        inputs.marks.title("Development patients and these"),
        ("", "Development", "Here"),
        tuple(rows),
        ("Counts of axillae or image sets, as named. Development: all patients of the study behind the bundle.",),
        texts=(1, 2),
    )


def _share(counts: Mapping[str, int]) -> str:
    known = counts["positive"] + counts["negative"]
    return (
        f"{count(counts['positive'])} of {count(known)} ({percent(counts['positive'] / known)})" if known else EN_DASH
    )


def _part(cohort: Mapping[str, Any], key: str, word: str) -> str:
    n, total = int(cohort.get("quality", {}).get(key, {}).get(word, 0)), int(cohort["image_sets"])
    return f"{count(n)} ({percent(n / total)})" if total else count(n)


def centres_table(inputs: StudyInputs, stage: Stage) -> PageTable:
    """Every centre's estimates at a stage."""
    rows = []
    shown: list[Estimate] = []
    parts = {"All": {"stages": inputs.metrics["stages"], "axillae": inputs.metrics["cohort"]["axillae"]}}
    centres: Mapping[str, Any] = inputs.metrics["centres"]
    for name, part in [*parts.items(), *(centres.items() if len(centres) > 1 else ())]:
        own = part["stages"][stage]
        shown.append(own["auc"])
        rows.append(
            (
                name,
                count(own["auc"].get("n")),
                estimate_text(own["auc"]),
                rate_text(own["sensitivity"]),
                rate_text(own["specificity"]),
                estimate_text(own["calibration_slope"]),
                estimate_text(own["calibration_intercept"]),
                estimate_text(own["observed_expected"]),
                estimate_text(own["brier"], 3),
            )
        )
    among = "" if stage is Stage.SLN else f"Judged on SLN-positive axillae, {inputs.known_nsln}. "
    methods = dict.fromkeys(str(one["method"]) for one in shown if finite(one.get("value")) is not None)
    return PageTable(
        inputs.marks.title(f"The frozen model at the {stage.upper()} stage"),
        (
            "",
            "n",
            "AUC (95 % interval)",
            "Sensitivity (95 % interval)",
            "Specificity (95 % interval)",
            "Calibration slope (ideal 1)",
            "Calibration intercept (ideal 0)",
            "Observed over expected positives (ideal 1)",
            "Brier score",
        ),
        tuple(rows),
        (
            f"{among}n: axillae with known status. Sensitivity and specificity: of the stage alone, at the bundle's "
            "threshold.",
            *((f"{'; '.join(methods)}.",) if methods else ()),
        ),
    )


def meta_table(inputs: StudyInputs) -> PageTable:
    """What all centres together say, and how far they differ."""
    names = (
        ("fnr", "False-negative rate of the cascade", True),
        ("auc", "AUC", False),
        ("calibration_slope", "Calibration slope", False),
        ("calibration_intercept", "Calibration intercept", False),
    )
    rows: list[tuple[str, ...]] = []
    methods: dict[str, None] = {}
    for stage in Stage:
        for key, words, rate in names:
            found = inputs.metrics["meta"][str(stage)][key]
            if found is None:
                rows.append((f"{stage.upper()}: {words}", "0", *[EN_DASH] * 6))
                continue
            methods[str(found["method"])] = None
            rows.append(
                (
                    f"{stage.upper()}: {words}",
                    count(found["centres"]),
                    _pooled(found["fixed"], rate),
                    _pooled(found["random"], rate),
                    _ends(found["prediction"], rate),
                    _pooled(found["tau2"], False, digits=3),
                    _ends(found["i2"], True, value=True),
                    EN_DASH if finite(found["q_p"]) is None else number(found["q_p"], 3),
                )
            )
    return PageTable(
        inputs.marks.title("All centres together"),
        (
            "",
            "Centres",
            "Fixed effect (95 % interval)",
            "Random effects (95 % interval)",
            "95 % prediction interval for a further centre",
            "Variance between centres, on the pooled scale",
            "I² (95 % interval)",
            "P that centres do not differ",
        ),
        tuple(rows),
        tuple(f"{method[:1].upper()}{method[1:]}." for method in methods),
    )


def _pooled(part: Mapping[str, Any], rate: bool, digits: int = 2) -> str:
    if finite(part["value"]) is None:
        return EN_DASH
    value = percent(part["value"]) if rate else number(part["value"], digits)
    ends = _ends(part, rate, digits=digits)
    return value if ends == EN_DASH else f"{value} ({ends})"


def _ends(part: Mapping[str, Any], rate: bool, *, value: bool = False, digits: int = 2) -> str:
    low, high = finite(part["low"]), finite(part["high"])
    if low is None or high is None:
        return EN_DASH
    first, last = (percent(end) if rate else number(end, digits) for end in (low, high))
    span = f"{first} to {last}"
    return f"{percent(part['value'])} ({span})" if value else span


def seen_text(inputs: StudyInputs) -> str:
    """That patients of the development were left out; empty where there was none."""
    left_out = inputs.exclusions[inputs.exclusions["code"] == "development_patient"]
    return seen_statement(int(left_out["patient_id"].nunique()))
