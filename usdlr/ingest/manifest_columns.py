"""The columns of ``manifest.csv``, from which the validation, the template and the documentation are made."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from enum import Enum

from usdlr.core import columns as c
from usdlr.core.columns import Column
from usdlr.core.types import ElastographyKind, MaskSource
from usdlr.imaging.palettes import PALETTES
from usdlr.ingest.source import DEFAULT_READER, ElastographyLayout

MANIFEST_FILE = "manifest.csv"
MAX_READERS = 20
SMALLEST_PIXEL_MM, LARGEST_PIXEL_MM = 0.001, 5.0


class Kind(Enum):
    """How a cell is read."""

    VALUE = "value"  # by the column's dtype
    NAME = "name"  # becomes part of file names
    FILE = "file"  # a path below the manifest's folder
    PANE = "pane"  # four whole numbers


@dataclass(frozen=True)
class ManifestColumn:
    """One column of the manifest.

    Parameters
    ----------
    column : Column
        Name, dtype, unit, bounds, choices and meaning.
    kind : Kind
        How its cells are read.
    required : bool
        Whether the manifest has to have the column.
    default : str
        What an empty cell means, in words; empty: the value is unknown or absent.
    """

    column: Column
    kind: Kind = Kind.VALUE
    required: bool = False
    default: str = ""

    @property
    def name(self) -> str:
        """Column name, or the pattern of names."""
        return self.column.name


@dataclass(frozen=True)
class Group:
    """Columns that belong together.

    Parameters
    ----------
    title : str
        Heading in the documentation.
    columns : tuple of ManifestColumn
        In the order of the template.
    """

    title: str
    columns: tuple[ManifestColumn, ...]


def _text(name: str, meaning: str, *, choices: tuple[str, ...] = (), nullable: bool = True) -> Column:
    return Column(name, c.STRING, meaning, nullable=nullable, choices=choices)


def _number(name: str, meaning: str, unit: str = "", low: float | None = None, high: float | None = None) -> Column:
    return Column(name, c.FLOAT, meaning, unit, nullable=True, low=low, high=high)


def _whole(name: str, meaning: str, unit: str = "", low: float | None = 1) -> Column:
    return Column(name, c.INTEGER, meaning, unit, nullable=True, low=low)


def _file(name: str, meaning: str, *, required: bool = False) -> ManifestColumn:
    return ManifestColumn(_text(name, meaning), Kind.FILE, required)


_CASES = {column.name: column for column in (*c.IDENTIFIERS, *c.ACQUISITION)}

WHO = Group(
    "Whose image it is",
    (
        ManifestColumn(
            _text("centre_id", "Name of the centre; it is put in front of every patient_id.", nullable=False),
            required=True,
        ),
        ManifestColumn(
            _text(
                "patient_id",
                "The centre's pseudonym of the patient; the same for all images of both sides. It appears in every "
                "table: never a hospital number or a name.",
                nullable=False,
            ),
            required=True,
        ),
        ManifestColumn(replace(_CASES["side"], nullable=True), default="unknown"),
        ManifestColumn(
            replace(_CASES["site"], nullable=True, meaning="What the image shows: the tumour or a lymph node."),
            default="tumour",
        ),
        ManifestColumn(
            _text("lesion_id", "Lesion within the patient; several lesions of one image are several rows."),
            Kind.NAME,
            default="1",
        ),
        ManifestColumn(
            _text(
                "image_id",
                "The centre's pseudonym of the image; letters, digits, spaces and . _ - only. Each pair of image_id "
                "and lesion_id stands in one row.",
            ),
            Kind.NAME,
            default="made from bmode_file, frame and pane",
        ),
    ),
)

IMAGE = Group(
    "The B-mode image",
    (
        _file("bmode_file", "The image: DICOM, PNG, JPEG, BMP, TIFF, NIfTI or NRRD.", required=True),
        ManifestColumn(
            _whole("frame", "Frame number, from 1, in a file with several."), default="the only frame of the file"
        ),
        ManifestColumn(
            _text("pane", "Part of the frame that holds the B-mode image: first row, first column, rows, columns."),
            Kind.PANE,
            default="the DICOM region that holds the lesion, or the whole frame",
        ),
        ManifestColumn(
            _number(
                "row_mm",
                "Distance between neighbouring rows of the image as stored. What a DICOM header says comes first.",
                "mm",
                SMALLEST_PIXEL_MM,
                LARGEST_PIXEL_MM,
            ),
            default="the DICOM header, or unknown: nothing is measured in millimetres then",
        ),
        ManifestColumn(
            _number(
                "col_mm",
                "Distance between neighbouring columns; stated together with row_mm.",
                "mm",
                SMALLEST_PIXEL_MM,
                LARGEST_PIXEL_MM,
            ),
            default="as for row_mm",
        ),
        ManifestColumn(_whole("image_rows", "Height of the frame; a contradiction is noted.", "pixel")),
        ManifestColumn(_whole("image_cols", "Width of the frame; stated together with image_rows.", "pixel")),
        _file(
            "fov_file", "Mask of the field of view, without rulers, logos and borders; any non-zero value is inside."
        ),
        *(ManifestColumn(_CASES[name]) for name in ("vendor", "device", "view", "exam_day")),
    ),
)

CONTOUR = Group(
    "The lesion's contour",
    (
        _file(
            "mask_file",
            "Mask (PNG, BMP, TIFF, NIfTI, NRRD, DICOM SEG) or annotation file (LabelMe, COCO, CVAT, VIA, DICOM SR or "
            "presentation state, CSV).",
            required=True,
        ),
        ManifestColumn(
            _text("mask_label", "Label value or name of the lesion within the file."),
            default="everything in the file that is not background",
        ),
        ManifestColumn(
            _text("mask_image", "Which image is meant, in a file that annotates several."), default="the only one"
        ),
        ManifestColumn(
            _whole("mask_frame", "Frame number, from 1, in a mask file with several."), default="the only one"
        ),
        ManifestColumn(
            _text("mask_source", "Who drew the contour.", choices=c.words(MaskSource)), default=str(MaskSource.READER)
        ),
        ManifestColumn(_text("reader_id", "The centre's pseudonym of the reader."), default=DEFAULT_READER),
        ManifestColumn(
            Column(
                "mask_expected",
                c.BOOLEAN,
                "false: a row without contour becomes a case all the same; it waits for one.",
                nullable=True,
            ),
            default="true: a row without contour is excluded",
        ),
    ),
)
# Everything about a contour but whether there has to be one may be given for further readers.
READER_COLUMNS = tuple(item.name for item in CONTOUR.columns[:-1])

ELASTOGRAPHY = Group(
    "Elastography",
    (
        _file(
            "elasto_file",
            "The stiffness map; the same file as bmode_file when it stands in its second pane. Where this cell is "
            "empty, the other columns of elastography do not count.",
        ),
        ManifestColumn(
            _text(
                "elasto_layout",
                "map: one channel whose values are stiffness; overlay: colours drawn over the grey image.",
                choices=c.words(ElastographyLayout),
            )
        ),
        ManifestColumn(_text("elasto_kind", "Shear-wave or strain elastography.", choices=c.words(ElastographyKind))),
        ManifestColumn(
            _text("elasto_unit", "Unit of the map; strain is relative.", choices=("kPa", "m/s", "relative"))
        ),
        ManifestColumn(_whole("elasto_frame", "Frame number, from 1, in a file with several."), default="the only one"),
        ManifestColumn(
            _text("elasto_pane", "Part of the frame that holds the map: first row, first column, rows, columns."),
            Kind.PANE,
            default="the DICOM regions, or the B-mode image's own grid",
        ),
        ManifestColumn(
            _text("elasto_palette", "Colours of an overlay.", choices=tuple(sorted(PALETTES))),
            default="the colour bar in the picture",
        ),
        ManifestColumn(_number("elasto_low", "Value at the lower end of the colour bar, in elasto_unit.", low=0.0)),
        ManifestColumn(_number("elasto_high", "Value at the upper end of the colour bar, in elasto_unit.", low=0.0)),
        ManifestColumn(
            _number("elasto_step", "Value of one count of a map of whole numbers, in elasto_unit.", low=0.0)
        ),
    ),
)

PREOPERATIVE = Group("Known before surgery", tuple(map(ManifestColumn, c.PREOPERATIVE)))
POSTOPERATIVE = Group("Known after surgery only", tuple(map(ManifestColumn, c.POSTOPERATIVE)))
ENDPOINTS = Group("Endpoints: empty means unknown, never negative", tuple(map(ManifestColumn, c.ENDPOINTS)))

GROUPS = (WHO, IMAGE, CONTOUR, ELASTOGRAPHY, PREOPERATIVE, POSTOPERATIVE, ENDPOINTS)
COLUMNS = tuple(column for group in GROUPS for column in group.columns)
_BY_NAME = {item.name: item for item in COLUMNS if not item.column.pattern}
_PATTERNS = tuple(item for item in COLUMNS if item.column.pattern)
_FURTHER = re.compile(rf"({'|'.join(READER_COLUMNS)})_([2-9]|[1-9][0-9])")


def further(name: str, reader: int) -> str:
    """Name of a contour column for the reader of that number, from 1.

    Examples
    --------
    >>> further("mask_file", 1), further("mask_file", 2)
    ('mask_file', 'mask_file_2')
    """
    return name if reader == 1 else f"{name}_{reader}"


def definition(name: str) -> ManifestColumn | None:
    """What a column of the manifest means, ``None`` when nothing is documented under that name."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    match = _FURTHER.fullmatch(name)
    if match is not None and int(match[2]) <= MAX_READERS:
        item = _BY_NAME[match[1]]
        return replace(item, column=replace(item.column, name=name), required=False, default="")
    for item in _PATTERNS:
        if re.fullmatch(item.name, name):
            return replace(item, column=replace(item.column, name=name, pattern=False))
    return None


def nearest(name: str) -> str | None:
    """The documented column name that is most like ``name``, if any is."""
    names = [*_BY_NAME, *(further(column, reader) for column in READER_COLUMNS for reader in (2, 3))]
    return next(iter(difflib.get_close_matches(name, names, 1)), None)
