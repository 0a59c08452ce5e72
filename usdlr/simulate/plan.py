"""Which image sets a cohort consists of: patients, lesions and views, decided before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.hashing import derive_seed
from usdlr.core.types import ElastographyKind, Site
from usdlr.core.units import Spacing
from usdlr.simulate.centres import Centre
from usdlr.simulate.cohort import draw_cohort, draw_second_lesions
from usdlr.simulate.latents import LATENTS, NODE_LATENTS
from usdlr.simulate.node_tissue import node_shape
from usdlr.simulate.scenario import Scenario

OTHER_VIEW = {"radial": "antiradial", "antiradial": "radial"}
LETTERS = "abcd"
NODE_VIEWS = {"e": "longitudinal", "f": "oblique"}
NODE = "node1"  # lesion_id of the lymph node
# Where a quadrant lies on the clock as one looks at the breast; the nipple has no hour.
CLOCK_HOURS = {
    "left": {"upper outer": 2, "upper inner": 10, "lower outer": 4, "lower inner": 8},
    "right": {"upper outer": 10, "upper inner": 2, "lower outer": 8, "lower inner": 4},
}


class ExportFormat(StrEnum):
    """How a centre hands its images over."""

    PNG = "png"  # pictures of tissue alone, stiffness as numbers
    DICOM = "dicom"  # screens as a scanner stores them, stiffness as colours


@dataclass(frozen=True)
class ImageSet:
    """What it takes to render one image set.

    Parameters
    ----------
    out : Path
        The cohort's folder.
    format : ExportFormat
        What is written.
    centre : Centre
        Scanner and readers.
    patient_id : str
        As every table holds it.
    image_id : str
        The image set's own id, stem of its files.
    lesion_id : str
        ``1`` is the largest lesion of the axilla, ``node1`` its lymph node.
    side, view : str
        What the screen says.
    clock_hour : int or None
        Where the lesion lies, for the screen's annotation; ``None``: not stated.
    seed : int
        Seed of the cohort.
    elasto_kind : ElastographyKind or None
        Which elastography was done, if any.
    second_reader : bool
        Whether the second reader contours the lesion too.
    latents : mapping of str to float
        The lesion's or node's latents in physical units.
    site : Site
        What the images show.
    """

    out: Path
    format: ExportFormat
    centre: Centre
    patient_id: str
    image_id: str
    lesion_id: str
    side: str
    view: str
    clock_hour: int | None
    seed: int
    elasto_kind: ElastographyKind | None
    second_reader: bool
    latents: dict[str, float] = field(hash=False)
    site: Site = Site.TUMOUR

    @property
    def size_mm(self) -> float:
        """Longest diameter of what is imaged, the lesion or the node."""
        return self.latents["size_mm"] if self.site is Site.TUMOUR else node_shape(self.latents).length_mm

    @property
    def spacing(self) -> Spacing:
        """Millimetres per pixel at the depth setting that fits the lesion."""
        return self.centre.spacing_for(self.size_mm)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the image: how deep the operator looks differs from image to image."""
        return self.centre.shape_for(self.size_mm, float(self.random("depth").uniform()))

    @property
    def source_id(self) -> str:
        """The id under which ingest knows the row: a further lesion is named."""
        return self.image_id if self.lesion_id == "1" else f"{self.image_id}-{self.lesion_id}"

    @property
    def folder(self) -> str:
        """Where the images are, relative to the cohort's folder."""
        return f"images/{self.centre.name}"

    @property
    def record_path(self) -> Path:
        """Where it is written down that the image set is whole."""
        return self.out / ".rendered" / self.centre.name / f"{self.image_id}.json"

    def random(self, step: str) -> np.random.Generator:
        """The random stream of one step: a change in one step leaves the others' draws as they were."""
        return np.random.default_rng(derive_seed(self.seed, "image", self.image_id, step))


@dataclass(frozen=True)
class Plan:
    """A cohort before it is rendered.

    Parameters
    ----------
    patients : DataFrame
        One row per axilla, as :func:`usdlr.simulate.cohort.draw_cohort` gives it.
    image_sets : tuple of ImageSet
        In the order of the manifest.
    """

    patients: pd.DataFrame
    image_sets: tuple[ImageSet, ...]


def plan_cohort(
    out: Path, centres: Sequence[Centre], patients: int, seed: int, scenario: Scenario, export: ExportFormat
) -> Plan:
    """Draw the patients and list their image sets.

    Parameters
    ----------
    out : Path
        The cohort's folder.
    centres : sequence of Centre
        The patients are spread evenly over them.
    patients : int
        In all.
    seed : int
        Seed of every draw.
    scenario : Scenario
        The structural model.
    export : ExportFormat
        What is written.
    """
    tables: list[pd.DataFrame] = []
    image_sets: list[ImageSet] = []
    for number, centre in enumerate(centres):
        share = patients // len(centres) + (number < patients % len(centres))
        table = draw_cohort(centre, share, seed, scenario)
        second = draw_second_lesions(centre, table, seed, scenario)
        tables.append(table)
        lesions = [table[list(LATENTS)].to_dict("records"), second.to_dict("records")]
        columns = [
            "patient_id",
            "side",
            "location",
            "view",
            "has_elasto",
            "is_strain",
            "has_second_view",
            "has_second_lesion",
        ]
        rows = table[[*columns, "has_second_reader"]].itertuples(index=False, name=None)
        for row, (patient_id, side, location, view, has_elasto, is_strain, two_views, two_lesions, reader) in enumerate(
            rows
        ):
            views = [view, OTHER_VIEW[view]] if two_views else [view]
            kind = (ElastographyKind.STRAIN if is_strain else ElastographyKind.SWE) if has_elasto else None
            pictures = [(lesion, plane) for lesion in (1, 2)[: 1 + two_lesions] for plane in views]
            for letter, (lesion, plane) in zip(LETTERS, pictures, strict=False):
                latents = {str(name): float(value) for name, value in lesions[lesion - 1][row].items()}
                image_sets.append(
                    ImageSet(
                        out=out,
                        format=export,
                        centre=centre,
                        patient_id=patient_id,
                        image_id=f"{patient_id}-{letter}",
                        lesion_id=str(lesion),
                        side=side,
                        view=plane,
                        clock_hour=CLOCK_HOURS[side].get(location) if lesion == 1 else None,
                        seed=seed,
                        elasto_kind=kind,
                        second_reader=bool(reader),
                        latents=latents,
                    )
                )
            if scenario.nodes.imaged:
                image_sets += _node_images(image_sets[-1], table.iloc[row])
    return Plan(pd.concat(tables, ignore_index=True), tuple(image_sets))


def _node_images(beside: ImageSet, patient: pd.Series) -> list[ImageSet]:
    """The image sets of a patient's lymph node: made in the examination that ``beside`` is of, in their own planes."""
    count = int(patient["has_node_image"]) + int(patient["has_second_node_view"])
    latents = {name: float(patient[name]) for name in NODE_LATENTS}
    node = replace(beside, lesion_id=NODE, clock_hour=None, latents=latents, site=Site.AXILLA)
    stem = beside.patient_id
    return [replace(node, image_id=f"{stem}-{key}", view=view) for key, view in [*NODE_VIEWS.items()][:count]]
