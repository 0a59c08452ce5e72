"""Panes, regions and fields of view that do not quite fit each other: nothing may shift, scale or vanish silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.imaging.render_overlay import speckle
from tests.ingest.us_dicom import us_region, write_us
from usdlr.core.errors import CaseError
from usdlr.core.types import ElastographyKind, ExclusionCode, Site, SpacingSource
from usdlr.imaging.store import read_mask
from usdlr.ingest.case import CaseResult, convert
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import ElastographyLayout, ElastographyRef, MaskRef, SourceRow


def disc(shape: tuple[int, int], row: float, col: float, radius: float) -> npt.NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(rows - row, cols - col) <= radius)


def save_mask(path: Path, mask: npt.NDArray[np.bool_]) -> MaskRef:
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(path)
    return MaskRef(path)


def grey(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return speckle(np.random.default_rng(4), shape)


def row(bmode: Path, **changes: Any) -> SourceRow:
    stated: dict[str, Any] = {"spacing_mm": None, "spacing_source": SpacingSource.NONE, "mask_required": False}
    return SourceRow("case1", "p1", "north", {"bmode": bmode, **changes.pop("files", {})}, **(stated | changes))


def run(item: SourceRow, out: Path, *, anonymous: bool = False, **settings: Any) -> CaseResult:
    return convert(item, {}, out, IngestSettings(**settings), anonymous=anonymous)


def flags(result: CaseResult) -> set[str]:
    return {note["code"] for note in result.notes}


def stiffness_map(path: Path, shape: tuple[int, int], block: tuple[slice, slice]) -> None:
    values = np.full(shape, 10.0)
    values[block] = 100.0
    write_us(path, np.rint(values / 0.01).astype(np.uint16))


def map_ref(path: Path, **changes: Any) -> ElastographyRef:
    return ElastographyRef(path, ElastographyLayout.MAP, ElastographyKind.SWE, "kPa", step=0.01, **changes)


def stiff_rows(result: CaseResult, out: Path) -> tuple[int, int]:
    values = np.asarray(Image.open(out / result.record["elasto_path"])).astype(float) / 100.0
    rows = np.flatnonzero(((values > 55) & (values < 600)).any(axis=1))
    return int(rows[0]), int(rows[-1])


def dual(folder: Path, moving_cm: float, moving_shape: tuple[int, int], block: tuple[slice, slice]) -> Path:
    """B-mode region at row 100, column 100, 400 x 400; the map's numbers in a region at row 100, column 700."""
    frame = np.zeros((620, 1200), np.uint16)
    frame[100:500, 100:500] = grey((400, 400)).astype(np.uint16) * 100
    values = np.full(moving_shape, 10.0)
    values[block] = 100.0
    frame[100 : 100 + moving_shape[0], 700 : 700 + moving_shape[1]] = np.rint(values / 0.01)
    regions = [
        us_region(100, 100, 499, 499, 0.01, 0.01, reference=(200, 0)),
        us_region(700, 100, 699 + moving_shape[1], 99 + moving_shape[0], moving_cm, moving_cm, reference=(200, 0)),
    ]
    return write_us(folder / "dual.dcm", frame, regions)


def test_a_pane_around_its_region_does_not_shift_the_map(tmp_path: Path) -> None:
    path = dual(tmp_path, 0.01, (400, 400), (slice(190, 210), slice(190, 210)))
    ref = map_ref(path, pane=(100, 700, 400, 400))
    exact = run(row(path, pane=(100, 100, 400, 400), elastography=ref), tmp_path / "exact", find_fov=False)
    wide = run(row(path, pane=(80, 80, 440, 440), elastography=ref), tmp_path / "wide", find_fov=False)
    assert stiff_rows(exact, tmp_path / "exact") == (190, 209)
    assert stiff_rows(wide, tmp_path / "wide") == (210, 229)  # the same tissue, 20 rows further down its image


def test_a_pane_a_few_pixels_off_keeps_its_own_scale(tmp_path: Path) -> None:
    # 0.05 mm per pixel: pixels 190 to 209 of the map are 9.5 to 10.5 mm deep, pixels 95 to 104 of the B-mode image.
    path = dual(tmp_path, 0.005, (400, 396), (slice(190, 210), slice(190, 210)))
    ref = map_ref(path, pane=(100, 700, 400, 400))
    result = run(row(path, pane=(100, 100, 400, 400), elastography=ref), tmp_path / "out", find_fov=False)
    first, last = stiff_rows(result, tmp_path / "out")
    assert abs(first - 95) <= 1
    assert abs(last - 104) <= 1


def test_one_by_one_is_no_calibration_of_a_map_either(tmp_path: Path) -> None:
    bmode = write_us(tmp_path / "b.dcm", grey((400, 400)), [us_region(0, 0, 399, 399)])
    path = tmp_path / "e.dcm"
    values = np.full((200, 200), 1000, np.uint16)
    write_us(path, values, pixel_spacing=(1.0, 1.0))
    result = run(row(bmode, elastography=map_ref(path)), tmp_path / "out")
    assert result.record["elasto_state"] == "unusable"


def test_what_lies_outside_the_region_is_no_field_of_view(tmp_path: Path) -> None:
    frame = np.zeros((600, 800), np.uint8)
    frame[60:540, 80:780] = grey((480, 700))
    path = write_us(tmp_path / "a.dcm", frame, [us_region(80, 60, 779, 539)])
    result = run(row(path, pane=(0, 0, 600, 800)), tmp_path / "out", find_fov=False)
    fov = read_mask(tmp_path / "out" / result.record["fov_path"])
    assert fov.sum() == 480 * 700
    assert fov[60:540, 80:780].all()


def test_a_name_inside_a_region_that_is_the_whole_screen_is_blanked(tmp_path: Path) -> None:
    frame = grey((600, 800))
    cv2.putText(frame, "MUELLER ANNA 1961", (40, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    path = write_us(tmp_path / "a.dcm", frame, [us_region(0, 0, 799, 599)])
    for number, find_fov in enumerate((True, False)):
        out = tmp_path / f"out{number}"
        result = run(row(path), out, anonymous=True, find_fov=find_fov)
        written = np.asarray(Image.open(out / result.record["bmode_path"]))
        assert "text_blanked" in flags(result)
        assert (written[40:66, 38:290] == 255).sum() == 0


def test_a_lesion_outside_the_stated_field_of_view_is_refused(tmp_path: Path) -> None:
    Image.fromarray(grey((300, 320))).save(tmp_path / "a.png")
    lesion = disc((300, 320), 150, 160, 40)
    masks = (save_mask(tmp_path / "m.png", lesion),)
    inverted = save_mask(tmp_path / "fov.png", ~lesion).path
    with pytest.raises(CaseError) as caught:
        run(row(tmp_path / "a.png", masks=masks, files={"fov": inverted}), tmp_path / "out")
    assert caught.value.code is ExclusionCode.MASK_OUTSIDE_REGION
    tight = save_mask(tmp_path / "tight.png", disc((300, 320), 150, 160, 39.6)).path
    result = run(row(tmp_path / "a.png", masks=masks, files={"fov": tight}), tmp_path / "out2")
    assert "mask_outside_fov" in flags(result)


def test_notes_of_an_identifying_export_name_no_file(tmp_path: Path) -> None:
    Image.fromarray(grey((300, 320))).save(tmp_path / "a.png")
    masks = (save_mask(tmp_path / "m.png", disc((300, 320), 150, 160, 40)), MaskRef(tmp_path / "MUELLER_ANNA_2.png"))
    item = row(tmp_path / "a.png", masks=masks, elastography=map_ref(tmp_path / "MUELLER_ANNA_swe.png"))
    result = run(item, tmp_path / "out", anonymous=True)
    assert {"contour_unreadable", "elastography_unusable"} <= flags(result)
    assert not [note for note in result.notes if "MUELLER" in note["sentence"]]


def test_a_second_contour_on_another_pane_costs_only_itself(tmp_path: Path) -> None:
    Image.fromarray(grey((400, 600))).save(tmp_path / "a.png")
    first = save_mask(tmp_path / "m1.png", disc((400, 600), 200, 150, 40))
    second = save_mask(tmp_path / "m2.png", disc((400, 600), 200, 450, 40))
    result = run(row(tmp_path / "a.png", pane=(0, 0, 400, 300), masks=(first, second)), tmp_path / "out")
    assert len(result.contours) == 1
    assert "contour_unreadable" in flags(result)


def test_a_node_has_no_tumour_size(tmp_path: Path) -> None:
    Image.fromarray(grey((300, 320))).save(tmp_path / "a.png")
    masks = (save_mask(tmp_path / "m.png", disc((300, 320), 150, 160, 40)),)
    stated: dict[str, Any] = {"spacing_mm": (0.1, 0.1), "spacing_source": SpacingSource.MANIFEST, "masks": masks}
    assert run(row(tmp_path / "a.png", **stated), tmp_path / "t").record["tumour_size_mm"] is not None
    node = run(row(tmp_path / "a.png", site=Site.AXILLA, **stated), tmp_path / "n")
    assert node.record["tumour_size_mm"] is None
