"""Strangers planted in the pixels of real runs are found; the patients of the run itself are mostly left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.types import OnUncertified
from usdlr.core.units import Spacing
from usdlr.decision.deferral import DeferralRule
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.loaded import LoadedCase, load_case, prepare_loaded
from usdlr.inference.predictor import Prediction, predict_prepared

Pixels = npt.NDArray[Any]


def on(modality: str, change: Callable[[Pixels], Pixels]) -> Callable[[CaseImages], CaseImages]:
    def changed(images: CaseImages) -> CaseImages:
        found = dict(images.images)
        if modality in found:
            found[modality] = replace(found[modality], pixels=change(found[modality].pixels))
        return replace(images, images=found)

    return changed


def noise(pixels: Pixels) -> Pixels:
    drawn = np.random.default_rng(0).normal(128, 40, pixels.shape)
    return np.clip(drawn, 0, 255).astype(pixels.dtype)


def gain(pixels: Pixels) -> Pixels:
    return np.clip(pixels.astype(np.float64) * 0.25, 0, 255).astype(pixels.dtype)


STRANGERS: dict[str, Callable[[CaseImages], CaseImages]] = {
    "inverted": on("bmode", lambda pixels: (255 - pixels).astype(pixels.dtype)),
    "noise": on("bmode", noise),
    "gain": on("bmode", gain),
    "m/s for kPa": on("elasto", lambda kpa: np.sqrt(kpa / 3).astype(kpa.dtype)),
    "a tenth of the scale": on("elasto", lambda kpa: (kpa / 10).astype(kpa.dtype)),
}


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def loaded(run_folder: Path) -> list[LoadedCase]:
    """Patients on whom nothing of the member that ships was fitted: those of its calibration part."""
    cases = tables.CASES.read(run_folder / "cases.parquet")
    splits = tables.SPLITS.read(run_folder / "splits.csv")
    part = splits[(splits["fold"] == "bundle") & (splits["split"] == "calibration")]["patient_id"]
    rows = cases[cases["patient_id"].isin(set(part))]
    return [load_case({str(name): value for name, value in row.items()}, run_folder) for row in rows.to_dict("records")]


def judged(bundle: Bundle, cases: list[LoadedCase]) -> Prediction:
    return predict_prepared(bundle, prepare_loaded(bundle.preparation, cases), on_uncertified=OnUncertified.ZERO_MISS)


def alarms(found: Prediction) -> pd.Series:
    return found.reliability["ood_alarm"].astype(bool)


def test_untouched_patients_are_mostly_left_alone(bundle: Bundle, loaded: list[LoadedCase]) -> None:
    found = judged(bundle, loaded).reliability
    assert bundle.member.ood is not None
    assert bundle.member.ood.limit is not None
    assert found["ood_score"].notna().all()
    assert (found["ood_limit"] == bundle.member.ood.limit).all()
    assert found["ood_alarm"].mean() <= 0.25


@pytest.mark.parametrize("kind", list(STRANGERS))
def test_strangers_are_found(kind: str, bundle: Bundle, loaded: list[LoadedCase]) -> None:
    elasto = "kPa" in kind or "scale" in kind
    chosen = [case for case in loaded if "elasto" in case.images.images or not elasto]
    found = judged(bundle, [replace(case, images=STRANGERS[kind](case.images)) for case in chosen])
    # Some thirty training axillae of this little run have a map.
    assert alarms(found).mean() >= (0.6 if elasto else 0.8)
    word = "elastography" if elasto else "B-mode"
    assert found.reliability.loc[alarms(found), "ood_why"].str.contains(word).all()


def test_a_depth_that_is_told_wrongly_is_found(bundle: Bundle, loaded: list[LoadedCase]) -> None:
    """Millimetres per pixel three times too large: a lesion three times as big."""

    def larger(case: LoadedCase) -> LoadedCase:
        spacing = Spacing(case.row["row_mm"] * 3, case.row["col_mm"] * 3)
        images = {name: replace(one, spacing=spacing) for name, one in case.images.images.items()}
        mask = LesionMask(case.images.mask.pixels, spacing)
        row = {**case.row, "row_mm": spacing.row_mm, "col_mm": spacing.col_mm}
        return LoadedCase(row, replace(case.images, images=images, mask=mask))

    found = judged(bundle, [larger(case) for case in loaded])
    assert alarms(found).mean() >= 0.6


def test_a_rule_on_the_score_defers_with_its_reason(bundle: Bundle, loaded: list[LoadedCase]) -> None:
    assert bundle.member.ood is not None
    contract = replace(bundle.member.contract, deferral=DeferralRule(0.0, bundle.member.ood.limit))
    ruled = replace(bundle, member=replace(bundle.member, contract=contract))
    found = judged(ruled, [replace(case, images=STRANGERS["noise"](case.images)) for case in loaded])
    both = found.decisions.merge(found.reliability, on=["patient_id", "side"])
    assert (both["risk_group"] == "DEFER").tolist() == alarms(found).tolist()
    deferred = both[both["risk_group"] == "DEFER"]
    assert deferred["reason"].str.contains("unlike those that the model was made with").all()
    without = replace(ruled, member=replace(ruled.member, ood=None))
    # Where nobody could be checked, nobody is answered.
    assert set(judged(without, loaded[:3]).decisions["risk_group"]) == {"DEFER"}
