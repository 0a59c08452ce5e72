"""Every column of the ``cases`` table: dtype, unit, nullability, meaning, and whether it is known before surgery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from usdlr.core.endpoints import BURDEN_GE3, N_POSITIVE
from usdlr.core.modalities import MODALITIES
from usdlr.core.ordinal import RANKS
from usdlr.core.types import (
    BurnedIn,
    ContractStatus,
    ElastographyKind,
    ElastographyState,
    FovSource,
    MaskSource,
    Side,
    Site,
    SpacingSource,
)

# pandas' nullable dtypes: null is a value of its own and is never read as negative.
STRING, FLOAT, INTEGER, BOOLEAN = "str", "float64", "Int64", "boolean"

PROXY_PREFIX = "proxy_"
# Endpoints that are no columns: they follow from counts of nodes.
DERIVED = (N_POSITIVE, BURDEN_GE3)
CONTRIBUTION_PREFIX = "contribution."
# What names an axilla, the unit of decision.
AXILLA_KEY = ["patient_id", "side"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Column name; a pattern when ``pattern`` is set.
    dtype : str
        One of ``str``, ``float64``, ``Int64``, ``boolean``.
    meaning : str
        One sentence for documentation and error messages.
    unit : str
        Physical unit, empty where there is none.
    nullable : bool
        Whether null is allowed.
    choices : tuple of str
        Allowed values, empty where any is.
    low, high : float or None
        Inclusive bounds.
    preoperative : bool
        Whether the value is known before surgery; only such a column may feed a model.
    endpoint : bool
        Whether the column is an outcome.
    pattern : bool
        Whether ``name`` is a regular expression that any number of columns may match.
    """

    name: str
    dtype: str
    meaning: str
    unit: str = ""
    nullable: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    preoperative: bool = True
    endpoint: bool = False
    pattern: bool = False


def words(enumeration: type[StrEnum]) -> tuple[str, ...]:
    """The values of an enumeration."""
    return tuple(str(member) for member in enumeration)


IDENTIFIERS: tuple[Column, ...] = (
    Column("centre_id", STRING, "Name of the centre the patient was examined at."),
    Column("patient_id", STRING, "Patient, unique over all centres; the unit of splitting."),
    Column(
        "side", STRING, "Side of the body; patient and side make the axilla, the unit of decision.", choices=words(Side)
    ),
    Column("lesion_id", STRING, "Lesion within the patient."),
    Column("image_id", STRING, "The source's own unique id and the first 12 digits of the content hash."),
)

PATHS: tuple[Column, ...] = (
    *(
        Column(
            modality.path_column,
            STRING,
            f"Canonical {modality.title} image, relative to the table's folder; {modality.intensity}.",
            nullable=not modality.required,
        )
        for modality in MODALITIES.values()
    ),
    Column("mask_path", STRING, "Canonical lesion mask on the B-mode grid, 0 or 255.", nullable=True),
    Column(
        "bmode_before_path",
        STRING,
        "The clip's frame before, as the B-mode image and on its grid; null: no clip, or no such frame.",
        nullable=True,
    ),
    Column(
        "bmode_after_path",
        STRING,
        "The clip's frame after, as the B-mode image and on its grid; null: no clip, or no such frame.",
        nullable=True,
    ),
    Column(
        "strain_path",
        STRING,
        "Canonical map of relative strain on the B-mode grid, percent of the colour scale; no model reads it.",
        nullable=True,
    ),
    Column("fov_path", STRING, "Canonical field-of-view mask, 0 or 255; null: the whole image.", nullable=True),
)

ACQUISITION: tuple[Column, ...] = (
    Column("site", STRING, "What the image shows.", choices=words(Site)),
    Column("mask_source", STRING, "Who drew the contour.", nullable=True, choices=words(MaskSource)),
    Column(
        "mask_confidence",
        FLOAT,
        "Dice with a reader's contour that is expected of an automatic one; null: a reader's.",
        "1",
        True,
        low=0.0,
        high=1.0,
    ),
    Column(
        "mask_error_mm",
        FLOAT,
        "Mean distance to a reader's contour that is expected of an automatic one; null: a reader's, or no spacing.",
        "mm",
        True,
        low=0.0,
    ),
    Column(
        "segmenter_id",
        STRING,
        "First 12 digits of the hash of the bundle that drew the contour, and the network where one drew alone.",
        nullable=True,
    ),
    Column("reader_id", STRING, "Reader whose contour mask_path is; others are in contours.csv.", nullable=True),
    Column("row_mm", FLOAT, "Distance between neighbouring rows.", "mm", nullable=True, low=0.0),
    Column("col_mm", FLOAT, "Distance between neighbouring columns.", "mm", nullable=True, low=0.0),
    Column("spacing_source", STRING, "Where the spacing comes from.", choices=words(SpacingSource)),
    Column(
        "source_row", INTEGER, "Row of the source's frame at which the canonical image starts.", "pixel", True, low=0
    ),
    Column(
        "source_col", INTEGER, "Column of the source's frame at which the canonical image starts.", "pixel", True, low=0
    ),
    Column("fov_source", STRING, "Where the field of view comes from.", nullable=True, choices=words(FovSource)),
    Column(
        "burned_in_fraction",
        FLOAT,
        "Share of the field of view under calipers, text and marks drawn by the scanner.",
        "1",
        True,
        low=0.0,
        high=1.0,
    ),
    Column("burned_in", STRING, "What was done about them.", nullable=True, choices=words(BurnedIn)),
    Column("elasto_state", STRING, "Whether stiffness was measured.", nullable=True, choices=words(ElastographyState)),
    Column("elasto_valid_fraction", FLOAT, "Share of the map's pixels with a value.", "1", True, low=0.0, high=1.0),
    Column(
        "elasto_saturated_fraction",
        FLOAT,
        "Share of the map's pixels at the end of the colour scale, where the value is unknown.",
        "1",
        True,
        low=0.0,
        high=1.0,
    ),
    Column("quality_flags", STRING, "Words of QualityFlag, separated by spaces; notes.csv explains.", nullable=True),
    Column("elasto_kind", STRING, "How stiffness was imaged.", nullable=True, choices=words(ElastographyKind)),
    Column("elasto_unit", STRING, "Unit of the stiffness map.", nullable=True, choices=("kPa", "m/s", "relative")),
    Column("vendor", STRING, "Maker of the scanner.", nullable=True),
    Column("device", STRING, "Model of the scanner.", nullable=True),
    Column("view", STRING, "Plane of the image.", nullable=True),
    Column(
        "exam_day",
        INTEGER,
        "Day of the examination, counted from an arbitrary day of the centre; never a calendar date.",
        "days",
        nullable=True,
    ),
)

PREOPERATIVE: tuple[Column, ...] = (
    Column(
        "tumour_size_mm", FLOAT, "Longest diameter of the axilla's largest lesion on ultrasound.", "mm", True, low=0.0
    ),
    Column("age_years", FLOAT, "Age at the examination.", "years", True, low=0.0, high=120.0),
    Column(
        "birads",
        STRING,
        "BI-RADS assessment category.",
        nullable=True,
        choices=("0", "1", "2", "3", "4", "4a", "4b", "4c", "5", "6"),
    ),
    Column("cn_stage", STRING, "Clinical nodal stage.", nullable=True, choices=("cN0", "cN1", "cN2", "cN3", "cNX")),
    Column("neoadjuvant", BOOLEAN, "Systemic treatment before axillary surgery.", nullable=True),
    Column("days_us_to_surgery", FLOAT, "Days from ultrasound to axillary surgery.", "days", True),
    Column("grade_core_biopsy", INTEGER, "Histological grade on core biopsy.", nullable=True, low=1, high=3),
)

# Known only after surgery: they may feed published nomograms, never a usdlr model.
POSTOPERATIVE: tuple[Column, ...] = (
    Column(
        "grade_surgical",
        INTEGER,
        "Histological grade of the specimen.",
        nullable=True,
        low=1,
        high=3,
        preoperative=False,
    ),
    Column(
        "lymphovascular_invasion",
        BOOLEAN,
        "Lymphovascular invasion in the specimen.",
        nullable=True,
        preoperative=False,
    ),
)


def _endpoint(name: str, dtype: str, meaning: str, unit: str = "", **rest: Any) -> Column:
    return Column(name, dtype, meaning, unit, nullable=True, preoperative=False, endpoint=True, **rest)


ENDPOINTS: tuple[Column, ...] = (
    _endpoint(
        "sln_positive", BOOLEAN, "A sentinel node holds a micro- or macrometastasis (not isolated tumour cells)."
    ),
    _endpoint("nsln_positive", BOOLEAN, "A non-sentinel node is involved; null: SLN positive without dissection."),
    _endpoint("positive_nodes", INTEGER, "Positive nodes in all; a lower bound without dissection.", "nodes", low=0),
    _endpoint("removed_nodes", INTEGER, "Nodes removed in all.", "nodes", low=0),
    _endpoint("sln_positive_count", INTEGER, "Positive sentinel nodes.", "nodes", low=0),
    _endpoint("sln_removed_count", INTEGER, "Sentinel nodes removed.", "nodes", low=0),
    _endpoint("sln_reference", STRING, "How the sentinel status was established.", choices=("slnb", "alnd", "needle")),
    _endpoint("sln_deposit", STRING, "Largest deposit in a sentinel node.", choices=("none", "itc", "micro", "macro")),
    _endpoint("axillary_surgery", STRING, "Most extensive axillary surgery.", choices=("none", "slnb", "alnd")),
    _endpoint("dfs_months", FLOAT, "Disease-free survival time.", "months", low=0.0),
    _endpoint("dfs_event", BOOLEAN, "Whether disease returned or the patient died at dfs_months."),
    _endpoint(
        f"^{PROXY_PREFIX}[a-z0-9_]+$",
        BOOLEAN,
        "A declared stand-in for an endpoint on data without node status.",
        pattern=True,
    ),
)

CASES: tuple[Column, ...] = (*IDENTIFIERS, *ACQUISITION, *PATHS, *PREOPERATIVE, *POSTOPERATIVE, *ENDPOINTS)

FEATURE_PATTERN = r"^[a-z0-9_]+\.[a-z]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9]+\.[A-Za-z0-9]+$"

FEATURES: tuple[Column, ...] = (
    Column("image_id", STRING, "Image set the row was measured on."),
    Column("status", STRING, "Whether the case's required features were measured.", choices=("ok", "failed")),
    Column("code", STRING, "Machine-readable reason of a failure.", nullable=True),
    Column("reason", STRING, "Why not, or which optional part is missing.", nullable=True),
    Column(
        "peritumoral_lost_fraction",
        FLOAT,
        "Share of the ring's area that the field of view cut off.",
        "1",
        True,
        low=0.0,
        high=1.0,
    ),
    Column(FEATURE_PATTERN, FLOAT, "{modality}.{roi}.{image_type}.{class}.{feature}", nullable=True, pattern=True),
)

AXILLA: tuple[Column, ...] = IDENTIFIERS[1:3]

PREDICTIONS: tuple[Column, ...] = (
    *AXILLA,
    Column("stage", STRING, "Question answered: sln, or nsln given a positive sentinel node.", choices=("sln", "nsln")),
    Column("fold", STRING, "Fold whose model answered, or bundle."),
    Column(
        "split",
        STRING,
        "What the patient was used for in that fold.",
        choices=("train", "tuning", "calibration", "test", "external"),
    ),
    Column("logit", FLOAT, "Calibrated log-odds of the positive class.", "nat"),
    Column("logit_low", FLOAT, "Lower end of the log-odds' 90 % interval; about the estimate, not the patient.", "nat"),
    Column("logit_high", FLOAT, "Upper end of the log-odds' 90 % interval.", "nat"),
    Column("probability", FLOAT, "Calibrated; nsln: P(NSLN positive | SLN positive, x).", "1", low=0.0, high=1.0),
    Column(
        r"^contribution\.[A-Za-z0-9_.@\-]+$",
        FLOAT,
        "Additive share of one input block in the logit; null: block absent.",
        "nat",
        nullable=True,
        pattern=True,
    ),
    Column("model_id", STRING, "First 12 digits of the hash of the fitted stage's parameters."),
)

DECISIONS: tuple[Column, ...] = (
    *AXILLA,
    Column(
        "risk_group", STRING, "The cascade's answer.", choices=("LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER")
    ),
    Column("stage_reached", STRING, "Last stage whose answer counted.", choices=("sln", "nsln")),
    Column("p_sln", FLOAT, "P(SLN positive | x).", "1", low=0.0, high=1.0),
    Column("t_sln", FLOAT, "Below this p_sln the axilla is LR-SLN.", "1", low=0.0, high=1.0),
    Column("p_nsln", FLOAT, "P(NSLN positive | SLN positive, x).", "1", low=0.0, high=1.0),
    Column("t_nsln", FLOAT, "Below this p_nsln the axilla is LR-NSLN.", "1", low=0.0, high=1.0),
    Column("contract", STRING, "Status of the contract behind the thresholds.", choices=words(ContractStatus)),
    Column("reason", STRING, "The decision in one sentence."),
)

SPLITS: tuple[Column, ...] = (
    Column("fold", STRING, "Name of the fold, or bundle."),
    AXILLA[0],
    Column(
        "split", STRING, "What the patient is used for in the fold.", choices=("train", "tuning", "calibration", "test")
    ),
)

NOTES: tuple[Column, ...] = (
    Column("image_id", STRING, "Image set."),
    Column("code", STRING, "Quality flag."),
    Column("sentence", STRING, "What was found and what was done about it."),
)

CONTOURS: tuple[Column, ...] = (
    Column("image_id", STRING, "Image set."),
    Column("lesion_id", STRING, "Lesion within the patient."),
    Column("reader_id", STRING, "Who drew it."),
    Column("mask_source", STRING, "Reader or automatic.", choices=words(MaskSource)),
    Column("mask_path", STRING, "Canonical mask on the B-mode grid, 0 or 255."),
    Column("primary", BOOLEAN, "Whether this is the contour that cases.parquet names."),
)

EXCLUSIONS: tuple[Column, ...] = (
    Column("centre_id", STRING, "Centre."),
    Column("patient_id", STRING, "Patient.", nullable=True),
    Column("side", STRING, "Side of the body.", nullable=True),
    Column("source_id", STRING, "The source's own id of the row or file."),
    Column("step", STRING, "Where the case was left.", choices=("ingest", "outline", "cohort", "features")),
    Column("code", STRING, "Machine-readable reason."),
    Column("sentence", STRING, "What was found, what was expected, how to mend it."),
)


def model_variables(columns: Iterable[Column] = CASES) -> tuple[str, ...]:
    """Columns of ``cases`` that a usdlr model may read as numbers: those that are, and words in an order."""
    # How an image was taken and read says something about the centre, not about the patient.
    technical = {c.name for c in ACQUISITION}
    numeric = (FLOAT, INTEGER)
    return tuple(
        c.name
        for c in columns
        if c.preoperative and (c.dtype in numeric or c.name in RANKS) and c.name not in technical
    )


def known_too_late(name: str) -> str | None:
    """Why nothing before surgery may read a column, in words; ``None`` where that is no reason.

    Examples
    --------
    >>> known_too_late("sln_positive"), known_too_late("grade_surgical"), known_too_late("cn_stage")
    ('which is an outcome', 'which is known only after surgery', None)
    """
    column = next((column for column in CASES if column.name == name), None)
    if name.startswith(PROXY_PREFIX) or name in DERIVED or (column is not None and column.endpoint):
        return "which is an outcome"
    return "which is known only after surgery" if column is not None and not column.preoperative else None
