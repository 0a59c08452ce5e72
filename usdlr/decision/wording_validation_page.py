"""What the page of a validation says beside its numbers: how to read it, and what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.wording import DISSECTED, percent
from usdlr.decision.wording_shift import NOT_COMPARED

FROZEN = (
    "The bundle was frozen before: nothing of it was fitted, chosen or calibrated on these patients, and its "
    "thresholds are those that it carries. Predictions were written to disk before outcomes were opened."
)
HOW_VERDICTS = (
    "Held: the upper end of the exact 95 % interval is at most the target. Broken: its lower end is above the target. "
    "Undetermined: neither, and more positives are needed. A verdict is about the patients whose status is known; a "
    "deferred axilla is not a miss."
)
HOW_LOCK = (
    "The lock is a SHA-256 over the plan, the bundle, what is known of the patients before surgery, their images, and "
    "the outcomes. A change of any of them is refused; an amendment is a further lock that names the one before it. A "
    "lock cannot show that nobody had looked earlier: compare the hash with one that was registered elsewhere."
)
HOW_META = (
    "Fixed effect: one value common to all centres. Random effects: the mean of centres that differ; with few centres "
    "its interval is wide, as it should be. The prediction interval says where a further centre like these would lie, "
    "which is what somebody at another hospital asks."
)
GALLERY_NOTE = (
    "Missed axillae stand first, those with the lowest probability before others; then cases of every group. Solid "
    "orange line: lesion contour. Dashed blue line: outer edge of the peritumoral ring. Case numbers are pseudonyms "
    "made for this page."
)
HEAT_NOTE = (
    "What the networks of the bundle used in missed axillae. On the left the crop; beside it one panel per image "
    "block: vermillion raises the log-odds, blue lowers them, on a colour scale of the case's own. A map shows what "
    "the networks use, not why a node was missed, and is as coarse as their last feature map."
)
NOT_MISSED = "No axilla that is known to be positive was missed by the frozen thresholds."


def flow_note(excluded: int, rows: int) -> str:
    """How much of the sources was used.

    Examples
    --------
    >>> flow_note(3, 10)
    '3 of 10 rows of the sources were not used (30.0 %); every reason is counted below.'
    """
    if not excluded:
        return "Every row of the sources was used."
    share = percent(excluded / rows)
    return f"{excluded} of {rows} rows of the sources were not used ({share}); every reason is counted below."


def failures_sentence(missed: int, shown: int) -> str:
    """How many positive axillae were missed, and how many of them are shown.

    Examples
    --------
    >>> failures_sentence(5, 4), failures_sentence(0, 0) == NOT_MISSED
    ('5 positive axillae were missed, at either stage; 4 of them are shown.', True)
    """
    if not missed:
        return NOT_MISSED
    many = "1 positive axilla was" if missed == 1 else f"{missed} positive axillae were"
    return f"{many} missed, at either stage; {shown} of them {'is' if shown == 1 else 'are'} shown."


def strangers_sentence(rows: int) -> str:
    """That outcomes came for axillae which nobody predicted; empty where there are none."""
    if not rows:
        return ""
    return f"Rows of the file of outcomes that belong to no case, and were not used: {rows}."


def unknown_sentence(stage: Stage, unknown: int, n: int, *, known_nsln: str = DISSECTED) -> str:
    """How many outcomes are unknown, and that they count as neither; empty where all are known.

    Examples
    --------
    >>> unknown_sentence(Stage.SLN, 2, 40)
    'SLN status is unknown for 2 of 40 axillae; they count neither as positive nor as negative.'
    """
    if not unknown:
        return ""
    if stage is Stage.SLN:
        return f"SLN status is unknown for {unknown} of {n} axillae; they count neither as positive nor as negative."
    return f"NSLN status is unknown for {unknown} of {n} SLN-positive axillae; figures of that stage hold {known_nsln}."


def validation_limits(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must not conclude, gravest first.

    Parameters
    ----------
    metrics : mapping
        The content of ``validation.json``.
    """
    lock, centres = metrics["lock"], metrics["centres"]
    late = sum(bool(one["after_outcomes"]) for one in lock["locks"])
    if late:
        yield (
            f"{late} amendment{'' if late == 1 else 's'} of the plan came after outcomes had been opened: what was "
            "changed then may have been chosen by what was seen."
        )
    for stage in Stage:
        found = metrics["verdicts"][str(stage)]
        if found["standing"] == "undetermined":
            yield (
                f"The {stage.upper()} verdict is undetermined: neither that the target is held nor that it is broken "
                "may be said."
            )
    if not lock["apart"]:
        yield (
            "Plan and outcomes were locked by one command. That nobody looked at outcomes before planning rests on the "
            "word of those who planned."
        )
    unverified = metrics["cascade"]["verified_share"]
    if unverified["n"] and unverified["events"] < unverified["n"]:
        unknown = unverified["n"] - unverified["events"]
        yield (
            f"NSLN status is unknown for {unknown} of {unverified['n']} SLN-positive axillae. Who is dissected is "
            "chosen, so the NSLN figures need not hold for the others."
        )
    if len(centres) == 1:
        yield "One centre took part: how the model does at a further one is not known from this page."
    elif len(centres) < 5:
        yield f"{len(centres)} centres took part: how much centres differ can hardly be estimated from so few."
    excluded, used = int(metrics["cohort"]["excluded"]), int(metrics["cohort"]["image_sets"])
    if excluded > 0.1 * (excluded + used):
        yield (
            f"{percent(excluded / (excluded + used))} of the rows could not be used. If what cannot be used is harder, "
            "the figures flatter the model."
        )
    if metrics.get("shift") is None:
        yield NOT_COMPARED
    yield (
        "This page judges what the frozen thresholds did. It does not certify them for this centre: for that, "
        "thresholds are set anew on local positives and certified on patients who were used for nothing else."
    )
