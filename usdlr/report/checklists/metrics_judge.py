"""What a study's tables prove about the items and conditions of METRICS; what they do not prove stays open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from usdlr.core.types import Stage
from usdlr.decision.numbers import count, estimate_text, finite, plural
from usdlr.report import facts
from usdlr.report.checklists.on_model import disjoint
from usdlr.report.inputs import AXILLA, StudyInputs
from usdlr.report.stable_size import stable_sizes

_SHARED = "whether and where it is shared"
# Baselines that read no image at all, by the beginning of their names.
_NOT_RADIOMICS = ("size", "clinical")


class Verdict(StrEnum):
    """What is known of an item."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"
    OPEN = "open, for the author"


@dataclass(frozen=True)
class Finding:
    """A verdict with its reason.

    Parameters
    ----------
    verdict : Verdict
        What is known.
    why : str
        The fact behind it, or what the author has to judge.
    anchor : str
        Of the section that shows it; empty where none does.
    """

    verdict: Verdict
    why: str
    anchor: str = ""


def segments(inputs: StudyInputs) -> bool | None:
    """Lesions are outlined: every model of usdlr crops around a contour."""
    return True


def automated(inputs: StudyInputs) -> bool | None:
    """Whether contours were drawn without anybody; ``None`` where their source is not known."""
    drawn = facts.quality(inputs, "mask_source")
    return None if not drawn else "automatic" in drawn


def hand_crafted(inputs: StudyInputs) -> bool | None:
    """Whether hand-crafted features are read."""
    return facts.reads_radiomics(inputs)


def tabular(inputs: StudyInputs) -> bool | None:
    """Whether features or clinical variables in a table are read."""
    if hand_crafted(inputs) or inputs.metrics["baselines"]:
        return True
    table = facts.setting(inputs, "model.tabular")
    return None if table is None else table != "none"


def end_to_end(inputs: StudyInputs) -> bool | None:
    """Whether networks make the answer from pixels."""
    return facts.end_to_end(inputs)


def _open(what: str) -> Callable[[StudyInputs], Finding]:
    return lambda inputs: Finding(Verdict.OPEN, what)


checklist = _open("whether TRIPOD+AI, CLAIM or another checklist guided the study, with the author's items filled in")
routine_images = _open("whether images were taken as guidelines for breast ultrasound ask")
described = _open("who drew the contours with which rules, software and years of experience")
data_shared, code_shared, model_shared = _open(_SHARED), _open(_SHARED), _open(_SHARED)


def eligibility(inputs: StudyInputs) -> Finding:
    """Simulated patients represent nobody; whom real ones represent, the author knows."""
    if inputs.metrics["simulated"]:
        return Finding(Verdict.NOT_MET, "simulated patients represent nobody", "cohort")
    return Finding(Verdict.OPEN, "whether those who were eligible represent the patients whom the model is for")


def reference_standard(inputs: StudyInputs) -> Finding:
    """Met where the status of every tested axilla of known status comes from examined tissue."""
    if inputs.proxies:
        told = ", ".join(stage.upper() for stage in inputs.proxies)
        return Finding(Verdict.NOT_MET, f"proxies stand in for node status ({told})", "cohort")
    if inputs.metrics["simulated"]:
        return Finding(Verdict.NOT_MET, "simulated node status, no tissue was examined", "cohort")
    found, (n, _) = _references(inputs), facts.with_status(inputs, Stage.SLN)
    if found and sum(found.values()) >= n:
        return Finding(Verdict.MET, f"node status by {facts.counted(found)}", "cohort")
    return Finding(Verdict.OPEN, f"how node status was found: stated for {count(sum(found.values()))} of {count(n)}")


def _references(inputs: StudyInputs) -> dict[str, int]:
    """How the status was found, of the tested axillae whose status is known."""
    if "sln_reference" not in inputs.axillae:
        return {}
    known = inputs.labels.loc[inputs.labels["sln"].notna(), AXILLA]
    return facts.tally(known.merge(inputs.axillae, on=AXILLA, how="inner")["sln_reference"].dropna())


def centres(inputs: StudyInputs) -> Finding:
    """Simulated centres are none."""
    names = facts.centres(inputs)
    if inputs.metrics["simulated"]:
        return Finding(Verdict.NOT_MET, "centres are simulated", "cohort")
    return Finding(Verdict.MET if len(names) > 1 else Verdict.NOT_MET, plural(len(names), "centre"), "cohort")


def protocol(inputs: StudyInputs) -> Finding:
    """Scanners may be known; settings are not in the tables."""
    names = facts.tally(facts.known(inputs, "device"))
    told = f"; scanners are known ({facts.counted(names)})" if names else ""
    return Finding(Verdict.OPEN, f"protocol and parameters of the examinations{told}")


def interval(inputs: StudyInputs) -> Finding:
    """The interval may be known; whether it is short enough, the author judges."""
    days, n = facts.known(inputs, "days_us_to_surgery"), inputs.metrics["cohort"]["axillae"]
    if days.empty:
        return Finding(Verdict.OPEN, "days between ultrasound and surgery, which the tables do not hold")
    return Finding(
        Verdict.OPEN,
        f"whether the interval is short enough: {facts.spread(days, 'days')} of {count(n)} axillae",
    )


def automated_judged(inputs: StudyInputs) -> Finding:
    """A run judges no contour."""
    return Finding(Verdict.NOT_MET, "contours of no reader were compared with the automatic ones in this run")


def one_contour(inputs: StudyInputs) -> Finding:
    """Met where a tool drew every contour; how many readers there were, the tables do not tell."""
    drawn = facts.quality(inputs, "mask_source")
    if set(drawn) == {"automatic"}:
        return Finding(Verdict.MET, "every contour was drawn by a tool alone", "cohort")
    if len(drawn) > 1:
        return Finding(Verdict.NOT_MET, f"contours come from several kinds of source: {facts.counted(drawn)}", "cohort")
    return Finding(Verdict.OPEN, "whether one reader drew every contour of the test patients")


def preprocessing(inputs: StudyInputs) -> Finding:
    """Met where texture is measured on square pixels in millimetres with stated grey levels."""
    pixel = facts.setting(inputs, "radiomics.pixel_mm")
    bins = facts.setting(inputs, "radiomics.bin_count") or facts.setting(inputs, "radiomics.bin_width")
    if not facts.settings(inputs).get("radiomics"):
        return Finding(Verdict.OPEN, "how images were prepared, which the configuration does not tell")
    if inputs.relative_diameter is not None or pixel is None or bins is None:
        return Finding(
            Verdict.OPEN, "whether preprocessing fits: no fixed pixel in millimetres or no grey levels stated"
        )
    told = f"square pixels of {facts.said(pixel)} mm and grey levels stated ({facts.said(bins)})"
    return Finding(Verdict.MET, told, "making")


def software(inputs: StudyInputs) -> Finding:
    """Both engines follow the image biomarker standard; the version must be known."""
    engine = facts.setting(inputs, "engine")
    version = facts.provenance(inputs).get("versions", {}).get("usdlr" if engine == "native" else "pyradiomics")
    if engine not in ("native", "pyradiomics") or not version:
        return Finding(Verdict.OPEN, "which software measured the features, and its version")
    name = "usdlr, tested against the digital phantom of IBSI" if engine == "native" else "PyRadiomics"
    return Finding(Verdict.MET, f"{name}, version {facts.said(version)}", "making")


def parameters(inputs: StudyInputs) -> Finding:
    """Met where the whole configuration of features and network is printed."""
    held = [name for name in ("radiomics", "model", "crop") if facts.settings(inputs).get(name)]
    if len(held) < 3:
        return Finding(Verdict.OPEN, "parameters of extraction: the configuration at hand is not complete")
    return Finding(Verdict.MET, "configuration of radiomics, crop and network printed whole", "making")


def robust_features(inputs: StudyInputs) -> Finding:
    """Met where features were dropped for unstable repeats."""
    used, least = facts.setting(inputs, "selection.stability"), facts.setting(inputs, "selection.min_icc")
    if used is None:
        return Finding(Verdict.OPEN, "whether unstable features were removed")
    if not used:
        return Finding(Verdict.NOT_MET, "no feature was dropped for unstable repeats", "making")
    return Finding(Verdict.MET, f"features with an ICC below {facts.said(least)} dropped", "making")


def redundant_features(inputs: StudyInputs) -> Finding:
    """Met where a limit of correlation, or steps of selection, are configured."""
    steps, limit = facts.setting(inputs, "selection.steps"), facts.setting(inputs, "selection.max_correlation")
    if steps:
        return Finding(Verdict.MET, f"selection in the steps {facts.said(steps)}", "making")
    if limit is None:
        return Finding(Verdict.OPEN, "whether redundant features were removed")
    if limit >= 1:
        return Finding(Verdict.NOT_MET, "correlated features were kept", "making")
    return Finding(Verdict.MET, f"one of two features with a rank correlation above {limit:g} dropped", "making")


def dimensions(inputs: StudyInputs) -> Finding:
    """Met where the training part holds what Riley's criteria ask for all candidates, at both stages."""
    sizes = [stable_sizes(inputs, stage) for stage in Stage]
    if any(size is not None and not size.enough for size in sizes):
        size = next(size for size in sizes if size is not None and not size.enough)
        return Finding(
            Verdict.NOT_MET,
            f"{size.stage.upper()}: {plural(size.parameters, 'predictor')} that the tables may keep ask for "
            f"{count(size.needed)} axillae, {count(size.held)} are there",
        )
    if any(size is None or not size.exact for size in sizes):
        return Finding(Verdict.OPEN, "whether the data are large enough for the number of features")
    told = "; ".join(f"{size.stage.upper()} {count(size.held)} of {count(size.needed)}" for size in sizes if size)
    return Finding(Verdict.MET, f"axillae to train on, of those that Riley's criteria ask for: {told}", "making")


def robust_networks(inputs: StudyInputs) -> Finding:
    """A run repeats no image and no contour."""
    return Finding(Verdict.NOT_MET, "no image or contour was repeated or perturbed to judge the networks in this run")


def partition(inputs: StudyInputs) -> Finding:
    """Met where no patient stands in two parts of a fold, and the seed is known."""
    if not disjoint(inputs):
        return Finding(Verdict.NOT_MET, "some patients stand in two parts of one fold")
    if facts.provenance(inputs).get("seed") is None:
        return Finding(Verdict.OPEN, "how the random division can be repeated: no seed is recorded")
    return Finding(Verdict.MET, "divided by patient before anything is fitted, seed recorded", "making")


def confounders(inputs: StudyInputs) -> Finding:
    """Subgroups and balance may be shown; what follows from them, the author judges."""
    shown = [word for word in ("balance", "subgroups") if facts.found(inputs.metrics, word)]
    if not shown:
        return Finding(Verdict.NOT_MET, "no confounder was looked for in this run")
    return Finding(Verdict.OPEN, f"whether confounders remain; {' and '.join(shown)} are shown")


def measures(inputs: StudyInputs) -> Finding:
    """Areas, sensitivity and specificity with counts are there; curves of the training are not."""
    if facts.setting(inputs, "model.backbone") is not None:
        return Finding(
            Verdict.OPEN,
            "loss curves of the networks, which this page does not show; AUC and counts of errors are there",
        )
    return Finding(Verdict.OPEN, "whether networks were trained, whose loss curves would have to be shown")


def uncertainty(inputs: StudyInputs) -> Finding:
    """Met where the AUC of both stages has an interval."""
    areas = [inputs.metrics["stages"][stage]["auc"] for stage in Stage]
    if any(finite(area.get("low")) is None or finite(area.get("high")) is None for area in areas):
        return Finding(Verdict.NOT_MET, "a stage has no interval of its AUC", "discrimination")
    told = "; ".join(f"{stage.upper()} {estimate_text(area)}" for stage, area in zip(Stage, areas, strict=True))
    return Finding(Verdict.MET, f"95 % intervals, e.g. of the AUC: {told}", "discrimination")


def calibration(inputs: StudyInputs) -> Finding:
    """Met where the calibration slope of both stages has a value."""
    slopes = [inputs.metrics["stages"][stage]["calibration_slope"] for stage in Stage]
    if any(finite(slope.get("value")) is None for slope in slopes):
        return Finding(Verdict.NOT_MET, "the calibration slope of a stage could not be estimated", "calibration")
    told = "; ".join(f"{stage.upper()} {estimate_text(slope)}" for stage, slope in zip(Stage, slopes, strict=True))
    return Finding(Verdict.MET, f"calibration slope {told}", "calibration")


def single_modality(inputs: StudyInputs) -> Finding:
    """Met where one kind of image is read, or a model of one kind was compared."""
    kinds = facts.modalities(inputs)
    if not kinds:
        return Finding(Verdict.OPEN, "which kinds of images are read")
    if len(kinds) == 1:
        return Finding(Verdict.MET, f"one kind of image: {facts.said(kinds)}", "making")
    single = [str(name) for name in inputs.metrics["baselines"] if any(f"@{kind}" in str(name) for kind in kinds)]
    if single:
        titles = ", ".join(inputs.baseline_title(name) for name in single)
        return Finding(Verdict.MET, f"compared with models of one kind of image: {titles}", "discrimination")
    return Finding(Verdict.NOT_MET, f"reads {facts.said(kinds)} and compares with no model of one kind alone")


def other_approach(inputs: StudyInputs) -> Finding:
    """Met where the model was compared with a baseline that reads no image."""
    names = [str(name) for name in inputs.metrics["baselines"] if str(name).split("_")[0] in _NOT_RADIOMICS]
    return _compared(inputs, names, "no model without images was compared")


def simple_model(inputs: StudyInputs) -> Finding:
    """Met where the model was compared with any baseline."""
    return _compared(inputs, [str(name) for name in inputs.metrics["baselines"]], "no baseline was compared")


def internal(inputs: StudyInputs) -> Finding:
    """Every number is counted out of fold."""
    n = inputs.metrics["cohort"]["axillae"]
    return Finding(Verdict.MET, f"{plural(n, 'axilla', 'axillae')} tested out of fold", "discrimination")


def external(inputs: StudyInputs) -> Finding:
    """Met where patients of another source were judged, who are not simulated."""
    real = [name for name, part in facts.external(inputs).items() if not part["cohort"].get("simulated")]
    if not real or inputs.metrics["simulated"]:
        return Finding(Verdict.NOT_MET, "no patients of another source were judged")
    return Finding(Verdict.MET, f"external sources: {', '.join(map(str, real))}", "external")


def _compared(inputs: StudyInputs, names: list[str], lacking: str) -> Finding:
    told = []
    for name in names:
        lead = inputs.metrics["baselines"][name]["stages"][Stage.SLN]["difference"]
        if finite(lead.get("low")) is not None:
            told.append(f"{inputs.baseline_title(name)} {estimate_text(lead)}")
    if not told:
        return Finding(Verdict.NOT_MET, lacking)
    return Finding(Verdict.MET, f"AUC of the model minus that of {'; '.join(told)} at the SLN stage", "discrimination")
