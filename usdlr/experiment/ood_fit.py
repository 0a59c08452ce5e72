"""How unlike the training patients an axilla is: fitted in every fold, beside its calibrators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from usdlr.core.files import write_bytes
from usdlr.core.leak import Rows
from usdlr.core.types import Split, Stage
from usdlr.data.dataset import Axillae
from usdlr.data.samples import SampleStore
from usdlr.evaluation.reference import Reference
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.inference.ood import RATE, OutOfDistribution
from usdlr.inference.ood_files import Seen, save_ood
from usdlr.inference.reading import Reading
from usdlr.inference.reference import patient_rows, read_columns, save_reference
from usdlr.inference.stage import StageModel, prepare_torch
from usdlr.inference.stage_files import load_stage

# Embeddings of the cohort by the networks of a stage, in the run's folder alone: rows of patients never leave it.
LOOKS = "looks.safetensors"


def keep_looks(folder: Path, model: StageModel, readings: Sequence[Reading]) -> None:
    """Keep what the networks of a stage read of the cohort, so that nobody need run them again for it."""
    arrays = {f"{place:03d}": np.ascontiguousarray(one.embeddings) for place, one in enumerate(readings)}
    write_bytes(folder / LOOKS, save(arrays, metadata={"model_id": model.model_id}))


def fold_seen(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, fold: str
) -> tuple[Seen, dict[Stage, StageModel]]:
    """What the networks of a fold make of the cohort, and the networks.

    Parameters
    ----------
    config, layout
        The experiment and its folder.
    cases : DataFrame
        The run's ``cases``.
    fold : str
        Name of a fold whose stages are fitted.
    """
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    models = {stage: load_stage(layout.stage(fold, stage), config.ensemble) for stage in Stage}
    readings = {}
    for stage, model in models.items():
        kept = _kept(layout.stage(fold, stage), model, len(Axillae.of(cases)))
        readings[stage] = _read(config, layout, cases, design, model) if kept is None else kept
    return Seen.of(cases, design, models, readings), models


def fit_ood(config: ExperimentConfig, folder: Path, seen: Seen, split: Mapping[str, str]) -> OutOfDistribution:
    """Fit and save the score of a fold's member.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment; ``contract.ood_share`` states the rate of false alarms where it is given.
    folder : Path
        Of the member.
    seen : Seen
        Every axilla of the cohort.
    split : mapping of str to str
        Split of every patient in the fold.
    """
    of = np.array([split[str(patient)] for patient in seen.keys["patient_id"]])

    def part(name: Split) -> tuple[Seen, Rows]:
        use = of == str(name)
        return seen.take(use), Rows.of(seen.keys["patient_id"][use], of[use], seen.keys["side"][use])

    (train, rows), (tuned, tuned_rows) = part(Split.TRAIN), part(Split.TUNING)
    found = OutOfDistribution.fit(
        train.looks,
        train.design,
        rows=rows,
        tuned_looks=tuned.looks,
        tuned_design=tuned.design,
        tuned_rows=tuned_rows,
        rate=config.contract.ood_share or RATE,
    )
    save_ood(folder, found)
    return found


def write_reference(
    folder: Path,
    cases: pd.DataFrame,
    labels: pd.DataFrame,
    predictions: pd.DataFrame,
    seen: Seen,
    models: dict[Stage, StageModel],
) -> list[Path]:
    """Summarise the patients behind the member that ships.

    Parameters
    ----------
    folder : Path
        Where the summary goes.
    cases, labels : DataFrame
        Of the whole cohort; ``labels`` with ``patient_id side sln nsln``.
    predictions : DataFrame
        Rows of this member.
    seen, models
        From :func:`fold_seen` of this member.
    """
    split = predictions.drop_duplicates("patient_id").set_index("patient_id")["split"]
    made, held = ([Split.TRAIN, Split.TUNING], [Split.TUNING])

    def rows(splits: Sequence[Split]) -> tuple[pd.DataFrame, Seen, pd.DataFrame]:
        names = set(split.index[split.isin([str(one) for one in splits])])
        use = seen.keys["patient_id"].isin(names).to_numpy(dtype=bool)
        chosen = [one[one["patient_id"].isin(names)].reset_index(drop=True) for one in (cases, predictions)]
        return chosen[0], seen.take(use), chosen[1]

    reference = Reference.of(
        patient_rows(*rows(made)),
        patient_rows(*rows(held)),
        read=read_columns(models),
        endpoints=_endpoints(labels, split),
    )
    return save_reference(folder, reference)


def _endpoints(labels: pd.DataFrame, split: pd.Series) -> dict[str, dict[str, int]]:
    """Axillae of known status and positive ones, of everybody whom the member was made with and of tuning patients."""
    out = {}
    of = split.reindex(list(labels["patient_id"])).to_numpy()
    for stage in Stage:
        known = labels[str(stage)].notna().to_numpy(dtype=bool)
        if stage is Stage.NSLN:
            known = known & (labels[str(Stage.SLN)] == 1).to_numpy(dtype=bool)
        positive = known & (labels[str(stage)] == 1).to_numpy(dtype=bool)
        made, held = np.isin(of, [str(Split.TRAIN), str(Split.TUNING)]), of == str(Split.TUNING)
        out[str(stage)] = {
            "n": int((known & made).sum()),
            "positive": int((positive & made).sum()),
            "held_n": int((known & held).sum()),
            "held_positive": int((positive & held).sum()),
        }
    return out


def _kept(folder: Path, model: StageModel, axillae: int) -> list[Reading] | None:
    """What was kept; None where it is not, or not of these networks and axillae."""
    try:
        with safe_open(folder / LOOKS, framework="np") as head:
            mark = (head.metadata() or {}).get("model_id")
        arrays: dict[str, npt.NDArray[np.float32]] = load((folder / LOOKS).read_bytes())
    except (OSError, SafetensorError):
        return None
    if mark != model.model_id or any(len(one) != axillae for one in arrays.values()):
        return None
    if len(arrays) != len(model.networks):
        return None
    nothing = np.zeros((0, 0))
    return [Reading(nothing, arrays[name], nothing) for name in sorted(arrays)]


def _read(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, design: pd.DataFrame, model: StageModel
) -> list[Reading]:
    prepare_torch(config.threads)
    store = SampleStore.load(layout.crops).select(cases["image_id"])
    return model.read(cases, store, design, config.fit.batch_size)
