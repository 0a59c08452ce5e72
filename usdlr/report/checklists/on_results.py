"""Answers about what came out: performance, uncertainty, misses, meaning."""

from __future__ import annotations

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision import wording_checklists as words
from usdlr.decision.numbers import finite, method_text
from usdlr.report import facts
from usdlr.report.checklists.answers import Answer
from usdlr.report.inputs import StudyInputs
from usdlr.report.limitations import limitations

DISCRIMINATION, MISSES, EXTERNAL = "discrimination", "misses", "external"


def title(inputs: StudyInputs) -> Answer:
    """What the title tells."""
    told = ", then ".join(inputs.positive(stage) for stage in Stage)
    return Answer(f"The head of this page names the experiment; predicted: {told}", "", "title of the article")


def abstract(inputs: StudyInputs) -> Answer:
    """What the summary tells."""
    return Answer("The first page sums the study up, main numbers first", "", "structured abstract of the article")


def rationale(inputs: StudyInputs) -> Answer:
    """What there was before."""
    names = [inputs.baseline_title(str(name)) for name in inputs.metrics["baselines"]]
    told = f"Compared on the same folds with {', '.join(names)}" if names else ""
    return Answer(told, DISCRIMINATION if told else "", "clinical context and published models")


def purpose(inputs: StudyInputs) -> Answer:
    """Whom the model is for."""
    return Answer(
        "The first page says that this is research software and no medical device; the contract says about whom it "
        "speaks",
        "contract",
        "place in the pathway of care and users",
    )


def measures(inputs: StudyInputs) -> Answer:
    """How performance is measured."""
    worth = ", net benefit" if facts.found(inputs.metrics, "decision_curves") else ""
    return Answer(
        "AUC pooled and as mean over folds, sensitivity, specificity, predictive values, calibration slope and "
        f"intercept, Brier score, false-negative rates of the whole cascade{worth}",
        DISCRIMINATION,
    )


def uncertainty(inputs: StudyInputs) -> Answer:
    """How uncertainty is measured."""
    stages = inputs.metrics["stages"]
    methods = dict.fromkeys(
        method_text(estimate)
        for stage in Stage
        for estimate in (stages[stage]["auc"], stages[stage]["sensitivity"], stages[stage]["calibration_slope"])
        if finite(estimate.get("value")) is not None
    )
    if not methods:
        return Answer(author="measures of uncertainty: no estimate has a value")
    return Answer(f"95 % intervals; {'; '.join(methods)}", DISCRIMINATION)


def performance(inputs: StudyInputs) -> Answer:
    """What performance was found."""
    found = {stage: inputs.metrics["stages"][stage]["auc"] for stage in Stage}
    return Answer(words.areas_claim(found), DISCRIMINATION)


def performance_and_groups(inputs: StudyInputs) -> Answer:
    """What performance was found, in subgroups too."""
    shown, groups = performance(inputs), facts.found(inputs.metrics, "subgroups")
    where = "; by subgroup in the section Subgroups" if groups else ""
    return Answer(f"{shown.text}{where}", shown.anchor, "" if groups else "performance in relevant subgroups")


def diagnostic(inputs: StudyInputs) -> Answer:
    """How often the cascade errs."""
    rates = {stage: inputs.metrics["cascade"][f"fnr_{stage}"] for stage in Stage}
    return Answer(words.misses_claim(rates, known_nsln=inputs.known_nsln), MISSES)


def per_analysis(inputs: StudyInputs) -> Answer:
    """How many patients and events stand behind each analysis."""
    known = {stage: facts.with_status(inputs, stage) for stage in Stage}
    return Answer(words.counts_claim(known), DISCRIMINATION)


def internal(inputs: StudyInputs) -> Answer:
    """How the model was tested on its own source."""
    return Answer(words.internal_claim(int(inputs.metrics["cohort"]["axillae"])), DISCRIMINATION)


def external(inputs: StudyInputs) -> Answer:
    """How the model was tested on another source."""
    sources = facts.external(inputs)
    if not sources:
        return Answer(author="testing on patients of another source; this run judged none")
    told = [
        (str(name), bool(part["cohort"].get("simulated")), part["stages"][Stage.SLN]["auc"])
        for name, part in sources.items()
    ]
    return Answer(words.external_claim(told), EXTERNAL)


def robustness(inputs: StudyInputs) -> Answer:
    """Whether results hold when something is changed."""
    if not facts.found(inputs.metrics, "cascade.threshold_shift"):
        return Answer(author="robustness against other images, contours and settings")
    return Answer(
        words.robust_claim(adjective=inputs.marks.adjective),
        "pathways",
        "robustness against other images and contours",
    )


def failures(inputs: StudyInputs) -> Answer:
    """Where the model errs."""
    groups, adjective = inputs.metrics["cascade"]["groups"], inputs.marks.adjective
    low, middle = groups[RiskGroup.LR_SLN], groups[RiskGroup.HR_SLN_LR_NSLN]
    spared = int(low["nsln_positive"] + middle["nsln_positive"])
    return Answer(
        words.failures_claim(int(low["sln_positive"]), spared, adjective=adjective),
        MISSES,
        "what the missed axillae have in common",
    )


def limits(inputs: StudyInputs) -> Answer:
    """What limits the study."""
    told = words.limits_claim(len(limitations(inputs)))
    return Answer(told, "limitations" if told else "", "what they mean for the conclusions, and further ones")


def implications(inputs: StudyInputs) -> Answer:
    """What follows for practice."""
    told = "What would become of 1,000 axillae" if facts.found(inputs.metrics, "cascade.pathways") else ""
    return Answer(told, "pathways" if told else "", "what follows for practice, and the next steps")
