"""What a reader is told of the difference between a centre's patients and those that a model was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.decision.numbers import count, finite, number, p_words, plural

KIND_WORDS: Mapping[str, str] = {
    "case_mix": "who the patients are (age, tumour size, BI-RADS, clinical nodal stage)",
    "image_features": "what the images measure (radiomics)",
    "missing": "what is missing",
    "networks": "what the networks make of the images",
    "answers": "what the model answers (log-odds)",
}
KIND_TITLES: Mapping[str, str] = {
    "case_mix": "Case mix",
    "image_features": "Radiomics",
    "missing": "Missing images or regions",
    "networks": "Network embeddings",
    "answers": "Predicted log-odds",
}
NOT_COMPARED = (
    "Shift not assessed: the bundle holds no summary of its training patients. Make the bundle again with this version."
)


def shift_lines(shift: Mapping[str, Any]) -> tuple[str, ...]:
    """The alarm, what it means, and what the comparison rests on.

    Parameters
    ----------
    shift : mapping
        From :func:`usdlr.evaluation.shift.shift_report`.

    Examples
    --------
    >>> kinds = {"case_mix": {"alarm": False}, "image_features": {"alarm": True}}
    >>> counts = {"patients": 220, "axillae": 221, "held": 73}
    >>> told = {"alarm": True, "rate": 0.05, "p_value": 0.001, "kinds": kinds, "patients": 80, "reference": counts}
    >>> shift_lines(told)[0].partition(" in ")[2]
    'what the images measure (radiomics) (P = 0.001).'
    """
    known = shift["reference"]
    if shift["alarm"] is None:
        first = "Shift not assessed: too few patients here to compare with those that the model was made with."
    elif shift["alarm"]:
        found = [KIND_WORDS[name] for name, one in shift["kinds"].items() if one["alarm"]]
        first = (
            f"Shift alarm: the patients differ from those that the model was made with in {_joined(found)} "
            f"({p_words(shift['p_value'])})."
        )
    else:
        first = (
            "No shift alarm: no difference from the patients that the model was made with was found "
            f"({p_words(shift['p_value'])}). That is no proof of likeness: small differences, or differences in few "
            "patients, are not found."
        )
    return (
        first,
        f"The alarm is raised in at most {100 * float(shift['rate']):g} % of centres whose patients are like those "
        "that the "
        "model was made with. It reads no outcome and does not say whether the model is right here; only outcomes do.",
        f"Compared are {plural(shift['patients'], 'patient')} here with {count(known['patients'])} who fitted or tuned "
        "the "
        f"model; what networks see and answer, with the {count(known['held'])} of them on whom no network was fitted. "
        "Patients are the unit: both axillae of one count once.",
    )


def domain_line(estimate: Mapping[str, Any]) -> str:
    """How well a classifier tells both groups apart.

    Examples
    --------
    >>> domain_line({"value": 0.93, "low": 0.9, "high": 0.96, "method": "sample; AUC"})[:86]
    'A classifier of the radiomics tells patients here from training patients with an AUC o'
    """
    if finite(estimate.get("value")) is None:
        return (
            "No classifier was fitted to tell both groups apart: there are too few patients, or no radiomics is read."
        )
    ends = [
        number(float(estimate[name])) for name in ("value", "low", "high") if finite(estimate.get(name)) is not None
    ]
    interval = f" (95 % interval {ends[1]} to {ends[2]})" if len(ends) == 3 else ""
    made_up = (
        " A sample drawn from the summary stands for the training patients, which alone makes the AUC larger than 0.5: "
        "it "
        "is an upper estimate and part of no alarm."
        if "sample drawn" in str(estimate.get("method"))
        else " It is part of no alarm."
    )
    return (
        f"A classifier of the radiomics tells patients here from training patients with an AUC of {ends[0]}{interval}."
        f"{made_up}"
    )


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
