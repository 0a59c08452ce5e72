"""Crops in millimetres, and the store that keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from usdlr.core.errors import CaseError, DataError
from usdlr.core.regions import Region
from usdlr.core.tables import CASES
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.data.samples import Sample, SampleStore, blocks_present, cut_sample
from usdlr.imaging.crop import CropSettings
from usdlr.imaging.image import UltrasoundImage
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.store import CaseImages, mask_to_png, read_case, read_mask, stiffness_to_png, write_png

THREE = tuple(Region.named(name) for name in ("intratumoral", "peritumoral", "combined"))


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
    sample = cut_sample(case(shape, spacing, (18, 20), radius), CropSettings(size, context), THREE, margin)
    assert sample.pixel_mm == pytest.approx((2 * radius + 2 * context) / size, rel=0.02)
    pixel_mm2 = sample.pixel_mm**2
    areas = {name: roi.sum() * pixel_mm2 for name, roi in sample.rois.items()}
    ring = math.pi * ((radius + margin) ** 2 - radius**2)
    assert areas["intratumoral"] == pytest.approx(math.pi * radius**2, rel=0.03)
    assert areas["peritumoral"] == pytest.approx(ring, rel=0.03)
    assert areas["combined"] == pytest.approx(math.pi * (radius + margin) ** 2, rel=0.03)
    np.testing.assert_array_equal(sample.lesion, sample.rois["intratumoral"])
    assert sample.lost_fraction == 0.0
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
    sample = cut_sample(case((200, 200), Spacing(0.1, 0.1), (4, 10), 3), CropSettings(96, 6), THREE, 2)
    pixels = sample.images["bmode"]
    # The crop is 18 mm high and starts 5 mm above the image.
    assert np.isnan(pixels[: int(4.8 / 18 * 96)]).all()
    assert np.isfinite(pixels[int(5.2 / 18 * 96) :]).all()


def test_without_spacing_there_is_no_crop() -> None:
    with pytest.raises(CaseError) as caught:
        cut_sample(case((200, 200), None, (10, 10), 3), CropSettings(), THREE, 5)
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
    assert (one.pixel_mm, one.lost_fraction) == (other.pixel_mm, other.lost_fraction)
    assert one.lesion.dtype == other.lesion.dtype == np.bool_
    np.testing.assert_array_equal(one.lesion, other.lesion)
    pairs: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
        (one.images, other.images),
        (one.rois, other.rois),
    )
    for first, second in pairs:
        assert list(first) == list(second)
        for name in first:
            assert first[name].dtype == second[name].dtype
            np.testing.assert_array_equal(first[name], second[name])


def test_store_keeps_every_case_or_its_reason_whatever_the_number_of_processes(tmp_path: Path) -> None:
    cases = cohort(tmp_path)
    store, failed = SampleStore.cut(cases, tmp_path, CropSettings(48), THREE, 3.0, jobs=1)
    assert store.image_id == ("i0", "i1", "i3")
    assert len(store) == 3
    assert list(failed) == ["i2"]
    assert failed["i2"].code is ExclusionCode.IMAGE_MISSING
    assert set(store.samples[1].images) == {"bmode"}
    again, _ = SampleStore.cut(cases, tmp_path, CropSettings(48), THREE, 3.0, jobs=2)
    for one, other in zip(store.samples, again.samples, strict=True):
        assert_same(one, other)


def test_saved_store_comes_back_exactly(tmp_path: Path) -> None:
    store, _ = SampleStore.cut(cohort(tmp_path), tmp_path, CropSettings(48), THREE, 3.0, jobs=1)
    assert np.isnan(store.samples[0].images["elasto"]).any()
    store.save(tmp_path / "crops.npz")
    loaded = SampleStore.load(tmp_path / "crops.npz")
    assert loaded.image_id == store.image_id
    for one, other in zip(store.samples, loaded.samples, strict=True):
        assert_same(one, other)


def test_every_crop_is_cut_from_the_same_cases_and_comes_back(tmp_path: Path) -> None:
    cases = cohort(tmp_path)
    first, second = CropSettings(48), CropSettings(64, policy="fixed", side_mm=5.0)
    store, failed = SampleStore.cut(cases, tmp_path, first, THREE, 3.0, jobs=2, further=[second])
    assert list(failed) == ["i2"]
    store.save(tmp_path / "crops.npz")
    loaded = SampleStore.load(tmp_path / "crops.npz")
    for place, crop in enumerate((first, second)):
        alone, _ = SampleStore.cut(cases, tmp_path, crop, THREE, 3.0, jobs=1)
        for samples in (store.crop(place).samples, loaded.crop(place).samples):
            for one, other in zip(alone.samples, samples, strict=True):
                assert_same(one, other)
    # The lesions are 6 mm across: a square of 5 mm cuts them, and one that follows them does not.
    assert store.crop(0).lost_fraction == (0.0, 0.0, 0.0)
    assert min(store.crop(1).lost_fraction) > 0
    assert loaded.lost_fraction == store.lost_fraction == store.crop(1).lost_fraction
    store.crop(0).save(tmp_path / "one.npz")
    SampleStore(store.image_id, store.samples).save(tmp_path / "plain.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "plain.npz").read_bytes()


def test_a_case_that_fails_in_one_crop_is_in_none(tmp_path: Path) -> None:
    cases = cohort(tmp_path)
    cases.loc[1, ["row_mm", "col_mm"]] = 0.01  # a lesion of 0.6 mm, between the pixels of the wide crop
    wide = CropSettings(32, policy="fixed", side_mm=48.0)
    alone, _ = SampleStore.cut(cases, tmp_path, CropSettings(48), THREE, 3.0, jobs=1)
    assert alone.image_id == ("i0", "i1", "i3")
    store, failed = SampleStore.cut(cases, tmp_path, CropSettings(48), THREE, 3.0, jobs=1, further=[wide])
    assert {name: str(error.code) for name, error in failed.items()} == {"i1": "roi_too_small", "i2": "image_missing"}
    assert store.image_id == ("i0", "i3")
    assert [len(samples) for samples in store.crops] == [2, 2]
    none, _ = SampleStore.cut(cases.iloc[:0], tmp_path, CropSettings(48), THREE, 3.0, jobs=1, further=[wide])
    assert none.crops == ((), ())


def test_crops_of_unlike_cohorts_make_no_store() -> None:
    with pytest.raises(ValueError, match="samples of 2 images"):
        SampleStore(("a", "b"), (plain(1), plain(2)), ((plain(1),),))


def plain(value: float, **rest: Any) -> Sample:
    """Two by two pixels of one value."""
    return Sample({"bmode": np.full((2, 2), value, np.float32)}, {}, np.eye(2, dtype=bool), 0.1, **rest)


def test_many_samples_keep_their_places(tmp_path: Path) -> None:
    samples = tuple(plain(i) for i in range(23))
    SampleStore(tuple(f"i{i}" for i in range(23)), samples).save(tmp_path / "x.npz")
    loaded = SampleStore.load(tmp_path / "x.npz")
    assert [int(sample.images["bmode"][0, 0]) for sample in loaded.samples] == list(range(23))


def test_select_takes_the_given_order() -> None:
    store = SampleStore(("a", "b", "c", "d"), tuple(plain(i, lost_fraction=i / 10) for i in range(4)))
    chosen = store.select(pd.Series(["d", "b"]))
    assert chosen.image_id == ("d", "b")
    assert [int(sample.images["bmode"][0, 0]) for sample in chosen.samples] == [3, 1]
    assert chosen.lost_fraction == (0.3, 0.1)
    with pytest.raises(DataError, match="found 2 of 3 images without a crop"):
        store.select(["x", "a", "y"])


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
    rois = {"intratumoral": roi, "peritumoral-2.5mm": ~roi}
    sample = Sample({"bmode": values(4), "elasto": values(1)}, rois, roi, 0.1)
    blocks = ["bmode.intratumoral", "bmode.peritumoral-2.5mm", "elasto.intratumoral", "elasto.peritumoral-2.5mm"]
    assert blocks_present(sample, blocks).tolist() == [True, True, True, False]
    only = Sample({"bmode": values(4)}, rois, roi, 0.1)
    assert blocks_present(only, blocks).tolist() == [True, True, False, False]
    # A region without a pixel has no block either.
    empty = Sample({"bmode": values(4)}, {"peritumoral": np.zeros((4, 4), bool)}, roi, 0.1)
    assert blocks_present(empty, ["bmode.peritumoral"]).tolist() == [False]


def named(*names: str) -> tuple[Region, ...]:
    return tuple(Region.named(name) for name in names)


def test_only_the_regions_asked_for_are_cut_under_their_names() -> None:
    images = case((400, 400), Spacing(0.1, 0.1), (20, 20), 5)
    wanted = named("peritumoral-3mm", "context", "peritumoral")
    sample = cut_sample(images, CropSettings(160, 6), wanted, 4.0)
    assert list(sample.rois) == ["peritumoral-3mm", "context", "peritumoral"]
    area = {name: roi.sum() * sample.pixel_mm**2 for name, roi in sample.rois.items()}
    assert area["peritumoral-3mm"] == pytest.approx(math.pi * (64 - 25), rel=0.03)
    assert area["peritumoral"] == pytest.approx(math.pi * (81 - 25), rel=0.03)
    assert sample.rois["context"].all()
    assert sample.lesion.sum() * sample.pixel_mm**2 == pytest.approx(math.pi * 25, rel=0.03)


def test_context_ends_with_the_image_and_the_field_of_view() -> None:
    images = case((400, 400), Spacing(0.1, 0.1), (8, 20), 5)
    fov = np.ones((400, 400), bool)
    fov[:, 220:] = False  # beyond 22 mm
    seen = CaseImages(images.images, images.mask, fov)
    sample = cut_sample(seen, CropSettings(policy="fixed", side_mm=32.0), named("context"), 5.0)
    # The square spans -8 to 24 mm of the rows and 4 to 36 mm of the columns.
    assert sample.rois["context"].sum() * sample.pixel_mm**2 == pytest.approx(24 * 18, rel=0.03)


def test_a_fixed_crop_has_one_scale_and_tells_what_it_lost() -> None:
    crop = CropSettings(96, policy="fixed", side_mm=24.0)
    for spacing, radius in ((Spacing(0.08, 0.08), 4.0), (Spacing(0.06, 0.15), 8.0), (Spacing(0.15, 0.06), 8.0)):
        images = case((round(60 / spacing.row_mm), round(60 / spacing.col_mm)), spacing, (30, 30), radius)
        sample = cut_sample(images, crop, named("intratumoral"), 5.0)
        assert sample.pixel_mm == 0.25
        assert sample.lost_fraction == 0.0
        assert sample.lesion.sum() / 16 == pytest.approx(math.pi * radius**2, rel=0.02)
    images = case((600, 600), Spacing(0.1, 0.1), (30, 30), 15.0)
    sample = cut_sample(images, crop, named("intratumoral"), 5.0)
    # A disc of 15 mm radius around a square of 24 mm: four segments of height 3 mm lie outside.
    half = math.acos(12 / 15)
    segment = 15**2 * (half - math.sin(half) * math.cos(half))
    assert sample.lost_fraction == pytest.approx(4 * segment / (math.pi * 225), abs=0.004)
    # The corners of the square are 17 mm from its middle, outside the disc.
    assert sample.lesion.mean() == pytest.approx((math.pi * 225 - 4 * segment) / 576, abs=0.01)
    store = SampleStore(("a",), (sample,))
    assert store.lost_fraction == (sample.lost_fraction,)


def test_a_lesion_that_no_pixel_of_the_crop_shows_is_refused() -> None:
    images = case((200, 200), Spacing(0.1, 0.1), (10, 10), 0.25)
    with pytest.raises(CaseError, match=r"no pixel of the lesion left in a crop of 6\.2 mm per pixel") as caught:
        cut_sample(images, CropSettings(32, policy="fixed", side_mm=200.0), named("context"), 5.0)
    assert caught.value.code is ExclusionCode.ROI_TOO_SMALL


def clip(folder: Path) -> dict[str, Any]:
    """A row whose frames before and after are darker by 50 and brighter by 30, the lesion 4 pixels further right."""
    row = {str(key): value for key, value in cohort(folder).iloc[0].to_dict().items()}
    images = case((160, 180), Spacing(0.1, 0.1), (8, 8), 3)
    bmode = images.images["bmode"].pixels
    write_png(folder / "before.png", np.clip(bmode - 50, 0, 255).astype(np.uint8))
    write_png(folder / "after.png", np.roll(bmode + 30, 4, axis=1).astype(np.uint8))
    return row | {"bmode_before_path": "before.png", "bmode_after_path": "after.png"}


def test_the_frames_of_a_clip_lie_on_the_samples_grid(tmp_path: Path) -> None:
    row = clip(tmp_path)
    sample = cut_sample(read_case(row, tmp_path), CropSettings(48), THREE, 3.0)
    assert list(sample.images) == ["bmode", "elasto", "bmode@-1", "bmode@+1"]
    inside = sample.lesion & (sample.images["bmode"] > 199)
    assert np.unique(sample.images["bmode@-1"][inside]).tolist() == [150.0]
    moved = sample.images["bmode@+1"] > 180
    shift = np.nonzero(moved)[1].mean() - np.nonzero(sample.lesion)[1].mean()
    assert shift * sample.pixel_mm == pytest.approx(0.4, abs=0.05)
    first = cut_sample(read_case(row | {"bmode_before_path": None}, tmp_path), CropSettings(48), THREE, 3.0)
    assert "bmode@-1" not in first.images
    np.testing.assert_array_equal(first.images["bmode@+1"], sample.images["bmode@+1"])


def test_a_saved_clip_comes_back(tmp_path: Path) -> None:
    sample = cut_sample(read_case(clip(tmp_path), tmp_path), CropSettings(48), THREE, 3.0)
    store = SampleStore(("a", "b"), (plain_like(sample), sample))
    store.save(tmp_path / "x.npz")
    for one, other in zip(store.samples, SampleStore.load(tmp_path / "x.npz").samples, strict=True):
        assert_same(one, other)


def plain_like(sample: Sample) -> Sample:
    """A still of the same size."""
    return Sample({"bmode": sample.images["bmode"] + 1}, {"context": sample.lesion}, ~sample.lesion, 0.7, 0.25)


def test_an_empty_store_comes_back(tmp_path: Path) -> None:
    SampleStore((), ()).save(tmp_path / "x.npz")
    assert len(SampleStore.load(tmp_path / "x.npz")) == 0


def test_one_store_has_one_size(tmp_path: Path) -> None:
    odd = Sample({"bmode": np.zeros((3, 3), np.float32)}, {}, np.eye(2, dtype=bool), 0.1)
    with pytest.raises(ValueError, match="expected one size"):
        SampleStore(("a", "b"), (plain(1), odd)).save(tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_a_mask_takes_one_bit_and_equal_samples_equal_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def sample() -> Sample:
        image = rng.normal(size=(96, 96)).astype(np.float32)
        return Sample({"bmode": image}, {f"r{i}": rng.random((96, 96)) > 0.5 for i in range(4)}, image > 0, 0.1)

    store = SampleStore(tuple(f"i{i}" for i in range(40)), tuple(sample() for _ in range(40)))
    store.save(tmp_path / "x.npz")
    store.save(tmp_path / "y.npz")
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    images, masks = 40 * 96 * 96 * 4, 40 * 5 * 96 * 96 // 8
    assert (tmp_path / "x.npz").stat().st_size == pytest.approx(images + masks, abs=10_000)
    for one, other in zip(store.samples, SampleStore.load(tmp_path / "y.npz").samples, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("damage", ["half", "text", "empty", "old", "pickle", "array"])
def test_a_store_that_is_damaged_is_reported(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "crops.npz"
    SampleStore(("a", "b"), (plain(1), plain(2))).save(path)
    if damage == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("no crops", encoding="utf-8")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "old":  # how the first version named its arrays
        old: dict[str, Any] = {"image_id": np.array(["a"]), "0/image/bmode": np.zeros((2, 2), np.float32)}
        np.savez(path, **old)
    elif damage == "pickle":
        np.savez(path, allow_pickle=True, format=np.array([{}], dtype=object))
    else:
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match=r"damaged or written by another version .* delete it and run the same command"):
        SampleStore.load(path)


def test_a_public_lesion_is_cut_in_its_own_millimetres(shared_data: Path) -> None:
    """BUS-BRA masks hold one lesion each; the area in the crop is the mask's own."""
    for path in sorted((shared_data / "bus_bra" / "Masks").glob("*.png"))[:4]:
        mask = LesionMask(read_mask(path), Spacing(0.09, 0.07))
        image = UltrasoundImage(np.full(mask.shape, 70, np.float32), mask.spacing, "bmode")
        sample = cut_sample(CaseImages({"bmode": image}, mask, None), CropSettings(128), named("combined-2mm"), 5.0)
        area = float(mask.pixels.sum()) * 0.09 * 0.07
        assert sample.lesion.sum() * sample.pixel_mm**2 == pytest.approx(area, rel=0.02)
        assert not (sample.lesion & ~sample.rois["combined-2mm"]).any()
