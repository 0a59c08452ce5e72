"""Pictures: the pixels of the files, nothing of a file that was not meant, nothing but pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from usdlr.core.errors import CaseError, DataError, InputError
from usdlr.core.types import MaskSource, Site, SpacingSource
from usdlr.review.pictures import bmode_png, colour_stops, elasto_png, field_of_view, picture_hash, thumbnail
from usdlr.review.records import ImageRecord

ROWS, COLUMNS = 30, 40


def _open(content: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.fixture
def image(tmp_path: Path) -> ImageRecord:
    root = tmp_path / "cases"
    (root / "images").mkdir(parents=True)
    noise = np.random.default_rng(1)
    words = PngInfo()
    words.add_text("Patient", "Doe^Jane")
    Image.fromarray(noise.integers(0, 255, (ROWS, COLUMNS)).astype(np.uint8)).save(
        root / "images/a_bmode.png", pnginfo=words
    )
    stiffness = np.full((ROWS, COLUMNS), 65535, dtype=np.uint16)
    stiffness[5:10, 5:10] = 7500  # 75 kPa
    stiffness[6, 6] = 0
    stiffness[7, 7] = 65000
    cv2.imwrite(str(root / "images/a_elasto.png"), stiffness)
    fov = np.full((ROWS, COLUMNS), 255, dtype=np.uint8)
    fov[9] = 0
    cv2.imwrite(str(root / "images/a_fov.png"), fov)
    (tmp_path / "secret.png").write_bytes((root / "images/a_bmode.png").read_bytes())
    return ImageRecord(
        token="t" * 22,
        image_id="a-0123456789ab",
        number=1,
        site=Site.TUMOUR,
        view="",
        rows=ROWS,
        columns=COLUMNS,
        row_mm=0.1,
        col_mm=0.2,
        spacing_source=SpacingSource.MANIFEST,
        mask_source=MaskSource.READER,
        modalities=("bmode", "elasto"),
        unit="kPa",
        limit=150.0,
        paths={"bmode": "images/a_bmode.png", "elasto": "images/a_elasto.png", "fov": "images/a_fov.png"},
        root=str(root),
    )


def test_the_bmode_image_keeps_its_pixels_and_loses_its_words(image: ImageRecord) -> None:
    content = bmode_png(image)
    stored = np.asarray(Image.open(Path(image.root) / image.paths["bmode"]))
    assert np.array_equal(_open(content), stored)
    assert b"Doe" in (Path(image.root) / image.paths["bmode"]).read_bytes()
    assert b"Doe" not in content
    assert picture_hash(content) == picture_hash(bmode_png(image))
    assert picture_hash(content) != picture_hash(content + b"x")


def test_elastography_is_coloured_along_its_bar_and_transparent_without_a_value(image: ImageRecord) -> None:
    content = elasto_png(image)
    assert content is not None
    pixels = _open(content)[..., [2, 1, 0, 3]]
    opaque = np.zeros((ROWS, COLUMNS), bool)
    opaque[5:9, 5:10] = True  # the map's values, less the row outside the field of view
    assert np.array_equal(pixels[..., 3] == 255, opaque)
    assert np.array_equal(pixels[..., 3] == 0, ~opaque)
    assert not pixels[~opaque].any()
    viridis = colormaps["viridis"]
    for place, share in (((5, 5), 0.5), ((6, 6), 0.0), ((7, 7), 1.0)):
        assert pixels[place][:3].tolist() == pytest.approx([255 * part for part in viridis(share)[:3]], abs=1)
    assert len(colour_stops(9)) == 9
    assert elasto_png(replace(image, paths={"bmode": image.paths["bmode"]})) is None


def test_a_thumbnail_has_the_tissues_proportions(image: ImageRecord) -> None:
    high, wide = _open(thumbnail(image)).shape
    assert (wide, high) == (160, 60)  # 8 mm by 3 mm


@pytest.mark.parametrize("name", ["../secret.png", "images/../../secret.png", "/etc/passwd", "", ".", "images"])
def test_a_path_that_leaves_the_folder_or_is_no_file_is_refused(image: ImageRecord, name: str) -> None:
    with pytest.raises(DataError, match="expected"):
        bmode_png(replace(image, paths={"bmode": name}))


def test_an_absolute_path_and_links_that_lead_out_are_refused(image: ImageRecord, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outside"):
        bmode_png(replace(image, paths={"bmode": str(Path(image.root) / "images/a_bmode.png")}))
    (Path(image.root) / "images/link.png").symlink_to(tmp_path / "secret.png")
    (Path(image.root) / "out").symlink_to(tmp_path)
    for name in ("images/link.png", "out/secret.png"):
        with pytest.raises(DataError, match="outside") as found:
            bmode_png(replace(image, paths={"bmode": name}))
        assert "secret" not in str(found.value)
    (Path(image.root) / "within.png").symlink_to(Path(image.root) / "images/a_bmode.png")
    assert bmode_png(replace(image, paths={"bmode": "within.png"})) == bmode_png(image)


def test_a_file_that_is_no_such_picture_is_refused_without_its_name(image: ImageRecord) -> None:
    folder = Path(image.root) / "images"
    (folder / "Doe.png").write_text("no picture")
    with pytest.raises(DataError, match="no PNG"):
        bmode_png(replace(image, paths={"bmode": "images/Doe.png"}))
    bomb = (folder / "a_bmode.png").read_bytes()
    (folder / "Doe.png").write_bytes(bomb[:16] + (100_000).to_bytes(4, "big") * 2 + bomb[24:])
    (folder / "cut.png").write_bytes(bomb[:60])
    for name in ("Doe.png", "cut.png", "absent.png"):
        with pytest.raises(CaseError) as found:
            bmode_png(replace(image, paths={"bmode": f"images/{name}"}))
        assert name not in str(found.value)
    with pytest.raises(DataError, match="expected grey uint8"):
        bmode_png(replace(image, paths={"bmode": image.paths["elasto"]}))
    with pytest.raises(InputError, match="30 x 41"):
        bmode_png(replace(image, columns=41))
    with pytest.raises(DataError, match="at most"):
        bmode_png(replace(image, rows=10**6, columns=10**6))


def test_without_a_field_of_view_the_whole_image_is_it(image: ImageRecord) -> None:
    assert not field_of_view(image)[9].any()
    assert field_of_view(replace(image, paths={"bmode": image.paths["bmode"]})).all()
