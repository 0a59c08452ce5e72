"""Sentences on how to read a study's page: what is counted, what a picture shows and does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usdlr.core.types import RiskGroup
from usdlr.decision.numbers import NBSP, count, plural
from usdlr.decision.wording import P_NSLN

SELECTION = (
    "Features are chosen among the training patients of each fold. What is chosen each time is a property of the "
    "patients; what changes from fold to fold is chance, and no single choice should be read as a finding. Nomograms "
    "are those of the baseline that chooses features, fitted for comparison; the model that decides is another."
)
SIGNATURE = (
    "The model reads its networks and the radiomics through one linear score, and combines it with the clinical "
    "variables. Both are those of the model that ships; every figure above is counted on patients of the folds."
)
READOUT = (
    "The signature score is what the networks' images and radiomics make of an axilla. The probability is the "
    "nomogram's own; calibration follows it before any threshold."
)
HEAT = (
    "What the networks of the bundle use in axillae of its tuning patients, evenly spread from the lowest to the "
    "highest probability. On the left the crop; beside it one panel per image block: vermillion raises the "
    "log-odds, blue lowers them, on a colour scale of the case's own; where no map moves the log-odds by 0.3 nat in "
    "all, none reaches full colour: a pale map adds next to nothing. The number behind a block is what "
    "its whole map adds to the log-odds before calibration, compared with an empty image, by this image "
    "alone. A map is as coarse as the last feature map of the networks, and shows what they use, not what causes a "
    "metastasis. Solid orange line: lesion contour. Dashed blue line: outer edge of the peritumoral ring. Numbers "
    "are pseudonyms made for this page."
)
CHECKLISTS = (
    "Numbers and order are those of the checklists; what is asked is shortened in words of our own, so the checklists "
    "themselves decide in doubt. Answers come from the tables of this study; a link leads to the section that holds "
    "them. What no table tells stays with the author."
)
NEVER_MISSES = "Interval ends are rounded outward. Deferred axillae are never misses."
NEVER_NEGATIVE = "Counts of axillae. Unknown is never read as negative."
UNKNOWN_NSLN = "Counts of axillae. NSLN unknown: SLN-positive axillae without known NSLN status."
HIDDEN = "Identifiers in the examples are left out."
SEVERAL_NOTES = "One image set may carry several notes; ingest/notes.csv has a sentence for each."
DEVICE_CAPTION = "Research software, not a medical device."
BEYOND_LINES = "Lines end where the training rows end: beyond them the model is not known."
UNKNOWN_STATUS = (
    "Unknown status is never read as negative: it counts neither as positive nor as negative anywhere on this page. "
    "NSLN status is counted among SLN-positive axillae."
)
LOSSES = (
    "A loss that falls on training axillae alone is learned by heart. Tuning axillae choose when a fit stops, so that "
    "their loss at that epoch flatters the model; no test patient is in this figure."
)


def thresholds_note(*, adjective: str) -> str:
    """How the table of contracts is read."""
    return (
        f"An axilla is LR-SLN below the {adjective}SLN threshold, otherwise LR-NSLN below the {adjective}NSLN "
        "threshold. Missed: of the positive calibration axillae, n as given. Needed: positives that could certify the "
        "target. P value: the larger of the two exact binomial p-values; none is given unless certified."
    )


def conflict_sentence(what: str, first: object, second: object, *, source: str, adjective: str) -> str:
    """Says that two sources of one number disagree.

    Parameters
    ----------
    what : str
        What is counted.
    first, second : object
        What the estimates say, and what the tables give.
    source : str
        Of the second number, e.g. ``the table of exclusions gives``.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    return (
        f"Number of {what}: the estimates say {first}, {source} {second}. Do not rely on the {adjective}numbers of "
        "this page before this is resolved."
    )


def gallery_sentence(*, relative_diameter: float | None) -> str:
    """How the example cases are read."""
    bar = (
        "the bar is 10 mm long."
        if relative_diameter is None
        else f"the bar is 10 units long, {10 / relative_diameter:.2g} of the lesion's equivalent diameter."
    )
    return (
        "Solid orange line: lesion contour. Dashed blue line: outer edge of the peritumoral ring. Pictures stand "
        f"in the true proportions of the tissue; {bar} Colour, where present: stiffness in kPa, "
        f"on one scale for all cases. Case numbers are pseudonyms made for this page. {P_NSLN} holds only if the "
        "sentinel node is positive."
    )


def making_sentence(folds: int, *, adjective: str) -> str:
    """What was counted on whom, and what was fitted on whom."""
    return (
        f"{folds} folds; the unit of splitting is the patient. Rates and curves count axillae; the contract, "
        "survival, bootstraps and permutations count patients, both axillae of one together. In each fold, scalers, "
        f"selectors and calibrators are fitted on training and tuning patients, the {adjective}thresholds on "
        "calibration patients alone, and every rate and curve above is counted on test patients."
    )


def missed_meaning(*, known_nsln: str, adjective: str) -> str:
    """What a missed positive is in the figure of the cascade."""
    return (
        f"A missed positive is an axilla with a positive node that its {adjective}group would spare: SLN positive in "
        f"{RiskGroup.LR_SLN}, NSLN positive in {RiskGroup.LR_SLN} or {RiskGroup.HR_SLN_LR_NSLN}. NSLN status "
        f"{known_nsln}; deferred axillae follow the usual pathway and are not missed."
    )


def lost_sentence(patients: int, where: str) -> str:
    """Whose rows could not be used at all, and who alone belongs to the cohort; empty where neither is so."""
    only = f"Only patients with {where}. " if where else ""
    lost = f" {plural(patients, 'patient')} of the exports had no usable row." if patients else ""
    return f"{lost} {only}"


def balance_counts(axillae: int, patients: int, groups: Sequence[tuple[str, int]]) -> str:
    """What a table of the cohort counts.

    Parameters
    ----------
    axillae, patients : int
        Sums over the groups; a patient with an axilla in each of two groups counts in both.
    groups : sequence of (str, int)
        Name and patients of each group.
    """
    told = ", ".join(f"{name} {count(n)}" for name, n in groups)
    several = "" if axillae == patients else f" ({count(axillae)} axillae; patients by group: {told})"
    return (
        f"Counts are of axillae: the age of a patient with both sides counts once per axilla{several}. Shares are of "
        "axillae of which the value is known; how many are not is a row of its own."
    )


def difference_sentence(compared: int, left_out: Sequence[str]) -> str:
    """What a standardised difference is, and what it does not prove."""
    largest = "" if compared <= 2 else " Of more than two groups the two that lie farthest apart, which are named."
    return (
        "Standardised difference: how far two groups lie apart in units of their spread, whatever their size (numbers: "
        "means over the root of the mean variance; words: Yang and Dalton 2012); no test. Up to 0.1 is by convention "
        f"small; between small groups chance alone makes larger ones.{largest}"
        + (f" Not compared: {', '.join(left_out)}." if left_out else "")
    )


def rows_title(n: int) -> str:
    """The heading of the table of exclusions."""
    return f"Rows of the centres' exports that were not used, n ={NBSP}{count(n)}"


def checklist_line(name: str, items: int, totals: Mapping[str, int]) -> str:
    """How much of a checklist the page answers."""
    return f"{name}, {count(items)} items: {', '.join(f'{count(n)} {key}' for key, n in totals.items())}."
