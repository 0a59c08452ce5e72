"""Answers about what came out: performance, uncertainty, misses, meaning."""

from __future__ import annotations

from usdlr.core.types import RiskGroup, Stage
from usdlr.report import facts
from usdlr.report.checklists.answers import Answer
from usdlr.report.inputs import StudyInputs
from usdlr.report.limitations import limitations
from usdlr.report.tables import Estimate, count, estimate_text, events_text, finite, method_text, plural, rate_text

DISCRIMINATION, MISSES, EXTERNAL = "discrimination", "misses", "external"


def title(inputs: StudyInputs) -> Answer:
    """What the title tells."""
    words = ", then ".join(inputs.positive(stage) for stage in Stage)
    return Answer(f"The head of this page names the experiment; predicted: {words}", "", "title of the article")


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
    found = [f"AUC {stage.upper()} {_with_n(inputs.metrics['stages'][stage]['auc'])}" for stage in Stage]
    return Answer("; ".join(found), DISCRIMINATION)


def performance_and_groups(inputs: StudyInputs) -> Answer:
    """What performance was found, in subgroups too."""
    shown, groups = performance(inputs), facts.found(inputs.metrics, "subgroups")
    where = "; by subgroup in the section Subgroups" if groups else ""
    return Answer(f"{shown.text}{where}", shown.anchor, "" if groups else "performance in relevant subgroups")


def diagnostic(inputs: StudyInputs) -> Answer:
    """How often the cascade errs."""
    cascade = inputs.metrics["cascade"]
    told = [
        f"false-negative rate {stage.upper()} {rate_text(cascade[f'fnr_{stage}'])}, "
        f"{events_text(cascade[f'fnr_{stage}'])}" + (f", {inputs.known_nsln}" if stage is Stage.NSLN else "")
        for stage in Stage
    ]
    return Answer("; ".join(told), MISSES)


def per_analysis(inputs: StudyInputs) -> Answer:
    """How many patients and events stand behind each analysis."""
    told = []
    for stage in Stage:
        n, positive = facts.with_status(inputs, stage)
        among = " with a positive sentinel node" if stage is Stage.NSLN else ""
        told.append(f"{stage.upper()}: {count(n)} axillae of known status{among}, {count(positive)} positive")
    return Answer("; ".join(told), DISCRIMINATION)


def internal(inputs: StudyInputs) -> Answer:
    """How the model was tested on its own source."""
    n = inputs.metrics["cohort"]["axillae"]
    return Answer(f"Every number is counted on {plural(n, 'axilla', 'axillae')} out of fold", DISCRIMINATION)


def external(inputs: StudyInputs) -> Answer:
    """How the model was tested on another source."""
    sources = facts.external(inputs)
    if not sources:
        return Answer(author="testing on patients of another source; this run judged none")
    told = "; ".join(
        f"{name}{' (simulated)' if part['cohort'].get('simulated') else ''}: AUC SLN "
        f"{_with_n(part['stages'][Stage.SLN]['auc'])}"
        for name, part in sources.items()
    )
    return Answer(told, EXTERNAL)


def robustness(inputs: StudyInputs) -> Answer:
    """Whether results hold when something is changed."""
    if not facts.found(inputs.metrics, "cascade.threshold_shift"):
        return Answer(author="robustness against other images, contours and settings")
    adjective = inputs.marks.adjective
    return Answer(
        f"False-negative rates and surgery spared when the {adjective}thresholds are moved",
        "pathways",
        "robustness against other images and contours",
    )


def failures(inputs: StudyInputs) -> Answer:
    """Where the model errs."""
    groups, adjective = inputs.metrics["cascade"]["groups"], inputs.marks.adjective
    low, middle = groups[RiskGroup.LR_SLN], groups[RiskGroup.HR_SLN_LR_NSLN]
    return Answer(
        f"Missed: {count(low['sln_positive'])} SLN-positive axillae in the {adjective}group LR-SLN, "
        f"{count(low['nsln_positive'] + middle['nsln_positive'])} NSLN-positive ones in LR-SLN or HR-SLN/LR-NSLN",
        MISSES,
        "what the missed axillae have in common",
    )


def limits(inputs: StudyInputs) -> Answer:
    """What limits the study."""
    n = len(limitations(inputs))
    told = f"{plural(n, 'limitation')} found in the tables of the study" if n else ""
    return Answer(told, "limitations" if told else "", "what they mean for the conclusions, and further ones")


def implications(inputs: StudyInputs) -> Answer:
    """What follows for practice."""
    told = "What would become of 1,000 axillae" if facts.found(inputs.metrics, "cascade.pathways") else ""
    return Answer(told, "pathways" if told else "", "what follows for practice, and the next steps")


def _with_n(estimate: Estimate) -> str:
    if finite(estimate.get("value")) is None:
        return estimate_text(estimate)
    return f"{estimate_text(estimate)}, n = {count(estimate.get('n'))}"
