"""Sentences of model card and data card: what a model and its data may be used for, and what they may not."""

from __future__ import annotations

from collections.abc import Iterator

from usdlr.core.types import Stage
from usdlr.decision.numbers import count, plural

INTENDED = (
    "Research on which axillae could be spared surgery, from breast ultrasound before it: by those who build such "
    "models, by clinicians who review their answers, and by teams who test them on patients of their own. Its "
    "answers are to be compared with surgery, not to replace it."
)
WEIGHED = (
    "A missed positive node is treated too late or too little; a needless operation may leave lymphoedema and pain. "
    "The targets of the contract weigh the two; whoever uses the model answers for them."
)
COUNTS_TWICE = "One row per axilla; a patient with both sides counts twice."
LEFT_OUT = "Left out are rows of the exports, and axillae in the last line."


def rare_sentence(centres: str) -> str:
    """Whose model it is, and who fares worst with it."""
    return f"The patients behind it are those of {centres}. Who is rare among them is judged worst."


def out_of_scope(
    *, centres: str, where: str, simulated: bool, proxies: bool, uncertified: bool, relative: bool
) -> Iterator[str]:
    """What the model is not for.

    Parameters
    ----------
    centres : str
        Names of the centres of the cohort.
    where : str
        Who alone belongs to the cohort; empty: everybody.
    simulated, proxies, uncertified : bool
        What the model cannot speak of.
    relative : bool
        Whether lengths are relative to the lesion.
    """
    yield "Not for diagnosis or treatment of anybody."
    if simulated:
        yield "Not for any statement about real patients: those behind it are simulated."
    if proxies:
        yield "Not for any statement about lymph nodes: proxies stand in for their status."
    if uncertified:
        yield "Not for sparing anybody surgery, in a study either: its false-negative rates are uncertified."
    yield (
        f"Not for patients of other centres or scanners than those of {centres}, until it is tested there: no promise "
        "reaches them."
    )
    yield "Not for patients treated before axillary surgery: node status after such treatment counts as unknown here."
    if where:
        yield f"Not for others than patients with {where}."
    if not relative:
        yield "Not for images whose pixel size in millimetres is not known."
    yield "Not for images without an outlined lesion."


def misuse_of_data(*, simulated: bool, proxies: bool, treated: bool) -> Iterator[str]:
    """What the data must not be used for."""
    if simulated:
        yield "Any statement about real patients: nobody stands behind these images."
    if proxies:
        yield "Any statement about lymph nodes: the endpoints are proxies."
    yield "Finding out who a patient is."
    yield "Rates of positive nodes in a population: patients came through the doors of these centres, not by lot."
    if treated:
        yield "Patients treated before axillary surgery, who were left out."
    yield "Testing the models that were made with these patients once more: each of them has been seen."


def trained_on(stage: Stage, axillae: int, positives: int) -> str:
    """How many axillae the bundle's model of a stage was trained on."""
    return (
        f"{stage.upper()} stage of the bundle: {plural(axillae, 'axilla', 'axillae')} of known status to train on, "
        f"{count(positives)} positive."
    )
