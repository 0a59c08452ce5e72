"""Cases measured again with perturbed outlines: what comes out, what failed, processes and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.repeated import MM, cohort, disc
from usdlr.core.agreement import Form, intraclass_correlation
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import table_hash
from usdlr.imaging.rings import peritumoral_ring
from usdlr.radiomics.engines import PYRADIOMICS
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability import measure as module
from usdlr.radiomics.stability.measure import UNPERTURBED, measure_repeats, measure_stability
from usdlr.radiomics.stability.perturb import PerturbationPlan, perturbed
from usdlr.radiomics.stability.repeats import failures

SETTINGS = RadiomicsSettings(classes=("shape2D", "firstorder"), margin_mm=1.5, pixel_mm=None, min_pixels=16)
GROWTH = PerturbationPlan(grow_mm=(-0.4, 0.4), draws=0, composed=0)
PLAN = PerturbationPlan(draws=1, composed=1)
AREA = "bmode.intratumoral.original.shape2D.PixelSurface"


def measure(cases: pd.DataFrame, folder: Path, **changes: Any) -> pd.DataFrame:
    options: dict[str, Any] = {"engine": PYRADIOMICS, "plan": PLAN, "jobs": 1, "ledger": folder / "ledger"} | changes
    return measure_repeats(cases, folder, SETTINGS, **options)


class Spy:
    """Counts the cases that are measured; interrupts after ``stop``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> None:
        self.seen: list[str] = []
        self.stop = stop
        self.original = module.measure_perturbed
        monkeypatch.setattr(module, "measure_perturbed", self)

    def __call__(self, row: dict[str, Any], **rest: Any) -> dict[str, dict[str, Any]]:
        if len(self.seen) == self.stop:
            raise KeyboardInterrupt
        self.seen.append(str(row["image_id"]))
        return self.original(row, **rest)


def test_areas_of_discs_agree_as_geometry_says(tmp_path: Path) -> None:
    radii = [2.0, 2.4, 2.8, 3.2, 3.6]
    cases = cohort(tmp_path, radii)
    repeats = measure(cases, tmp_path, plan=GROWTH)
    assert repeats["rater"].tolist() == [UNPERTURBED, "erosion-0.4mm", "dilation-0.4mm"] * 5
    assert repeats["image_id"].tolist() == [f"case{i}" for i in range(5) for _ in range(3)]
    truth = np.pi * (np.array(radii)[:, None] + [0.0, -0.4, 0.4]) ** 2
    np.testing.assert_allclose(repeats[AREA].to_numpy().reshape(5, 3), truth, rtol=0.05)
    row = (
        measure_stability(
            cases, tmp_path, SETTINGS, engine=PYRADIOMICS, plan=GROWTH, jobs=1, ledger=tmp_path / "ledger"
        )
        .set_index("feature")
        .loc[AREA]
    )
    for column, form in (("icc21", Form.AGREEMENT), ("icc31", Form.CONSISTENCY)):
        assert row[column] == pytest.approx(intraclass_correlation(truth, form).value[0], abs=0.02)
    assert (row["n_cases"], row["n_left_out"], row["n_raters"], row["source"]) == (5, 0, 3, "perturbation")
    assert not (tmp_path / "ledger").exists()


def test_the_ring_follows_the_perturbed_outline(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [2.5])
    repeats = measure(cases, tmp_path, plan=GROWTH).set_index("rater")
    # Energy over the mean square is the number of pixels.
    prefix = "bmode.peritumoral.original.firstorder"
    found = (repeats[f"{prefix}.Energy"] / repeats[f"{prefix}.RootMeanSquared"] ** 2).round()
    for rater, radius in ((UNPERTURBED, 2.5), ("erosion-0.4mm", 2.1), ("dilation-0.4mm", 2.9)):
        area = np.pi * ((radius + 1.5) ** 2 - radius**2)
        assert found[rater] * MM**2 == pytest.approx(area, rel=0.1)


def test_unperturbed_is_what_extraction_gives(tmp_path: Path) -> None:
    from usdlr.radiomics.extract import extract

    cases = cohort(tmp_path, [2.0, 2.5], elasto=(1,))
    plain = extract(cases, tmp_path, SETTINGS, engine=PYRADIOMICS, jobs=1, ledger=tmp_path / "l")
    repeats = measure(cases, tmp_path)
    own = repeats[repeats["rater"] == UNPERTURBED].drop(columns="rater").reset_index(drop=True)
    pd.testing.assert_frame_equal(own[list(plain.columns)], plain)


def test_a_perturbation_that_fails_costs_one_row_and_a_case_that_fails_all_of_its_rows(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [2.5, 0.9, 2.0, 3.0])
    (tmp_path / "2_bmode.png").unlink()
    plan = PerturbationPlan(grow_mm=(-1.0, 0.2), draws=0, composed=0)
    repeats = measure(cases, tmp_path, plan=plan)
    assert len(repeats) == 12
    listed = failures(repeats)
    assert list(zip(listed["image_id"], listed["rater"], listed["code"], strict=True)) == [
        ("case1", "erosion-1mm", "mask_empty"),
        *(("case2", rater, "image_missing") for rater in (UNPERTURBED, "erosion-1mm", "dilation-0.2mm")),
    ]
    assert listed["reason"].str.startswith("found ").all()
    table = measure_stability(
        cases, tmp_path, SETTINGS, engine=PYRADIOMICS, plan=plan, jobs=1, ledger=tmp_path / "ledger"
    )
    assert set(table["n_cases"]) == {2}
    assert set(table["n_left_out"]) == {2}


def test_elastography_of_some_counts_those(tmp_path: Path) -> None:
    table = measure_stability(
        cohort(tmp_path, [2.0, 2.5, 3.0], elasto=(0, 2)),
        tmp_path,
        SETTINGS,
        engine=PYRADIOMICS,
        plan=GROWTH,
        jobs=1,
        ledger=tmp_path / "ledger",
    )
    elasto = table["feature"].str.startswith("elasto.")
    assert set(table.loc[elasto, "n_cases"]) == {2}
    assert set(table.loc[~elasto, "n_cases"]) == {3}


def test_number_of_processes_does_not_change_the_table(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [2.0, 0.3, 2.5])
    assert table_hash(measure(cases, tmp_path)) == table_hash(measure(cases, tmp_path, jobs=2))


def test_resume_measures_only_what_is_left(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [2.0, 0.3, 2.5, 3.0], elasto=(0,))
    whole = measure(cases, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        Spy(patch, stop=3)
        with pytest.raises(KeyboardInterrupt):
            measure(cases, tmp_path)
    assert len(list((tmp_path / "ledger").iterdir())) == 2  # a failure is tried again
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        resumed = measure(cases, tmp_path)
    assert spy.seen == ["case1", "case3"]
    assert table_hash(resumed) == table_hash(whole)
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    "change", [{"plan": PerturbationPlan(draws=1, composed=1, seed=1)}, {"plan": GROWTH}, {"mask": True}]
)
def test_another_plan_or_mask_does_not_reuse_the_ledger(tmp_path: Path, change: dict[str, Any]) -> None:
    cases = cohort(tmp_path, [2.0, 2.5])
    with pytest.MonkeyPatch.context() as patch:
        Spy(patch, stop=1)
        with pytest.raises(KeyboardInterrupt):
            measure(cases, tmp_path)
    if change.pop("mask", False):
        from usdlr.imaging.store import mask_to_png, write_png

        write_png(tmp_path / "0_mask.png", mask_to_png(disc(2.1)))
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        measure(cases, tmp_path, **change)
    assert spy.seen == ["case0", "case1"]


def test_unknown_engine_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cohort(tmp_path, [2.0])
    spy = Spy(monkeypatch)
    with pytest.raises(ConfigError, match="found engine 'x'"):
        measure(cases, tmp_path, engine="x")
    assert not spy.seen


def test_perturbed_masks_and_rings_stay_in_the_field_of_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from usdlr.imaging.store import mask_to_png, write_png

    cases = cohort(tmp_path, [2.5])
    fov = np.zeros((70, 80), dtype=bool)
    fov[:, :50] = True  # the disc ends at column 51
    write_png(tmp_path / "fov.png", mask_to_png(fov))
    cases["fov_path"] = "fov.png"
    seen = []

    def spy(*arguments: Any) -> Any:
        found = perturbed(*arguments)
        seen.append((found, arguments[2]))
        return found

    monkeypatch.setattr(module, "perturbed", spy)
    measure(cases, tmp_path)
    assert len(seen) == len(PLAN.names)
    for mask, limit in seen:
        np.testing.assert_array_equal(limit, fov)
        assert not (mask.pixels & ~fov & ~disc(2.5)).any()
        assert not (peritumoral_ring(mask, 1.5, limit).pixels & ~fov).any()
