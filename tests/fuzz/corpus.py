"""Small sound files of every kind that usdlr reads, as a start for damaged ones."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)

SHAPE = (48, 64)
nifti: Any = nibabel  # its functions are not typed


def write_corpus(folder: Path) -> None:
    """Write ``frame``, ``header``, ``contours`` and ``manifest``: one folder of files for each target."""
    for name in ("frame", "header", "contours", "manifest"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, SHAPE, dtype=np.uint8)
    colour = rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    _rasters(folder / "frame", grey, colour)
    _volumes(folder / "frame", grey)
    for name, dataset in _datasets(grey, colour).items():
        for target in ("frame", "header"):
            dataset.save_as(folder / target / f"{name}.dcm", enforce_file_format=True)
    _contours(folder / "contours")
    _manifests(folder / "manifest")


def _rasters(folder: Path, grey: Any, colour: Any) -> None:
    for suffix in ("png", "jpg", "bmp", "tif"):
        Image.fromarray(grey).save(folder / f"grey.{suffix}")
        Image.fromarray(colour).save(folder / f"colour.{suffix}")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(colour).convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(colour).convert("P").save(folder / "palette.png")
    Image.fromarray(grey).save(folder / "two.tif", save_all=True, append_images=[Image.fromarray(grey)])


def _volumes(folder: Path, grey: Any) -> None:
    image = nifti.Nifti1Image(grey.T[..., None].astype(np.int16), np.diag([0.1, 0.1, 1.0, 1.0]))
    image.header.set_xyzt_units("mm")
    nifti.save(image, folder / "image.nii")
    nifti.save(image, folder / "image.nii.gz")
    for encoding in ("raw", "gzip", "ascii"):
        nrrd.write(
            str(folder / f"{encoding}.nrrd"), grey.T, {"encoding": encoding, "space directions": np.diag([0.1, 0.1])}
        )


def _dataset(pixels: Any, photometric: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.StudyDate = "P1", "Doe^Jane", "20200102"
    dataset.PatientAge, dataset.Modality, dataset.Manufacturer = "045Y", "US", "Maker"
    dataset.Rows, dataset.Columns = pixels.shape[-2:] if photometric.startswith("MONO") else pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 and not photometric.startswith("MONO") else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = pixels.tobytes()
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 2
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 60, 44
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, 0.012
    dataset.SequenceOfUltrasoundRegions = Sequence([region])
    return dataset


def _datasets(grey: Any, colour: Any) -> dict[str, Dataset]:
    found = {
        "grey": _dataset(grey, "MONOCHROME2"),
        "inverted": _dataset(grey, "MONOCHROME1"),
        "deep": _dataset(grey.astype(np.uint16) * 16, "MONOCHROME2"),
        "colour": _dataset(colour, "RGB"),
        "ybr": _dataset(colour, "YBR_FULL"),
    }
    palette = _dataset(grey, "PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(palette, f"{name}PaletteColorLookupTableData", np.arange(256, dtype=np.uint16).tobytes())
    found["palette"] = palette
    clip = _dataset(np.stack([grey, grey]), "MONOCHROME2")
    clip.NumberOfFrames = 2
    found["clip"] = clip
    big = _dataset(grey, "MONOCHROME2")
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    found["big"] = big
    for name, syntax, pixels, photometric in (
        ("rle", RLELossless, grey, "MONOCHROME2"),
        ("j2k", JPEG2000Lossless, grey, "MONOCHROME2"),
        ("jls", JPEGLSLossless, grey, "MONOCHROME2"),
        ("rle_colour", RLELossless, colour, "RGB"),
    ):
        packed = _dataset(pixels, photometric)
        packed.compress(syntax, generate_instance_uid=False)
        found[name] = packed
    jpeg = _dataset(grey, "MONOCHROME2")
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG")
    jpeg.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    jpeg.PixelData = encapsulate([stream.getvalue()])
    jpeg["PixelData"].is_undefined_length = True
    found["jpeg"] = jpeg
    return found


def _contours(folder: Path) -> None:
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    disc = (rows - 24) ** 2 + (cols - 32) ** 2 <= 12**2
    Image.fromarray(np.where(disc, 255, 0).astype(np.uint8)).save(folder / "mask.png")
    nifti.save(nifti.Nifti1Image(disc.T[..., None].astype(np.uint8), np.eye(4)), folder / "mask.nii")
    nrrd.write(str(folder / "mask.nrrd"), disc.T.astype(np.uint8))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = [[float(32 + 12 * np.cos(a)), float(24 + 12 * np.sin(a))] for a in angles]
    flat = [value for point in points for value in point]
    labelme = {
        "version": "5.5.0",
        "imagePath": "a.png",
        "imageHeight": SHAPE[0],
        "imageWidth": SHAPE[1],
        "imageData": None,
        "shapes": [{"label": "lesion", "points": points, "shape_type": "polygon", "group_id": None, "flags": {}}],
    }
    counts = [int(c) for c in np.diff(np.flatnonzero(np.diff(disc.T.ravel().astype(int), prepend=2, append=2)))]
    image = {"id": 1, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1]}
    common = {"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [20, 12, 25, 25], "area": int(disc.sum())}
    coco = {
        "images": [image],
        "categories": [{"id": 1, "name": "lesion"}],
        "annotations": [{"id": 1, "segmentation": [flat], **common}],
    }
    rle = dict(coco, annotations=[{"id": 1, "segmentation": {"size": list(SHAPE), "counts": counts}, **common}])
    shape = {"name": "polygon", "all_points_x": [p[0] for p in points], "all_points_y": [p[1] for p in points]}
    via = {
        "a.png1": {"filename": "a.png", "size": 1, "regions": [{"shape_attributes": shape, "region_attributes": {}}]}
    }
    for name, content in (("labelme", labelme), ("coco", coco), ("rle", rle), ("via", via)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    (folder / "cvat.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
        f'<image id="0" name="a.png" width="{SHAPE[1]}" height="{SHAPE[0]}">'
        f'<polygon label="lesion" occluded="0" points="{text}"/></image></annotations>'
    )
    with (folder / "points.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["x", "y"], *points])


def _manifests(folder: Path) -> None:
    header = [
        "centre_id",
        "patient_id",
        "image_id",
        "side",
        "bmode_file",
        "mask_file",
        "row_mm",
        "col_mm",
        "sln_positive",
    ]
    rows = [
        ["north", "p1", "a", "left", "a.png", "am.png", "0.08", "0.08", "true"],
        ["north", "p2", "b", "right", "b.png", "", "", "", ""],
    ]
    for name, separator, encoding in (
        ("comma", ",", "utf-8"),
        ("semicolon", ";", "utf-8-sig"),
        ("west", ",", "cp1252"),
    ):
        text = "\n".join(separator.join(row) for row in [header, *rows])
        (folder / f"{name}.csv").write_bytes(text.encode(encoding))
