"""What a clinician reads of an axilla that is unlike those that the model was made with."""

from __future__ import annotations

from collections.abc import Sequence

BLOCK = "what the networks make of {where}"
FEATURES = "radiomics of {where}"
VARIABLE = "clinical variables"
MOST_PARTS = 3
NOT_CHECKED = "Not checked whether this axilla is like those that the model was made with: "


def far_words(what: str, value: float, low: float, high: float) -> str:
    """A single value that lies far out.

    Parameters
    ----------
    what : str
        The feature in plain words with its unit.
    value : float
        Of this axilla.
    low, high : float
        Between which the training axillae mostly lie.

    Examples
    --------
    >>> far_words("tumour size mm", 96.0, 8.0, 41.25)
    'tumour size mm 96, usually 8 to 41.2'
    """
    return f"{what} {value:.3g}, usually {low:.3g} to {high:.3g}"


def flag_words(parts: Sequence[str], features: Sequence[str], rate: float) -> str:
    """The flag of an axilla whose alarm is raised.

    Parameters
    ----------
    parts : sequence of str
        Parts beyond the limit, the farthest first.
    features : sequence of str
        From :func:`far_words`; may be empty.
    rate : float
        Stated share of false alarms.

    Examples
    --------
    >>> flag_words(["clinical variables"], ["tumour size mm 96, usually 8 to 41.2"], 0.05)[:66]
    'Unlike the patients that the model was made with: clinical variabl'
    """
    if not parts:
        return f"{NOT_CHECKED}it shows nothing to compare."
    named = "; ".join(parts[:MOST_PARTS])
    more = f" and {len(parts) - MOST_PARTS} more" if len(parts) > MOST_PARTS else ""
    far = f" Farthest out: {'; '.join(features)}." if features else ""
    return (
        f"Unlike the patients that the model was made with: {named}{more}.{far} The answer may not hold for this "
        "patient. "
        f"Of patients like those that the model was made with, at most {_rate(rate)} raise this alarm by chance."
    )


def unchecked_words(patients: int | None = None, needed: int | None = None, rate: float | None = None) -> str:
    """Why nobody was checked: the bundle holds nothing to compare with, or too few patients for the rate.

    Examples
    --------
    >>> unchecked_words(12, 19, 0.05).partition(": ")[2]
    '12 tuning patients are too few to state an alarm of 5 %, which needs 19.'
    """
    start = NOT_CHECKED
    if patients is None or needed is None or rate is None:
        return f"{start}the bundle holds nothing to compare with. Export it again with this version."
    return f"{start}{patients} tuning patients are too few to state an alarm of {_rate(rate)}, which needs {needed}."


def study_lines(rate: float) -> tuple[str, ...]:
    """What the study report says of the alarm.

    Examples
    --------
    >>> study_lines(0.05)[0].count("5 %")
    1
    """
    return (
        f"Every axilla is compared with the training axillae: what the networks make of its images, its radiomics, its "
        f"clinical variables. The part that lies farthest out gives the score. Its limit was set on tuning patients so "
        f"that at most {_rate(rate)} of patients like them raise an alarm.",
        "Among test axillae every alarm is a false one. Alarms of another source are no errors: its patients, "
        "scanners or readers may well be unlike these. An axilla without an alarm may still be misjudged.",
    )


def _rate(rate: float) -> str:
    return f"{100 * rate:g} %"


def strangers_line(alarms: int, checked: int, rate: float) -> str:
    """What is said of a cohort when it is predicted; empty where nobody raises an alarm.

    Examples
    --------
    >>> strangers_line(3, 40, 0.05)[:63]
    '3 of 40 axillae are unlike the patients that the model was made'
    >>> strangers_line(0, 40, 0.05)
    ''
    """
    if not alarms:
        return ""
    return (
        f"{alarms} of {checked} axillae are unlike the patients that the model was made with (of patients like those, "
        "at "
        f"most {_rate(rate)} are called so); the column ood_why of the reliability table says in what."
    )
