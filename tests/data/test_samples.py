"""Crops in millimetres, and the store that keeps them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from usdlr.core.errors import CaseError, DataError
from usdlr.core.tables import CASES
from usdlr.core.types import ExclusionCode, MaskSource, Roi
from usdlr.core.units import Spacing
from usdlr.data.samples import Sample, SampleStore, blocks_present, cut_sample, split_block
from usdlr.imaging.crop import CropSettings
from usdlr.imaging.image import UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages, mask_to_png, stiffness_to_png, write_png


def case(
    shape: tuple[int, int], spacing: Spacing | None, centre_mm: tuple[float, float], radius_mm: float
) -> CaseImages:
    """A bright disc on a dark image, and a stiffness map that grows with depth in mm."""
    mm = spacing or Spacing(0.1, 0.1)
    rows, cols = np.arange(shape[0])[:, None] * mm.row_mm, np.arange(shape[1])[None] * mm.col_mm
    mask = np.asarray(np.hypot(rows - centre_mm[0], cols - centre_mm[1]) <= radius_mm)
    bmode = np.where(mask, 200, 20).astype(np.float32)
    elasto = np.broadcast_to(rows, shape).astype(np.float32).copy()
    return CaseImages(
        {name: UltrasoundImage(p, spacing, name) for name, p in (("bmode", bmode), ("elasto", elasto))},
        LesionMask(mask, spacing, MaskSource.READER),
        None,
    )


@pytest.mark.parametrize("spacing", [Spacing(0.08, 0.08), Spacing(0.06, 0.15), Spacing(0.15, 0.06)])
def test_areas_in_the_crop_are_those_of_the_disc_and_its_ring(spacing: Spacing) -> None:
    radius, margin, context, size = 5.0, 3.0, 6.0, 160
    shape = (round(36 / spacing.row_mm), round(40 / spacing.col_mm))
    sample = cut_sample(case(shape, spacing, (18, 20), radius), CropSettings(size, context), margin)
    pixel_mm2 = ((2 * radius + 2 * context) / size) ** 2
    areas = {name: roi.sum() * pixel_mm2 for name, roi in sample.rois.items()}
    ring = math.pi * ((radius + margin) ** 2 - radius**2)
    assert areas["intratumoral"] == pytest.approx(math.pi * radius**2, rel=0.03)
    assert areas["peritumoral"] == pytest.approx(ring, rel=0.03)
    assert areas["combined"] == pytest.approx(math.pi * (radius + margin) ** 2, rel=0.03)
    # A disc stays round on square pixels, in the middle of the crop.
    rows, cols = np.nonzero(sample.rois["intratumoral"])
    assert np.ptp(rows) == pytest.approx(np.ptp(cols), abs=2)
    assert rows.mean() == pytest.approx((size - 1) / 2, abs=1)
    assert cols.mean() == pytest.approx((size - 1) / 2, abs=1)
    # Both modalities lie on the same grid as the mask.
    bright = sample.images["bmode"] > 110
    assert (bright ^ sample.rois["intratumoral"]).mean() < 0.01
    depth_mm = sample.images["elasto"][sample.rois["intratumoral"]]
    assert depth_mm.mean() == pytest.approx(18, abs=spacing.row_mm)
    assert np.ptp(depth_mm) == pytest.approx(2 * radius, abs=0.3)


def test_beyond_the_image_there_is_no_value() -> None:
    sample = cut_sample(case((200, 200), Spacing(0.1, 0.1), (4, 10), 3), CropSettings(96, 6), 2)
    pixels = sample.images["bmode"]
    # The crop is 18 mm high and starts 5 mm above the image.
    assert np.isnan(pixels[: int(4.8 / 18 * 96)]).all()
    assert np.isfinite(pixels[int(5.2 / 18 * 96) :]).all()


def test_without_spacing_there_is_no_crop() -> None:
    with pytest.raises(CaseError) as caught:
        cut_sample(case((200, 200), None, (10, 10), 3), CropSettings(), 5)
    assert caught.value.code is ExclusionCode.SPACING_MISSING


def cohort(folder: Path) -> pd.DataFrame:
    """Three good cases, the second without elastography, and one without its image."""
    rows: list[dict[str, Any]] = []
    for i in range(4):
        images = case((160, 180), Spacing(0.1, 0.1), (8, 8 + i), 3)
        elasto = images.images["elasto"].pixels.copy()
        elasto[:70] = np.nan
        write_png(folder / f"{i}_mask.png", mask_to_png(images.mask.pixels))
        write_png(folder / f"{i}_elasto.png", stiffness_to_png(elasto))
        if i != 2:
            write_png(folder / f"{i}_bmode.png", images.images["bmode"].pixels.astype(np.uint8))
        rows.append(
            {
                "centre_id": "a",
                "patient_id": f"p{i}",
                "side": "left",
                "lesion_id": "1",
                "image_id": f"i{i}",
                "site": "tumour",
                "mask_source": "reader",
                "spacing_source": "manifest",
                "row_mm": 0.1,
                "col_mm": 0.1,
                "bmode_path": f"{i}_bmode.png",
                "elasto_path": None if i == 1 else f"{i}_elasto.png",
                "mask_path": f"{i}_mask.png",
            }
        )
    return CASES.conform(pd.DataFrame(rows))


def assert_same(one: Sample, other: Sample) -> None:
    for first, second in ((one.images, other.images), (one.rois, other.rois)):
        assert first.keys() == second.keys()
        for name in first:
            assert first[name].dtype == second[name].dtype
            np.testing.assert_array_equal(first[name], second[name])


def test_store_keeps_every_case_or_its_reason_whatever_the_number_of_processes(tmp_path: Path) -> None:
    cases = cohort(tmp_path)
    store, failed = SampleStore.cut(cases, tmp_path, CropSettings(48), 3.0, jobs=1)
    assert store.image_id == ("i0", "i1", "i3")
    assert len(store) == 3
    assert list(failed) == ["i2"]
    assert failed["i2"].code is ExclusionCode.IMAGE_MISSING
    assert set(store.samples[1].images) == {"bmode"}
    again, _ = SampleStore.cut(cases, tmp_path, CropSettings(48), 3.0, jobs=2)
    for one, other in zip(store.samples, again.samples, strict=True):
        assert_same(one, other)


def test_saved_store_comes_back_exactly(tmp_path: Path) -> None:
    store, _ = SampleStore.cut(cohort(tmp_path), tmp_path, CropSettings(48), 3.0, jobs=1)
    assert np.isnan(store.samples[0].images["elasto"]).any()
    store.save(tmp_path / "crops.npz")
    loaded = SampleStore.load(tmp_path / "crops.npz")
    assert loaded.image_id == store.image_id
    for one, other in zip(store.samples, loaded.samples, strict=True):
        assert_same(one, other)


def test_many_samples_keep_their_places(tmp_path: Path) -> None:
    """Names of arrays sort as text: ten comes before two."""
    samples = tuple(Sample({"bmode": np.full((2, 2), i, np.float32)}, {}) for i in range(23))
    SampleStore(tuple(f"i{i}" for i in range(23)), samples).save(tmp_path / "x.npz")
    loaded = SampleStore.load(tmp_path / "x.npz")
    assert [int(sample.images["bmode"][0, 0]) for sample in loaded.samples] == list(range(23))


def test_select_takes_the_given_order() -> None:
    samples = tuple(Sample({"bmode": np.full((2, 2), i, np.float32)}, {}) for i in range(4))
    chosen = SampleStore(("a", "b", "c", "d"), samples).select(pd.Series(["d", "b"]))
    assert chosen.image_id == ("d", "b")
    assert [int(sample.images["bmode"][0, 0]) for sample in chosen.samples] == [3, 1]


def test_missing_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the cohort's crops; run the same command again"):
        SampleStore.load(tmp_path / "none.npz")


def test_blocks_are_present_where_there_is_a_value_inside_the_region() -> None:
    def values(rows: int) -> npt.NDArray[np.float32]:
        out = np.full((4, 4), np.nan, np.float32)
        out[:rows] = 1
        return out

    roi = np.zeros((4, 4), bool)
    roi[0] = True
    sample = Sample({"bmode": values(4), "elasto": values(1)}, {"intratumoral": roi, "peritumoral": ~roi})
    blocks = ["bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral", "elasto.peritumoral"]
    assert blocks_present(sample, blocks).tolist() == [True, True, True, False]
    assert blocks_present(Sample({"bmode": values(4)}, sample.rois), blocks).tolist() == [True, True, False, False]
    assert split_block("elasto.combined") == ("elasto", Roi.COMBINED)
