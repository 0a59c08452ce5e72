"""Sentences on models side by side: what an area under the curve counts, who beats whom, patients of other sources."""

from __future__ import annotations

from collections.abc import Sequence

from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, Estimate, count, estimate_text, finite, method_text

VOID_ELSEWHERE = "The false-negative contract is void for these patients until it is established anew among them."
LIMIT_MEANING = (
    "Limit: what is reached from these images by somebody who knows which properties of the tumour decide, measures "
    "them with the true outline, and learns their weights from the model's own training patients; a yardstick, not a "
    "bound: with few patients a simpler model may lie above it"
)
ORACLE_MEANING = (
    "Oracle: each simulated patient ranked by the true probability; no test can do better, the rest is chance"
)
PARTIAL = (
    "Partial AUC: sensitivities from 90 % to 100 %, scaled so that 0.5 is chance and 1 is perfect. Average precision "
    "of chance is the share of positives: "
)
CAVEAT_NRI = (
    "The net reclassification index adds two shares of different groups and is not a share of patients. It weighs a "
    "positive and a negative axilla by the prevalence of these data, not by what an error costs. Read its two "
    "components, and the decision curve."
)
CAVEAT_CATEGORIES = (
    "With two categories the components are the changes of sensitivity and specificity and say nothing more. With "
    "three or more, every move counts the same, whichever border it crosses. The borders must have been fixed "
    "beforehand."
)
CAVEAT_CONTINUOUS = (
    "The continuous index counts every change of a risk, however small, as a full one. It can be far above zero for a "
    "model that adds nothing when that model is miscalibrated, also on independent data; it is no evidence of benefit."
)
CAVEAT_IDI = (
    "The integrated discrimination improvement grows when a model spreads its risks, rightly or not: it rewards "
    "overconfidence and depends on the prevalence. Compare calibration before it is read."
)
RISKS_RULE = (
    "Risks: the model's calibrated probabilities against the baseline's own, which nobody calibrated: part of every "
    "difference here may be calibration alone."
)


def judged(stage: Stage, *, known_nsln: str) -> str:
    """Among whom a stage is judged; empty at the SLN stage, which is judged on all axillae of known status."""
    return "" if stage is Stage.SLN else f"Judged on SLN-positive axillae, {known_nsln}. "


def areas_note(stage: Stage, *, known_nsln: str) -> str:
    """What a table of areas counts."""
    return (
        f"{judged(stage, known_nsln=known_nsln)}n: axillae with known status. AUC: area under the ROC curve; pooled: "
        "one curve over all out-of-fold predictions, each from its fold's model."
    )


def ranking_note(*, known_nsln: str) -> str:
    """Whom a table of both stages counts."""
    return f"n: axillae with known status. The NSLN stage is judged on SLN-positive axillae, {known_nsln}."


def tests_sentence(methods: Sequence[str]) -> str:
    """What the p-values against baselines ask; empty without one."""
    if not methods:
        return ""
    return (
        f"p: {'; '.join(methods)}; adjusted after Holm for all baselines at both stages. The test asks whether the "
        "two could be exchanged, not how much they differ."
    )


def share_sentence(share: Estimate) -> str:
    """The model's share of the way from chance to what simulated images allow."""
    how = f"; {method_text(share)}" if finite(share.get("value")) is not None else ""
    return f"The model's share of the way from chance (0.5) to the limit: {estimate_text(share)}{how}."


def calls_note(methods: str, *, known_nsln: str, adjective: str) -> str:
    """What a positive call is."""
    return (
        f"A positive call is a probability at or above the {adjective}threshold of the axilla's own test fold. The "
        f"NSLN stage is judged on SLN-positive axillae, {known_nsln}. Rates: {methods}."
    )


def calls_rule(*, adjective: str) -> str:
    """How calls of a model and of a baseline without thresholds are compared, and what that does not show."""
    return (
        f"Calls: the model at its {adjective}out-of-fold thresholds; a baseline calls as many axillae of every fold "
        "positive, those with its highest scores. This reads no outcome, but nobody could act on it beforehand: it "
        "compares rankings at the model's own rate of calls, and no baseline has a false-negative contract."
    )


def compared_note(comparisons: int) -> str:
    """What the p-values of calls allow for."""
    return (
        f"P: McNemar's exact test for whole patients, after Holm's correction for all {count(comparisons)} of them. A "
        "difference whose interval holds 0 shows neither that the model is better nor that both are alike."
    )


def against_note(methods: str) -> str:
    """How differences from a baseline were made, and what a dash stands for."""
    return f"{methods[:1].upper()}{methods[1:]}. {EN_DASH}: not estimable, or scores that are no risks."


def external_note(stage: Stage, axillae: int, patients: int, *, known_nsln: str) -> str:
    """Who the patients of another source are to the model."""
    return (
        f"{count(axillae)} axillae of {count(patients)} patients, none of whom was used to fit, select, calibrate or "
        "set a threshold; the bundle was applied once. Baselines were fitted on the training patients of the bundle. "
        f"{judged(stage, known_nsln=known_nsln)}"
    )


def not_the_model(title: str) -> str:
    """Whose nomogram it is.

    Examples
    --------
    >>> not_the_model("Signature")
    'This nomogram is that of the baseline “Signature”, not of the model that decides.'
    """
    return f"This nomogram is that of the baseline \u201c{title}\u201d, not of the model that decides."


def several_images(rows: int, axillae: int) -> str:
    """Says that an axilla with several image sets counts several times."""
    return (
        f"The {count(rows)} rows are image sets of {count(axillae)} axillae: an axilla with several counts several "
        "times."
    )


NO_FEATURE = "No radiomics feature was found to tell anything here: the signature holds none."


def baseline_area(auc: Estimate) -> str:
    """How well a baseline ranks out of fold; empty where that is not known."""
    if finite(auc.get("value")) is None:
        return ""
    return (
        f"Out of fold, fitted anew in every fold, the baseline reaches an AUC of {estimate_text(auc)}, n = "
        f"{count(auc.get('n'))}."
    )
