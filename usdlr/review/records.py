"""What the bundle side says of an axilla: the model, its answer with every printed number, and the images it read.

Everything here is plain frozen data without a database, a web framework or a network, so that pages, paper, DICOM
objects and exports show the same record. Probabilities and thresholds are the tables' own numbers; they are turned
into text in one place, :mod:`usdlr.review.words`, so that all of them agree to the printed digit. What readers do with
it stands in :mod:`usdlr.review.acts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from usdlr.core.types import MaskSource, RiskGroup, Side, Site, SpacingSource, Stage

Point = tuple[float, float]
"""Row and column in pixels, the centre of the first pixel at (0, 0)."""


@dataclass(frozen=True)
class StageValue:
    """One step of the cascade, as it is printed.

    Parameters
    ----------
    stage : Stage
        Which one.
    probability, threshold : float
        Calibrated probability and the cascade's threshold; of stage ``nsln`` given a positive sentinel node.
    low, high : float
        90 % interval of the estimate; about the model, not the patient.
    reached : bool
        Whether the cascade asked this question.
    conformal : tuple of float, optional
        Ends of the conformal interval.
    contour : tuple of float, optional
        5 % and 95 % quantile over redrawn contours.
    """

    stage: Stage
    probability: float
    threshold: float
    low: float
    high: float
    reached: bool
    conformal: tuple[float, float] | None = None
    contour: tuple[float, float] | None = None


@dataclass(frozen=True)
class Answered:
    """What the model says of an axilla: as loaded, or anew after a contour was redrawn or images were chosen.

    Parameters
    ----------
    group : RiskGroup
        The cascade's answer.
    stage_reached : Stage
        Last stage whose answer counted.
    contract : str
        Standing of the contract behind the thresholds, a :class:`~usdlr.core.types.ContractStatus`.
    reason : str
        The decision in one sentence, from :mod:`usdlr.decision.wording`.
    stages : tuple of StageValue
        Both steps, also the one that was not reached.
    warnings : tuple of str
        What must not be overlooked: unlike the training patients, another centre, a patient who made the model.
    flags : tuple of str
        Quality flags of the images used, in words.
    left_out : tuple of str
        Why images were not used, a sentence each.
    diameter_mm, orthogonal_mm : float, optional
        Longest diameter of the largest lesion and the one across, measured on its contour; ``None`` without
        millimetres.
    features : tuple of (str, str)
        A few measured values of the lesion: name, value with its unit.
    """

    group: RiskGroup
    stage_reached: Stage
    contract: str
    reason: str
    stages: tuple[StageValue, ...]
    warnings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    diameter_mm: float | None = None
    orthogonal_mm: float | None = None
    features: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ImageRecord:
    """One image set of an axilla, with what a viewer needs.

    Parameters
    ----------
    token : str
        Names it in addresses; random, says nothing about the patient.
    image_id : str
        Of the ``cases`` table; never in an address, a log or a file name.
    number : int
        1 for the first of its axilla.
    site : Site
        Tumour or axilla.
    view : str
        Plane, in words; empty where unknown.
    rows, columns : int
        Grid of all its pictures.
    row_mm, col_mm : float or None
        Millimetres per pixel; ``None`` without calibration: then no ruler in mm is shown.
    spacing_source : SpacingSource
        Where they come from.
    mask_source : MaskSource or None
        Who drew the contour; ``None``: nobody.
    modalities : tuple of str
        Those that are there, ``bmode`` first.
    unit : str
        Unit of the elastography map, such as ``kPa``; empty without one.
    limit : float or None
        Value at the upper end of the map's colour bar.
    paths : mapping of str to str
        Files by kind (``bmode elasto mask fov``), relative to ``root``; never shown.
    root : str
        Folder of the cases table.
    contour : tuple of tuple of Point
        Closed outlines of the lesion, holes left out.
    ring : tuple of tuple of Point
        Outlines of the ring's outer edge, inside the field of view.
    calipers : tuple of tuple of Point
        Two lines of two points: the longest diameter, and the one across.
    row : mapping
        Its row of ``cases`` as plain data, without outcomes, for predicting it anew; never shown.
    """

    token: str
    image_id: str
    number: int
    site: Site
    view: str
    rows: int
    columns: int
    row_mm: float | None
    col_mm: float | None
    spacing_source: SpacingSource
    mask_source: MaskSource | None
    modalities: tuple[str, ...]
    unit: str
    limit: float | None
    paths: Mapping[str, str]
    root: str
    contour: tuple[tuple[Point, ...], ...] = ()
    ring: tuple[tuple[Point, ...], ...] = ()
    calipers: tuple[tuple[Point, ...], ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AxillaRecord:
    """One axilla as it was loaded; never changed afterwards.

    Parameters
    ----------
    token : str
        Names it in addresses; random.
    number : int
        Of the case within the list, 1 for the first; what pages call it.
    patient_id, side, centre_id : str
        Of the tables. Shown on pages to those who signed in; never in an address or a log.
    answer : Answered
        What the model says.
    images : tuple of ImageRecord
        Of the axilla, the tumour's first.
    clinical : tuple of (str, str)
        Pre-operative variables: words, value with unit.
    comparators : tuple of (str, str)
        What other scores say: name, value (size alone, nomograms whose fields exist).
    bundle_id, digest : str
        Of the model.
    row : mapping
        The first tumour image's row of ``cases`` as plain data, for the DICOM objects.
    """

    token: str
    number: int
    patient_id: str
    side: Side
    centre_id: str
    answer: Answered
    images: tuple[ImageRecord, ...]
    clinical: tuple[tuple[str, str], ...] = ()
    comparators: tuple[tuple[str, str], ...] = ()
    bundle_id: str = ""
    digest: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """The model behind a reading list, as pages name it.

    Parameters
    ----------
    bundle_id, digest : str
        Short name and SHA-256 of its manifest.
    experiment : str
        What it was made by.
    simulated : bool
        Whether its patients are computer-made.
    cohort : str
        The cohort behind its numbers, in a line.
    contract : tuple of str
        What its false-negative contract says, in sentences.
    contract_status : str
        A :class:`~usdlr.core.types.ContractStatus`.
    proxies : tuple of str
        Sentences about endpoints that stand in for node status.
    margin_mm : float
        Width of the ring.
    modalities : tuple of str
        Those that it reads.
    """

    bundle_id: str
    digest: str
    experiment: str
    simulated: bool
    cohort: str
    contract: tuple[str, ...]
    contract_status: str
    proxies: tuple[str, ...]
    margin_mm: float
    modalities: tuple[str, ...]
