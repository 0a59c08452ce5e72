"""What one axilla's answer is made of, told by the model itself.

:func:`explain` takes cases as a bundle reads them, whether from files
(:func:`usdlr.inference.predictor.prepare_cases`) or from memory (:func:`usdlr.inference.loaded.prepare_loaded`). The
probabilities, groups and thresholds are those of the tables that :func:`usdlr.inference.predictor.predict_prepared`
gave for the same cases, so that every page that is made of an explanation agrees with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from usdlr.core.columns import AXILLA_KEY, CONTRIBUTION_PREFIX
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.named_parts import split_part
from usdlr.core.regions import split_block
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.calibration import Calibrator
from usdlr.decision.explanation import (
    GRAD_CAM,
    SIGNED_MAP,
    Agreement,
    BlockShare,
    Explanation,
    ImageWeight,
    StageExplanation,
)
from usdlr.decision.settings import TUMOUR_SIZE
from usdlr.inference import explain_changes
from usdlr.inference.bundle import Bundle
from usdlr.inference.explain_blocks import block_shares, design_blocks, model_blocks, source_blocks
from usdlr.inference.explain_gradcam import Maps, grad_cam
from usdlr.inference.explain_neighbours import FOLDER, Neighbours
from usdlr.inference.explain_occlusion import PATCH_MM, Occlusion, by_place, occlusion
from usdlr.inference.explain_probe import Probe
from usdlr.inference.explain_terms import family_sums, table_terms
from usdlr.inference.heatmap import Heat, HeatMap, heat_maps
from usdlr.inference.predictor import Prediction, Prepared
from usdlr.inference.stage import BASE, prepare_torch
from usdlr.inference.views import averaged_views
from usdlr.models.pooling import POOLINGS

_CONTRIBUTIONS = len(CONTRIBUTION_PREFIX)


@dataclass(frozen=True, eq=False)
class StageMaps:
    """Where one stage's networks looked at an axilla.

    Parameters
    ----------
    heat : Heat or None
        Signed maps in log-odds before calibration per mm²; ``None`` where a backbone's features have no place.
    grad_cam : mapping of (int, str, int) to float32 array
        By image, block and crop; empty where there are none.
    occlusion : mapping of (int, str, int) to Occlusion
        Empty where it was not asked for.
    occlusion_maps : mapping of (int, str, int) to float32 array
        The same on the crop, in log-odds before calibration per mm².
    """

    heat: Heat | None
    grad_cam: Maps
    occlusion: Mapping[tuple[int, str, int], Occlusion]
    occlusion_maps: Maps = field(default_factory=dict)

    @property
    def signed(self) -> tuple[HeatMap, ...]:
        """The signed maps; empty where there are none."""
        return () if self.heat is None else self.heat.maps


@dataclass(frozen=True, eq=False)
class Explained:
    """One axilla, explained.

    Parameters
    ----------
    key : tuple of (str, str)
        Patient and side: for the tables, never for a page or a file name.
    explanation : Explanation
        The numbers.
    cases : DataFrame
        The axilla's rows of ``cases``.
    maps : mapping of Stage to StageMaps
        Empty where no maps were asked for.
    """

    key: tuple[str, str]
    explanation: Explanation
    cases: pd.DataFrame
    maps: Mapping[Stage, StageMaps]


def explain(
    bundle: Bundle,
    prepared: Prepared,
    prediction: Prediction,
    key: tuple[str, str],
    *,
    maps: bool = True,
    patch_mm: float | None = PATCH_MM,
) -> Explained:
    """Explain one axilla.

    Parameters
    ----------
    bundle : Bundle
        The model.
    prepared : Prepared
        Cases as it reads them, the axilla's among them.
    prediction : Prediction
        What the bundle said about these cases.
    key : tuple of (str, str)
        Patient and side.
    maps : bool
        Whether signed maps and Grad-CAM are drawn.
    patch_mm : float or None
        Side of an occluded patch in mm; ``None``: no occlusion.

    Raises
    ------
    DataError
        If the axilla is not among the cases.
    """
    rows = prepared.cases[_is(prepared.cases, key)].reset_index(drop=True)
    decisions = prediction.decisions[_is(prediction.decisions, key)]
    if rows.empty or decisions.empty:
        raise DataError("found no usable image set of the patient and side that were asked for; see exclusions.csv")
    decision = decisions.iloc[0]
    prepare_torch(bundle.preparation.threads)
    predicted = prediction.predictions[_is(prediction.predictions, key)]
    stages, of_maps, probes = [], {}, {}
    for stage, model in bundle.member.models.items():
        views = averaged_views(bundle.preparation.views)
        probes[stage] = probe = Probe(model, rows, prepared.store, prepared.design, views=views)
        drawn, notes = _maps(probe, prepared, patch_mm) if maps else (StageMaps(None, {}, {}), ())
        if maps:
            of_maps[stage] = drawn
        made = _stage(
            bundle, stage, probe, predicted[predicted["stage"] == str(stage)].iloc[0], float(decision[f"t_{stage}"])
        )
        stages.append(replace(made, agreements=tuple(_agreements(drawn, len(rows))), notes=(*made.notes, *notes)))
    folder = bundle.extra(FOLDER)  # noqa: S610  # no query: a folder of the bundle
    near = () if folder is None else Neighbours(folder).nearest(_embedding(bundle, prepared, rows))
    explanation = Explanation(
        RiskGroup(decision["risk_group"]),
        Stage(decision["stage_reached"]),
        str(decision["reason"]),
        str(decision["contract"]),
        tuple(stages),
        near,
    )
    return Explained(key, explanation, rows, of_maps)


def _stage(bundle: Bundle, stage: Stage, probe: Probe, row: pd.Series, threshold: float) -> StageExplanation:
    calibrator, preparation = bundle.member.calibrators[stage], bundle.preparation
    blocks = model_blocks(probe)
    sets, sources = design_blocks(blocks), source_blocks(blocks)
    raw, raw_base = block_shares(probe, {block: (block,) for block in blocks})
    logit = raw_base + sum(one for one in raw.values() if one is not None)
    factor = float(calibrator.divide([logit], [raw_base])[0][0])
    known = {
        str(name)[_CONTRIBUTIONS:]: None if pd.isna(value) else float(value)
        for name, value in row.items()
        if str(name).startswith(CONTRIBUTION_PREFIX) and str(name) != BASE
    }
    terms = table_terms(probe, preparation.radiomics, intensity=_units(probe.cases))
    scaled = tuple(replace(term, adds=factor * term.adds) for term in terms.terms)
    pooling, _ = split_part(probe.settings.pooling, "model.pooling", POOLINGS)
    strata = bundle.member.contract.strata
    return StageExplanation(
        stage,
        probability=float(row["probability"]),
        low=float(expit(row["logit_low"])),
        high=float(expit(row["logit_high"])),
        logit=float(row["logit"]),
        base=float(row[BASE]),
        threshold=threshold,
        blocks=_shares(probe, sets, known, calibrator),
        sources=_shares(probe, sources, known, calibrator) if sources else (),
        score=None if terms.total is None else factor * terms.total,
        terms=scaled,
        families=family_sums(scaled),
        changes=explain_changes.changes(
            probe,
            calibrator,
            threshold,
            clinical=preparation.clinical,
            sets=sets,
            by_stratum=explain_changes.TUMOUR_SIZE if strata is not None and strata.by == TUMOUR_SIZE else None,
        ),
        image_weights=_image_weights(probe),
        pooling=pooling,
        model_id=str(row["model_id"]),
        notes=(terms.reason,) if terms.reason else (),
    )


def _shares(
    probe: Probe,
    sets: Mapping[str, Sequence[str]],
    known: Mapping[str, float | None],
    calibrator: Calibrator,
) -> tuple[BlockShare, ...]:
    """Shares in the calibrated log-odds; those of ``predictions`` themselves where a set is one block of the model."""
    if all(len(of) == 1 and of[0] in known for of in sets.values()):
        return tuple(BlockShare(name, known[of[0]]) for name, of in sets.items())
    raw, base = block_shares(probe, sets)
    logit = base + sum(one for one in raw.values() if one is not None)
    factor = float(calibrator.divide([logit], [base])[0][0])
    return tuple(BlockShare(name, None if one is None else factor * one) for name, one in raw.items())


def _maps(probe: Probe, prepared: Prepared, patch_mm: float | None) -> tuple[StageMaps, tuple[str, ...]]:
    hidden = {} if patch_mm is None else dict(by_place(occlusion(probe, patch_mm=patch_mm)))
    drawn: Maps = {}
    for (image, block, crop), one in hidden.items():
        sample = probe.sample(image, crop)
        drawn[image, block, crop] = one.on_crop(sample.rois[split_block(block)[1]], sample.pixel_mm)
    try:
        heat = heat_maps(probe.model, probe.cases, prepared.store, prepared.design, 1)
        return StageMaps(heat, grad_cam(probe), hidden, drawn), ()
    except ConfigError as error:
        return StageMaps(None, {}, hidden, drawn), (f"no maps: {error}",)


def _agreements(maps: StageMaps, images: int) -> list[Agreement]:
    signed = {(one.image, one.block, one.crop): one.values for one in maps.signed}
    out = []
    for (image, block, crop), one in maps.occlusion.items():
        if crop:  # further crops of an ensemble show the same image again
            continue
        for method, found in ((SIGNED_MAP, signed), (GRAD_CAM, maps.grad_cam)):
            values: npt.NDArray[Any] | None = found.get((image, block, crop))
            if values is not None:
                out.append(Agreement(image, block, method, one.agreement(values), len(one.drop)))
    return out


def _image_weights(probe: Probe) -> tuple[ImageWeight, ...]:
    """Mean over the networks of how much every image counts in every block that it has."""
    if len(probe.store) < 2:
        return ()
    weights = np.mean([output.image_weights[0].numpy() for output in probe.outputs()], axis=0)
    present = np.any([run.batch["present"].numpy() for run in probe.runs], axis=0)
    return tuple(
        ImageWeight(image, block, float(weights[image, place]))
        for place, block in enumerate(probe.blocks)
        for image in range(len(probe.store))
        if present[image, place]
    )


def _embedding(bundle: Bundle, prepared: Prepared, rows: pd.DataFrame) -> pd.Series:
    """The axilla as the first stage's networks see it."""
    model = bundle.member.models[Stage.SLN]
    found = model.embed(rows, prepared.store, prepared.design, bundle.preparation.batch_size)
    return found.iloc[0]


def _units(cases: pd.DataFrame) -> dict[str, str]:
    """Units of a modality's values that are not its usual ones."""
    relative = "elasto_unit" in cases and (cases["elasto_unit"] == "relative").any()
    return {"elasto": "%"} if relative else {}


def _is(table: pd.DataFrame, key: tuple[str, str]) -> npt.NDArray[np.bool_]:
    patient, side = (table[name].to_numpy() == value for name, value in zip(AXILLA_KEY, key, strict=True))
    return np.asarray(patient & side, dtype=np.bool_)
