"""Damaged files of every format: whatever is in them, only refusals come out, soon and without much memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from tests.ingest.annotations import dicom_writers, text_writers
from tests.ingest.annotations.circles import CENTRE, RADIUS, SHAPE, circle, disc, ref, square
from tests.ingest.annotations.test_json_formats import CORNERS, SQUARE, VIA_REGIONS, rle
from tests.ingest.annotations.test_pictures import slicer
from usdlr.core.errors import CaseError
from usdlr.ingest.annotations.reading import read_contour, read_contours
from usdlr.ingest.source import MaskRef

SLOW = 5.0
ROUND = np.array([CENTRE, (CENTRE[0] + RADIUS, CENTRE[1])])
NASTY: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x", "1e999", "\ud800", [], {},
    [[]], [None], {"a": []}, [1, 2, 3], "a" * 10_000, [[1e9, 1e9]] * 3,
]  # fmt: skip


def _raster(path: Path) -> None:
    Image.fromarray(disc().astype(np.uint8) + square()).save(path, format="PNG")


def _nifti(path: Path) -> None:
    volume = disc().astype(np.int16).T[..., None]
    image = nibabel.Nifti1Image(volume, np.diag([0.1, 0.1, 1, 1]))  # type: ignore[no-untyped-call]  # nibabel is untyped
    path.write_bytes(image.to_bytes())


def _nrrd(path: Path) -> None:
    nrrd.write(str(path.with_suffix(".nrrd")), disc().astype(np.uint8).T, {"encoding": "raw"})
    path.with_suffix(".nrrd").rename(path)


def _slicer(path: Path) -> None:
    pixels = np.stack([disc().T, square().T])[..., None].astype(np.uint8)
    kinds = ["list", "domain", "domain", "domain"]
    slicer(path.with_suffix(".nrrd"), pixels, [("a", 1, 0), ("b", 1, 1)], kinds=kinds).rename(path)


def _labelme(path: Path) -> None:
    shapes = [
        text_writers.labelme_shape(SQUARE, "a", group_id=1),
        text_writers.labelme_shape(CORNERS, "b", "rectangle", reader="A"),
        text_writers.labelme_shape(ROUND, "c", "circle"),
        text_writers.labelme_mask(np.ones((30, 50), dtype=np.bool_), 20, 40, "d"),
    ]
    text_writers.labelme(path, shapes)


def _coco(path: Path) -> None:
    segmentations: list[Any] = [[circle(9).ravel().tolist()], rle(disc()), {"size": [120, 160], "counts": [9, 19191]}]
    annotations = [{"segmentation": segmentation} for segmentation in segmentations]
    text_writers.coco(path, [*annotations, {"bbox": [40, 20, 50, 30]}])


def _cvat(path: Path) -> None:
    points = text_writers.cvat_points(SQUARE)
    text_writers.cvat(
        path,
        f'<polygon label="a" group_id="3" points="{points}"/><box label="b" xtl="4" ytl="2" xbr="90" ybr="50"/>'
        f'<ellipse label="c" cx="70" cy="60" rx="40" ry="20" rotation="30"/>{text_writers.cvat_mask(square())}',
    )


def _table(path: Path) -> None:
    text_writers.table(path, "label,x,y", [("a", x, y) for x, y in SQUARE])


def _report(path: Path) -> None:
    closed = np.concatenate([SQUARE, SQUARE[:1]])
    dicom_writers.report(path, [("a", "POLYLINE", closed), ("b", "CIRCLE", ROUND)])


def _presentation(path: Path) -> None:
    closed = np.concatenate([SQUARE, SQUARE[:1]])
    dicom_writers.presentation(path, [("POLYLINE", closed), ("CIRCLE", ROUND)])


def _segmentation(kind: str, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        masks = np.stack([disc() & ~square(), square()], axis=-1)[None]
        dicom_writers.segmentation(path, masks, ["a", "b"], kind, **options)

    return write


WRITERS: dict[str, Callable[[Path], Any]] = {
    "png": _raster,
    "nifti": _nifti,
    "nrrd": _nrrd,
    "slicer": _slicer,
    "labelme": _labelme,
    "coco": _coco,
    "via": lambda path: text_writers.via_json(path, VIA_REGIONS),
    "via_csv": lambda path: text_writers.via_csv(path, VIA_REGIONS),
    "cvat": _cvat,
    "table": _table,
    "sr": _report,
    "gsps": _presentation,
    "seg": _segmentation("BINARY"),
    "seg_fractional": _segmentation("FRACTIONAL", fractional_type="PROBABILITY"),
    "seg_labels": _segmentation("LABELMAP", transfer_syntax_uid=RLELossless),
}
FORMATS = sorted(WRITERS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One sound file of every format."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, write in WRITERS.items():
        write(folder / name)
        assert read_contours(MaskRef(folder / name), SHAPE)
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "file"


def only_refusals(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    started = time.perf_counter()
    with suppress(CaseError):
        for contour in read_contours(MaskRef(place), SHAPE):
            assert contour.pixels.shape == SHAPE
            assert contour.pixels.any()
    with suppress(CaseError):
        read_contour(MaskRef(place, label="a"), SHAPE)
    assert time.perf_counter() - started < SLOW


def quick(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks)


@given(data=st.data())
@quick(350)
def test_damaged_bytes(corpus: dict[str, bytes], place: Path, data: st.DataObject) -> None:
    content = bytearray(corpus[data.draw(st.sampled_from(FORMATS))])
    for _ in range(data.draw(st.integers(1, 4))):
        # Half of all damage goes to the head, where sizes are.
        end = data.draw(st.sampled_from([len(content), min(len(content), 600)]))
        at = data.draw(st.integers(0, max(end - 1, 0)))
        piece = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 8, b"9" * 8]))
        content[at : at + data.draw(st.sampled_from([0, len(piece), 40]))] = piece
    only_refusals(place, bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))]))


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places in plain data."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(inner for key, child in items for inner in leaves(child, (*path, key)))]


@given(data=st.data())
@quick(250)
def test_wrong_values_in_json(corpus: dict[str, bytes], place: Path, data: st.DataObject) -> None:
    content = json.loads(corpus[data.draw(st.sampled_from(["labelme", "coco", "via"]))])
    *way, last = data.draw(st.sampled_from(leaves(content)[1:]))
    parent = content
    for key in way:
        parent = parent[key]
    parent[last] = data.draw(st.sampled_from(NASTY))
    only_refusals(place, json.dumps(content).encode())


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about what we write
@given(data=st.data())
@quick(150)
def test_wrong_values_in_dicom(corpus: dict[str, bytes], place: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in FORMATS if name.startswith("seg") or name in ("sr", "gsps")]))
    place.write_bytes(corpus[name])
    dataset = pydicom.dcmread(place)
    found: list[tuple[Dataset, Any]] = []
    dataset.walk(lambda owner, element: found.append((owner, element.tag)))
    owner, tag = data.draw(st.sampled_from(found))
    if data.draw(st.booleans()):
        del owner[tag]
    else:
        values = [-1, 0, 65535, 2**31 - 1, "x", "", None, [], [1.0, 2.0, 3.0], 1e300, "9" * 300, b"\xff\xff\xff"]
        with suppress(Exception):  # what pydicom does not let us write is no test
            owner[tag].value = data.draw(st.sampled_from(values))
    with suppress(Exception):
        dataset.save_as(place, enforce_file_format=True)
    only_refusals(place, place.read_bytes())


@pytest.mark.parametrize("name", FORMATS)
def test_every_way_to_end_early(corpus: dict[str, bytes], place: Path, name: str) -> None:
    content = corpus[name]
    for length in [*range(0, min(len(content), 40), 5), *range(40, len(content), 1 + len(content) // 25)]:
        only_refusals(place, content[:length])


@pytest.mark.parametrize("name", ["seg", "sr", "gsps"])
@pytest.mark.parametrize("wanted", [("nothing", None), (None, "1.2.3"), (None, None)])
def test_messages_never_quote_the_patient(
    corpus: dict[str, bytes], place: Path, name: str, wanted: tuple[str | None, str | None]
) -> None:
    place.write_bytes(corpus[name])
    with pytest.raises(CaseError) as caught:
        read_contour(ref(place, *wanted), SHAPE)
    dataset = pydicom.dcmread(place)
    words = [dicom_writers.PERSON.split("^")[0], str(place.parent), str(dataset.SOPInstanceUID), "P77"]
    assert not any(word in caught.value.sentence for word in words)
