"""Extraction over a cohort: order, processes, failures, resume, and what a missing modality leaves behind."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.repeated import MM, case
from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.hashing import table_hash
from usdlr.core.tables import CASES, FEATURES
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray, UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages, mask_to_png, stiffness_to_png, write_png
from usdlr.radiomics import engines
from usdlr.radiomics import extract as module
from usdlr.radiomics.engines import PYRADIOMICS, build_engine
from usdlr.radiomics.extract import extract, measure_images
from usdlr.radiomics.settings import RadiomicsSettings

SHAPE = (90, 100)
SETTINGS = RadiomicsSettings(classes=("shape2D", "firstorder", "glcm"), margin_mm=2.0)


def disc(radius_mm: float) -> BoolArray:
    row, col = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot((row - 44.5) * MM, (col - 49.5) * MM) <= radius_mm)


def cohort(folder: Path, radii_mm: list[float], *, elasto: set[int]) -> pd.DataFrame:
    """A ``cases`` table with one disc per case, elastography for some."""
    rows: list[dict[str, Any]] = []
    for i, radius in enumerate(radii_mm):
        rng = np.random.default_rng(i)
        write_png(folder / f"{i}_bmode.png", rng.integers(20, 220, SHAPE).astype(np.uint8))
        write_png(folder / f"{i}_mask.png", mask_to_png(disc(radius)))
        if i in elasto:
            write_png(folder / f"{i}_elasto.png", stiffness_to_png(rng.uniform(5, 150, SHAPE)))
        rows.append(case(i, elasto_path=f"{i}_elasto.png" if i in elasto else None))
    return CASES.conform(pd.DataFrame(rows))


def run(cases: pd.DataFrame, folder: Path, settings: RadiomicsSettings = SETTINGS, **rest: Any) -> pd.DataFrame:
    options: dict[str, Any] = {"engine": PYRADIOMICS, "jobs": 1, "ledger": folder / "ledger"} | rest
    return extract(cases, folder, settings, **options)


class Spy:
    """Counts the cases that are measured; interrupts after ``stop``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> None:
        self.seen: list[str] = []
        self.stop = stop
        self.original = module.measure_case
        monkeypatch.setattr(module, "measure_case", self)

    def __call__(self, row: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
        if len(self.seen) == self.stop:
            raise KeyboardInterrupt
        self.seen.append(str(row["image_id"]))
        return self.original(row, **rest)


def interrupt(cases: pd.DataFrame, folder: Path, after: int, **rest: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Spy(patch, stop=after)
        with pytest.raises(KeyboardInterrupt):
            run(cases, folder, **rest)


def test_rows_keep_the_order_of_cases_and_names_follow_the_pattern(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [3.0, 2.0, 4.0], elasto={0, 1, 2}).iloc[[2, 0, 1]].reset_index(drop=True)
    table = run(cases, tmp_path)
    assert list(table["image_id"]) == ["case2", "case0", "case1"]
    assert set(table["status"]) == {"ok"}
    assert table["reason"].isna().all()
    assert table["peritumoral_lost_fraction"].tolist() == [0, 0, 0]
    columns = list(table.columns[5:])
    assert all(re.match(FEATURE_PATTERN, name) for name in columns)
    assert {tuple(name.split(".")[:2]) for name in columns} == {
        (modality, roi) for modality in ("bmode", "elasto") for roi in ("intratumoral", "peritumoral")
    }
    # The lesion's shape does not depend on the modality: once is enough.
    assert {tuple(name.split(".")[:2]) for name in columns if "shape2D" in name} == {("bmode", "intratumoral")}
    area = table.set_index("image_id")["bmode.intratumoral.original.shape2D.PixelSurface"]
    for name, radius in (("case0", 3.0), ("case1", 2.0), ("case2", 4.0)):
        assert area[name] == pytest.approx(np.pi * radius**2, rel=0.03)
    assert table_hash(FEATURES.conform(table)) == table_hash(table)


def test_number_of_processes_does_not_change_the_table(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [3.0, 0.2, 2.5], elasto={0})
    assert table_hash(run(cases, tmp_path)) == table_hash(run(cases, tmp_path, jobs=2))


def test_a_case_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [3.0, 0.2, 3.0, 3.0], elasto=set())
    (tmp_path / "2_bmode.png").unlink()
    cases.loc[3, ["row_mm", "col_mm"]] = np.nan
    table = run(cases, tmp_path).set_index("image_id")
    assert table["status"].tolist() == ["ok", "failed", "failed", "failed"]
    # Four pixels of 0.2 mm are 16 of 0.1 mm.
    assert (
        "found 16 usable pixels (0.16 mm²) in the intratumoral B-mode ROI, expected at least 64 pixels (0.64 mm²)"
        in str(table.loc["case1", "reason"])
    )
    assert "2_bmode.png" in str(table.loc["case2", "reason"])
    assert "found no spacing" in str(table.loc["case3", "reason"])
    features = table[list(table.columns[3:])]
    assert features.loc["case0"].notna().all()
    assert features.loc[["case1", "case2", "case3"]].isna().all(axis=None)


def test_nothing_but_failures_is_still_a_table(tmp_path: Path) -> None:
    table = run(cohort(tmp_path, [0.2], elasto=set()), tmp_path)
    assert table["status"].tolist() == ["failed"]
    assert list(table.columns) == ["image_id", "status", "code", "reason", "peritumoral_lost_fraction"]


def test_resume_measures_only_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cohort(tmp_path, [3.0, 2.0, 0.2, 2.5, 4.0, 3.5], elasto={1, 4})
    whole = run(cases, tmp_path)
    assert not (tmp_path / "ledger").exists()
    interrupt(cases, tmp_path, after=4)
    assert len(list((tmp_path / "ledger").iterdir())) == 3  # a failure is tried again
    spy = Spy(monkeypatch)
    resumed = run(cases, tmp_path)
    assert spy.seen == ["case2", "case4", "case5"]
    assert table_hash(resumed) == table_hash(whole)
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{}",
        '{"image_id": "case0", "status": "ok", "reason": null}',
        "",
        '{"sha256": "0", "value": {"image_id": "case0", "status": "ok", "reason": null}}',
    ],
)
def test_a_damaged_ledger_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """What a killed or foreign process left must never pass for a finished row without values."""
    cases = cohort(tmp_path, [3.0, 2.0], elasto=set())
    whole = run(cases, tmp_path)
    interrupt(cases, tmp_path, after=1)
    (kept,) = (tmp_path / "ledger").iterdir()
    kept.write_text(damage, encoding="utf-8")
    spy = Spy(monkeypatch)
    assert table_hash(run(cases, tmp_path)) == table_hash(whole)
    assert len(spy.seen) == 2


def test_no_case_is_an_empty_table(tmp_path: Path) -> None:
    assert run(cohort(tmp_path, [3.0], elasto=set()).iloc[:0], tmp_path).empty


@pytest.mark.parametrize(
    "change", [{"bin_count": 16}, {"pixel_mm": 0.15}, {"image_types": ["Original", "Square"]}, {"margin_mm": 1.5}]
)
def test_other_settings_do_not_reuse_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    cases = cohort(tmp_path, [3.0, 2.0, 2.5], elasto=set())
    interrupt(cases, tmp_path, after=2)
    spy = Spy(monkeypatch)
    run(cases, tmp_path, RadiomicsSettings(**{**SETTINGS.as_dict(), **change}))
    assert len(spy.seen) == 3


def test_corrected_spacing_does_not_reuse_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cohort(tmp_path, [3.0, 2.0, 2.5], elasto=set())
    interrupt(cases, tmp_path, after=2)
    cases.loc[1, "col_mm"] = 0.25
    spy = Spy(monkeypatch)
    run(cases, tmp_path)
    assert spy.seen == ["case1", "case2"]


class Odd:
    """An engine whose features are not all numbers."""

    def __init__(self, settings: RadiomicsSettings) -> None:
        self.settings = settings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        return {
            name: {
                "original.odd.Nothing": float("nan"),
                "original.odd.Infinite": float("inf"),
                "original.odd.Third": float(roi.sum()) / 3,
            }
            for name, roi in rois.items()
        }


def test_features_that_are_no_numbers_survive_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.ENGINES, "odd", Odd)
    cases = cohort(tmp_path, [3.0, 2.0], elasto={0})
    whole = run(cases, tmp_path, engine="odd")
    interrupt(cases, tmp_path, after=1, engine="odd")
    assert table_hash(run(cases, tmp_path, engine="odd")) == table_hash(whole)
    # Infinity is no measurement either.
    assert (
        whole[["bmode.intratumoral.original.odd.Nothing", "bmode.intratumoral.original.odd.Infinite"]]
        .isna()
        .all(axis=None)
    )
    assert whole["bmode.intratumoral.original.odd.Third"].notna().all()
    # ... and neither passes in silence.
    for roi, title in (("intratumoral", "B-mode"), ("peritumoral", "B-mode"), ("peritumoral", "elastography")):
        sentence = (
            f"2 features have no value in the {roi} {title} ROI, whose pixels are too alike or too scattered: "
            "original.odd.Nothing, original.odd.Infinite"
        )
        assert sentence in str(whole.loc[0, "reason"])
    assert str(whole.loc[1, "reason"]).endswith("no elastography image")
    assert set(whole["status"]) == {"ok"}


def test_unknown_engine_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cohort(tmp_path, [3.0], elasto=set())
    spy = Spy(monkeypatch)
    with pytest.raises(ConfigError, match="found engine 'x'"):
        run(cases, tmp_path, engine="x")
    assert not spy.seen


def test_missing_elastography_is_a_reason_and_leaves_gaps(tmp_path: Path) -> None:
    table = run(cohort(tmp_path, [3.0, 3.0], elasto={0}), tmp_path)
    elasto = [name for name in table.columns if name.startswith("elasto.")]
    assert table.loc[0, elasto].notna().all()
    assert table.loc[1, elasto].isna().all()
    assert table["status"].tolist() == ["ok", "ok"]
    assert table.loc[1, "reason"] == "no elastography image"


def test_only_the_chosen_modalities_are_measured(tmp_path: Path) -> None:
    cases = cohort(tmp_path, [3.0, 3.0], elasto={0})
    both = run(cases, tmp_path)
    table = run(cases, tmp_path, replace(SETTINGS, modalities=("bmode",)))
    of_bmode = [name for name in both.columns if not name.startswith("elasto.")]
    assert len(of_bmode) < len(both.columns)
    pd.testing.assert_frame_equal(table.drop(columns="reason"), both[of_bmode].drop(columns="reason"))
    assert table["reason"].isna().all()  # nobody asked for the map that is missing
    maps = run(cases, tmp_path, replace(SETTINGS, modalities=["elasto"]))  # type: ignore[arg-type]  # as YAML gives it
    assert maps["status"].tolist() == ["ok", "ok"]
    assert {name.split(".")[0] for name in maps.columns[5:]} == {"elasto"}
    assert not [name for name in maps.columns if "shape2D" in name]


def test_the_chosen_modalities_are_part_of_the_key() -> None:
    assert replace(SETTINGS, modalities=("bmode",)).digest != SETTINGS.digest
    assert SETTINGS.modalities == ("bmode", "elasto")
    for modalities, words in (((), "empty"), (("bmode", "mri"), "'mri'"), (("bmode", "bmode"), "each once")):
        with pytest.raises(ConfigError, match=f"radiomics.modalities.*{words}"):
            replace(SETTINGS, modalities=modalities)
    with pytest.raises(ConfigError, match=r"without bmode among radiomics\.modalities"):
        RadiomicsSettings(classes=("shape2D",), modalities=("elasto",))


def images(elasto: FloatArray, bmode: FloatArray | None = None) -> CaseImages:
    spacing = Spacing(MM, MM)
    if bmode is None:
        bmode = np.random.default_rng(0).uniform(0, 255, SHAPE).astype(np.float32)
    return CaseImages(
        {
            "bmode": UltrasoundImage(bmode, spacing, "bmode"),
            "elasto": UltrasoundImage(elasto, spacing, "elasto"),
        },
        LesionMask(disc(3.0), spacing, MaskSource.READER),
        None,
    )


def measured(case: CaseImages, **settings: Any) -> dict[str, Any]:
    chosen = RadiomicsSettings(**{**SETTINGS.as_dict(), "pixel_mm": None, **settings})
    return measure_images(case, "x", chosen, build_engine(PYRADIOMICS, chosen))


def test_pixels_without_stiffness_are_not_in_the_roi() -> None:
    left = np.arange(SHAPE[1]) < 50
    truth = np.random.default_rng(4).uniform(30, 50, SHAPE).astype(np.float32)
    row = measured(images(np.where(left, truth, np.nan).astype(np.float32)))
    inside = truth[disc(3.0) & left]
    assert row["elasto.intratumoral.original.firstorder.Mean"] == pytest.approx(inside.mean(), rel=1e-5)
    assert row["elasto.intratumoral.original.firstorder.Minimum"] == pytest.approx(inside.min(), rel=1e-6)
    assert row["elasto.intratumoral.original.firstorder.Energy"] == pytest.approx((inside.astype(float) ** 2).sum())
    assert row["reason"] is None


def test_resampling_does_not_mix_holes_into_stiffness() -> None:
    """Constant stiffness with holes stays constant on any grid."""
    holes = np.random.default_rng(5).uniform(size=SHAPE) < 0.3
    row = measured(images(np.where(holes, np.nan, 40).astype(np.float32)), pixel_mm=0.13)
    for name in ("Minimum", "Maximum"):
        assert row[f"elasto.intratumoral.original.firstorder.{name}"] == pytest.approx(40, rel=1e-5)


def test_stiffness_in_one_region_only_is_a_reason() -> None:
    row = measured(images(np.where(disc(3.0), np.nan, 40).astype(np.float32)))
    assert "elasto.peritumoral.original.firstorder.Mean" in row
    assert "elasto.intratumoral.original.firstorder.Mean" not in row
    assert row["status"] == "ok"
    assert row["reason"] == (
        "found 0 usable pixels (0.00 mm²) in the intratumoral elastography ROI, expected at least 64 pixels (2.56 mm²)"
    )


def test_only_the_chosen_regions_are_measured() -> None:
    row = measured(images(np.full(SHAPE, 9, np.float32)), rois=["combined"])
    assert {name.split(".")[1] for name in row if "." in name} == {"combined"}


def test_bmode_without_usable_pixels_fails() -> None:
    case = images(np.full(SHAPE, 9, np.float32), np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(CaseError, match="use another image of the lesion") as caught:
        measured(case)
    assert caught.value.code is ExclusionCode.ROI_TOO_SMALL


class Counting(Odd):
    """Counts its calls and what they hold."""

    def __init__(self, settings: RadiomicsSettings) -> None:
        super().__init__(settings)
        self.calls: list[tuple[str, ...]] = []
        self.shape: list[tuple[str, ...]] = []

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        self.calls.append(tuple(rois))
        self.shape.append(tuple(shape))
        return super().measure(pixels, rois, spacing, shape=shape)


def test_every_image_is_measured_once_for_all_its_regions() -> None:
    every = ("intratumoral", "peritumoral", "combined")
    engine = Counting(RadiomicsSettings(rois=every))
    measure_images(images(np.full(SHAPE, 40, np.float32)), "x", engine.settings, engine)
    assert engine.calls == [every, every]
    assert engine.shape == [("intratumoral",), ()]


def test_a_region_below_the_smallest_area_names_pixels_and_square_millimetres() -> None:
    case = images(np.where(disc(1.0), 40, np.nan).astype(np.float32))  # 80 pixels, 3.20 mm²
    assert "found" not in str(measured(case, rois=["intratumoral"], min_pixels=80)["reason"])
    row = measured(case, rois=["intratumoral"], min_area_mm2=3.21)
    assert row["reason"] == (
        "found 80 usable pixels (3.20 mm²) in the intratumoral elastography ROI, expected at least 81 pixels (3.24 mm²)"
    )
    assert measured(case, rois=["intratumoral"], min_area_mm2=3.2)["reason"] is None
    with pytest.raises(CaseError, match=r"B-mode ROI, expected at least 1000 pixels \(40.00 mm²\)"):
        measured(case, min_area_mm2=40.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("engine", list(engines.ENGINES))
def test_scattered_pixels_have_no_cooccurrence_and_say_so(engine: str) -> None:
    """No pixel has a neighbour: PyRadiomics' 24 co-occurrence features are not-a-number."""
    scattered = np.full(SHAPE, np.nan, np.float32)
    scattered[::3, ::3] = np.random.default_rng(0).uniform(5, 99, scattered[::3, ::3].shape)
    settings = RadiomicsSettings(classes=("firstorder", "glcm"), pixel_mm=None, margin_mm=2.0, rois=("combined",))
    row = measure_images(images(scattered), "x", settings, build_engine(engine, settings))
    assert row["status"] == "ok"
    assert row["reason"] == (
        "24 features have no value in the combined elastography ROI, whose pixels are too alike or too scattered: "
        "original.glcm.Autocorrelation, original.glcm.ClusterProminence, original.glcm.ClusterShade and 21 more"
    )
    empty = [name for name, value in row.items() if isinstance(value, float) and np.isnan(value)]
    assert len(empty) == 24
    assert all(name.startswith("elasto.combined.original.glcm.") for name in empty)


@pytest.mark.parametrize("outliers", [None, 1.5])
def test_normalisation_is_pyradiomics_own(outliers: float | None) -> None:
    """On the whole image, which is what SimpleITK's filter takes."""
    import SimpleITK
    from radiomics.imageoperations import normalizeImage

    case = images(np.full(SHAPE, np.nan, np.float32), np.random.default_rng(3).gamma(2, 30, SHAPE).astype(np.float32))
    truth = SimpleITK.GetArrayFromImage(
        normalizeImage(
            SimpleITK.GetImageFromArray(case.images["bmode"].pixels.astype(np.float64)),
            normalizeScale=100,
            removeOutliers=outliers,
        )
    )
    row = measured(case, normalize=True, normalize_scale=100.0, remove_outliers=outliers, classes=["firstorder"])
    inside = truth[disc(3.0)]
    for name, value in (("Mean", inside.mean()), ("Minimum", inside.min()), ("Maximum", inside.max())):
        assert row[f"bmode.intratumoral.original.firstorder.{name}"] == pytest.approx(value, rel=1e-5)


def test_normalisation_counts_the_field_of_view_alone() -> None:
    spacing = Spacing(MM, MM)
    bright = np.random.default_rng(3).uniform(0, 255, SHAPE).astype(np.float32)
    fov = np.zeros(SHAPE, dtype=bool)
    fov[5:85, 10:95] = True
    for outside in (0, 255):  # a black frame and a white one
        pixels = np.where(fov, bright, np.float32(outside))
        case = CaseImages(
            {"bmode": UltrasoundImage(pixels, spacing, "bmode", fov)},
            LesionMask(disc(3.0), spacing, MaskSource.READER),
            fov,
        )
        row = measured(case, normalize=True, classes=["firstorder"])
        inside = (bright[disc(3.0)] - bright[fov].mean()) / bright[fov].std(ddof=1)
        assert row["bmode.intratumoral.original.firstorder.Mean"] == pytest.approx(inside.mean(), rel=1e-4)


def test_gain_drops_out_of_a_normalised_image() -> None:
    soft = np.random.default_rng(3).uniform(0, 100, SHAPE).astype(np.float32)
    rows = [
        measured(images(np.full(SHAPE, 40, np.float32), pixels), normalize=True, bin_count=None, bin_width=0.1)
        for pixels in (soft, soft * 2 + 17)
    ]
    for name in rows[0]:
        if name.startswith("bmode."):
            assert rows[0][name] == pytest.approx(rows[1][name], rel=2e-3, abs=1e-6), name


def test_an_image_of_one_intensity_cannot_be_normalised() -> None:
    flat, rough = np.full(SHAPE, 40, np.float32), np.random.default_rng(0).uniform(0, 255, SHAPE).astype(np.float32)
    with pytest.raises(CaseError, match="expected some contrast to normalise by") as caught:
        measured(images(rough, flat), normalize=True)
    assert caught.value.code is ExclusionCode.FEATURES_FAILED
    row = measured(images(flat, rough), normalize=True)
    assert str(row["reason"]).startswith("elastography: found 9000 pixels of one intensity in the field of view")
    assert not any(name.startswith("elasto.") for name in row)


def test_a_case_that_dies_and_one_that_stalls_cost_a_row_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(module, "measure_case", importlib.import_module("extract_jobs").die_and_stall)
    table = run(cohort(tmp_path, [3.0] * 6, elasto=set()), tmp_path, jobs=2, stall_s=1.0)
    assert table["image_id"].tolist() == [f"case{i}" for i in range(6)]
    assert table["status"].tolist() == ["ok", "failed", "ok", "failed", "ok", "ok"]
    assert table["code"].fillna("").tolist() == ["", "worker_died", "", "worker_stalled", "", ""]
    assert "no result of this case after 1 seconds" in str(table.loc[3, "reason"])
    assert table["bmode.combined.original.odd.Third"].dropna().tolist() == [1 / 3] * 4


def test_memory_does_not_grow_with_the_number_of_cases(tmp_path: Path) -> None:
    """800 features of a case are 6.25 KiB of numbers; as a mapping with names of its own they were 200."""
    few, many = 100, 500
    done = subprocess.run(
        [sys.executable, "-m", "tests.radiomics.memory_program", str(tmp_path), str(few), str(many)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    first, last = (int(line.split()[0]) for line in done.stdout.splitlines())
    assert (last - first) / (many - few) < 30
