"""Rows of the manifest: what its cells say together, and the :class:`SourceRow` they make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from usdlr.core.columns import ENDPOINTS, POSTOPERATIVE, PREOPERATIVE, PROXY_PREFIX
from usdlr.core.modalities import BMODE
from usdlr.core.types import ElastographyKind, MaskSource, Side, Site, SpacingSource
from usdlr.ingest.adapter import FILE_STEM
from usdlr.ingest.manifest_cells import Value
from usdlr.ingest.manifest_columns import MAX_READERS, further
from usdlr.ingest.source import DEFAULT_READER, ElastographyLayout, ElastographyRef, MaskRef, SourceRow

Record = Mapping[str, Value]
# Row, column, found, expected: what usdlr.ingest.manifest.Problem holds.
Found = tuple[int, str, str, str]

# The id becomes part of file names, which most systems limit to 255 bytes.
MAX_ID = 150
PAIRS = (("row_mm", "col_mm"), ("image_rows", "image_cols"))
NODE_ENDPOINTS = tuple(column.name for column in ENDPOINTS if not column.pattern)
PASSED_ON = (
    "vendor",
    "device",
    "view",
    "exam_day",
    *(column.name for column in (*PREOPERATIVE, *POSTOPERATIVE)),
    *NODE_ENDPOINTS,
)


def check_rows(records: Sequence[tuple[int, Record]]) -> Iterator[Found]:
    """What cells of one row, or of several, contradict each other in.

    Parameters
    ----------
    records : sequence of (int, mapping)
        Row number and values by column.
    """
    for number, record in records:
        for one, other in (*PAIRS, *(pair[::-1] for pair in PAIRS)):
            if one in record and other not in record:
                yield number, other, "nothing", f"a value beside {one}"
        if "elasto_file" in record:
            yield from _elastography_problems(number, record)
        yield from _reader_problems(number, record)
        if "patient_id" in record and FILE_STEM.fullmatch(source_id(record, number)) is None:
            yield number, "image_id", "nothing, and a bmode_file that makes no id", "an id"
        elif len(source_id(record, number).encode()) > MAX_ID:
            yield number, "image_id", "an id made of long names", f"at most {MAX_ID} bytes in all; state a short one"
    yield from _repetitions(records)
    yield from _disagreements(records)


def _elastography_problems(number: int, record: Record) -> Iterator[Found]:
    for name in ("elasto_layout", "elasto_kind", "elasto_unit"):
        if name not in record:
            yield number, name, "nothing", "a value beside elasto_file"
    kind, unit = record.get("elasto_kind"), record.get("elasto_unit")
    if kind is not None and unit is not None and (kind == ElastographyKind.STRAIN) != (unit == "relative"):
        yield number, "elasto_unit", f"{unit} beside {kind}", "kPa or m/s for swe, relative for strain"
    layout = record.get("elasto_layout")
    scale = ("elasto_low", "elasto_high")
    if layout == ElastographyLayout.OVERLAY:
        for name in scale:
            if name not in record:
                yield number, name, "nothing", "the value at that end of the colour bar beside an overlay"
        low, high = (record.get(name) for name in scale)
        if isinstance(low, float) and isinstance(high, float) and low >= high:
            yield number, "elasto_high", f"{high:g} beside elasto_low = {low:g}", "more than elasto_low"
    out_of_place = (*scale, "elasto_palette") if layout == ElastographyLayout.MAP else ("elasto_step",)
    for name in out_of_place if layout is not None else ():
        if name in record:
            yield number, name, f"a value beside the layout {layout}", "nothing"
    if record.get("elasto_step") == 0:
        yield number, "elasto_step", "0", "more than 0"


def _reader_problems(number: int, record: Record) -> Iterator[Found]:
    seen: dict[str, str] = {}
    for reader in range(1, MAX_READERS + 1):
        if further("mask_file", reader) not in record:
            continue
        column = further("reader_id", reader)
        if reader > 1 and column not in record:
            yield number, column, "nothing", f"who drew {further('mask_file', reader)}"
            continue
        name = str(record.get(column, DEFAULT_READER))
        if name in seen:
            yield number, column, f"the same reader as in {seen[name]}", "each reader once"
        seen.setdefault(name, column)


def _repetitions(records: Sequence[tuple[int, Record]]) -> Iterator[Found]:
    """Ids, patients, images and contours that stand in two rows and must not."""
    ids: dict[str, int] = {}
    patients: dict[str, tuple[int, tuple[object, ...]]] = {}
    owners: dict[tuple[object, ...], tuple[int, tuple[object, ...]]] = {}
    contours: dict[tuple[object, ...], int] = {}
    for number, record in records:
        if "patient_id" not in record or "centre_id" not in record:
            continue
        # Windows and macOS know one file under both spellings.
        first = ids.setdefault(source_id(record, number).lower(), number)
        if first != number:
            yield number, "image_id", f"the image_id and lesion_id of row {first}", "each pair in one row"
        person = (record["centre_id"], record["patient_id"])
        row, other = patients.setdefault(patient_id(record), (number, person))
        if other != person:
            yield number, "patient_id", f"a centre_id and patient_id that read like those of row {row}", "others"
        if "bmode_file" not in record:
            continue
        image = tuple(record.get(name) for name in ("bmode_file", "frame", "pane"))
        whose = (*person, record.get("side", Side.UNKNOWN))
        row, other = owners.setdefault(image, (number, whose))
        if other != whose:
            yield number, "bmode_file", f"the image of row {row} under another patient or side", "one for each image"
        elif "mask_file" in record:
            contour = (*image, *(record.get(f"mask_{name}") for name in ("file", "label", "image", "frame")))
            first = contours.setdefault(contour, number)
            if first != number:
                yield number, "mask_file", f"the image and contour of row {first}", "each contour in one row"


def _disagreements(records: Sequence[tuple[int, Record]]) -> Iterator[Found]:
    """Rows of one axilla that state different outcomes."""
    stated: dict[tuple[object, ...], tuple[int, Value]] = {}
    for number, record in records:
        axilla = (record.get("centre_id"), record.get("patient_id"), record.get("side", Side.UNKNOWN))
        for name in NODE_ENDPOINTS:
            if name in record:
                row, value = stated.setdefault((*axilla, name), (number, record[name]))
                if value != record[name]:
                    yield number, name, f"{record[name]} beside {value} in row {row}", "one outcome for each axilla"


def patient_id(record: Record) -> str:
    """The patient's id, unique over centres that number their patients alike."""
    return f"{record['centre_id']}-{record['patient_id']}"


def source_id(record: Record, number: int) -> str:
    """The row's own id: ``image_id``, or one made from the file's name; a further lesion is named."""
    image = record.get("image_id")
    if image is None:
        image = _id_from_file(record, number)
    lesion = record.get("lesion_id", "1")
    return str(image) if lesion == "1" else f"{image}-{lesion}"


def _id_from_file(record: Record, number: int) -> str:
    path = record.get("bmode_file")
    if not isinstance(path, PurePosixPath):
        return f"row{number}"
    plain = re.sub(r"[^\w .-]", "_", "-".join(path.with_suffix("").parts)).lstrip(" .-")
    parts = [plain or f"row{number}"]
    parts += [f"f{record['frame']}"] if "frame" in record else []
    pane = record.get("pane")
    parts += [f"r{pane[0]}c{pane[1]}"] if isinstance(pane, tuple) else []
    return "-".join(parts)


def source_row(record: Record, number: int, folder: Path) -> SourceRow:
    """What a checked row says.

    Parameters
    ----------
    record : mapping
        Values by column.
    number : int
        Row number as a spreadsheet shows it.
    folder : Path
        The manifest's folder.
    """
    get: Any = record.get
    spacing = (get("row_mm"), get("col_mm")) if "row_mm" in record else None
    values = {name: value for name, value in record.items() if name in PASSED_ON or name.startswith(PROXY_PREFIX)}
    files = {BMODE: get("bmode_file"), "fov": get("fov_file")}
    return SourceRow(
        source_id=source_id(record, number),
        patient_id=patient_id(record),
        centre_id=get("centre_id"),
        files={role: folder / path for role, path in files.items() if path is not None},
        spacing_mm=spacing,
        spacing_source=SpacingSource.NONE if spacing is None else SpacingSource.MANIFEST,
        side=Side(get("side", Side.UNKNOWN)),
        site=Site(get("site", Site.TUMOUR)),
        lesion_id=get("lesion_id", "1"),
        masks=tuple(_masks(record, folder)),
        elastography=_elastography(record, folder),
        frame=get("frame"),
        pane=get("pane"),
        mask_required=get("mask_expected", True),
        stated_shape=(get("image_rows"), get("image_cols")) if "image_rows" in record else None,
        values=values,
    )


def _masks(record: Record, folder: Path) -> Iterator[MaskRef]:
    for reader in range(1, MAX_READERS + 1):

        def get(name: str, default: Any = None, reader: int = reader) -> Any:
            return record.get(further(name, reader), default)

        path = get("mask_file")
        if path is not None:
            yield MaskRef(
                path=folder / path,
                reader_id=get("reader_id", DEFAULT_READER),
                label=get("mask_label"),
                image_name=get("mask_image"),
                source=MaskSource(get("mask_source", MaskSource.READER)),
                frame=get("mask_frame"),
            )


def _elastography(record: Record, folder: Path) -> ElastographyRef | None:
    get: Any = record.get
    path = get("elasto_file")
    if path is None:
        return None
    layout = ElastographyLayout(get("elasto_layout"))
    return ElastographyRef(
        path=folder / path,
        layout=layout,
        kind=ElastographyKind(get("elasto_kind")),
        unit=get("elasto_unit"),
        frame=get("elasto_frame"),
        pane=get("elasto_pane"),
        palette=get("elasto_palette"),
        scale=(get("elasto_low"), get("elasto_high")) if layout is ElastographyLayout.OVERLAY else None,
        step=get("elasto_step"),
    )
