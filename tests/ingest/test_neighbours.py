"""The frames of a clip beside the one that is used, from the scanner's file to the canonical images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from pydicom import dcmread

from tests.ingest.us_dicom import us_region, write_us
from usdlr.core.tables import CASES
from usdlr.core.types import Side, SpacingSource
from usdlr.imaging.store import read_case
from usdlr.ingest.case import CaseResult, convert
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.source import MaskRef, SourceRow

ROWS, COLS, FRAMES = 120, 160, 5
REGION = us_region(10, 20, 149, 109, 0.02, 0.01)
THREE = IngestSettings(burned_in="keep", find_fov=False, adjacent_frames=True)


def stack(count: int = FRAMES) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(4).integers(40, 160, (count, ROWS, COLS), dtype=np.uint8)


def outline(folder: Path) -> MaskRef:
    mask = np.zeros((ROWS, COLS), np.uint8)
    mask[40:80, 50:100] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return MaskRef(folder / "mask.png")


def row(path: Path, frame: int | None, mask: MaskRef | None, **changes: Any) -> SourceRow:
    return SourceRow(
        source_id=f"clip-{frame}",
        patient_id="p1",
        centre_id="north",
        files={"bmode": path},
        spacing_mm=None,
        spacing_source=SpacingSource.NONE,
        side=Side.LEFT,
        masks=() if mask is None else (mask,),
        frame=frame,
        mask_required=mask is not None,
        **changes,
    )


def run(item: SourceRow, out: Path, settings: IngestSettings = THREE, **rest: bool) -> CaseResult:
    return convert(item, {}, out, settings, **rest)


def picture(out: Path, name: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(out / name))


@pytest.mark.parametrize("number", [1, 3, FRAMES])
def test_the_frames_beside_are_those_of_the_file_cut_like_the_middle_one(tmp_path: Path, number: int) -> None:
    frames, out = stack(), tmp_path / "out"
    path = write_us(tmp_path / "clip.dcm", frames, [REGION], frames=FRAMES)
    record = run(row(path, number, outline(tmp_path)), out).record
    wanted = {"bmode_path": number, "bmode_before_path": number - 1, "bmode_after_path": number + 1}
    for column, frame in wanted.items():
        if 1 <= frame <= FRAMES:
            np.testing.assert_array_equal(picture(out, record[column]), frames[frame - 1, 20:110, 10:150])
        else:
            assert record[column] is None
    images = read_case({"elasto_path": None, "fov_path": None, **record}, out)
    assert len(images.frames) == (2 if number == 3 else 1)
    assert all(frame.spacing == images.mask.spacing for frame in images.frames.values())


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    path = write_us(tmp_path / "clip.dcm", stack(), [REGION], frames=FRAMES)
    mask = outline(tmp_path)
    plain = run(row(path, 3, mask), tmp_path / "plain", IngestSettings(burned_in="keep", find_fov=False))
    assert plain.record["bmode_before_path"] is plain.record["bmode_after_path"] is None
    assert len(list((tmp_path / "plain" / "images").iterdir())) == 2
    three = run(row(path, 3, mask), tmp_path / "three")
    assert three.record["image_id"] == plain.record["image_id"]
    assert len(list((tmp_path / "three" / "images").iterdir())) == 4
    assert set(three.files()) == {f"images/{file.name}" for file in (tmp_path / "three" / "images").iterdir()}


def test_a_still_has_no_neighbours(tmp_path: Path) -> None:
    path = write_us(tmp_path / "still.dcm", stack()[0], [REGION])
    record = run(row(path, None, outline(tmp_path)), tmp_path / "out").record
    assert record["bmode_before_path"] is record["bmode_after_path"] is None


def test_a_frame_with_another_scale_is_no_neighbour(tmp_path: Path) -> None:
    zoomed = us_region(10, 20, 149, 109, 0.01, 0.005)
    path = write_us(tmp_path / "clip.dcm", stack(3), frames=3, per_frame=[[REGION], [REGION], [zoomed]])
    record = run(row(path, 2, outline(tmp_path)), tmp_path / "out").record
    assert record["bmode_before_path"] is not None
    assert record["bmode_after_path"] is None


def test_pages_of_other_sizes_are_no_neighbours(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in (stack(1)[0, :-1], *stack(2))]
    pages[0].save(tmp_path / "clip.tif", save_all=True, append_images=pages[1:])
    record = run(row(tmp_path / "clip.tif", 2, outline(tmp_path), pane=(0, 0, 100, 100)), tmp_path / "out").record
    assert record["bmode_before_path"] is None
    np.testing.assert_array_equal(picture(tmp_path / "out", record["bmode_after_path"]), stack(2)[1, :100, :100])


def test_what_may_name_the_patient_is_blanked_in_every_frame(tmp_path: Path) -> None:
    """The frames beside lose what lies outside the field of view as the middle one does."""
    frames = stack(3)
    fov = np.zeros((ROWS, COLS), np.uint8)
    fov[30:100, 20:140] = 255
    Image.fromarray(fov).save(tmp_path / "fov.png")
    path = write_us(tmp_path / "clip.dcm", frames, [REGION], frames=3)
    item = row(path, 2, outline(tmp_path))
    named = SourceRow(**{**vars(item), "files": {"bmode": path, "fov": tmp_path / "fov.png"}})
    record = run(named, tmp_path / "out", anonymous=True).record
    for column in ("bmode_path", "bmode_before_path", "bmode_after_path"):
        shown = picture(tmp_path / "out", record[column])
        outside = fov[20:110, 10:150] == 0
        assert (shown[outside] == 0).all(), column
        assert (shown[~outside] > 0).mean() > 0.9, column


def test_marks_drawn_on_a_frame_beside_are_filled_there_too(tmp_path: Path) -> None:
    frames = cv2.GaussianBlur(np.random.default_rng(1).normal(90, 60, (ROWS, COLS)), (0, 0), 2.0)
    tissue = np.repeat(np.clip(frames, 40, 140).astype(np.uint8)[None], 3, axis=0)
    marked = np.zeros((ROWS, COLS), dtype=bool)
    for at in ((60, 40), (60, 110)):  # two calipers, drawn while the frame was frozen
        marked[at[0] - 6 : at[0] + 7, at[1]] = marked[at[0], at[1] - 6 : at[1] + 7] = True
    tissue[2][marked] = 255
    path = write_us(tmp_path / "clip.dcm", tissue, [REGION], frames=3)
    treated = IngestSettings(burned_in="inpaint", find_fov=False, adjacent_frames=True)
    record = run(row(path, 2, outline(tmp_path)), tmp_path / "out", treated).record
    after = picture(tmp_path / "out", record["bmode_after_path"])
    assert after.max() < 200
    assert (after == tissue[1, 20:110, 10:150])[~marked[20:110, 10:150]].mean() > 0.97
    kept = run(row(path, 2, outline(tmp_path)), tmp_path / "kept").record
    np.testing.assert_array_equal(picture(tmp_path / "kept", kept["bmode_after_path"]), tissue[2, 20:110, 10:150])


def test_the_table_and_its_cache_keep_the_frames(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_us(source / "clip.dcm", stack(3), [REGION], frames=3)
    mask = outline(source)
    manifest = pd.DataFrame(
        {
            "centre_id": ["north"],
            "patient_id": ["p1"],
            "side": ["left"],
            "bmode_file": ["clip.dcm"],
            "frame": [2],
            "mask_file": [mask.path.name],
            "sln_positive": ["yes"],
        }
    )
    manifest.to_csv(source / "manifest.csv", index=False)
    out = tmp_path / "out"
    for reused in (0, 1):
        found = ingest(source, "manifest", out, settings=THREE)
        assert found.reused == reused
        cases = CASES.read(out / "cases.parquet")
        assert (out / cases["bmode_before_path"][0]).is_file()
        assert (out / cases["bmode_after_path"][0]).is_file()
    (out / cases["bmode_after_path"][0]).unlink()
    assert ingest(source, "manifest", out, settings=THREE).reused == 0
    assert (out / cases["bmode_after_path"][0]).is_file()


def test_a_public_clip(shared_data: Path, tmp_path: Path) -> None:
    """Thirty frames from a scanner: the frame after the seventh is what the eighth becomes when it is used itself."""
    path = next((shared_data / "dicom_us_regions").rglob("examples_ybr_color.dcm"))
    assert int(dcmread(path, stop_before_pixels=True).NumberOfFrames) == 30
    settings = IngestSettings(adjacent_frames=True)
    seventh, eighth = (run(row(path, number, None), tmp_path, settings).record for number in (7, 8))
    after, itself = (picture(tmp_path, name) for name in (seventh["bmode_after_path"], eighth["bmode_path"]))
    before = picture(tmp_path, eighth["bmode_before_path"])
    # The field of view is found per frame, and marks are filled inside it: few pixels may differ.
    assert (after == itself).mean() > 0.99
    assert (before == picture(tmp_path, seventh["bmode_path"])).mean() > 0.99
    assert (after != before).any()
