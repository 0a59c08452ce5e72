"""Answers about who was studied: sources, eligibility, reference standard, missing values, numbers."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.decision.numbers import count, finite, plural, promise
from usdlr.report import facts
from usdlr.report.checklists.answers import Answer, not_applicable
from usdlr.report.flow import flow_rows
from usdlr.report.inputs import StudyInputs

COHORT, EXTERNAL = "cohort", "external"
_TESTS = {"auc": "AUC", "calibration": "calibration", "fnr": "false-negative rate"}
_STATUS = ("positive", "negative", "unknown")


def sources(inputs: StudyInputs) -> Answer:
    """Where the data come from."""
    cohort, names = inputs.metrics["cohort"], facts.centres(inputs)
    sets = cohort.get("image_sets_with_untested", cohort["image_sets"])
    kind = "Simulated exports" if inputs.metrics["simulated"] else "Exports"
    return Answer(
        f"{kind} of {plural(len(names), 'centre')} ({', '.join(names)}): {plural(sets, 'image set')} "
        f"of the cohort, {plural(cohort['axillae'], 'tested axilla', 'tested axillae')} of "
        f"{plural(cohort['patients'], 'patient')}",
        COHORT,
        "kind of source (routine care, registry, trial), why it was chosen and whom it represents",
    )


def setting(inputs: StudyInputs) -> Answer:
    """Where patients were seen."""
    names = facts.centres(inputs)
    return Answer(f"{plural(len(names), 'centre')}: {', '.join(names)}", COHORT, "level of care and place of each")


def eligibility(inputs: StudyInputs) -> Answer:
    """Who was included and excluded."""
    where = facts.where(inputs)
    only = f"Only patients with {where}; r" if where else "R"
    reasons = ", ".join(f"{why} ({count(n)})" for row in flow_rows(inputs)[1:4] for why, n in row.left)
    return Answer(
        f"{only}ows left out: {reasons or 'none'}",
        COHORT,
        "criteria by which the centres had chosen patients and images before the export",
    )


def subsets(inputs: StudyInputs) -> Answer:
    """Which part of the data was used."""
    flow = flow_rows(inputs)
    where = facts.where(inputs)
    only = f"; only patients with {where}" if where else ""
    return Answer(f"{plural(flow[3].rows, 'row')} of {count(flow[0].rows)} of the exports used{only}", COHORT)


def treatments(inputs: StudyInputs) -> Answer:
    """Which treatments patients had."""
    surgery, asked = facts.tally(facts.known(inputs, "axillary_surgery")), "treatments before and after surgery"
    left = int(inputs.metrics["cohort"]["exclusions"].get("neoadjuvant", 0))
    told = [f"{plural(left, 'row')} left out for treatment before axillary surgery"] if left else []
    if surgery:
        told.append(f"axillary surgery of the tested axillae: {facts.counted(surgery)}")
    return Answer("; ".join(told), COHORT if told else "", asked)


def outcome(inputs: StudyInputs) -> Answer:
    """What is predicted, and how it was found out."""
    parts = []
    for stage in Stage:
        words = inputs.metrics["endpoints"][stage]
        proxy = inputs.proxies.get(stage)
        stands = f", a proxy: {proxy.rstrip('. ')}" if proxy else ""
        parts.append(f"{stage.upper()}: {words['positive']} (column {words['column']}){stands}")
    found = facts.tally(facts.known(inputs, "sln_reference"))
    if found:
        parts.append(f"status of the sentinel node by {facts.counted(found)}")
    return Answer("; ".join(parts), COHORT, "how and when tissue was examined, in the same way for all patients")


def why_reference(inputs: StudyInputs) -> Answer:
    """Why this reference standard, and how often it errs."""
    misses = inputs.metrics["references"]
    if inputs.proxies:
        return Answer(author="why proxies stand in for node status, and how far they err")
    return Answer(
        f"For orientation the page prints that sentinel biopsy itself misses about "
        f"{promise(misses['sentinel_biopsy_fnr'])} and dissection about {promise(misses['axillary_dissection_fnr'])}",
        "misses",
        "why this reference standard was chosen",
    )


def annotators(inputs: StudyInputs) -> Answer:
    """Who drew the contours."""
    drawn = facts.quality(inputs, "mask_source")
    told = f"Contours of image sets by source: {facts.counted(drawn)}" if drawn else ""
    return Answer(
        told, COHORT if told else "", "number, training and instructions of those who drew contours and read images"
    )


def acquisition(inputs: StudyInputs) -> Answer:
    """How images were taken."""
    told = []
    for column, word in (("vendor", "vendors"), ("device", "scanners")):
        found = facts.tally(facts.known(inputs, column))
        if found:
            told.append(f"{word} of the tested axillae: {facts.counted(found)}")
    spacing = facts.quality(inputs, "spacing_source")
    if spacing:
        told.append(f"pixel size from: {facts.counted(spacing)}")
    anchor = COHORT if spacing else ""
    return Answer("; ".join(told), anchor, "scanner settings, transducers and the protocol of the examination")


def missing(inputs: StudyInputs) -> Answer:
    """What is unknown, and how it was treated."""
    cohort, n = inputs.metrics["cohort"], len(inputs.axillae)
    told = [
        f"{stage.upper()} status unknown in {count(cohort[stage]['unknown'])} tested axillae"
        + ("" if stage is Stage.SLN else " with a positive sentinel node")
        for stage in Stage
    ]
    told.append("unknown status is never read as negative")
    for column in facts.clinical(inputs):
        lacking = n - len(facts.known(inputs, column))
        told.append(f"{facts.variable_words(column)} missing in {count(lacking)} of {count(n)}")
    if "elastography" in inputs.axillae and n:
        without = int((~inputs.axillae["elastography"].fillna(False).astype(bool)).sum())
        told.append(f"no elastography in {count(without)} of {count(n)}")
    text = "; ".join(told)
    return Answer(text, COHORT, "why values are missing, and how missing clinical values were filled")


def flow(inputs: StudyInputs) -> Answer:
    """How many went in and out at every step."""
    rows, cohort = flow_rows(inputs), inputs.metrics["cohort"]
    steps = ", ".join(f"{count(row.lost)} at {row.step}" for row in rows[1:4])
    ends = "; ".join(
        f"{stage.upper()} " + ", ".join(f"{count(cohort[stage][key])} {key}" for key in _STATUS) for stage in Stage
    )
    untested = f"; {plural(rows[4].lost, 'axilla', 'axillae')} {rows[4].left[0][0]}" if rows[4].left else ""
    return Answer(
        f"{plural(rows[0].rows, 'row')} of the exports, left out {steps}; "
        f"{plural(cohort['axillae'], 'axilla', 'axillae')} tested{untested}: {ends}",
        COHORT,
    )


def characteristics(inputs: StudyInputs) -> Answer:
    """Who the patients were."""
    balance = facts.found(inputs.metrics, "balance") or {}
    if not balance:
        return Answer(author="characteristics of the patients, and how many values are missing")
    told = ", ".join(str(key) if str(key) == "centre" else f"{str(key).upper()} status" for key in balance)
    return Answer(f"Characteristics of the tested axillae by {told}, with standardised differences", COHORT)


def characteristics_by_part(inputs: StudyInputs) -> Answer:
    """Who the patients of each partition were."""
    return Answer(
        characteristics(inputs).text,
        characteristics(inputs).anchor,
        "characteristics of the patients of each partition; every patient is tested, so that the parts share them",
    )


def unlike_development(inputs: StudyInputs) -> Answer:
    """How evaluation patients differ from those of the development."""
    sources_ = facts.external(inputs)
    if not sources_:
        return not_applicable("no patients of another source were judged; the folds are parts of one cohort")
    told = "; ".join(
        f"{name}: {plural(part['cohort']['axillae'], 'axilla', 'axillae')} of "
        f"{plural(part['cohort']['patients'], 'patient')}"
        for name, part in sources_.items()
    )
    return Answer(told, EXTERNAL, "differences of setting, eligibility, outcome and predictors from the development")


def sample_size(inputs: StudyInputs) -> Answer:
    """How large the study had to be, and was."""
    contract, needed = inputs.contract, inputs.contract["required_positives"]
    told = [
        f"{stage.upper()}: {count(contract['positives'][stage])} positives in the calibration part, "
        f"{count(needed[stage])} needed for alpha {promise(contract['alpha'][stage])}"
        for stage in Stage
    ]
    return Answer("; ".join(told), "contract", "how the number of patients came about")


def subgroup_spread(inputs: StudyInputs) -> Answer:
    """Whether centres differ."""
    names = facts.centres(inputs)
    by_centre = {
        stage: found
        for stage in Stage
        if (found := facts.found(inputs.metrics, f"subgroups.{stage}.variables.centre_id"))
    }
    if by_centre:
        told, untested = [], [stage for stage in Stage if stage not in by_centre]
        for stage, part in by_centre.items():
            large = sum(not row.get("small") for row in part["levels"])
            tests = [
                words
                for key, words in _TESTS.items()
                if finite(((part.get("tests") or {}).get(key) or {}).get("p_value")) is not None
            ]
            untested += [] if tests else [stage]
            told.append(
                f"{stage.upper()} stage {plural(large, 'centre')} large enough to compare, "
                + (f"test of interaction of {', '.join(tests)}" if tests else "no test of interaction")
            )
        lacking = " and ".join(stage.upper() for stage in untested)
        return Answer(
            f"AUC, false-negative rate and calibration by centre: {'; '.join(told)}",
            "subgroups",
            f"how far performance differs between the centres at the {lacking} stage, of which there is no test"
            if untested
            else "",
        )
    if len(names) == 1:
        return not_applicable(f"one centre ({names[0]})")
    return Answer(author="how far performance differs between the centres")


def fairness(inputs: StudyInputs) -> Answer:
    """How groups of patients fare."""
    variables = facts.found(inputs.metrics, f"subgroups.{Stage.SLN}.variables") or {}
    titles = [str(part["title"]) for name, part in variables.items() if name != "all"]
    absent = facts.found(inputs.metrics, f"subgroups.{Stage.SLN}.absent") or []
    lacking = f"; not in the tables: {', '.join(map(str, absent))}".replace("_", " ") if absent else ""
    return Answer(
        f"Performance by {', '.join(titles)}{lacking}" if titles else "",
        "subgroups" if titles else "",
        "performance by origin and social standing, which no table holds, and what was done for fairness",
    )
