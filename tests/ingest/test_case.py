"""From files as scanners write them to canonical images on one grid, row by row of a small manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.uid import JPEGLosslessSV1

from tests.imaging.render_overlay import Scene, draw, draw_bar, scene
from tests.ingest.us_dicom import GRAPHICS, us_region, write_us
from usdlr.core.errors import CaseError
from usdlr.core.types import ElastographyKind, ExclusionCode, Side, SpacingSource
from usdlr.imaging.store import read_case, read_mask
from usdlr.ingest.case import CaseResult, convert
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import ElastographyLayout, ElastographyRef, MaskRef, SourceRow

SHAPE = (360, 400)
CM_PER_PIXEL = 0.008
# Blue for soft, over cyan and yellow, to red for stiff; the same colours as the palette named "jet".
JET = [
    (0.0, (0.0, 0.0, 143.0)),
    (0.125, (0.0, 0.0, 255.0)),
    (0.375, (0.0, 255.0, 255.0)),
    (0.625, (255.0, 255.0, 0.0)),
    (0.875, (255.0, 0.0, 0.0)),
    (1.0, (128.0, 0.0, 0.0)),
]


def disc(shape: tuple[int, int], row: float, col: float, radius: float) -> npt.NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(rows - row, cols - col) <= radius)


def save_mask(path: Path, mask: npt.NDArray[np.bool_]) -> MaskRef:
    Image.fromarray(np.where(mask, 1, 0).astype(np.uint8)).save(path)
    return MaskRef(path)


def row(bmode: Path, masks: tuple[MaskRef, ...] = (), **changes: Any) -> SourceRow:
    return SourceRow(
        source_id="case1",
        patient_id="p1",
        centre_id="north",
        files={"bmode": bmode},
        **{"spacing_mm": None, "spacing_source": SpacingSource.NONE, "side": Side.LEFT, "masks": masks, **changes},
    )


def run(item: SourceRow, out: Path, settings: IngestSettings | None = None) -> CaseResult:
    return convert(item, {}, out, settings or IngestSettings(burned_in="keep"))


def flags(result: CaseResult) -> set[str]:
    return {note["code"] for note in result.notes}


def images(result: CaseResult, out: Path) -> Any:
    complete: Mapping[str, Any] = {"elasto_path": None, "fov_path": None, **result.record}
    return read_case(complete, out)


# One frame of 400 x 800: B-mode at the left, the map at the right, each 360 x 400 and calibrated.
LEFT, RIGHT, TOP = 0, SHAPE[1], 20


def dual_pane(folder: Path, item: Scene, *, shift: int = 0, opacity: float = 0.5, cm: float = CM_PER_PIXEL) -> Path:
    frame = np.zeros((SHAPE[0] + 2 * TOP, 2 * SHAPE[1] + 60, 3), dtype=np.uint8)
    frame[TOP : TOP + SHAPE[0], LEFT : LEFT + SHAPE[1]] = item.grey[..., None]
    frame[TOP : TOP + SHAPE[0], RIGHT : RIGHT + SHAPE[1]] = np.roll(draw(item, JET, opacity), shift, axis=1)
    draw_bar(frame, JET, (60, 2 * SHAPE[1] + 20, 200, 16))
    bottom = TOP + SHAPE[0] - 1
    regions = [
        us_region(LEFT, TOP, LEFT + SHAPE[1] - 1, bottom, cm, cm),
        us_region(RIGHT, TOP, RIGHT + SHAPE[1] - 1, bottom, cm, cm),
        us_region(2 * SHAPE[1] + 20, 60, 2 * SHAPE[1] + 35, 259, 0, 0, spatial_format=GRAPHICS, units=(0, 0)),
    ]
    return write_us(folder / "dual.dcm", frame, regions)


def frame_mask(folder: Path, radius: float = 60.0) -> MaskRef:
    whole = np.zeros((SHAPE[0] + 2 * TOP, 2 * SHAPE[1] + 60), dtype=bool)
    whole[TOP : TOP + SHAPE[0], LEFT : LEFT + SHAPE[1]] = disc(SHAPE, 180, 188, radius)
    return save_mask(folder / "mask.png", whole)


def overlay_ref(path: Path, **changes: Any) -> ElastographyRef:
    stated: dict[str, Any] = {
        "layout": ElastographyLayout.OVERLAY,
        "kind": ElastographyKind.SWE,
        "unit": "kPa",
        "palette": "jet",
        "scale": (0.0, 180.0),
    }
    return ElastographyRef(path, **(stated | changes))


def test_two_panes_become_one_grid(tmp_path: Path) -> None:
    item = scene(3, SHAPE)
    path = dual_pane(tmp_path, item)
    result = run(row(path, (frame_mask(tmp_path),), elastography=overlay_ref(path)), tmp_path / "out")
    record = result.record
    assert (record["source_row"], record["source_col"]) == (TOP, LEFT)
    assert record["row_mm"] == record["col_mm"] == pytest.approx(10 * CM_PER_PIXEL, rel=1e-12)
    assert record["spacing_source"] == "dicom_region"
    # A disc of 60 pixels radius is 120 x 0.08 = 9.6 mm wide.
    assert record["tumour_size_mm"] == pytest.approx(9.6, abs=0.17)
    assert record["elasto_state"] == "measured"
    assert (record["elasto_kind"], record["elasto_unit"]) == ("swe", "kPa")
    found = images(result, tmp_path / "out")
    np.testing.assert_array_equal(found.images["bmode"].pixels, item.grey)
    np.testing.assert_array_equal(found.mask.pixels, disc(SHAPE, 180, 188, 60))
    stiffness = found.images["elasto"].pixels
    assert stiffness.shape == SHAPE
    known = np.isfinite(stiffness)
    truth = 180.0 * item.place
    assert known[item.signal].mean() > 0.85
    assert known[~item.signal].mean() < 0.02
    assert np.median(np.abs(stiffness[known] - truth[known])) < 0.03 * 180


def test_the_bar_in_the_frame_serves_where_no_palette_is_named(tmp_path: Path) -> None:
    item = scene(4, SHAPE)
    path = dual_pane(tmp_path, item)
    ref = overlay_ref(path, palette=None)
    result = run(row(path, (frame_mask(tmp_path),), elastography=ref), tmp_path / "out")
    stiffness = images(result, tmp_path / "out").images["elasto"].pixels
    known = np.isfinite(stiffness)
    assert known[item.signal].mean() > 0.85
    assert np.median(np.abs(stiffness[known] - 180.0 * item.place[known])) < 0.03 * 180


def test_speed_becomes_stiffness(tmp_path: Path) -> None:
    item = scene(5, SHAPE)
    path = dual_pane(tmp_path, item)
    ref = overlay_ref(path, unit="m/s", scale=(0.0, 7.0))
    result = run(row(path, (frame_mask(tmp_path),), elastography=ref), tmp_path / "out")
    stiffness = images(result, tmp_path / "out").images["elasto"].pixels
    known = np.isfinite(stiffness)
    # 7 m/s are 147 kPa: E = 3 x 1000 kg/m3 x v2.
    truth = 147.0 * item.place**2
    assert result.record["elasto_unit"] == "kPa"
    assert np.median(np.abs(stiffness[known] - truth[known])) < 0.03 * 147


def test_a_map_of_other_tissue_is_a_state_not_a_loss(tmp_path: Path) -> None:
    item = scene(6, SHAPE)
    # 30 pixels are 2.4 mm: the stiff rim would be read off the wrong tissue.
    path = dual_pane(tmp_path, item, shift=30)
    result = run(row(path, (frame_mask(tmp_path),), elastography=overlay_ref(path)), tmp_path / "out")
    assert result.record["elasto_state"] == "unusable"
    assert result.record["elasto_path"] is None
    assert "elastography_unusable" in flags(result)
    assert "2.4" in next(note["sentence"] for note in result.notes if note["code"] == "elastography_unusable")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": None}, "without a scale"),
        ({"palette": "turbo"}, "the palette 'turbo'"),
        ({"pane": (0, 700, 360, 400)}, "outside its frame"),
        ({"unit": "relative"}, "swe elastography in relative"),
        ({"path": Path("gone.png")}, "gone.png"),
    ],
)
def test_whatever_is_wrong_with_a_map_costs_only_the_map(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = dual_pane(tmp_path, scene(7, SHAPE))
    ref = overlay_ref(changes.pop("path", path), **changes)
    result = run(row(path, (frame_mask(tmp_path),), elastography=ref), tmp_path / "out")
    assert result.record["elasto_state"] == "unusable"
    assert words in next(note["sentence"] for note in result.notes if note["code"] == "elastography_unusable")
    assert images(result, tmp_path / "out").mask.pixels.any()


def test_strain_is_kept_apart_from_stiffness(tmp_path: Path) -> None:
    item = scene(8, SHAPE)
    path = dual_pane(tmp_path, item)
    ref = overlay_ref(path, kind=ElastographyKind.STRAIN, unit="relative", scale=(0.0, 100.0))
    result = run(row(path, (frame_mask(tmp_path),), elastography=ref), tmp_path / "out")
    assert result.record["elasto_state"] == "strain_only"
    assert result.record["elasto_path"] is None
    path = tmp_path / "out" / result.record["strain_path"]
    strain = np.asarray(Image.open(path)).astype(np.float64) / 100.0  # steps of 0.01 per cent
    known = strain < 655
    assert np.median(np.abs(strain[known] - 100 * item.place[known])) < 3
    assert "elasto" not in images(result, tmp_path / "out").images


def test_no_map_is_a_state(tmp_path: Path) -> None:
    path = dual_pane(tmp_path, scene(9, SHAPE))
    result = run(row(path, (frame_mask(tmp_path),)), tmp_path / "out")
    assert result.record["elasto_state"] == "missing"
    assert not flags(result) & {"elastography_unusable"}


def test_millimetres_of_rows_and_columns_are_not_exchanged(tmp_path: Path) -> None:
    grey = scene(1, (300, 320)).grey
    regions = [us_region(0, 0, 319, 299, delta_x=-0.01, delta_y=0.02)]
    path = write_us(tmp_path / "a.dcm", grey, regions, transfer_syntax=JPEGLosslessSV1)
    # 20 rows of 0.2 mm and 100 columns of 0.1 mm: a box of 4 mm by 10 mm.
    mask = np.zeros((300, 320), dtype=bool)
    mask[100:120, 50:150] = True
    result = run(row(path, (save_mask(tmp_path / "m.png", mask),)), tmp_path / "out")
    assert (result.record["row_mm"], result.record["col_mm"]) == pytest.approx((0.2, 0.1), rel=1e-12)
    assert result.record["tumour_size_mm"] == pytest.approx(np.hypot(4.0, 10.0), rel=1e-9)


def test_a_lesion_outside_every_calibrated_pane_is_refused(tmp_path: Path) -> None:
    grey = scene(1, (300, 320)).grey
    path = write_us(tmp_path / "a.dcm", grey, [us_region(0, 0, 159, 299)])
    mask = save_mask(tmp_path / "m.png", disc((300, 320), 150, 240, 40))
    with pytest.raises(CaseError) as caught:
        run(row(path, (mask,)), tmp_path / "out")
    assert caught.value.code is ExclusionCode.MASK_OUTSIDE_REGION
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    grey = scene(1, (300, 320)).grey
    path = write_us(tmp_path / "a.dcm", grey, [us_region(0, 0, 319, 299, 0.01, 0.01)])
    mask = save_mask(tmp_path / "m.png", disc((300, 320), 150, 160, 40))
    stated = {"spacing_mm": (0.01, 0.01), "spacing_source": SpacingSource.MANIFEST}  # centimetres taken for mm
    with pytest.raises(CaseError) as caught:
        run(row(path, (mask,), **stated), tmp_path / "out")
    assert caught.value.code is ExclusionCode.SPACING_CONTRADICTORY


def test_every_reader_is_kept_and_one_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    grey = scene(1, (300, 320)).grey
    Image.fromarray(grey).save(tmp_path / "a.png")
    first = save_mask(tmp_path / "m1.png", disc((300, 320), 150, 160, 40))
    second = save_mask(tmp_path / "m2.png", disc((300, 320), 150, 160, 44))
    (tmp_path / "m3.png").write_bytes(b"garbage")
    refs = (
        MaskRef(first.path, reader_id="A"),
        MaskRef(second.path, reader_id="B"),
        MaskRef(tmp_path / "m3.png", reader_id="C"),
    )
    result = run(row(tmp_path / "a.png", refs), tmp_path / "out")
    assert [(item["reader_id"], item["primary"]) for item in result.contours] == [("A", True), ("B", False)]
    assert result.record["reader_id"] == "A"
    drawn = [read_mask(tmp_path / "out" / item["mask_path"]).sum() for item in result.contours]
    assert drawn == [disc((300, 320), 150, 160, 40).sum(), disc((300, 320), 150, 160, 44).sum()]
    assert "contour_unreadable" in flags(result)


def test_a_case_without_a_contour_waits_for_one(tmp_path: Path) -> None:
    Image.fromarray(scene(1, (300, 320)).grey).save(tmp_path / "a.png")
    result = run(row(tmp_path / "a.png", mask_required=False), tmp_path / "out")
    assert result.record["mask_path"] is None
    assert "mask_absent" in flags(result)
    with pytest.raises(CaseError) as caught:
        run(row(tmp_path / "a.png"), tmp_path / "out2")
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_small_defects_of_a_contour_are_repaired_and_noted(tmp_path: Path) -> None:
    Image.fromarray(scene(1, (300, 320)).grey).save(tmp_path / "a.png")
    whole = disc((300, 320), 150, 160, 40)
    drawn = whole.copy()
    drawn[150, 160] = False
    drawn[5, 5] = True
    result = run(row(tmp_path / "a.png", (save_mask(tmp_path / "m.png", drawn),)), tmp_path / "out")
    assert "mask_repaired" in flags(result)
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / result.record["mask_path"]), whole)
    kept = run(
        row(tmp_path / "a.png", (save_mask(tmp_path / "m.png", drawn),)),
        tmp_path / "raw",
        IngestSettings(repair_masks=False),
    )
    np.testing.assert_array_equal(read_mask(tmp_path / "raw" / kept.record["mask_path"]), drawn)


def test_calipers_are_counted_and_treated_as_configured(tmp_path: Path) -> None:
    grey = scene(2, (300, 320)).grey
    picture = np.repeat(grey[..., None], 3, axis=2)
    for centre in ((150, 100), (150, 220)):
        cv2.drawMarker(picture, centre[::-1], (255, 255, 0), cv2.MARKER_CROSS, 15, 2)
    Image.fromarray(picture).save(tmp_path / "a.png")
    yellow = (picture[..., 0] == 255) & (picture[..., 2] == 0)
    mask = save_mask(tmp_path / "m.png", disc((300, 320), 150, 160, 40))
    results = {
        name: run(row(tmp_path / "a.png", (mask,)), tmp_path / name, IngestSettings(burned_in=name))
        for name in ("keep", "mask", "inpaint")
    }
    for name, flag in (("keep", "kept"), ("mask", "masked"), ("inpaint", "inpainted")):
        assert f"burned_in_{flag}" in flags(results[name])
        assert results[name].record["burned_in"] == name
        share = results[name].record["burned_in_fraction"]
        assert yellow.mean() * 0.9 <= share <= yellow.mean() * 6
    fov = read_mask(tmp_path / "mask" / results["mask"].record["fov_path"])
    assert not fov[yellow].any()
    filled = images(results["inpaint"], tmp_path / "inpaint").images["bmode"].pixels
    clean = np.abs(filled[yellow] - np.median(grey))
    assert np.median(clean) < np.median(np.abs(226.0 - np.median(grey)))  # 226: luma of yellow
    np.testing.assert_array_equal(
        images(results["keep"], tmp_path / "keep").images["bmode"].pixels[~yellow],
        images(results["mask"], tmp_path / "mask").images["bmode"].pixels[~yellow],
    )


def test_colour_drawn_over_the_image_is_flagged(tmp_path: Path) -> None:
    item = scene(2, (300, 320))
    Image.fromarray(draw(item, JET, 0.6)).save(tmp_path / "a.png")
    result = run(row(tmp_path / "a.png", mask_required=False), tmp_path / "out")
    assert "colour_overlay" in flags(result)


def test_a_table_that_misstates_the_size_is_noted(tmp_path: Path) -> None:
    Image.fromarray(scene(1, (300, 320)).grey).save(tmp_path / "a.png")
    item = row(tmp_path / "a.png", mask_required=False, stated_shape=(320, 300))
    assert "size_misstated" in flags(run(item, tmp_path / "out"))
    item = row(tmp_path / "a.png", mask_required=False, stated_shape=(300, 320))
    assert "size_misstated" not in flags(run(item, tmp_path / "out2"))
