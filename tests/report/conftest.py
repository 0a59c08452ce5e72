from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from usdlr.core.tables import EXCLUSIONS, PREDICTIONS
from usdlr.core.types import ContractStatus, OnUncertified, RiskGroup
from usdlr.core.units import Spacing
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.thresholds import exact_p_value
from usdlr.evaluation.study import BaselineScores, study_metrics
from usdlr.report.gallery import GalleryCase
from usdlr.report.study import StudyInputs

PROXY = {"sln": "malignant against benign on biopsy", "nsln": "high-grade against other malignancy"}


def _logit(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(probability / (1 - probability))


def contract(certified: bool, t_sln: float = 0.10, t_nsln: float = 0.07) -> Contract:
    return Contract(
        alpha={"sln": 0.10, "nsln": 0.10},
        delta=0.05,
        status=ContractStatus.CERTIFIED if certified else ContractStatus.NOT_CERTIFIABLE,
        required_positives={"sln": 29, "nsln": 29},
        t_sln=t_sln,
        t_nsln=t_nsln,
        positives={"sln": 88, "nsln": 61 if certified else 12},
        misses={"sln": 2, "nsln": 1} if certified else {"sln": 0, "nsln": 0},
        p_value=exact_p_value(1, 61, 0.10) if certified else None,
    )


def phantom(
    shape: tuple[int, int], spacing: Spacing, radius_mm: float, seed: int = 0, margin_mm: float = 5.0
) -> dict[str, Any]:
    """A dark disc of known radius in speckle, in true millimetres, with its ring."""
    rng = np.random.default_rng(seed)
    y = (np.arange(shape[0]) + 0.5) * spacing.row_mm
    x = (np.arange(shape[1]) + 0.5) * spacing.col_mm
    centre = 0.5 * shape[0] * spacing.row_mm, 0.5 * shape[1] * spacing.col_mm
    distance = np.hypot(y[:, None] - centre[0], x[None, :] - centre[1])
    speckle = rng.rayleigh(1.0, shape)
    lesion = distance <= radius_mm
    image = np.clip(np.where(lesion, 22, 62) * speckle, 0, 255).astype(np.uint8)
    return {
        "image": image,
        "lesion": lesion,
        "ring": (distance > radius_mm) & (distance <= radius_mm + margin_mm),
        "spacing": spacing,
    }


def gallery() -> list[GalleryCase]:
    cases = []
    sizes = (
        ((300, 380), Spacing(0.1, 0.1), 6.0),
        ((260, 220), Spacing(0.1, 0.17), 5.0),
        ((320, 320), Spacing(0.11, 0.11), 8.0),
        ((300, 420), Spacing(0.1, 0.1), 9.0),
    )
    chosen = (
        (RiskGroup.LR_SLN, 0.06, 0.04, False, None),
        (RiskGroup.HR_SLN_LR_NSLN, 0.44, 0.11, True, False),
        (RiskGroup.HR_SLN_HR_NSLN, 0.81, 0.62, True, True),
        (RiskGroup.HR_SLN_HR_NSLN, 0.73, 0.41, True, None),
    )
    for number, ((shape, spacing, radius), (group, p_sln, p_nsln, sln, nsln)) in enumerate(
        zip(sizes, chosen, strict=True), 1
    ):
        parts = phantom(shape, spacing, radius, seed=number)
        stiffness = None
        if number % 2 == 0:
            box = np.zeros(shape, bool)
            box[shape[0] // 6 : -shape[0] // 6, shape[1] // 6 : -shape[1] // 6] = True
            values = np.where(parts["lesion"], 40.0, np.where(parts["ring"], 140.0, 25.0))
            stiffness = np.where(
                box, values + np.random.default_rng(number).normal(0, 8, shape).cumsum(1) * 0.2, np.nan
            )
        cases.append(
            GalleryCase(
                number=number, group=group, p_sln=p_sln, p_nsln=p_nsln, sln=sln, nsln=nsln, stiffness=stiffness, **parts
            )
        )
    return cases


def describe(labels: pd.DataFrame, latent: NDArray[np.float64], size: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """What a run knows of each axilla: two centres and scanners, missing sizes and maps, follow-up."""
    rng, n = np.random.default_rng(1000 + seed), len(labels)
    centre = np.where(rng.random(n) < 0.6, "Coast", "Harbour")
    months = np.round(rng.exponential(130 * np.exp(-0.25 * latent)), 1)
    positive = np.where(labels["sln"] == 1, 1 + rng.poisson(0.8, n) + (labels["nsln"] == 1), 0)
    return labels[["patient_id", "side"]].assign(
        centre_id=centre,
        device=np.where(centre == "Coast", "Aurora 7", np.where(rng.random(n) < 0.5, "Borea 3", "Aurora 7")),
        age_years=np.round(np.clip(rng.normal(56, 12, n), 24, 92)),
        birads=rng.choice(["4b", "4c", "5"], n),
        cn_stage=rng.choice(["cN0", "cN1"], n, p=[0.85, 0.15]),
        tumour_size_mm=np.where(rng.random(n) < 0.04, np.nan, np.round(np.clip(size, 4, 90), 1)),
        sln_reference=pd.Series(rng.choice(["slnb", "alnd", "needle"], n, p=[0.8, 0.15, 0.05])).where(
            labels["sln"].notna(), None
        ),
        axillary_surgery=np.where(labels["sln"] == 1, np.where(labels["nsln"].isna(), "slnb", "alnd"), "slnb"),
        sln_positive_count=pd.array(np.where(labels["sln"] == 1, np.minimum(positive, 3), 0), dtype="Int64"),
        positive_nodes=pd.array(positive, dtype="Int64"),
        dfs_months=np.minimum(months, 84.0),
        dfs_event=months < 84.0,
        images=rng.integers(1, 4, n),
        elastography=rng.random(n) < 0.8,
    )


def make_inputs(
    *,
    patients: int = 260,
    certified: bool = True,
    simulated: bool = False,
    proxy: bool = False,
    on_uncertified: OnUncertified = OnUncertified.ZERO_MISS,
    pictures: bool = True,
    seed: int = 7,
) -> StudyInputs:
    """A plausible study: latent risk, a model that sees most of it, two baselines that see less, five folds."""
    rng = np.random.default_rng(seed)
    ids = [f"PAT{number:04d}" for number in range(patients)]
    side = np.where(rng.random(patients) < 0.5, "left", "right")
    latent = rng.normal(-0.9, 2.2, patients)
    burden = 0.6 * latent + rng.normal(-1.2, 1.6, patients)
    sln = (rng.random(patients) < 1 / (1 + np.exp(-latent))).astype(float)
    nsln = np.where(sln == 1, (rng.random(patients) < 1 / (1 + np.exp(-burden))).astype(float), 0.0)
    nsln[(sln == 1) & (rng.random(patients) < 0.18)] = np.nan
    sln[rng.random(patients) < 0.03] = np.nan
    nsln[np.isnan(sln)] = np.nan
    p_sln = 1 / (1 + np.exp(-(0.85 * latent + rng.normal(0, 0.6, patients))))
    p_nsln = 1 / (1 + np.exp(-(0.8 * burden + rng.normal(0, 0.6, patients))))
    size = 18 + 4.0 * latent + rng.normal(0, 9, patients)
    radiomics = 0.7 * latent + rng.normal(0, 1.6, patients)
    folds = np.array([str(number % 5) for number in range(patients)])
    labels = pd.DataFrame({"patient_id": ids, "side": side, "sln": sln, "nsln": nsln})
    axilla = {"patient_id": ids, "side": side}
    predictions, scored = [], []
    for stage, probability in (("sln", p_sln), ("nsln", p_nsln)):
        predictions.append(
            pd.DataFrame(
                {
                    **axilla,
                    "stage": stage,
                    "fold": folds,
                    "split": "test",
                    "logit": _logit(probability),
                    "logit_low": _logit(probability) - 0.8,
                    "logit_high": _logit(probability) + 0.8,
                    "probability": probability,
                    "model_id": "0123456789ab",
                }
            )
        )
        scored += [
            pd.DataFrame({**axilla, "stage": stage, "fold": folds, "score": score, "name": name})
            for name, score in (("size", size), ("radiomics", radiomics))
        ]
    contracts = {str(k): contract(certified, 0.10 + 0.01 * k, 0.07 - 0.005 * k) for k in range(5)}
    scores = pd.DataFrame({**axilla, "p_sln": p_sln, "p_nsln": p_nsln})
    decisions = pd.concat(
        [decide(scores[folds == fold], part, on_uncertified=on_uncertified) for fold, part in contracts.items()]
    ).reset_index(drop=True)
    baselines = pd.concat(scored, ignore_index=True)
    exclusions = EXCLUSIONS.conform(
        pd.DataFrame(
            [
                {
                    "centre_id": "Coast",
                    "patient_id": f"PAT9{number:03d}",
                    "side": "left",
                    "source_id": f"PAT9{number:03d}_L.dcm",
                    "step": step,
                    "code": code,
                    "sentence": sentence.format(f"PAT9{number:03d}"),
                }
                for number, (step, code, sentence) in enumerate(
                    [("cohort", "neoadjuvant", "found treatment before surgery for {0}, expected none; not used")] * 9
                    + [("cohort", "endpoint_missing", "found no node status for {0}; add it to the table")] * 6
                    + [
                        (
                            "ingest",
                            "spacing_missing",
                            "found {0}_L.dcm without a calibrated region; give row_mm and col_mm",
                        )
                    ]
                    * 4
                )
            ]
        )
    )
    predicted = PREDICTIONS.conform(pd.concat(predictions, ignore_index=True))
    axillae = describe(labels, latent, size, seed)
    metrics = study_metrics(
        predictions=predicted,
        decisions=decisions,
        labels=labels,
        contract=contract(certified).to_dict(),
        fold_contracts={fold: part.to_dict() for fold, part in contracts.items()},
        baselines={
            name: BaselineScores(title, baselines[baselines["name"] == name].drop(columns="name"))
            for name, title in (("size", "Tumour size alone"), ("radiomics", "Radiomics alone"))
        },
        header={
            "experiment": "SLN and NSLN from B-mode and elastography",
            "simulated": simulated,
            "question": "Does fusing image embeddings with radiomics and size beat size alone?",
            "proxies": PROXY if proxy else {"sln": None, "nsln": None},
            "endpoints": {
                "sln": {"column": "sln_positive", "positive": "sentinel node positive"},
                "nsln": {"column": "nsln_positive", "positive": "non-sentinel node positive"},
            },
        },
        cohort={
            "centres": ["Coast", "Harbour"],
            "image_sets": patients + 48,
            "excluded": len(exclusions),
            "exclusions": exclusions["code"].value_counts().sort_index().to_dict(),
        },
        axillae=axillae,
    )
    return StudyInputs(
        metrics=metrics,
        predictions=predicted,
        decisions=decisions,
        labels=labels,
        exclusions=exclusions,
        baselines=baselines,
        gallery=gallery() if pictures else [],
        provenance={
            "command": "usdlr run",
            "seed": 7,
            "inputs": {"cases": "ab" * 32},
            "config_hash": "cd" * 32,
            "versions": {"python": "3.11.2", "usdlr": "0.1.0", "numpy": "2.4.0"},
            "code": {"commit": "ef" * 20, "dirty": False},
            "written_at": "2026-01-01T00:00:00+00:00",
        },
        config_yaml="seed: 7\nfolds: 5\ncascade:\n  alpha_sln: 0.1\n",
        axillae=axillae,
    )


@pytest.fixture(scope="session")
def study() -> Callable[..., StudyInputs]:
    return make_inputs


@pytest.fixture(scope="session")
def certified() -> StudyInputs:
    return make_inputs(pictures=False)


@pytest.fixture(scope="session")
def uncertified() -> StudyInputs:
    """The hardest wording: simulated, on proxies, and uncertified."""
    return make_inputs(certified=False, simulated=True, proxy=True)


@pytest.fixture(scope="session")
def with_metrics() -> Callable[[StudyInputs, dict[str, Any]], StudyInputs]:
    return lambda inputs, metrics: replace(inputs, metrics=metrics)


def add_ceilings(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of a simulated study with limit and oracle, and a limit at the NSLN stage too low to be shared."""

    def estimate(value: float | None, low: float | None, high: float | None, n: int, method: str) -> dict[str, Any]:
        return {"value": value, "low": low, "high": high, "n": n, "method": method}

    n = {stage: metrics["stages"][stage]["auc"]["n"] for stage in ("sln", "nsln")}
    best: dict[str, Any] = {
        name: {
            stage: {
                "auc": estimate(value, low, high, n[stage], "pooled over folds: AUC"),
                "auc_mean_over_folds": estimate(value, low - 0.01, high + 0.01, n[stage], "mean of folds"),
            }
            for stage, (value, low, high) in stages.items()
        }
        for name, stages in {
            "limit": {"sln": (0.88, 0.84, 0.91), "nsln": (0.86, 0.80, 0.91)},
            "oracle": {"sln": (0.93, 0.90, 0.96), "nsln": (0.92, 0.87, 0.96)},
        }.items()
    }
    shares = {
        "sln": estimate(0.86, 0.71, 0.98, n["sln"], "paired bootstrap"),
        "nsln": estimate(None, None, None, n["nsln"], "undefined: the limit is 0.505, too near to 0.5 to be shared"),
    }
    return {
        **metrics,
        "stages": {stage: {**part, "share_of_limit": shares[stage]} for stage, part in metrics["stages"].items()},
        **{name: {"auc": stages["sln"]["auc"], "stages": stages} for name, stages in best.items()},
    }


@pytest.fixture(scope="session")
def with_ceilings() -> Callable[[dict[str, Any]], dict[str, Any]]:
    return add_ceilings


@pytest.fixture(scope="session")
def disc() -> Callable[..., dict[str, Any]]:
    return phantom
