"""Ultrasound DICOM files of known content, written with pydicom and no code of this project."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    JPEG2000,
    UID,
    EnhancedUSVolumeStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

Pixels = npt.NDArray[Any]

CM = 3
SECONDS = 4
TWO_D, M_MODE, SPECTRAL, WAVEFORM, GRAPHICS = 1, 2, 3, 4, 5
TISSUE, COLOUR_FLOW, ECG, GREY_BAR, COLOUR_BAR = 1, 2, 10, 13, 14

# What a privacy test may search the outputs for.
PATIENT_NAME = "Mustermann^Erika"
PATIENT_ID = "KH-4711-0815"
STUDY_DATE = "20190317"

# Everything pydicom encodes by itself: what is stored is decoded to exactly the same values.
LOSSLESS = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)


def us_region(
    x0: int,
    y0: int,
    x1: int,
    y1: int,
    delta_x: float = 0.01,
    delta_y: float = 0.01,
    *,
    spatial_format: int = TWO_D,
    data_type: int = TISSUE,
    units: tuple[int, int] = (CM, CM),
    flags: int = 0,
    reference: tuple[int, int] | None = None,
) -> Dataset:
    """One item of SequenceOfUltrasoundRegions; inclusive bounds, deltas in cm per pixel, ``reference`` is (x, y)."""
    item = Dataset()
    item.RegionSpatialFormat = spatial_format
    item.RegionDataType = data_type
    item.RegionFlags = flags
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_x, delta_y
    if reference is not None:
        item.ReferencePixelX0, item.ReferencePixelY0 = reference
        item.ReferencePixelPhysicalValueX = item.ReferencePixelPhysicalValueY = 0.0
    return item


def us_header(*regions: Dataset) -> Dataset:
    """A header of regions alone, in memory."""
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = DicomSequence(regions)
    return dataset


def write_us(
    path: Path,
    pixels: Pixels,
    regions: Sequence[Dataset] = (),
    *,
    pixel_spacing: tuple[float, float] | None = None,
    imager_pixel_spacing: tuple[float, float] | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    photometric: str | None = None,
    frames: int | None = None,
    per_frame: Sequence[Sequence[Dataset]] | None = None,
    palette: Pixels | None = None,
    **tags: Any,
) -> Path:
    """Write an ultrasound image and return its path.

    Parameters
    ----------
    path : Path
        Where to.
    pixels : uint8 or uint16 array, ([frames,] rows, columns[, 3])
        Values as ``photometric`` means them; no colour conversion, except that JPEG baseline takes RGB and stores
        YBR_FULL_422, and JPEG 2000 stores RGB as YBR_RCT (lossless) or YBR_ICT.
    regions : sequence of Dataset
        Items of :func:`us_region`.
    pixel_spacing, imager_pixel_spacing : tuple of float or None
        ``(row_mm, col_mm)``, the order of DICOM.
    transfer_syntax : str
        UID; JPEG lossless is written by GDCM, the others by pydicom's encoders.
    photometric : str or None
        ``None``: MONOCHROME2 or RGB, by the number of channels. YBR_FULL_422 keeps every second chroma sample.
    frames : int or None
        Number of frames when the first axis of ``pixels`` is frames.
    per_frame : sequence of sequences of Dataset or None
        Regions of each frame in an enhanced object's per-frame functional groups.
    palette : uint8 or uint16 array, (entries, 3), or None
        Red, green and blue of PALETTE COLOR, in 16-bit tables.
    **tags
        Further attributes by keyword, or replacements of the ones set here.
    """
    stack = pixels if frames is not None else pixels[None]
    if frames is not None and len(stack) != frames:
        raise ValueError(f"found {len(stack)} frames, expected {frames}")
    colour = stack.ndim == 4
    meaning = photometric or ("RGB" if colour else "MONOCHROME2")
    dataset = _header(stack, colour, meaning, frames, enhanced=per_frame is not None)
    if regions:
        dataset.SequenceOfUltrasoundRegions = DicomSequence(regions)
    if per_frame is not None:
        dataset.PerFrameFunctionalGroupsSequence = DicomSequence([_group(items) for items in per_frame])
    if pixel_spacing is not None:
        dataset.PixelSpacing = [_decimal(value) for value in pixel_spacing]
    if imager_pixel_spacing is not None:
        dataset.ImagerPixelSpacing = [_decimal(value) for value in imager_pixel_spacing]
    if palette is not None:
        _set_palette(dataset, palette)
    _set_pixels(dataset, stack, UID(transfer_syntax), meaning)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    if UID(transfer_syntax) == JPEGLosslessSV1:
        _transcode(path, JPEGLosslessSV1)
    return path


def _group(items: Sequence[Dataset]) -> Dataset:
    group = Dataset()
    if items:
        group.SequenceOfUltrasoundRegions = DicomSequence(items)
    return group


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters, as DICOM wants it."""
    return f"{value:.12g}"[:16]


def _header(stack: Pixels, colour: bool, photometric: str, frames: int | None, enhanced: bool) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = UltrasoundImageStorage if frames is None else UltrasoundMultiFrameImageStorage
    if enhanced:
        dataset.SOPClassUID = EnhancedUSVolumeStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.PatientName, dataset.PatientID = PATIENT_NAME, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex = "19610812", "F"
    dataset.StudyDate = dataset.ContentDate = STUDY_DATE
    dataset.StudyTime = dataset.ContentTime = "101112"
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "US", "Maker", "Scanner 1"
    dataset.Rows, dataset.Columns = stack.shape[1:3]
    dataset.BitsAllocated = dataset.BitsStored = stack.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = photometric
    if colour:
        dataset.PlanarConfiguration = 0
    if frames is not None:
        dataset.NumberOfFrames = frames
    return dataset


def _set_palette(dataset: Dataset, palette: Pixels) -> None:
    wide = palette.astype("<u2") * (257 if palette.dtype == np.uint8 else 1)
    for name, column in zip(("Red", "Green", "Blue"), wide.T, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [len(palette) % 65536, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", np.ascontiguousarray(column).tobytes())


def _set_pixels(dataset: Dataset, stack: Pixels, syntax: UID, photometric: str) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
    if syntax == JPEGBaseline8Bit:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([_jpeg(frame) for frame in stack])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.LossyImageCompression = "01"
        if stack.ndim == 4:
            dataset.PhotometricInterpretation = "YBR_FULL_422"
        return
    stored = np.ascontiguousarray(stack)
    if photometric == "YBR_FULL_422":
        luma, chroma = stored[..., 0], stored[..., 0::2, 1:]
        stored = np.concatenate([luma.reshape(*chroma.shape[:-1], 2), chroma], axis=-1)
    if syntax == ExplicitVRBigEndian:
        stored = stored.astype(stored.dtype.newbyteorder(">"))
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    if syntax in (JPEG2000, JPEG2000Lossless):
        if photometric == "RGB":
            dataset.PhotometricInterpretation = "YBR_RCT" if syntax == JPEG2000Lossless else "YBR_ICT"
        array = stored if "NumberOfFrames" in dataset else stored[0]
        ratios = None if syntax == JPEG2000Lossless else [8.0]
        dataset.compress(syntax, array, generate_instance_uid=False, j2k_cr=ratios)
    elif syntax in (RLELossless, JPEGLSLossless):
        dataset.compress(syntax, generate_instance_uid=False)


def _jpeg(frame: Pixels) -> bytes:
    buffer = io.BytesIO()
    subsampling = {} if frame.ndim == 2 else {"subsampling": "4:2:2"}
    Image.fromarray(frame).save(buffer, "JPEG", quality=90, **subsampling)
    return buffer.getvalue()


def _transcode(path: Path, syntax: str) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    if not reader.Read():
        raise OSError(f"GDCM cannot read {path.name}")
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    if not change.Change():
        raise OSError(f"GDCM cannot encode {path.name}")
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise OSError(f"GDCM cannot write {path.name}")
