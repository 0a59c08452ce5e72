"""Malignant against benign on BrEaST and BUS-BRA: our baselines beside plain PyRadiomics and scikit-learn, in one run.

    python experiments/benchmarks/malignancy.py --brest DIR --busbra DIR [--reference malignancy_baseline.py]
        [--engine NAME] [--image-types Original Wavelet] [--models NAME ...] [--cache DIR] [--limit N] [--jobs 1]

Rows, ROIs and folds are those of the reference script: every lesion is resampled so that its equivalent diameter is 128
pixels; ROIs are the lesion and a ring of 32 pixels; 32 bins; no absolute size, since BUS-BRA has no pixel size;
StratifiedGroupKFold(5, shuffle, random_state=0) by patient. The models are usdlr's own baselines, fitted through
``fit_and_score``; whatever they choose, they choose inside the training rows.

With ``--reference`` that script runs as a process of its own in the same run. Its printed table is what is compared;
since it prints no scores, its three models are fitted once more on the features it wrote, for the paired bootstrap by
patient; a refit that does not give the printed figures is reported as missed.

Prints JSON lines: counts, one line per model, then the comparisons. The lines ``best`` set the best of ours against the
best of theirs: both are picked by the figure they are judged on, which their intervals do not know. The lines ``like``
set one model against its twin, with nothing picked. Exits with 1 if our best is below the reference's best in a column,
or a like-for-like model is worse beyond its interval.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from usdlr.baselines.pipelines import BASELINES, baseline_named, fit_and_score
from usdlr.core.errors import CaseError
from usdlr.core.hashing import SHORT, data_hash
from usdlr.core.leak import Rows
from usdlr.core.pool import Outcome, run_all
from usdlr.core.types import ExclusionCode, Split
from usdlr.core.units import Spacing
from usdlr.radiomics.engines import DEFAULT_ENGINE, ENGINES, build_engine
from usdlr.radiomics.settings import IMAGE_TYPES, RadiomicsSettings

DIAMETER_PX, RING_PX = 128, 32
# One unit of length is a pixel of the common grid, 1/128 of the lesion's equivalent diameter: no millimetres are meant.
GRID = Spacing(1.0, 1.0)
SIZES = ("Surface", "Diameter", "AxisLength", "Perimeter")
LOG_SIGMA_PX = (2.0, 4.0, 8.0)
COLUMNS = ("busbra_image_auc", "busbra_patient_auc", "brest_auc", "busbra_to_brest_auc")
# Which of ours stands against which of theirs.
LIKE = {
    "logistic_l1": "radiomics_signature",
    "random_forest": "radiomics_forest",
    "gradient_boosting": "radiomics_boosting",
}
MODELS = tuple(name for name in BASELINES if name != "size")  # there is no size here
DRAWS = 2000

Scores = dict[str, npt.NDArray[np.float64]]


def lesions(brest: Path, busbra: Path) -> pd.DataFrame:
    """One row per lesion whose image and mask are here, indexed by id: ``patient source y image mask``."""
    book = pd.read_excel(next(brest.glob("*.xlsx")))
    book = book[book["Classification"].isin(["benign", "malignant"])]
    folder = brest / "BrEaST-Lesions_USG-images_and_masks"
    found: list[dict[str, Any]] = [
        {
            "id": f"brest-{row['CaseID']}",
            "patient": f"brest-{row['CaseID']}",
            "source": "brest",
            "y": int(row["Classification"] == "malignant"),
            "image": str(folder / row["Image_filename"]),
            "mask": str(folder / row["Mask_tumor_filename"]),
        }
        for row in book.to_dict("records")
    ]
    found += [
        {
            "id": row["ID"],
            "patient": f"busbra-{row['Case']}",
            "source": "busbra",
            "y": int(row["Pathology"] == "malignant"),
            "image": str(busbra / "Images" / f"{row['ID']}.png"),
            "mask": str(busbra / "Masks" / f"{str(row['ID']).replace('bus_', 'mask_')}.png"),
        }
        for row in pd.read_csv(busbra / "bus_data.csv").to_dict("records")
    ]
    here = [row for row in found if Path(row["image"]).exists() and Path(row["mask"]).exists()]
    return pd.DataFrame(here).set_index("id")


def common_grid(image: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> tuple[Any, dict[str, Any]]:
    """Image around a lesion of 128 pixels' equivalent diameter, and its ROIs."""
    diameter = float(np.sqrt(4 * mask.sum() / np.pi))
    rows, columns = np.nonzero(mask)
    margin = int(0.5 * diameter) + 2
    box = (
        slice(max(rows.min() - margin, 0), rows.max() + margin),
        slice(max(columns.min() - margin, 0), columns.max() + margin),
    )
    zoom = DIAMETER_PX / diameter
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(image[box], None, fx=zoom, fy=zoom, interpolation=how)
    height, width = pixels.shape
    lesion = cv2.resize(mask[box].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    away = distance_transform_edt(~lesion)
    return pixels, {"intratumoral": lesion, "peritumoral": (away > 0) & (away <= RING_PX)}


def measure(row: dict[str, Any], settings: RadiomicsSettings, engine: str) -> dict[str, float]:
    """Features of one lesion by the names of the ``features`` table, sizes left out."""
    image = cv2.imread(row["image"], cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(row["mask"], cv2.IMREAD_GRAYSCALE)
    if image is None or mask is None:
        raise CaseError(ExclusionCode.IMAGE_UNREADABLE, f"found {row['image']} or its mask unreadable; fetch it again")
    pixels, rois = common_grid(image.astype(np.float32), mask > 127)
    found = build_engine(engine, settings).measure(pixels, rois, GRID, shape=["intratumoral"])
    return {
        f"bmode.{roi}.{name}": value
        for roi, values in found.items()
        for name, value in values.items()
        if not (".shape2D." in name and any(word in name for word in SIZES))
    }


def features(table: pd.DataFrame, settings: RadiomicsSettings, engine: str, jobs: int, cache: Path | None) -> Any:
    """Feature table in the order of ``table``; a lesion that cannot be measured is a row of gaps and is counted."""
    key = data_hash([settings.as_dict(), engine, list(table.index)])[:SHORT]
    path = None if cache is None else cache / f"malignancy-{engine}-{key}.parquet"
    if path is not None and path.exists():
        return pd.read_parquet(path)
    items = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    outcomes: list[Outcome[dict[str, float]]] = run_all(
        partial(measure, settings=settings, engine=engine), items, jobs=jobs, label="features"
    )
    for outcome in outcomes:
        if outcome.failure is not None:
            print(json.dumps({"id": table.index[outcome.position], "failed": outcome.failure.sentence}), flush=True)
    x = pd.DataFrame([outcome.result or {} for outcome in outcomes], index=table.index)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        x.to_parquet(path)
    return x


def all_scores(
    score: Callable[[npt.NDArray[np.intp], npt.NDArray[np.intp]], npt.NDArray[np.float64]], table: pd.DataFrame
) -> Scores:
    """Scores by test: out of fold on either cohort, and on BrEaST by a model of all BUS-BRA."""
    y, patient = table["y"].to_numpy(), table["patient"].to_numpy()
    where = {name: np.flatnonzero(table["source"] == name) for name in ("busbra", "brest")}
    found: Scores = {}
    for name, at in where.items():
        out = np.zeros(len(at))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        for train, test in folds.split(at[:, None], y[at], patient[at]):
            out[test] = score(at[train], at[test])
        found[name] = out
    found["external"] = score(where["busbra"], where["brest"])
    return found


def our_scores(name: str, x: pd.DataFrame, table: pd.DataFrame) -> Scores:
    """Scores of one of our baselines."""

    def score(train: npt.NDArray[np.intp], test: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        rows = Rows.of(table["patient"].iloc[train], [str(Split.TRAIN)] * len(train))
        labels = table["y"].to_numpy(np.float64)[train]
        return fit_and_score(baseline_named(name), x.iloc[train], labels, rows=rows, judged=x.iloc[test], seed=0)

    return all_scores(score, table)


def reference_scores(x: pd.DataFrame, table: pd.DataFrame) -> dict[str, Scores]:
    """The reference's three models with the settings of its script, on the features that it wrote."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    values = x.reindex(table.index).replace([np.inf, -np.inf], np.nan).to_numpy(np.float64)
    labels = table["y"].to_numpy()
    lasso = LogisticRegression(penalty="l1", C=0.05, solver="liblinear")
    models: dict[str, Any] = {
        "logistic_l1": make_pipeline(SimpleImputer(), StandardScaler(), lasso),
        "random_forest": make_pipeline(
            SimpleImputer(), RandomForestClassifier(500, min_samples_leaf=3, random_state=0)
        ),
        "gradient_boosting": HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, random_state=0),
    }

    def scorer(model: Any) -> Callable[..., npt.NDArray[np.float64]]:
        return lambda train, test: np.asarray(
            model.fit(values[train], labels[train]).predict_proba(values[test])[:, 1], dtype=np.float64
        )

    return {name: all_scores(scorer(model), table) for name, model in models.items()}


def units(scores: Scores, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By column of the result: ``patient y score`` of the units that its AUC is over."""
    busbra = table.loc[table["source"] == "busbra", ["patient", "y"]].assign(score=scores["busbra"])
    brest = table.loc[table["source"] == "brest", ["patient", "y"]]
    mean = busbra.groupby("patient", sort=False).mean().reset_index()
    return {
        "busbra_image_auc": busbra,
        "busbra_patient_auc": mean.assign(y=(mean["y"] > 0.5).astype(int)),
        "brest_auc": brest.assign(score=scores["brest"]),
        "busbra_to_brest_auc": brest.assign(score=scores["external"]),
    }


def aucs(scores: Scores, table: pd.DataFrame) -> dict[str, float]:
    """The four figures of a model."""
    return {name: float(roc_auc_score(part["y"], part["score"])) for name, part in units(scores, table).items()}


def difference(ours: pd.DataFrame, theirs: pd.DataFrame, seed: int = 0) -> tuple[float, float, float]:
    """AUC of ours minus theirs with a 95 % percentile interval, patients drawn with replacement."""
    codes, patients = pd.factorize(ours["patient"])
    y = ours["y"].to_numpy()
    pair = np.stack([ours["score"].to_numpy(), theirs["score"].to_numpy()])
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == code) for code in range(len(patients))]
    drawn = []
    for _ in range(DRAWS):
        at = np.concatenate([members[code] for code in rng.integers(0, len(members), len(members))])
        positive = y[at] == 1
        m, n = int(positive.sum()), int((~positive).sum())
        if m == 0 or n == 0:
            continue
        ranks = rankdata(pair[:, at], axis=1)
        area = (ranks[:, positive].sum(axis=1) - m * (m + 1) / 2) / (m * n)
        drawn.append(area[0] - area[1])
    point = float(roc_auc_score(y, pair[0]) - roc_auc_score(y, pair[1]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return point, float(low), float(high)


def run_reference(options: argparse.Namespace, table: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Scores]]:
    """The reference's printed table, and its scores where they can be had."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(options.cache or folder) / "malignancy-reference.parquet"
        cache.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, str(options.reference), "--brest", str(options.brest), "--busbra", str(options.busbra)]
        words += ["--jobs", str(options.jobs), "--cache", str(cache)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        printed: dict[str, Any] = json.loads(done.stdout)
        scores = reference_scores(pd.read_parquet(cache), table)
    return printed, scores


def show(kind: str, name: str, values: dict[str, Any]) -> None:
    """One JSON line."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}
    print(json.dumps({"kind": kind, "name": name} | rounded), flush=True)


def compare(
    ours: dict[str, Scores], theirs: dict[str, Scores], printed: dict[str, Any], table: pd.DataFrame
) -> list[str]:
    """Print every comparison; what was not reached."""
    mine = {name: aucs(scores, table) for name, scores in ours.items()}
    missed = []
    for name, scores in theirs.items():
        again = aucs(scores, table)
        if any(round(again[column], 3) != printed[name][column] for column in COLUMNS):
            show("refit", name, {"differs": True, **again})
            missed.append(f"{name}: the refit does not give the printed figures")
    for column in COLUMNS:
        best = max(mine, key=lambda name: mine[name][column])
        rival = max(theirs, key=lambda name: float(printed[name][column]))
        point, low, high = difference(units(ours[best], table)[column], units(theirs[rival], table)[column])
        values = {"ours": best, "theirs": rival, "our_auc": mine[best][column], "their_auc": printed[rival][column]}
        show("best", column, values | {"difference": point, "low": low, "high": high})
        if round(mine[best][column], 3) < printed[rival][column]:
            missed.append(f"{column}: {mine[best][column]:.3f} below {printed[rival][column]:.3f}")
    for rival, name in LIKE.items():
        for column in COLUMNS if name in ours else ():
            point, low, high = difference(units(ours[name], table)[column], units(theirs[rival], table)[column])
            show("like", f"{name} - {rival}", {"column": column, "difference": point, "low": low, "high": high})
            if high < 0:
                missed.append(f"{name} is worse than {rival} in {column}")
    return missed


def main() -> int:
    """Parse the command line, run, print; 1 if the reference is better."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brest", type=Path, required=True)
    parser.add_argument("--busbra", type=Path, required=True)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--engine", choices=list(ENGINES), default=DEFAULT_ENGINE)
    parser.add_argument("--image-types", nargs="+", choices=IMAGE_TYPES, default=["Original", "Wavelet"])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--limit", type=int, help="lesions of each class and source, for a quick look")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    table = lesions(options.brest, options.busbra)
    if options.limit:
        if options.reference:
            parser.error("found --limit with --reference, expected one of them: the reference runs on every row")
        table = table.groupby(["source", "y"]).head(options.limit)
    widths = {"log_sigma_mm": LOG_SIGMA_PX} if "LoG" in options.image_types else {}
    settings = RadiomicsSettings(
        image_types=tuple(options.image_types), pixel_mm=None, margin_mm=float(RING_PX), **widths
    )
    x = features(table, settings, options.engine, options.jobs, options.cache)
    counts = {f"{name}_images": int(count) for name, count in table["source"].value_counts().items()}
    unmeasured = int(x.isna().all(axis=1).sum())
    show("n", options.engine, {**counts, "features": x.shape[1], "unmeasured": unmeasured})
    ours = {}
    for name in options.models:
        ours[name] = our_scores(name, x, table)
        show("ours", name, aucs(ours[name], table))
    if options.reference is None:
        return 0
    printed, theirs = run_reference(options, table)
    for name in theirs:
        show("reference", name, printed[name])
    missed = compare(ours, theirs, printed, table)
    for sentence in missed:
        show("missed", sentence, {})
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
