from __future__ import annotations

import csv
import secrets
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pydicom
import pytest
from PIL import Image

from tests.simulate.examination import examination
from usdlr.core.errors import DataError
from usdlr.core.types import ElastographyKind, Side
from usdlr.core.units import Spacing
from usdlr.ingest.pipeline import Ingested, ingest
from usdlr.simulate.acquired import Acquired
from usdlr.simulate.centres import CENTRES, Centre
from usdlr.simulate.dicom import deterministic_uid, export_dicom, write_dicom
from usdlr.simulate.screen import Screen, compose_screen

SWE, STRAIN = ElastographyKind.SWE, ElastographyKind.STRAIN
PATIENT = "simulated-p7"
# Depth settings whose spacings are no short decimals, rows unlike columns.
ODD = Spacing(0.1 / 3, 0.29 / 7)


@dataclass(frozen=True)
class Examined:
    """What was exported, and what is known about it."""

    centre: Centre
    acquired: Acquired
    screen: Screen
    cells: dict[str, str]


def marked(centre: Centre, rate: float) -> Centre:
    return replace(centre, screen=replace(centre.screen, caliper_rate=rate, text_in_image_rate=rate))


def examined(root: Path, name: str, kind: ElastographyKind | None, rate: float, seed: int) -> Examined:
    centre = marked(CENTRES[name], rate)
    acquired = examination(centre, seed, kind)
    side, view = (Side.LEFT, "radial") if seed % 2 else (Side.RIGHT, "antiradial")
    stem = f"simulated-{name}-{kind}-{rate:g}"
    options: dict[str, Any] = {"side": side, "view": view}
    cells = export_dicom(
        acquired,
        centre,
        root / "images" / name,
        stem,
        np.random.default_rng(seed),
        patient=f"simulated-{name}",
        root=root,
        **options,
    )
    screen = compose_screen(acquired, centre, np.random.default_rng(seed), label=f"simulated-{name}", **options)
    row = {"centre_id": centre.centre_id, "patient_id": name, "image_id": stem, "side": str(side), "view": view}
    return Examined(centre, acquired, screen, row | cells)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def exported(root: Path) -> dict[str, Examined]:
    wanted: list[tuple[str, ElastographyKind | None, float]] = [(name, SWE, 1.0) for name in CENTRES]
    wanted += [("east", STRAIN, 0.0), ("overseas", STRAIN, 1.0), ("south", None, 0.0), ("west", SWE, 0.0)]
    items = [examined(root, name, kind, rate, seed) for seed, (name, kind, rate) in enumerate(wanted)]
    columns = list(dict.fromkeys(name for item in items for name in item.cells))
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(item.cells for item in items)
    return {item.cells["image_id"]: item for item in items}


@pytest.fixture(scope="module")
def ingested(root: Path, exported: dict[str, Examined]) -> Ingested:
    return ingest(root, "manifest", root.parent / "ingested")


@pytest.fixture(scope="module")
def cases(root: Path, exported: dict[str, Examined], ingested: Ingested) -> list[tuple[pd.Series, Examined]]:
    assert ingested.exclusions.empty
    assert len(ingested.cases) == len(exported)
    return [(row, exported[row["image_id"].rsplit("-", 1)[0]]) for _, row in ingested.cases.iterrows()]


def picture(root: Path, path: str) -> npt.NDArray[Any]:
    return np.asarray(cv2.imread(str(root.parent / "ingested" / path), cv2.IMREAD_UNCHANGED))


def grown(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    size = 2 * radius + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)


def test_ingest_finds_the_acquired_bmode_image_again(root: Path, cases: list[tuple[pd.Series, Examined]]) -> None:
    for row, item in cases:
        canonical = picture(root, row["bmode_path"])
        burned_in = grown(item.screen.marks[item.screen.panes[0].slices], 1)
        assert canonical.shape == item.acquired.bmode.shape
        assert (canonical[~burned_in] == item.acquired.bmode[~burned_in]).all()
        assert row["fov_source"] == "region"


def test_ingest_takes_the_spacing_from_the_header(cases: list[tuple[pd.Series, Examined]]) -> None:
    for row, item in cases:
        assert row["spacing_source"] == "dicom_region"
        assert row["row_mm"] == pytest.approx(item.centre.spacing.row_mm, abs=1e-9)
        assert row["col_mm"] == pytest.approx(item.centre.spacing.col_mm, abs=1e-9)
    assert any(row["row_mm"] != row["col_mm"] for row, _ in cases)


def test_ingest_finds_every_readers_contour_again(
    root: Path, cases: list[tuple[pd.Series, Examined]], ingested: Ingested
) -> None:
    for row, item in cases:
        own = ingested.contours[ingested.contours["image_id"] == row["image_id"]]
        assert own["reader_id"].tolist() == list(item.acquired.contours)
        assert own["primary"].tolist() == [True, False]
        for path, contour in zip(own["mask_path"], item.acquired.contours.values(), strict=True):
            assert ((picture(root, path) > 0) == contour).all()
        assert row["reader_id"] == item.centre.readers[0].name
        assert ((picture(root, row["mask_path"]) > 0) == next(iter(item.acquired.contours.values()))).all()


def test_ingest_reads_the_stiffness_from_the_colours(root: Path, cases: list[tuple[pd.Series, Examined]]) -> None:
    seen = set()
    for row, item in cases:
        acquired = item.acquired
        if acquired.elastogram is None:
            assert row["elasto_state"] == "missing"
            continue
        strain = acquired.elasto_kind is STRAIN
        assert row["elasto_state"] == ("strain_only" if strain else "measured")
        assert row["elasto_unit"] == ("relative" if strain else "kPa")
        stored = picture(root, row["strain_path" if strain else "elasto_path"])
        found = np.where(stored == 65535, np.nan, stored * 0.01)
        # Relative stiffness is stored in percent; what the bar cannot show has no value.
        truth = acquired.elastogram.astype(float) * (100 if strain else 1)
        truth[truth > (100 if strain else item.centre.elastography.bar_kpa)] = np.nan
        both = np.isfinite(truth) & np.isfinite(found)
        assert np.median(np.abs(found[both] / truth[both] - 1)) < 0.03
        assert np.quantile(np.abs(found[both] / truth[both] - 1), 0.95) < 0.06
        assert abs(np.isfinite(found).mean() / np.isfinite(truth).mean() - 1) < 0.02
        assert (np.isfinite(found) & np.isnan(acquired.elastogram)).sum() < 0.002 * both.sum()
        rows, cols = np.nonzero(np.isfinite(acquired.elastogram))
        share = np.isfinite(truth).sum() / ((np.ptp(rows) + 1) * (np.ptp(cols) + 1))
        assert row["elasto_valid_fraction"] == pytest.approx(share, abs=0.02)
        seen.add((item.centre.name, str(acquired.elasto_kind)))
    assert {name for name, _ in seen} == set(CENTRES)
    assert sum(kind == "strain" for _, kind in seen) == 2


def test_ingest_finds_calipers_and_words_and_fills_them(
    root: Path, cases: list[tuple[pd.Series, Examined]], ingested: Ingested
) -> None:
    for row, item in cases:
        notes = ingested.notes[ingested.notes["image_id"] == row["image_id"]].set_index("code")["sentence"]
        if item.centre.screen.caliper_rate == 0:
            assert row["burned_in_fraction"] == 0
            assert not notes.index.str.startswith("burned_in").any()
            continue
        assert item.screen.calipers is not None
        assert item.screen.annotation is not None
        assert row["burned_in"] == "inpaint"
        assert "filled from around" in notes["burned_in_inpainted"]
        pane = item.screen.panes[0]
        ink = (item.screen.pixels[pane.slices] == item.centre.screen.ink).all(axis=2)
        ink &= item.screen.marks[pane.slices]
        luma = np.rint(np.dot(item.centre.screen.ink, (0.299, 0.587, 0.114)))
        left = ink & (np.abs(picture(root, row["bmode_path"]) - luma) <= 1)
        # The dots of the line too: left inside the lesion they would tell its diameter.
        assert not left.any()


def test_ingest_of_a_bare_folder_calibrates_both_panes(
    root: Path, exported: dict[str, Examined], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    found = ingest(root / "images", "dicom", tmp_path / "out", key_file=key)
    expected = sorted(
        (*pane.spacing.as_tuple(), item.centre.vendor) for item in exported.values() for pane in item.screen.panes
    )
    assert sorted(zip(found.cases["row_mm"], found.cases["col_mm"], found.cases["vendor"], strict=True)) == [
        (pytest.approx(row, abs=1e-9), pytest.approx(col, abs=1e-9), vendor) for row, col, vendor in expected
    ]
    assert set(found.cases["spacing_source"]) == {"dicom_region"}
    # Masks and nothing else are refused; each centre's images are of one patient.
    masks = 2 * len(exported)
    assert found.exclusions["code"].tolist() == ["image_unreadable"] * masks
    assert found.cases["patient_id"].nunique() == len(CENTRES)
    assert set(found.cases["side"]) == {"left", "right"}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Screen, Centre]:
    centre = replace(marked(CENTRES["east"], 1.0), spacing=ODD)
    screen = compose_screen(
        examination(centre, 3, SWE), centre, np.random.default_rng(1), side=Side.LEFT, view="radial", label=PATIENT
    )
    path = tmp_path / "image.dcm"
    write_dicom(path, screen, centre, patient=PATIENT, image="simulated-i1", side=Side.LEFT, view="radial")
    return path, screen, centre


def test_pydicom_reads_the_pixels_and_the_regions(written: tuple[Path, Screen, Centre]) -> None:
    path, screen, centre = written
    dataset = pydicom.dcmread(path)
    assert (dataset.pixel_array == screen.pixels).all()
    assert dataset.PhotometricInterpretation == "RGB"
    assert dataset.SOPClassUID.name == "Ultrasound Image Storage"
    assert dataset.file_meta.TransferSyntaxUID.name.startswith("JPEG-LS Lossless")
    *panes, bar = dataset.SequenceOfUltrasoundRegions
    assert len(panes) == 2
    for item, pane in zip(panes, screen.panes, strict=True):
        row, col, rows, cols = pane.box
        assert (item.RegionLocationMinX0, item.RegionLocationMinY0) == (col, row)
        assert (item.RegionLocationMaxX1, item.RegionLocationMaxY1) == (col + cols - 1, row + rows - 1)
        assert (item.RegionSpatialFormat, item.RegionDataType) == (1, 1)
        assert (item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection) == (3, 3)
        assert item["PhysicalDeltaX"].VR == "FD"
        assert item.PhysicalDeltaX == ODD.col_mm / 10
        assert item.PhysicalDeltaY == ODD.row_mm / 10
        assert item.TransducerFrequency == 1000 * centre.frequency_mhz
    assert bar.RegionDataType == 14
    row, col, rows, cols = (
        bar.RegionLocationMinY0,
        bar.RegionLocationMinX0,
        bar.RegionLocationMaxY1 - bar.RegionLocationMinY0 + 1,
        bar.RegionLocationMaxX1 - bar.RegionLocationMinX0 + 1,
    )
    shown = dataset.pixel_array[row : row + rows, col : col + cols].astype(int)
    assert (np.ptp(shown, axis=1) == 0).all()
    assert (np.ptp(shown, axis=2) > 100).all()


def test_gdcm_reads_the_same_pixels(written: tuple[Path, Screen, Centre]) -> None:
    import gdcm

    path, screen, _ = written
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    image = reader.GetImage()
    assert image.GetDimensions() == [screen.pixels.shape[1], screen.pixels.shape[0]]
    values = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    shown = np.frombuffer(values, np.uint8).reshape(screen.pixels.shape)
    assert (shown == screen.pixels).all()


def test_the_header_names_the_scanner_and_nobody(written: tuple[Path, Screen, Centre]) -> None:
    path, _, centre = written
    dataset = pydicom.dcmread(path)
    assert (dataset.Manufacturer, dataset.ManufacturerModelName) == (centre.vendor, centre.device)
    assert (dataset.Modality, dataset.Laterality, dataset.BodyPartExamined) == ("US", "L", "BREAST")
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.BurnedInAnnotation == "NO"
    assert dataset.PatientID == PATIENT
    for element in dataset.iterall():
        if element.VR in ("PN", "DA", "TM", "DT", "AS"):
            assert element.is_empty, element.keyword
        elif element.keyword != "PatientID":
            assert PATIENT not in str(element.value), element.keyword
    content = path.read_bytes()
    assert content.count(PATIENT.encode()) == 1
    assert str(path.parent).encode() not in content


def test_uids_follow_from_patient_image_and_content(written: tuple[Path, Screen, Centre], tmp_path: Path) -> None:
    path, screen, centre = written

    def uids(patient: str, image: str, shown: Screen) -> list[str]:
        other = tmp_path / "other.dcm"
        write_dicom(other, shown, centre, patient=patient, image=image, side=Side.LEFT, view="radial")
        dataset = pydicom.dcmread(other, stop_before_pixels=True)
        return [dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID]

    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    own = [dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID]
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in own)
    assert len(set(own)) == 3
    assert uids(PATIENT, "simulated-i1", screen) == own
    assert uids(PATIENT, "simulated-i2", screen)[:2] == own[:2]
    assert uids(PATIENT, "simulated-i2", screen)[2] != own[2]
    assert uids("simulated-p8", "simulated-i1", screen)[0] != own[0]
    altered = replace(screen, pixels=255 - screen.pixels)
    assert uids(PATIENT, "simulated-i1", altered)[2] != own[2]
    assert deterministic_uid("a", "b") != deterministic_uid("ab")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        examined(tmp_path / folder, "south", SWE, 1.0, 5)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert [path.name for path in files] == [
        f"simulated-south-swe-1{end}" for end in (".dcm", "_mask.png", "_mask2.png")
    ]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_cells_state_what_the_files_do_not(exported: dict[str, Examined], root: Path) -> None:
    for item in exported.values():
        cells = item.cells
        assert (root / cells["bmode_file"]).is_file()
        assert not cells["row_mm"] + cells["col_mm"] + cells["elasto_palette"] + cells["elasto_pane"]
        assert (cells["reader_id"], cells["reader_id_2"]) == tuple(reader.name for reader in item.centre.readers)
        with Image.open(root / cells["mask_file"]) as mask:
            assert mask.size == item.screen.pixels.shape[1::-1]
        scale = (cells["elasto_unit"], cells["elasto_low"], cells["elasto_high"])
        assert (
            scale
            == {
                None: ("", "", ""),
                SWE: ("kPa", "0", f"{item.centre.elastography.bar_kpa:g}"),
                STRAIN: ("relative", "0", "1"),
            }[item.acquired.elasto_kind]
        )
        assert cells["elasto_file"] == ("" if item.acquired.elastogram is None else cells["bmode_file"])


def test_one_reader_and_no_root(tmp_path: Path) -> None:
    centre = CENTRES["north"]
    acquired = examination(centre, 1, None, (240, 330))
    one = replace(acquired, contours={"n1": acquired.lesion})
    cells = export_dicom(
        one, centre, tmp_path, "i1", np.random.default_rng(0), side=Side.UNKNOWN, view="radial", patient="p1"
    )
    assert (cells["bmode_file"], cells["mask_file"], cells["mask_file_2"]) == ("i1.dcm", "i1_mask.png", "")
    assert "Laterality" not in pydicom.dcmread(tmp_path / "i1.dcm")


def test_without_pydicom_the_message_says_what_to_install(
    written: tuple[Path, Screen, Centre], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, screen, centre = written
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DataError, match=r"pip install usdlr\[dicom\]"):
        write_dicom(tmp_path / "x.dcm", screen, centre, patient="p", image="i", side=Side.LEFT, view="radial")
    assert not (tmp_path / "x.dcm").exists()
