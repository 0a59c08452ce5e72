"""AUC of radiomics without a network: trained on BUS-BRA, tested on BrEaST, for many choices of features.

    python experiments/malignancy_busbra_to_brest/radiomics_alone.py --busbra DIR --brest DIR --out DIR
        [--variants shipped ...] [--models radiomics_ridge ...]

Reads both sources at a scale relative to the lesion, measures the features of every variant (kept in DIR, so that the
same command continues), and prints one JSON line per variant and model: AUC on BUS-BRA per image and per patient (mean
of the views), out of fold in five folds by patient, and on BrEaST by a fit on all of BUS-BRA, with a 95 % DeLong
interval. `--variants all` repeats the table of the README.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from usdlr.baselines.pipelines import BASELINES, baseline_named, fit_and_score
from usdlr.core.leak import Rows
from usdlr.core.tables import CASES, FEATURES
from usdlr.core.types import Split
from usdlr.evaluation.metrics import auc
from usdlr.ingest.centres import load_all
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.settings import IngestSettings
from usdlr.radiomics.design import design_table
from usdlr.radiomics.engines import DEFAULT_ENGINE
from usdlr.radiomics.extract import extract
from usdlr.radiomics.settings import RadiomicsSettings

SOURCES = ("bus_bra", "breast_lesions_usg")
DIAMETER = 20.0  # units across the lesion: a pixel of 0.15625 puts 128 of them there
FOLDS = 5


@dataclass(frozen=True)
class Variant:
    """Features to try.

    Parameters
    ----------
    settings : dict
        Of :class:`RadiomicsSettings`; lengths in units of a twentieth of the lesion's diameter.
    keep : callable
        Which of the measured columns take part.
    average : bool
        Whether a patient's views are averaged before the fit.
    ingest : dict
        Of :class:`IngestSettings`, beside the relative diameter.
    """

    settings: dict[str, Any]
    keep: Callable[[str], bool] = lambda name: True
    average: bool = False
    ingest: dict[str, Any] = field(default_factory=dict)


def scaled(pixels: int, **more: Any) -> dict[str, Any]:
    """Settings that put so many pixels across the lesion; LoG of 2, 4 and 8 of them, at 32 pixels of 1, 2 and 4."""
    pixel = DIAMETER / pixels
    first = 1 if pixels == 32 else 2
    least = {"min_pixels": 32} if pixels == 32 else {}
    sigma = [first * pixel, 2 * first * pixel, 4 * first * pixel]
    return {"pixel_mm": pixel, "margin_mm": 5.0, "log_sigma_mm": sigma, **least, **more}


def kinds(*images: str) -> list[str]:
    """Image types."""
    return ["Original", *images]


VARIANTS = {
    "shipped": Variant(scaled(64, image_types=kinds("LoG"))),
    "shipped, views averaged": Variant(scaled(64, image_types=kinds("LoG")), average=True),
    "64 original": Variant(scaled(64, image_types=kinds())),
    "64 original wavelet": Variant(scaled(64, image_types=kinds("Wavelet"))),
    "64 original wavelet LoG": Variant(scaled(64, image_types=kinds("Wavelet", "LoG"))),
    "128 original": Variant(scaled(128, image_types=kinds())),
    "128 original wavelet": Variant(scaled(128, image_types=kinds("Wavelet"))),
    "128 original wavelet, views averaged": Variant(scaled(128, image_types=kinds("Wavelet")), average=True),
    "128 original LoG": Variant(scaled(128, image_types=kinds("LoG"))),
    "128 original wavelet LoG": Variant(scaled(128, image_types=kinds("Wavelet", "LoG"))),
    "128 lesion without ring": Variant(
        scaled(128, image_types=kinds("Wavelet")), keep=lambda name: ".intratumoral." in name
    ),
    "128 form alone": Variant(scaled(128, image_types=kinds()), keep=lambda name: ".shape2D." in name),
    "128 16 grey levels": Variant(scaled(128, image_types=kinds("Wavelet"), bin_count=16)),
    "128 64 grey levels": Variant(scaled(128, image_types=kinds("Wavelet"), bin_count=64)),
    "128 ring half as wide": Variant(scaled(128, image_types=kinds("Wavelet")) | {"margin_mm": 2.5}),
    "128 ring twice as wide": Variant(scaled(128, image_types=kinds("Wavelet")) | {"margin_mm": 10.0}),
    "128 fixed width, standardised": Variant(
        scaled(128, image_types=kinds("Wavelet"), bin_count=None, bin_width=5.0, normalize=True, normalize_scale=40.0)
    ),
    "128 16 grey levels, marks kept": Variant(
        scaled(128, image_types=kinds("Wavelet"), bin_count=16), ingest={"find_fov": False, "burned_in": "keep"}
    ),
    "32 original": Variant(scaled(32, image_types=kinds())),
    "32 original LoG": Variant(scaled(32, image_types=kinds("LoG"))),
    "32 original wavelet LoG": Variant(scaled(32, image_types=kinds("Wavelet", "LoG"))),
}


def measured(name: str, source: str, root: Path, options: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cases of a source and their design table, (images, columns), both in the same order."""
    variant = VARIANTS[name]
    settings = IngestSettings(relative_diameter=DIAMETER, **variant.ingest)
    ingested = options.out / ("ingest" if not variant.ingest else f"ingest {name}") / source
    ingest(root, source, ingested, jobs=options.jobs, settings=settings)
    cases = CASES.read(ingested / "cases.parquet")
    cases = cases[cases["mask_path"].notna() & cases["proxy_malignant"].notna()].reset_index(drop=True)
    table = extract(
        cases,
        ingested,
        RadiomicsSettings(**variant.settings),
        engine=DEFAULT_ENGINE,
        jobs=options.jobs,
        ledger=options.out / "features" / f"{name.removesuffix(', views averaged')}-{source}",
    )
    kept = FEATURES.conform(table).query("status == 'ok'")
    cases = cases[cases["image_id"].isin(set(kept["image_id"]))].reset_index(drop=True)
    design = design_table(kept, cases, []).loc[list(cases["image_id"])]
    design = design[[column for column in design if variant.keep(str(column))]]
    if variant.average:
        patient = cases["patient_id"].to_numpy()
        design = design.groupby(patient, sort=False).mean()
        cases = cases.drop_duplicates("patient_id").reset_index(drop=True)
    return cases, design


def judge(
    name: str, model: str, train: tuple[pd.DataFrame, pd.DataFrame], external: tuple[pd.DataFrame, pd.DataFrame]
) -> dict[str, Any]:
    """AUCs of one model: out of fold on the first source, and on the other by a fit on all of the first."""
    cases, design = train
    label = cases["proxy_malignant"].astype(float).to_numpy()
    patient = cases["patient_id"].astype("str").to_numpy()

    def scores(rows: npt.NDArray[np.intp], judged: pd.DataFrame) -> npt.NDArray[np.float64]:
        known = Rows.of(patient[rows], [str(Split.TRAIN)] * len(rows))
        return fit_and_score(baseline_named(model), design.iloc[rows], label[rows], rows=known, judged=judged, seed=0)

    found = np.zeros(len(label))
    for rows, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(design, label, patient):
        found[test] = scores(rows, design.iloc[test])
    by_patient = pd.DataFrame({"y": label, "score": found}).groupby(patient).mean()
    outside = auc(external[0]["proxy_malignant"].astype(float).to_numpy(), scores(np.arange(len(label)), external[1]))
    return {
        "variant": name,
        "model": model,
        "columns": design.shape[1],
        "bus_bra_image": round(float(roc_auc_score(label, found)), 3),
        "bus_bra_patient": round(float(roc_auc_score(by_patient["y"] > 0.5, by_patient["score"])), 3),
        "brest": None if outside.value is None else round(outside.value, 3),
        "low": None if outside.low is None else round(outside.low, 3),
        "high": None if outside.high is None else round(outside.high, 3),
    }


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busbra", type=Path, required=True)
    parser.add_argument("--brest", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS, "all"], default=["shipped"])
    parser.add_argument("--models", nargs="+", choices=list(BASELINES), default=["radiomics_ridge"])
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    load_all()
    for name in VARIANTS if "all" in options.variants else options.variants:
        both = [
            measured(name, source, root, options)
            for source, root in zip(SOURCES, (options.busbra, options.brest), strict=True)
        ]
        shared = [column for column in both[0][1] if column in both[1][1]]
        train, external = ((cases, design[shared]) for cases, design in both)
        for model in options.models:
            print(json.dumps(judge(name, model, train, external)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
