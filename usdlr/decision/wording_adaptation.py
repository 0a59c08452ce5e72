"""Sentences about a model that was adapted to a centre; none claims more than its interval allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage

ADAPTED = (
    "This is a new model, made from another one with patients of this centre. The other model's contract says nothing "
    "about it; its own contract speaks of patients like this centre's calibration patients, and of no others."
)
UNTOUCHED = (
    "Before and after are compared on patients of this centre whom neither model has seen, counted once, after both "
    "were fixed."
)
HARMONISED = (
    "Radiomics was brought to the development patients' level and spread, without a look at outcomes. Real differences "
    "between the patients that show in these features are taken out with those of the scanners."
)
_RECALIBRATED: Mapping[str, str] = {
    "none": "The log-odds are as the model gives them",
    "intercept": "All log-odds were shifted alike",
    "line": "The log-odds were shifted and stretched",
    "isotonic": "Probabilities were fitted anew by isotonic regression",
}


def attempts_sentence(attempts: int, delta: float) -> str:
    """How often an adaptation was tried on these patients, and what that does to the certificate.

    Parameters
    ----------
    attempts : int
        All that were begun under this lock file, this one among them.
    delta : float
        The tolerated chance that one certificate is wrong.

    Examples
    --------
    >>> attempts_sentence(1, 0.05)
    'It is the only adaptation that was tried on these patients.'
    >>> attempts_sentence(3, 0.05)[:66]
    'Adaptations with 3 different settings were tried on these patients'
    """
    if attempts <= 1:
        return "It is the only adaptation that was tried on these patients."
    together = min(1.0, attempts * delta)
    return (
        f"Adaptations with {attempts} different settings were tried on these patients. The tolerated chance of a wrong "
        f"certificate, {100 * delta:g} %, is that of one attempt; that one of {attempts} is wrong can be as likely as "
        f"{100 * together:g} %."
    )


def recalibration_sentence(stage: Stage | str, record: Mapping[str, Any]) -> str:
    """How a stage was recalibrated, on how many axillae, or why it was not.

    Parameters
    ----------
    stage : Stage
        Which one.
    record : mapping
        ``kind positive negative`` and, where a stage was left as it was, ``why``.

    Examples
    --------
    >>> recalibration_sentence("sln", {"kind": "intercept", "positive": 12, "negative": 20})
    'SLN stage: All log-odds were shifted alike, fitted on 12 positive and 20 negative axillae of the adaptation part.'
    """
    name = f"{str(Stage(stage)).upper()} stage"
    if record.get("why"):
        return f"{name}: not recalibrated ({record['why']})."
    what = _RECALIBRATED[str(record["kind"])]
    if record["kind"] == "none":
        return f"{name}: {what}."
    return (
        f"{name}: {what}, fitted on {record['positive']} positive and {record['negative']} negative axillae of the "
        "adaptation part."
    )


def fine_tuning_sentence(stage: Stage | str, record: Mapping[str, Any]) -> str:
    """Whether a stage's last layer was changed.

    Examples
    --------
    >>> fine_tuning_sentence("sln", {"changed": False, "axillae": 60})[-46:]
    'no other weights were better on held-out ones.'
    """
    name = f"{str(Stage(stage)).upper()} stage"
    if record["changed"]:
        return (
            f"{name}: the networks' last layer was fitted again on {record['axillae']} axillae, drawn towards its old "
            "weights as strongly as held-out ones asked for."
        )
    return (
        f"{name}: the networks stay as they were: of {record['axillae']} axillae, no other weights were better on "
        "held-out ones."
    )


def needed_sentence(stage: Stage | str, need: Mapping[str, Any]) -> str:
    """How many further patients a certificate takes; empty where no positive is missing.

    Parameters
    ----------
    stage : Stage
        Which one.
    need : mapping
        Of :func:`usdlr.validation.adapt_need.positives_needed`.

    Examples
    --------
    >>> need = {"have": 20, "required": 29, "missing": 9, "patients_expected": 18, "patients": 23, "assurance": 0.8}
    >>> needed_sentence("sln", need)[:64]
    'SLN: the calibration part holds 20 positives, and 29 are needed;'
    """
    if not need["missing"]:
        return ""
    start = (
        f"{str(Stage(stage)).upper()}: the calibration part holds {need['have']} positives, and {need['required']} are "
        "needed"
    )
    if need["patients"] is None:
        return f"{start}; the centre has shown no positive yet, so nobody can say how many patients that takes."
    return (
        f"{start}; some {need['patients_expected']} further calibration patients bring the other {need['missing']} on "
        f"average, {need['patients']} with a chance of {100 * need['assurance']:g} %. One more miss asks for "
        "more."
    )


def change_word(difference: Mapping[str, Any], *, smaller_is_better: bool) -> str:
    """What an interval of a difference (after minus before) says.

    Examples
    --------
    >>> change_word({"value": -0.02, "low": -0.03, "high": -0.01}, smaller_is_better=True)
    'better'
    >>> change_word({"value": -0.02, "low": -0.05, "high": 0.01}, smaller_is_better=True)
    'no difference shown'
    """
    value, low, high = (difference.get(key) for key in ("value", "low", "high"))
    if value is not None and low is not None and low == high == 0:
        return "unchanged"
    if value is None or low is None or high is None or low <= 0 <= high:
        return "no difference shown"
    return "better" if (high < 0) is smaller_is_better else "worse"
