"""Stored values to grey levels and colours, against pydicom's own conversions and values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.ingest.readers.writers import compressed, dataset, save, speckle
from usdlr.core.errors import CaseError
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame


def _read(made: Any, tmp_path: Path, frame: int | None = None) -> SourceFrame:
    return read_frame(save(made, tmp_path / "a"), frame)


def _lut(first: int, bits: int, entries: list[int]) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = speckle()
    assert np.array_equal(_read(dataset(pixels, photometric="MONOCHROME1"), tmp_path).pixels, 255 - pixels)


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_fewer_than_eight_bits_are_spread(bits: int, tmp_path: Path) -> None:
    pixels = speckle(bits=bits)
    frame = _read(dataset(pixels, bits=bits), tmp_path)
    assert frame.bits == 8
    assert np.array_equal(frame.pixels, np.rint(pixels * (255 / (2**bits - 1))))


@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_pixels_start_at_their_lowest_value(syntax: str | None, bits: int, tmp_path: Path) -> None:
    unsigned = speckle(bits=bits)
    signed = (unsigned.astype(np.int32) - 2 ** (bits - 1)).astype(np.int8 if bits == 8 else np.int16)
    made = dataset(signed, bits=bits) if syntax is None else compressed(signed, syntax, bits=bits)
    frame = _read(made, tmp_path)
    assert frame.bits == bits
    assert np.array_equal(frame.pixels, unsigned)


@pytest.mark.parametrize("high", [11, 13, 15])
def test_high_bit_tells_where_the_pixels_are(high: int, tmp_path: Path) -> None:
    pixels = speckle(bits=12)
    shift = high - 11
    noise = np.random.default_rng(1).integers(0, 2**16, pixels.shape).astype(np.uint16)
    mask = np.uint16(0xFFF << shift)
    made = dataset((pixels << shift) | (noise & ~mask), bits=12, HighBit=high)  # overlays share the samples
    frame = _read(made, tmp_path)
    assert frame.bits == 12
    assert np.array_equal(frame.pixels, pixels)


def test_single_bits(tmp_path: Path) -> None:
    stack = np.stack([speckle(5, 7, seed=seed) > 128 for seed in range(3)])  # 35 bits: frames start inside bytes
    made = dataset(stack.astype(np.uint8), frames=3)
    made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
    made.PixelData = np.packbits(stack.ravel(), bitorder="little").tobytes()
    path = save(made, tmp_path / "a")
    for number in (1, 2, 3):
        assert np.array_equal(read_frame(path, number).pixels, stack[number - 1] * 255)


@pytest.mark.parametrize(("centre", "width"), [(128, 256), (100.5, 63), (40, 1), (-20, 30), (500, 100)])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("bits", [8, 12])
def test_windows_agree_with_pydicom(centre: float, width: float, function: str, bits: int, tmp_path: Path) -> None:
    pixels = speckle(bits=bits)
    made = dataset(pixels, bits=bits, WindowCenter=[centre, 1], WindowWidth=[width, 2], VOILUTFunction=function)
    expected = np.clip(apply_voi_lut(pixels, made), 0, 2**bits - 1)
    frame = _read(made, tmp_path)
    assert frame.bits == bits
    assert np.abs(frame.pixels - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -30), (-2, 700)])
def test_rescale_then_window_agrees_with_pydicom(slope: float, intercept: float, tmp_path: Path) -> None:
    pixels = speckle()
    low, high = sorted((intercept, 255 * slope + intercept))
    made = dataset(
        pixels,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        WindowCenter=(low + high) / 2,
        WindowWidth=(high - low) / 3,
    )
    shown = apply_voi_lut(apply_modality_lut(pixels, made), made)
    # pydicom gives modality values; the display is their full range. Its range runs backwards for negative slopes.
    span = np.clip((shown - low) / (high - low), 0, 1)
    share = 1 - span if slope < 0 else span
    assert np.abs(_read(made, tmp_path).pixels - share * 255).max() <= 0.5 + 1e-9


def test_rescale_alone_changes_no_contrast_but_its_sign(tmp_path: Path) -> None:
    pixels = speckle()
    for slope, expected in ((3.5, pixels), (-0.1, 255 - pixels)):
        frame = _read(dataset(pixels, RescaleSlope=slope, RescaleIntercept=-7), tmp_path)
        assert np.array_equal(frame.pixels, expected)


def test_a_modality_and_a_voi_table(tmp_path: Path) -> None:
    pixels = speckle()
    rng = np.random.default_rng(5)
    modality = _lut(10, 16, rng.integers(0, 65536, 200).tolist())
    made = dataset(pixels, ModalityLUTSequence=Sequence([modality]))
    frame = _read(made, tmp_path)
    assert frame.bits == 16
    assert np.array_equal(frame.pixels, apply_modality_lut(pixels, made))
    voi = _lut(100, 10, rng.integers(0, 1024, 60000).tolist())
    made.VOILUTSequence = Sequence([voi])
    made.WindowCenter, made.WindowWidth = 3, 4  # the table wins
    frame = _read(made, tmp_path)
    assert frame.bits == 10
    assert np.array_equal(frame.pixels, apply_voi_lut(apply_modality_lut(pixels, made), made))


def test_inversion_comes_after_the_window(tmp_path: Path) -> None:
    made = dataset(speckle(), WindowCenter=60, WindowWidth=50)
    plain = _read(made, tmp_path).pixels
    made.PhotometricInterpretation = "MONOCHROME1"
    assert np.array_equal(_read(made, tmp_path).pixels, 255 - plain)


def test_windows_of_single_frames(tmp_path: Path) -> None:
    stack = np.stack([speckle(), speckle()])
    made = dataset(stack, frames=2)
    items = []
    for centre in (50, 200):
        window, item = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = centre, 40
        item.FrameVOILUTSequence = Sequence([window])
        items.append(item)
    made.PerFrameFunctionalGroupsSequence = Sequence(items)
    one, two = (_read(made, tmp_path, number).pixels for number in (1, 2))
    assert one.mean() > two.mean() + 50


def _palette(made: Any, tables: list[np.ndarray], bits: int, first: int = 0, segmented: bool = False) -> None:
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        count = len(table) if not segmented else 256
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [count % 65536, first, bits])
        prefix = "Segmented" if segmented else ""
        setattr(made, f"{prefix}{colour}PaletteColorLookupTableData", table.tobytes())


@pytest.mark.parametrize("first", [0, 40])
@pytest.mark.parametrize("depth", [8, 16])
def test_palettes_agree_with_pydicom(first: int, depth: int, tmp_path: Path) -> None:
    pixels = speckle()
    rng = np.random.default_rng(9)
    tables = [rng.integers(0, 2**depth, 128).astype(f"<u{depth // 8}") for _ in range(3)]
    made = dataset(pixels, photometric="PALETTE COLOR")
    _palette(made, tables, depth, first)
    frame = _read(made, tmp_path)
    assert frame.bits == depth
    assert np.array_equal(frame.pixels, apply_color_lut(pixels, made))


@pytest.mark.parametrize("scale", [1, 256, 257])
def test_eight_bit_colours_in_sixteen_bit_entries(scale: int, tmp_path: Path) -> None:
    pixels = speckle()
    tables = [np.random.default_rng(seed).permutation(256) for seed in range(3)]
    made = dataset(pixels, photometric="PALETTE COLOR")
    _palette(made, [(table * scale).astype("<u2") for table in tables], 16)
    frame = _read(made, tmp_path)
    assert frame.bits == 8
    assert np.array_equal(frame.pixels, np.stack([table[pixels] for table in tables], -1))


def test_palettes_with_more_entries_than_their_colours_have_levels(tmp_path: Path) -> None:
    pixels = speckle(bits=12)
    tables = [np.random.default_rng(seed).integers(0, 256, 4096).astype(np.uint8) for seed in range(3)]
    made = dataset(pixels, photometric="PALETTE COLOR", bits=12)
    _palette(made, tables, 8)
    assert np.array_equal(_read(made, tmp_path).pixels, np.stack([table[pixels] for table in tables], -1))


def test_palettes_of_big_endian_files(tmp_path: Path) -> None:
    pixels = speckle()
    tables = [np.random.default_rng(seed).integers(0, 65536, 256) for seed in range(3)]
    made = dataset(pixels, photometric="PALETTE COLOR", syntax=ExplicitVRBigEndian)
    _palette(made, [table.astype(">u2") for table in tables], 16)
    assert np.array_equal(_read(made, tmp_path).pixels, np.stack([table[pixels] for table in tables], -1))


def test_segmented_palettes(tmp_path: Path) -> None:
    # PS3.3 C.7.9.2: 5 discrete entries, 11 on a line, then both again by reference, then a line to the end.
    pixels = speckle()
    words = [0, 5, 1, 2, 3, 4, 5, 1, 11, 1000, 2, 2, 0, 0, 1, 224, 65535]
    head = [1, 2, 3, 4, 5]
    line = np.around(np.linspace(5, 1000, 12)[1:]).astype(int).tolist()
    table = np.array(head + line + head + line + np.around(np.linspace(1000, 65535, 225)[1:]).astype(int).tolist())
    made = dataset(pixels, photometric="PALETTE COLOR")
    _palette(made, [np.array(words, dtype="<u2")] * 3, 16, segmented=True)
    frame = _read(made, tmp_path)
    assert len(table) == 256
    assert np.array_equal(frame.pixels, np.stack([table[pixels]] * 3, -1))
    assert np.array_equal(frame.pixels, apply_color_lut(pixels, made))


@pytest.mark.parametrize(
    "words",
    [
        [2, 1, 0, 0],  # a reference before anything
        [1, 9, 4],  # a line from nowhere
        [0, 1, 7, 2, 65535, 0, 0],  # refers to itself
        [0, 3, 1],  # ends early
        [7, 1, 1],  # an unknown segment
        [0, 0] * 10,
    ],
)
def test_damaged_segments_are_refused_quickly(words: list[int], tmp_path: Path) -> None:
    made = dataset(speckle(), photometric="PALETTE COLOR")
    _palette(made, [np.array(words, dtype="<u2")] * 3, 16, segmented=True)
    with pytest.raises(CaseError, match="palette"):
        _read(made, tmp_path)


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
        ({"PhotometricInterpretation": "CMYK"}, "CMYK"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel in RGB"),
        ({"BitsStored": 9}, "9 bits stored in 8"),
        ({"HighBit": 3}, "the highest 3"),
        ({"BitsAllocated": 32}, "in 32"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "window of width 0"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "unknown VOI LUT function"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope of 0"),
        ({"Rows": 0}, "0 x 64 pixels"),
        ({"Rows": 49}, "3072 bytes of pixels, expected 3136"),
        ({"NumberOfFrames": -2}, "-2 frames"),
        ({"PixelPresentation": "MIXED"}, "supplemental palette"),
        ({"Columns": None}, "without a usable Columns"),
        ({"RescaleSlope": "1e999", "RescaleIntercept": 0}, "damaged RescaleSlope"),
        ({"PlanarConfiguration": 5}, "planar configuration"),
    ],
)
def test_contradictions_are_refused_in_words(elements: dict[str, Any], found: str, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=found):
        _read(dataset(speckle(), **elements), tmp_path)


def test_palettes_of_signed_pixels(tmp_path: Path) -> None:
    signed = (speckle().astype(np.int16) - 128).astype(np.int8)
    tables = [np.random.default_rng(seed).integers(0, 256, 256).astype(np.uint8) for seed in range(3)]
    made = dataset(signed, photometric="PALETTE COLOR")
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        keyword = f"{colour}PaletteColorLookupTable"
        setattr(made, f"{keyword}Data", table.tobytes())
        tag = {"Red": 0x00281101, "Green": 0x00281102, "Blue": 0x00281103}[colour]
        made.add_new(tag, "SS", [256, -128, 8])
    expected = np.stack([table[signed.astype(int) + 128] for table in tables], -1)
    assert np.array_equal(_read(made, tmp_path).pixels, expected)


@pytest.mark.parametrize(
    ("descriptor", "data", "found"),
    [
        ([256, 0, 12], bytes(256), "palette of 12 bits"),
        ([256, 0, 8], bytes(100), "look-up table of 100 bytes"),
        ([256, 0, 8], None, "without the data"),
        ([256, 0], bytes(256), "damaged look-up table"),
    ],
)
def test_damaged_palettes_are_refused(descriptor: list[int], data: bytes | None, found: str, tmp_path: Path) -> None:
    made = dataset(speckle(), photometric="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(made, f"{colour}PaletteColorLookupTableDescriptor", descriptor)
        if data is not None:
            setattr(made, f"{colour}PaletteColorLookupTableData", data)
    with pytest.raises(CaseError, match=found):
        _read(made, tmp_path)


def test_floating_point_pixels_and_none_are_refused(tmp_path: Path) -> None:
    made = dataset(speckle())
    del made.PixelData
    with pytest.raises(CaseError, match="without pixels"):
        _read(made, tmp_path)
    made.FloatPixelData = np.zeros((48, 64), np.float32).tobytes()
    with pytest.raises(CaseError, match="floating-point"):
        _read(made, tmp_path)


def test_overlays_are_not_burnt_in(tmp_path: Path) -> None:
    pixels = speckle()
    made = dataset(pixels, WindowCenter=128, WindowWidth=256)
    plain = _read(made, tmp_path).pixels
    made.add_new(0x60000010, "US", 48)
    made.add_new(0x60000011, "US", 64)
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60003000, "OW", b"\xff" * (48 * 64 // 8))
    assert np.array_equal(_read(made, tmp_path).pixels, plain)
