"""Which tuning axillae the report shows with heat maps, and these maps on one crop."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.modalities import BMODE
from usdlr.core.progress import say
from usdlr.core.types import Roi, SpacingSource, Split, Stage
from usdlr.data.samples import Sample, SampleStore
from usdlr.experiment.cohort import stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.imaging.regions import distance_map
from usdlr.inference.heatmap import HeatMap, heat_maps
from usdlr.inference.sites import is_tumour
from usdlr.inference.stage import prepare_torch
from usdlr.inference.stage_files import load_stage
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.report.figures_heatmap import HeatCase, HeatPanel

# Axillae of each stage, where the gallery shows as many cases.
MOST = 4


def choose_spread(predictions: pd.DataFrame, labels: pd.DataFrame, stage: Stage, count: int) -> pd.DataFrame:
    """Tuning axillae of the bundle's fold with known status, evenly spread from the lowest probability to the highest.

    Parameters
    ----------
    predictions : DataFrame
        The ``predictions`` table.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    stage : Stage
        Which question.
    count : int
        At most so many.

    Returns
    -------
    DataFrame
        ``patient_id side probability found``, the lowest probability first.
    """
    known = labels[AXILLA_KEY].assign(found=stage_labels(labels, stage).to_numpy(np.float64)).dropna(subset="found")
    rows = predictions[
        (predictions["fold"] == BUNDLE_FOLD)
        & (predictions["stage"] == str(stage))
        & (predictions["split"] == str(Split.TUNING))
    ]
    joined = rows[[*AXILLA_KEY, "probability"]].merge(known, on=AXILLA_KEY, how="inner", validate="one_to_one")
    ranked = joined.sort_values(["probability", *AXILLA_KEY], kind="stable").reset_index(drop=True)
    count = min(count, len(ranked))
    places = [] if count == 0 else np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int)).tolist()
    return ranked.iloc[places].reset_index(drop=True)


def heat_cases(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame
) -> list[HeatCase]:
    """Heat maps of the networks that ship, for both stages; the first image of an axilla's tumour stands for it.

    Tuning axillae are shown: no weight was fitted to them, and looking at test axillae while a model is being made
    would spend them. A backbone whose features have no place in the image has no maps, which is said, and costs the
    run nothing else.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    layout : Layout
        A run with its fits.
    cases, predictions : DataFrame
        The tables.
    labels : DataFrame
        From :func:`usdlr.experiment.cohort.axilla_labels`.
    """
    count = min(config.gallery, MOST)
    if count == 0:
        return []
    store = SampleStore.load(layout.crops)
    design = pd.read_parquet(layout.design)
    prepare_torch(config.threads)
    out: list[HeatCase] = []
    for stage in Stage:
        chosen = choose_spread(predictions, labels, stage, count)
        keys = pd.MultiIndex.from_frame(chosen[AXILLA_KEY])
        rows = cases[pd.MultiIndex.from_frame(cases[AXILLA_KEY]).isin(keys)].reset_index(drop=True)
        if rows.empty:
            continue
        model = load_stage(layout.stage(BUNDLE_FOLD, stage), config.ensemble)
        try:
            heat = heat_maps(model, rows, store, design, config.fit.batch_size)
        except ConfigError as error:
            say(f"no heat maps: {error}")
            return []
        first = rows[is_tumour(rows)].drop_duplicates(AXILLA_KEY)
        image_of = {key: int(image) for image, key in zip(first.index, _keys(first), strict=True)}
        of_axilla = zip(_keys(chosen), chosen["probability"].tolist(), chosen["found"].tolist(), strict=True)
        for number, (key, probability, found) in enumerate(of_axilla, start=1):
            image = image_of[key]
            samples = [crop[store.image_id.index(str(rows.at[image, "image_id"]))] for crop in store.crops]
            out.append(
                _case(
                    number,
                    stage,
                    samples,
                    [one for one in heat.maps if one.image == image],
                    margin_mm=config.radiomics.margin_mm,
                    probability=probability,
                    found=bool(found),
                    relative=str(rows.at[image, "spacing_source"]) == str(SpacingSource.LESION_RELATIVE),
                )
            )
    return out


def on_crop(values: npt.NDArray[np.float32], pixel_mm: float, target: Sample) -> npt.NDArray[np.float32]:
    """A map of another crop of the same image on a sample's own: all crops of an image have their centre in common.

    Parameters
    ----------
    values : float32 array, (size, size)
        Per mm², which does not depend on the grid.
    pixel_mm : float
        Side of its pixels in mm.
    target : Sample
        Whose grid it is to lie on.
    """
    size, scale = target.lesion.shape[0], target.pixel_mm / pixel_mm
    if values.shape == target.lesion.shape and scale == 1.0:
        return values
    shift = (len(values) - 1) / 2 - scale * (size - 1) / 2
    moved = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, moved, (size, size), flags=flags), dtype=np.float32)


def _case(
    number: int,
    stage: Stage,
    samples: list[Sample],
    maps: list[HeatMap],
    *,
    margin_mm: float,
    probability: float,
    found: bool,
    relative: bool,
) -> HeatCase:
    shown = samples[0]
    panels = []
    for block in dict.fromkeys(one.block for one in maps):
        own = [one for one in maps if one.block == block]
        weights = np.array([max(float(np.abs(one.values).sum()), 1e-12) for one in own])
        panels.append(
            HeatPanel(
                block,
                np.sum([on_crop(one.values, samples[one.crop].pixel_mm, shown) for one in own], axis=0),
                adds=sum(one.total for one in own),
                inside=float(np.average([one.inside for one in own], weights=weights)),
            )
        )
    away = distance_map(shown.lesion, shown.pixel_mm)
    ring = shown.rois.get(str(Roi.PERITUMORAL), (away > 0) & (away <= margin_mm) & np.isfinite(shown.images[BMODE]))
    return HeatCase(
        number,
        stage,
        shown.images[BMODE],
        shown.lesion,
        ring,
        panels,
        probability,
        found,
        "units" if relative else "mm",
    )


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(patient), str(side)) for patient, side in zip(rows["patient_id"], rows["side"], strict=True)]
