"""Answers about how the model was made: inputs, training, thresholds, software."""

from __future__ import annotations

from typing import Any

from usdlr.core.types import Split, Stage
from usdlr.decision.numbers import count, number, plural
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.report import facts
from usdlr.report.checklists.answers import Answer, not_applicable
from usdlr.report.inputs import StudyInputs

MAKING = "making"


def objectives(inputs: StudyInputs) -> Answer:
    """What the study set out to do."""
    others = facts.external(inputs)
    outside = f" and testing on {plural(len(others), 'external source')}" if others else ", no external testing"
    question = str(inputs.metrics["question"]).rstrip(". ")
    return Answer(f"Development with internal testing by {_folds(inputs)}{outside}. Question: {question}", MAKING)


def preparation(inputs: StudyInputs) -> Answer:
    """How images became inputs."""
    told = _told(
        inputs,
        ("radiomics.pixel_mm", "texture on pixels of {} mm"),
        ("radiomics.bin_count", "{} grey levels"),
        ("radiomics.image_types", "image types {}"),
        ("radiomics.margin_mm", "ring of {} mm"),
        ("crop.size_px", "crops of {} pixels"),
        ("crop.context_mm", "with {} mm around the lesion"),
        ("data.ingest.burned_in", "marks in the image: {}"),
    )
    if inputs.relative_diameter is not None:
        told.append("lengths relative to the lesion, not in millimetres")
    return _configured(told, "how images were prepared", "")


def predictors(inputs: StudyInputs) -> Answer:
    """What the model reads."""
    told = _told(
        inputs,
        ("model.modalities", "images: {}"),
        ("model.rois", "regions {}"),
        ("radiomics.classes", "radiomics classes {}"),
        ("data.clinical", "clinical variables {}"),
    )
    return _configured(told, "which predictors were considered", "why these predictors were considered")


def predictor_definitions(inputs: StudyInputs) -> Answer:
    """How predictors are defined and measured."""
    told = _told(
        inputs,
        ("engine", "radiomics engine {}"),
        ("radiomics.margin_mm", "ring of {} mm by Euclidean distance from the contour"),
        ("radiomics.pixel_mm", "pixels of {} mm"),
    )
    told += [
        f"of the {plural(len(inputs.selection[f'folds-{stage}'].counts), 'feature')} that folds chose for "
        f"{stage.upper()}, the most frequent alone are named on this page"
        for stage in Stage
        if f"folds-{stage}" in inputs.selection
    ]
    return _configured(
        told, "definition of all predictors", "when images were taken, and whether readers knew the outcome"
    )


def handling(inputs: StudyInputs) -> Answer:
    """How predictors entered the model."""
    told = _told(
        inputs,
        ("selection.max_features", "at most {} features chosen among training patients"),
        ("selection.max_correlation", "one of two features with a rank correlation above {} dropped"),
        ("selection.steps", "chosen in the steps {}"),
        ("model.tabular", "tables enter as {}"),
    )
    return _configured(told, "how predictors were transformed and entered the model", "")


def partition(inputs: StudyInputs) -> Answer:
    """How patients were divided."""
    told = _told(
        inputs,
        ("splits.by", "divided by {}"),
        ("splits.tuning", "tuning share {} and"),
        ("splits.calibration", "calibration share {} of the patients of a fold who are not tested"),
    )
    seed = facts.provenance(inputs).get("seed")
    told = [" ".join(told[1:]), told[0]] if len(told) == 3 else told
    words = "; ".join([*told, *([f"seed {seed}"] if seed is not None else [])])
    return Answer("; ".join([_folds(inputs), words] if words else [_folds(inputs)]), MAKING)


def disjoint(inputs: StudyInputs) -> bool:
    """Whether no patient stands in two splits of one fold, counted in the predictions."""
    return facts.kept(inputs, "_disjoint", _disjoint)


def _disjoint(inputs: StudyInputs) -> bool:
    own = inputs.predictions[inputs.predictions["split"] != str(Split.EXTERNAL)]
    return bool((own.groupby(["fold", "patient_id"])["split"].nunique() <= 1).all())


def level_of_partition(inputs: StudyInputs) -> Answer:
    """At which level parts are disjoint."""
    if not disjoint(inputs):
        return Answer(author="why some patients stand in two parts of one fold: the predictions show that they do")
    patients = facts.cohort_axillae(inputs)["patient_id"].nunique()
    return Answer(
        f"The patient: of {plural(patients, 'patient')} of the cohort, none stands in two parts of one fold",
        MAKING,
    )


def model(inputs: StudyInputs) -> Answer:
    """What kind of model it is."""
    told = _told(
        inputs,
        ("model.backbone", "network {}"),
        ("model.fusion", "fusion {}"),
        ("model.pooling", "images of an axilla pooled by {}"),
        ("model.head", "head {}"),
        ("model.tabular", "tables {}"),
        ("readout", "logit read from {}"),
        ("calibrator", "calibrator {}"),
    )
    return _configured([*told, f"internal testing by {_folds(inputs)}"] if told else [], "type of model", "")


def start(inputs: StudyInputs) -> Answer:
    """How parameters were initialised."""
    pretrained, files = facts.setting(inputs, "model.pretrained"), facts.weights_files(inputs)
    if files:
        return Answer(f"Networks started from weights of a file, SHA-256 {files[0][:12]}…", MAKING, "their origin")
    if pretrained is None:
        return Answer(author="how the parameters of the networks were initialised")
    seed = facts.provenance(inputs).get("seed")
    how = "published weights of the backbone" if pretrained else "random weights"
    return Answer(f"Networks started from {how}{f', seed {seed}' if seed is not None else ''}", MAKING)


def training(inputs: StudyInputs) -> Answer:
    """How the networks were trained."""
    augment = facts.setting(inputs, "fit.augment")
    told = _told(
        inputs,
        ("fit.loss", "loss {}"),
        ("fit.epochs", "at most {} epochs"),
        ("fit.batch_size", "batches of {}"),
        ("fit.learning_rate", "learning rate {}"),
        ("fit.weight_decay", "weight decay {}"),
        ("model.dropout", "dropout {}"),
    )
    if isinstance(augment, dict):
        used = [facts.said(name).replace("_", " ") for name, strength in augment.items() if strength]
        told.append(f"augmentation by {', '.join(used)}" if used else "no augmentation")
    return _configured(told, "how the networks were trained", "")


def final_model(inputs: StudyInputs) -> Answer:
    """How the final model was chosen."""
    told = _told(inputs, ("fit.patience", "training stops when tuning patients gain nothing for {} epochs"))
    epochs, patience = facts.setting(inputs, "fit.epochs"), facts.setting(inputs, "fit.patience")
    if isinstance(epochs, int) and isinstance(patience, int) and epochs <= patience:
        told.append(f"here it could not act, for there were at most {plural(epochs, 'epoch')}")
    if told:
        told.append("the model that ships is one further fit with parts of its own, and is not tested by the folds")
    return _configured(told, "how the final model was chosen", "")


def ensemble(inputs: StudyInputs) -> Answer:
    """Whether several networks answer together."""
    members, variants, views = (facts.setting(inputs, key) for key in ("fit.members", "variants", "views"))
    if members is None:
        return Answer(author="whether several networks answer together")
    told = [f"{members} networks per variant"] if members > 1 else []
    told += [f"variants {facts.said(variants)}"] if variants else []
    told += [f"mean of {views} views of every sample"] if isinstance(views, int) and views > 1 else []
    if not told:
        return not_applicable("one network per stage, one view of every sample")
    return Answer("; ".join(told), MAKING)


def imbalance(inputs: StudyInputs) -> Answer:
    """What was done about rare outcomes."""
    loss, calibrator = facts.setting(inputs, "fit.loss"), facts.setting(inputs, "calibrator")
    if loss is None or calibrator is None:
        return Answer(author="whether classes were weighted or resampled, and how risks were calibrated afterwards")
    shares = "; ".join(
        f"{stage.upper()} {count(positive)} positive of {count(n)}"
        for stage in Stage
        for n, positive in (facts.with_status(inputs, stage),)
    )
    return Answer(
        f"Loss {facts.said(loss)}; risks calibrated afterwards on tuning patients by "
        f"{facts.said(calibrator)} ({shares})",
        MAKING,
    )


def output(inputs: StudyInputs) -> Answer:
    """What the model answers, and where its thresholds come from."""
    contract, adjective = inputs.contract, inputs.marks.adjective
    return Answer(
        f"{P_SLN} and {P_NSLN}; {adjective}groups by the {adjective}thresholds {number(contract['t_sln'], 3)} and "
        f"{number(contract['t_nsln'], 3)} of the bundle, set on calibration patients alone",
        "contract",
    )


def predicting(inputs: StudyInputs) -> Answer:
    """How test predictions were calculated."""
    names = facts.model_ids(inputs)
    which = f" ({plural(len(names), 'set')} of weights)" if names else ""
    others = "; patients of other sources by the exported bundle, once" if facts.external(inputs) else ""
    return Answer(f"Each axilla by the model of the fold that tests it{which}{others}", MAKING)


def updating(inputs: StudyInputs) -> Answer:
    """Whether the model was updated after evaluation."""
    but = " but those of other sources" if facts.external(inputs) else ""
    return not_applicable(
        "no model of a fold was refitted, recalibrated or chosen after a test patient of that fold was seen. The "
        "bundle is one further fit, on patients who were tested in the folds too; it was not updated, and has no test "
        f"patients of its own{but}"
    )


def full_model(inputs: StudyInputs) -> Answer:
    """Where the whole model is."""
    ids = facts.bundle_ids(inputs)
    which = f" (weights {', '.join(f'{stage.upper()} {name}' for stage, name in ids.items())})" if ids else ""
    anchor = "readout" if inputs.readouts else MAKING
    drawn = "; its signature is drawn as a nomogram" if inputs.readouts else ""
    return Answer(
        f"Exported as a bundle of weights, settings and {inputs.marks.adjective}thresholds{which}{drawn}",
        anchor,
        "where to get it",
    )


def software(inputs: StudyInputs) -> Answer:
    """Versions of the software."""
    versions = facts.provenance(inputs).get("versions", {})
    if not versions:
        return Answer(author="software and versions")
    shown = [name for name in ("usdlr", "python", "torch", "numpy", "scikit-learn") if name in versions]
    told = ", ".join(f"{name} {facts.said(versions[name])}" for name in shown)
    return Answer(f"{told}; all {count(len(versions))} versions are listed", MAKING, "hardware")


def code(inputs: StudyInputs) -> Answer:
    """Which code made the study."""
    state = facts.provenance(inputs).get("code", {})
    version = facts.provenance(inputs).get("versions", {}).get("usdlr")
    if not version:
        return Answer(author="where the code can be had")
    commit = f", commit {facts.said(state['commit'])[:12]}" if state.get("commit") else ""
    dirty = ", with changes that are not committed" if state.get("dirty") else ""
    return Answer(f"usdlr {facts.said(version)}{commit}{dirty}", MAKING, "where the code can be had")


def explanations(inputs: StudyInputs) -> Answer:
    """What shows how the model comes to its answers."""
    if inputs.heat_maps:
        return Answer(
            f"{plural(len(inputs.heat_maps), 'heat map')} of what the networks use",
            "heat",
            "whether the maps were checked against random weights",
        )
    if inputs.readouts:
        return Answer("The model's signature as a nomogram", "readout")
    if inputs.selection:
        return Answer("How often each feature was chosen", "selection", "how the networks come to their answers")
    return Answer(author="how the model's answers can be explained")


def poor_input(inputs: StudyInputs) -> Answer:
    """What happens to input that is poor or lacking."""
    excluded, unusable = int(inputs.metrics["cohort"]["excluded"]), facts.image_exclusions(inputs)
    others = f"; {plural(excluded - unusable, 'row')} left out for other reasons" if excluded > unusable else ""
    deferred = inputs.metrics["cascade"]["defer_rate"]
    return Answer(
        f"Unusable images are refused with a code, never guessed ({plural(unusable, 'row')} here{others}); "
        f"{count(deferred['events'])} of {count(deferred['n'])} axillae got no answer",
        "cohort",
        "what is to be done in use",
    )


def users(inputs: StudyInputs) -> Answer:
    """What users have to do."""
    drawn = facts.quality(inputs, "mask_source")
    told = (
        f"Somebody or something has to outline the lesion; here, by image sets: {facts.counted(drawn)}" if drawn else ""
    )
    return Answer(told, "cohort" if told else "", "who handles input and output in use, and what they must know")


def _folds(inputs: StudyInputs) -> str:
    n = len(inputs.metrics["cascade"]["folds"])
    return f"{plural(n, 'fold')} of patients" if n > 1 else "one part of the patients kept for the test"


def _told(inputs: StudyInputs, *wanted: tuple[str, str]) -> list[str]:
    told = []
    for path, words in wanted:
        value: Any = facts.setting(inputs, path)
        if value not in (None, [], {}):
            told.append(words.format(facts.said(value)))
    return told


def _configured(told: list[str], lacking: str, author: str) -> Answer:
    if not told:
        return Answer(author=lacking)
    return Answer(f"{'; '.join(told)}; the resolved configuration holds the rest", MAKING, author)
