from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK

from tests.ingest.readers.writers import speckle
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame

# Neither declares its types.
nib: Any = nibabel
sitk: Any = SimpleITK
Read = Callable[..., SourceFrame]
PIXELS = speckle(30, 44)
MASK = PIXELS > 150


def _nifti(path: Path, pixels: Any, affine: Any = None, units: str | None = None, zooms: Any = None) -> Path:
    """Pixels in (row, column), written as nibabel users do: transposed to (x, y)."""
    image = nib.Nifti1Image(np.swapaxes(pixels, 0, 1), affine)
    if zooms is not None:
        image.header.set_zooms(zooms)
    if units is not None:
        image.header.set_xyzt_units(units)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("depth", [2, 3])
def test_simpleitk_images_and_masks_share_the_grid_of_their_array(suffix: str, depth: int, tmp_path: Path) -> None:
    for name, pixels in (("image", PIXELS), ("mask", MASK.astype(np.uint8))):
        image = sitk.GetImageFromArray(pixels if depth == 2 else pixels[None])
        image.SetSpacing((0.2, 0.1) if depth == 2 else (0.2, 0.1, 3.0))
        sitk.WriteImage(image, tmp_path / f"{name}{suffix}")
        frame = read_frame(tmp_path / f"{name}{suffix}")
        assert np.array_equal(frame.pixels, pixels)
        assert (frame.frames, frame.bits) == (1, 8)
        assert frame.format == ("NRRD" if suffix == ".nrrd" else "NIfTI")
        if suffix != ".nrrd" or depth == 3:  # ITK states neither units nor an anatomical space in two dimensions
            assert frame.pixel_spacing is not None
            assert frame.pixel_spacing.as_tuple() == pytest.approx((0.1, 0.2))


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1, 1, 1]), None], ids=["RAS", "LPS", "none"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_images_and_masks_share_the_grid_of_their_array(affine: Any, suffix: str, tmp_path: Path) -> None:
    for pixels in (PIXELS, MASK.astype(np.int16), MASK.astype(np.float32)):
        frame = read_frame(_nifti(tmp_path / f"a{suffix}", pixels, affine))
        assert np.array_equal(frame.pixels, pixels)


@pytest.mark.parametrize(
    "affine",
    [np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, 1, 1]), np.eye(4)[[1, 0, 2, 3]], np.eye(4)[[0, 2, 1, 3]]],
    ids=["mirrored x", "mirrored y", "swapped", "another plane"],
)
def test_axes_that_are_not_the_pictures_own_are_refused(affine: Any, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="swapped, mirrored or oblique"):
        read_frame(_nifti(tmp_path / "a.nii", PIXELS, affine))


def test_oblique_axes_are_refused(tmp_path: Path) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    with pytest.raises(CaseError, match="oblique"):
        read_frame(_nifti(tmp_path / "a.nii", PIXELS, turn))
    image = sitk.GetImageFromArray(PIXELS)
    image.SetDirection((0.8, -0.6, 0.6, 0.8))
    sitk.WriteImage(image, tmp_path / "a.nrrd")
    with pytest.raises(CaseError, match="oblique"):
        read_frame(tmp_path / "a.nrrd")


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001), ("unknown", None)])
def test_nifti_units(unit: str, factor: float | None, tmp_path: Path) -> None:
    frame = read_frame(_nifti(tmp_path / "a.nii", PIXELS, None, unit, (0.25, 0.5)))
    if factor is None:
        assert frame.pixel_spacing is None
    else:
        assert frame.pixel_spacing == Spacing(0.5 * factor, 0.25 * factor)


@pytest.mark.parametrize("unit", ["mm", "unknown"])
def test_a_spacing_of_one_is_what_writers_put_when_they_know_none(unit: str, tmp_path: Path) -> None:
    assert read_frame(_nifti(tmp_path / "a.nii", PIXELS, None, unit, (1, 1))).pixel_spacing is None
    sitk.WriteImage(sitk.GetImageFromArray(PIXELS[None]), tmp_path / "a.nrrd")
    assert read_frame(tmp_path / "a.nrrd").pixel_spacing is None


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_integers_become_8_bits_where_they_fit_else_16(dtype: str, suffix: str, tmp_path: Path) -> None:
    small = (PIXELS // 2).astype(dtype)
    path = tmp_path / f"a{suffix}"

    def write(pixels: Any) -> None:
        if suffix == ".nrrd":
            nrrd.write(str(path), pixels.T)
        else:
            nib.save(nib.Nifti1Image(pixels.T, None, dtype=pixels.dtype), path)

    write(small)
    frame = read_frame(path)
    assert (frame.pixels.dtype.name, frame.bits) == ("uint8", 8)
    assert np.array_equal(frame.pixels, small)
    if np.iinfo(dtype).max > 255:
        large = PIXELS.astype(dtype) * 100
        write(large)
        frame = read_frame(path)
        assert (frame.pixels.dtype.name, frame.bits) == ("uint16", 16)
        assert np.array_equal(frame.pixels, large)
    if np.iinfo(dtype).min < 0:
        write(small - 5)
        with pytest.raises(CaseError, match="integers from -5"):
            read_frame(path)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_stiffness_stays_a_number(dtype: str, tmp_path: Path) -> None:
    kpa = (PIXELS / 3.7).astype(dtype)
    kpa[4, 5] = np.nan
    nrrd.write(str(tmp_path / "a.nrrd"), kpa.T)
    for path in (_nifti(tmp_path / "a.nii", kpa), tmp_path / "a.nrrd"):
        frame = read_frame(path)
        assert frame.pixels.dtype == np.float32
        assert np.array_equal(frame.pixels, kpa.astype(np.float32), equal_nan=True)
        with pytest.raises(CaseError):
            frame.pixels_8_bit()


def test_scaled_integers_become_numbers(tmp_path: Path) -> None:
    image = nib.Nifti1Image(PIXELS.T, None)
    image.header.set_slope_inter(0.5, 10)
    # nibabel rescales what it saves: store the plain counts beside the scale.
    content = bytearray(nib.Nifti1Image(PIXELS.T, None).to_bytes())
    content[112:120] = np.array([0.5, 10], "<f4").tobytes()
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(content))
    assert np.array_equal(nib.load(path).get_fdata().T, PIXELS * 0.5 + 10)
    assert np.array_equal(read_frame(path).pixels, (PIXELS * 0.5 + 10).astype(np.float32))


def test_colours(tmp_path: Path, read_bytes: Read) -> None:
    rgb = speckle(20, 30, channels=3)
    packed = np.ascontiguousarray(rgb.swapaxes(0, 1)).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nib.save(nib.Nifti1Image(packed, None), tmp_path / "a.nii")
    sitk.WriteImage(sitk.GetImageFromArray(rgb, isVector=True), tmp_path / "a.nrrd")
    nrrd.write(str(tmp_path / "b.nrrd"), rgb.transpose(2, 1, 0), {"kinds": ["RGB-color", "domain", "domain"]})
    for name in ("a.nii", "a.nrrd", "b.nrrd"):
        assert np.array_equal(read_frame(tmp_path / name).pixels, rgb), name


def test_slices_are_frames(tmp_path: Path) -> None:
    stack = np.stack([speckle(20, 30, seed=seed) for seed in range(4)])
    sitk.WriteImage(sitk.GetImageFromArray(stack), tmp_path / "a.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(stack), tmp_path / "a.nrrd", useCompression=True)
    nrrd.write(str(tmp_path / "b.nrrd"), stack.transpose(2, 1, 0), {"encoding": "ascii"})
    for name in ("a.nii.gz", "a.nrrd", "b.nrrd"):
        path = tmp_path / name
        with pytest.raises(CaseError, match="4 frames") as caught:
            read_frame(path)
        assert caught.value.code is ExclusionCode.FRAME_UNSTATED
        for number in (1, 4):
            assert np.array_equal(read_frame(path, number).pixels, stack[number - 1])
        with pytest.raises(CaseError):
            read_frame(path, 5)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_nrrd_encodings_and_byte_orders(encoding: str, dtype: str, tmp_path: Path) -> None:
    pixels = speckle(bits=8 if dtype == "u1" else 16).astype(dtype)
    nrrd.write(
        str(tmp_path / "a.nrrd"), pixels.T, {"encoding": encoding, "endian": "big" if ">" in dtype else "little"}
    )
    assert np.array_equal(read_frame(tmp_path / "a.nrrd").pixels, pixels)


def _header(*lines: str, type_: str = "uchar", sizes: str = "2 2", encoding: str = "raw") -> bytes:
    fields = [f"type: {type_}", f"dimension: {len(sizes.split())}", f"sizes: {sizes}", f"encoding: {encoding}", *lines]
    return ("NRRD0004\n" + "\n".join(fields) + "\n\n").encode()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["spacings: 0.25 0.5", 'units: "mm" "mm"'], Spacing(0.5, 0.25)),
        (["spacings: 0.025 0.05", 'units: "cm" "cm"'], Spacing(0.5, 0.25)),
        (["spacings: 0.25 0.5"], None),
        (["spacings: 0.25 0.5", 'units: "mm" "s"'], None),
        (["spacings: nan 0.5", 'units: "mm" "mm"'], None),
        (["space dimension: 2", "space directions: (0.25,0) (0,0.5)", 'space units: "mm" "mm"'], Spacing(0.5, 0.25)),
        (["space dimension: 2", "space directions: (0.25,0) (0,0.5)"], None),
        (["space: left-posterior-superior", "space directions: (0.25,0,0) (0,0.5,0)"], Spacing(0.5, 0.25)),
        (["space: left-posterior-superior", "space directions: (-0.25,0,0) (0,-0.5,0)"], Spacing(0.5, 0.25)),
    ],
)
def test_nrrd_spacing(lines: list[str], expected: Spacing | None, read_bytes: Read) -> None:
    frame = read_bytes(_header(*lines) + bytes([1, 2, 3, 4]))
    assert frame.pixels.tolist() == [[1, 2], [3, 4]]
    if expected is None:
        assert frame.pixel_spacing is None
    else:
        assert frame.pixel_spacing is not None
        assert frame.pixel_spacing.as_tuple() == pytest.approx(expected.as_tuple())


@pytest.mark.parametrize("field", ["data file: other.raw", "datafile: /etc/passwd", "Data File: LIST"])
def test_detached_nrrd_opens_nothing_else(field: str, read_bytes: Read, tmp_path: Path) -> None:
    (tmp_path / "other.raw").write_bytes(bytes([1, 2, 3, 4]))
    with pytest.raises(CaseError, match="in another file"):
        read_bytes(_header(field) + bytes(4))


def test_detached_nifti_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(PIXELS.T, None), tmp_path / "a.hdr")
    with pytest.raises(CaseError, match="in another file"):
        read_frame(tmp_path / "a.hdr")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (_header() + b"123", "3 bytes of pixels, expected 4"),
        (_header(encoding="hex") + b"01020304", "encoding"),
        (_header("byte skip: -1") + b"1234", "skips -1"),
        (_header(sizes="4") + b"1234", "axes"),
        (_header(sizes="0 4") + b"1234", "sizes"),
        (_header(sizes="60000 60000") + b"1234", "60000 x 60000"),
        (_header(type_="block") + b"1234", "plain numbers"),
        (_header("kinds: vector domain", sizes="2 2") + b"1234", "2 values per pixel"),
        (_header(encoding="ascii") + b"1 2 3", "bytes of pixels"),
        (_header(encoding="ascii") + b"1 2 3 x", "cannot be decoded"),
        (_header(encoding="ascii") + b" " * 500, "more text"),
        (_header(encoding="gzip") + b"1234", "damaged gzip"),
        (_header(encoding="bzip2") + b"1234", "damaged bzip2"),
        (b"NRRD0004\n" + b"x" * 3_000_000, "without an end"),
        (b"NRRD0004\ntype: uchar\n\n1234", "cannot be decoded"),
        (gzip.compress(b"hello" * 500), "compressed"),
        (bz2.compress(b"hello" * 500), "unknown format"),
    ],
)
def test_damaged_files_are_refused_in_words(content: bytes, found: str, read_bytes: Read) -> None:
    with pytest.raises(CaseError, match=found):
        read_bytes(content)
