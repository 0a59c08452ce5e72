"""What a user would write without usdlr: plain PyRadiomics and scikit-learn on a run's own rows and training subsets.

    python experiments/breast_lesions_usg/plain_script.py --root FOLDER --run runs/breast_lesions_usg

Every lesion is resampled so that its equivalent diameter is 128 pixels; the regions are the lesion and a ring of a
quarter of that diameter; original and wavelet images, 32 bins; no absolute sizes. The models see exactly the training
patients of each fold of the run. Prints the pooled out-of-fold AUC of each model beside the run's own rows.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.ndimage import distance_transform_edt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DIAMETER_PX, RING_PX = 128, 32
SIZE_WORDS = ("Surface", "Diameter", "AxisLength", "Perimeter")


def features(root: Path, case: str) -> dict[str, float]:
    """All features of one case, e.g. ``"case001"``."""
    import SimpleITK
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    folder = root / "BrEaST-Lesions_USG-images_and_masks"
    image: Any = cv2.imread(str(folder / f"{case}.png"), cv2.IMREAD_GRAYSCALE)
    mask = np.asarray(cv2.imread(str(folder / f"{case}_tumor.png"), cv2.IMREAD_GRAYSCALE)) > 127
    diameter = float(np.sqrt(4 * mask.sum() / np.pi))
    ys, xs = np.nonzero(mask)
    pad = int(0.5 * diameter) + 2
    box = np.s_[max(ys.min() - pad, 0) : ys.max() + pad, max(xs.min() - pad, 0) : xs.max() + pad]
    scale = DIAMETER_PX / diameter
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels: Any = cv2.resize(image[box].astype(np.float32), None, fx=scale, fy=scale, interpolation=method)
    size = (pixels.shape[1], pixels.shape[0])
    lesion: Any = cv2.resize(mask[box].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    away = distance_transform_edt(lesion == 0)
    ring = ((away > 0) & (away <= RING_PX)).astype(np.uint8)
    texture = featureextractor.RadiomicsFeatureExtractor(binCount=32, force2D=True, force2Ddimension=0, label=1)
    texture.enableImageTypeByName("Wavelet")
    texture.disableAllFeatures()
    for name in ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        texture.enableFeatureClassByName(name)
    shape = featureextractor.RadiomicsFeatureExtractor(force2D=True, label=1)
    shape.disableAllFeatures()
    shape.enableFeatureClassByName("shape2D")
    out: dict[str, float] = {}
    for name, roi in (("lesion", lesion), ("ring", ring)):
        got = texture.execute(SimpleITK.GetImageFromArray(pixels[None]), SimpleITK.GetImageFromArray(roi[None]))
        out |= {f"{name} {key}": float(value) for key, value in got.items() if not key.startswith("diagnostics")}
    got = shape.execute(SimpleITK.GetImageFromArray(pixels), SimpleITK.GetImageFromArray(lesion))
    out |= {
        key: float(value)
        for key, value in got.items()
        if not key.startswith("diagnostics") and not any(word in key for word in SIZE_WORDS)
    }
    return out


def main() -> None:
    """Print one JSON object: AUC by stage and model, and the run's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    cases = pd.read_parquet(options.run / "cases.parquet")
    splits = pd.read_csv(options.run / "splits.csv", dtype="str")
    names = [image_id.split("-")[0] for image_id in cases["image_id"]]
    rows = Parallel(n_jobs=options.jobs)(delayed(features)(options.root, name) for name in names)
    X = pd.DataFrame(rows).replace([np.inf, -np.inf], np.nan).to_numpy()
    models: dict[str, Any] = {
        "logistic_l1": make_pipeline(
            SimpleImputer(), StandardScaler(), LogisticRegression(l1_ratio=1.0, C=0.05, solver="liblinear")
        ),
        "random_forest": make_pipeline(
            SimpleImputer(), RandomForestClassifier(500, min_samples_leaf=3, random_state=0)
        ),
        "gradient_boosting": HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, random_state=0),
    }
    first = cases["proxy_malignant"].astype(bool).to_numpy()
    second = cases["proxy_birads5"].astype(bool).to_numpy()
    metrics = json.loads((options.run / "metrics.json").read_text(encoding="utf-8"))
    result: dict[str, dict[str, float | None]] = {}
    for stage, label, eligible in (("sln", first, np.ones(len(first), bool)), ("nsln", second, first)):
        found: dict[str, float | None] = {}
        for name, model in models.items():
            score = np.zeros(len(label))
            for fold in sorted(set(splits["fold"]) - {"bundle"}):
                split = splits[splits["fold"] == fold].set_index("patient_id")["split"].loc[list(cases["patient_id"])]
                train = (split == "train").to_numpy() & eligible
                test = (split == "test").to_numpy()
                score[test] = model.fit(X[train], label[train]).predict_proba(X[test])[:, 1]
            found[f"plain {name}"] = round(float(roc_auc_score(label[eligible], score[eligible])), 3)
        found["usdlr fusion"] = metrics["stages"][stage]["auc"]["value"]
        for name, baseline in metrics["baselines"].items():
            found[f"usdlr {name}"] = baseline["stages"][stage]["auc"]["value"]
        result[stage] = {key: None if value is None else round(value, 3) for key, value in found.items()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
