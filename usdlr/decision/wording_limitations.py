"""Sentences on what limits a study; each is empty, or not asked for, where the limitation does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    Estimate,
    count,
    estimate_text,
    events_text,
    finite,
    not_estimable,
    p_words,
    percent,
    plural,
    rate_text,
)
from usdlr.decision.wording import proxy_notice
from usdlr.decision.wording_subgroups import LEVEL

NOTHING_FOUND = "The tables of the study show none of the limitations that this software looks for. Others remain."
NOTE = (
    "Found in the tables of this study by fixed rules, the gravest first. What no table tells, such as how the centres "
    "chose their patients, stays with the author."
)
HARDLY = 0.05  # share of the log-odds' standard deviation below which images hardly count
STEPS: Mapping[str, str] = {"ingest": "reading the files", "cohort": "choosing the cohort", "features": "measuring"}


def proxy_limitation(stage: Stage, sentence: str) -> str:
    """Says that an endpoint is a stand-in."""
    told = proxy_notice(stage, sentence)
    return f"{stage.upper()} stage: {told[0].lower()}{told[1:]}"


def contract_limitation(contract: str) -> str:
    """An uncertified contract's own sentence, and what follows from it."""
    return f"{contract} Nobody may be spared surgery by this model."


def recruits_sentence(stage: Stage, held: int, least: int, *, share: float, axillae: int, assurance: float) -> str:
    """How many axillae would bring the positives that are lacking.

    Parameters
    ----------
    stage : Stage
        Whose positives are lacking.
    held, least : int
        Positives in the calibration part, and the fewest that can certify.
    share : float
        Of all patients, kept for calibration.
    axillae : int
        That would bring so many, with a chance of ``assurance``.
    assurance : float
        That chance.
    """
    return (
        f"{stage.upper()} positives are too few for the contract: {count(held)} in the calibration part, at least "
        f"{count(least)} needed. Were they as frequent as here, and {percent(share)} of all patients kept for "
        f"calibration, {count(axillae)} axillae would bring so many with a chance of {percent(assurance, 0)}, and "
        "would certify only without a single miss."
    )


def no_rate_sentence(stage: Stage, rate: Estimate) -> str:
    """Says that a false-negative rate could not be estimated, and why."""
    return f"The false-negative rate of the {stage.upper()} endpoint is {not_estimable(rate)}."


def folds_limitation(lacking: int, folds: int) -> str:
    """Says that some folds' thresholds are uncertified."""
    return (
        f"The thresholds of {count(lacking)} of {plural(folds, 'fold')} are uncertified: the false-negative rates of "
        "this page rest partly on them."
    )


def no_external_sentence(centres: Sequence[str], *, uncertified: bool) -> str:
    """Says that nobody of another source was judged."""
    where = "one centre" if len(centres) == 1 else f"the {count(len(centres))} centres of the cohort"
    void = "" if uncertified else ", where the contract is void until it is established anew"
    return (
        f"No patients of another source were judged: every number is about {where} ({', '.join(centres)}) and need "
        f"not hold elsewhere{void}."
    )


def simulated_sources(names: Sequence[str]) -> str:
    """Says that all external sources are simulated."""
    return f"All external sources ({', '.join(names)}) are simulated."


def one_centre_sentence(name: str) -> str:
    """Says that one centre made the model."""
    return f"The model was made with patients of one centre ({name})."


def unverified_sentence(share: Estimate, *, known_nsln: str, proxy: bool) -> str:
    """Of how many axillae the NSLN status is unknown; empty where of none."""
    n, events = finite(share.get("n")), finite(share.get("events"))
    if not n or events is None or events >= n:
        return ""
    why = "" if proxy else ": their axilla was not dissected, or the result is not known"
    return (
        f"NSLN status is unknown in {count(n - events)} of {count(n)} SLN-positive axillae "
        f"({percent((n - events) / n)}){why}. Every NSLN figure is stated {known_nsln} and need not hold for "
        "the others."
    )


def chance_sentence(stage: Stage, area: Estimate) -> str:
    """Says that a ranking is not shown to be better than chance; empty where its interval lies above 0.5."""
    low = finite(area.get("low"))
    if finite(area.get("value")) is None:
        return f"The AUC of the {stage.upper()} stage is {not_estimable(area)}."
    if low is None:
        return (
            f"Whether the model ranks better than chance at the {stage.upper()} stage is not known: its AUC "
            f"{estimate_text(area)} has no interval."
        )
    if low > 0.5:
        return ""
    return (
        f"At the {stage.upper()} stage the model is not shown to rank better than chance: AUC {estimate_text(area)}, "
        f"n = {count(area.get('n'))}."
    )


def lead_sentence(stage: Stage, leads: Sequence[tuple[str, Estimate, float | None]]) -> str:
    """Over which simpler models no lead is shown; empty where one is shown over all.

    Parameters
    ----------
    stage : Stage
        Which stage.
    leads : sequence of (str, mapping, float or None)
        A baseline's title, the model's AUC minus its own, and the p-value after Holm's correction.
    """
    told = []
    for title, lead, p_holm in leads:
        low = finite(lead.get("low"))
        # Among several baselines an interval alone is passed by chance too often.
        if low is not None and (low <= 0 or (p_holm is not None and p_holm >= LEVEL)):
            p = f", {p_words(p_holm)} after Holm's correction" if p_holm is not None else ""
            told.append(f"{title} {estimate_text(lead)}{p}")
    if not told:
        return ""
    return (
        f"At the {stage.upper()} stage the model is not shown to rank better than simpler ones; difference of the AUC "
        f"to {'; '.join(told)}."
    )


def unstable_sentence(
    stage: Stage, *, parameters: int, criterion: str, needed: tuple[int, int], held: tuple[int, int], exact: bool
) -> str:
    """Says that there are too few axillae for a stable model.

    Parameters
    ----------
    stage : Stage
        Which stage.
    parameters : int
        Predictors that the tabular part may keep.
    criterion : str
        Riley's strictest.
    needed, held : (int, int)
        Axillae and positives among them.
    exact : bool
        Whether ``held`` is what the model was trained on.
    """
    what = "to train on" if exact else "in all, of whom each fold trains on a part"
    return (
        f"Too few axillae for a stable model at the {stage.upper()} stage: with the {plural(parameters, 'predictor')} "
        f"that its tabular part may keep, Riley's criteria ({criterion}) ask for {count(needed[0])} with "
        f"{count(needed[1])} positives; there are {count(held[0])} with {count(held[1])} positives {what}."
    )


def calibration_sentence(stage: Stage, slope: Estimate) -> str:
    """Says that risks are too extreme or too moderate; empty where the slope's interval holds 1."""
    value, low, high = (finite(slope.get(key)) for key in ("value", "low", "high"))
    if value is None:
        return f"The calibration slope of the {stage.upper()} stage is {not_estimable(slope)}."
    if low is None or high is None or low <= 1 <= high:
        return ""
    meaning = "too extreme" if value < 1 else "too moderate"
    return (
        f"Risks predicted at the {stage.upper()} stage are {meaning}: calibration slope {estimate_text(slope)}, "
        f"n = {count(slope.get('n'))}, where 1 is right."
    )


def deferred_limitation(rate: Estimate) -> str:
    """How many axillae got no answer; empty where all did."""
    return (
        f"{events_text(rate)} axillae got no answer (DEFER): {rate_text(rate)}." if finite(rate.get("events")) else ""
    )


def exclusions_sentence(total: int, lost: int, steps: Sequence[tuple[str, int, Sequence[tuple[str, int]]]]) -> str:
    """How many rows of the exports were left out, where and why.

    Parameters
    ----------
    total, lost : int
        Rows, and how many of them were left out.
    steps : sequence of (str, int, sequence of (str, int))
        Step, rows left out there, and the reasons with their counts.
    """
    told = [
        f"{count(n)} when {STEPS[step]} ({', '.join(f'{why} {count(k)}' for why, k in reasons)})"
        for step, n, reasons in steps
    ]
    return (
        f"{count(lost)} of {count(total)} rows of the exports ({percent(lost / total)}) were left out: "
        f"{', '.join(told)}. Who is left need not be like who was left out."
    )


def neoadjuvant_sentence(n: int) -> str:
    """Says that treated patients were left out; empty where there was none."""
    return (
        f"Patients treated before axillary surgery were left out ({plural(n, 'row')}): nothing here holds for them."
        if n
        else ""
    )


def untested_sentence(lost: int, why: str, axillae: int) -> str:
    """How many axillae of the cohort no rate counts."""
    return (
        f"{plural(lost, 'axilla', 'axillae')} of the cohort were {why}; every rate is counted on the other "
        f"{count(axillae)}."
    )


def no_stiffness_sentence(without: int, n: int) -> str:
    """How many axillae have no measured stiffness; empty where all have."""
    if not without:
        return ""
    return f"{count(without)} of {count(n)} tested axillae ({percent(without / n)}) have no measured stiffness."


def missing_sentence(n: int, lacking: Sequence[tuple[str, int]]) -> str:
    """Which values are missing in how many axillae; empty where none is."""
    told = [f"{name} ({count(many)})" for name, many in lacking if many]
    return f"Values are missing in the {count(n)} tested axillae: {', '.join(told)}." if told else ""


def spacing_sentence(sources: str) -> str:
    """Says that pixel sizes come from several kinds of source."""
    return f"The size of a pixel comes from different kinds of source, by image sets: {sources}."


def contours_sentence(sources: str, *, several: bool) -> str:
    """Says that nobody measured what another contour would change."""
    how = "different kinds of source" if several else "one kind of source"
    return (
        f"Lesions were outlined once for every image set, by {how} ({sources}): how far another contour would change "
        "the answers was not measured."
    )


def published_weights_sentence(backbone: str) -> str:
    """Says that networks started from weights that nobody here has checked."""
    return (
        f"The networks ({backbone}) started from published weights, learned from images outside this study that nobody "
        "here has checked."
    )


def file_weights_sentence(digest: str) -> str:
    """Says that networks started from a file's weights."""
    return f"The networks started from weights of a file (SHA-256 {digest}…) that this study did not make."


def images_sentence(stage: Stage, moved: float, whole: float, n: int, *, maps: bool) -> str:
    """Says that the images hardly count; empty where they do.

    Parameters
    ----------
    stage : Stage
        Which stage.
    moved, whole : float
        Standard deviations of what all image blocks add together, and of the log-odds, in nat.
    n : int
        Tested axillae.
    maps : bool
        Whether the page shows heat maps.
    """
    if not whole > 0 or not moved < HARDLY * whole:
        return ""
    shown = " Heat maps of what they add show little." if maps else ""
    return (
        f"At the {stage.upper()} stage the images hardly count in this model: what all image blocks add together has a "
        f"standard deviation of {moved:.2g} among {count(n)} tested axillae, {percent(moved / whole)} of that of the "
        f"log-odds ({whole:.2g}).{shown}"
    )
