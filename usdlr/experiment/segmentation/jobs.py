"""The long work of an experiment on outlines, each piece in a process of its own: a fit, and outlining a part."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.torch import save_file

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_atomic
from usdlr.core.hashing import derive_seed
from usdlr.core.journal import timed
from usdlr.core.leak import Rows
from usdlr.core.types import Split
from usdlr.data.segmentation import Frame, read_frames
from usdlr.data.segmentation.background import background_of
from usdlr.experiment.segmentation.config import SegmentationConfig
from usdlr.experiment.segmentation.layout import DEVELOPMENT, OutlineLayout
from usdlr.imaging.image import BoolArray
from usdlr.imaging.prompt import Prompt
from usdlr.inference.segmentation.files import read_network
from usdlr.inference.segmentation.segmenter import Outlined, Picture, Segmenter
from usdlr.ingest.splits import read_splits
from usdlr.tasks.segmentation.fit import fit_outliner

# How an image was outlined: at one look, with the closer look as the bundle does, as that but the likeliest lesion
# alone and whatever its score, or after a reader's box.
WHOLE, CLOSER, LIKELIEST, BOX = "whole", "closer", "likeliest", "box"
WAYS = (WHOLE, CLOSER, LIKELIEST, BOX)
COLUMNS = (
    "image_id",
    "patient_id",
    "kind",
    "way",
    "number",
    "score",
    "short_axis",
    "area_px",
    "presence",
    "why",
)
# What an image is: with a lesion, a source's own image without one, or tissue cut from beside a lesion.
LESION, FREE, BACKGROUND = "lesion", "lesion_free", "background"


@dataclass(frozen=True)
class OutlineFitJob:
    """One fold's fit.

    Parameters
    ----------
    config : SegmentationConfig
        The experiment.
    out : Path
        Its folder.
    fold : str
        Which fold.
    """

    config: SegmentationConfig
    out: Path
    fold: str

    @property
    def step(self) -> str:
        """Its name in the journal."""
        return f"fit-{self.fold}"

    @property
    def target(self) -> Path:
        """What it writes."""
        return OutlineLayout(self.out).weights(self.fold)

    @property
    def folder(self) -> Path:
        """Where it works."""
        return self.target.parent

    def run(self) -> tuple[float, float]:
        """Fit, and say when that began and ended."""
        return timed(self._fit)[1]

    def _fit(self) -> None:
        layout, config = OutlineLayout(self.out), self.config
        frames, split = development(layout)
        of_fold = split[self.fold]
        learned = [frame for frame in frames if of_fold[frame.patient_id] == Split.TRAIN]
        folder = self.folder
        weights = fit_outliner(
            learned,
            Rows.of([frame.patient_id for frame in learned], [of_fold[frame.patient_id] for frame in learned]),
            network=config.network,
            settings=config.fit,
            seed=derive_seed(config.seed, "outline fit", self.fold),
            folder=folder / "fit",
            name=f"fold {self.fold}",
            threads=config.threads,
        )
        metrics = folder / "fit" / "csv" / "metrics.csv"
        if metrics.is_file():
            shutil.copyfile(metrics, folder / "metrics.csv")
        write_atomic(self.target, lambda target: save_file(weights, target))
        shutil.rmtree(folder / "fit")


@dataclass(frozen=True)
class OutlineJob:
    """Outlining the test images of a fold, or an external source.

    Parameters
    ----------
    config : SegmentationConfig
        The experiment.
    out : Path
        Its folder.
    part : str
        A fold, or an external source.
    """

    config: SegmentationConfig
    out: Path
    part: str

    @property
    def step(self) -> str:
        """Its name in the journal."""
        return f"outlines-{self.part}"

    @property
    def external(self) -> bool:
        """Whether it is an external source."""
        return self.part in self.config.data.external

    @property
    def outputs(self) -> list[Path]:
        """What it writes."""
        layout = OutlineLayout(self.out)
        return [layout.outlines(self.part), layout.masks(self.part)]

    def members(self) -> list[str]:
        """The folds whose networks outline it: a fold's own, or all."""
        return [str(fold) for fold in range(self.config.folds)] if self.external else [self.part]

    def run(self) -> tuple[float, float]:
        """Outline, and say when that began and ended."""
        return timed(self._outline)[1]

    def _outline(self) -> None:
        layout, config = OutlineLayout(self.out), self.config
        networks = [read_network(layout.weights(fold), config.network) for fold in self.members()]
        closer = Segmenter(networks, config.lesions)
        whole = Segmenter(networks, config.lesions, scales=(1.0,), closer=False)
        rows: list[dict[str, Any]] = []
        masks: dict[str, npt.NDArray[np.uint8]] = {}
        for kind, frame in self.frames():
            picture = Picture(frame.grey, frame.spacing, frame.aspect)
            ways = {WHOLE: whole.find(picture), CLOSER: closer.find(picture)}
            ways[LIKELIEST] = closer.likeliest(picture, ways[CLOSER])
            if kind == LESION:
                ways[BOX] = closer.follow(picture, Prompt(lesion_box(frame)))
            for way, found in ways.items():
                rows += _rows(frame, kind, way, found)
                masks[f"{way}/{frame.image_id}"] = found.labels.astype(np.uint8)
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        write_atomic(layout.outlines(self.part), lambda target: table.to_parquet(target, index=False))
        write_atomic(layout.masks(self.part), lambda target: _save(target, masks))

    def frames(self) -> list[tuple[str, Frame]]:
        """The part's images and what they are."""
        layout = OutlineLayout(self.out)
        if self.external:
            frames = _frames(tables.CASES.read(layout.cases(self.part)), layout.ingested(self.part))
            return [*of_kind(frames), *free_frames(layout, self.part)]
        everything, split = development(layout)
        of_fold = split[self.part]
        frames = [frame for frame in everything if of_fold[frame.patient_id] == Split.TEST]
        # The source's own images without a lesion are nobody's of the folds: the first one takes them.
        free = free_frames(layout, DEVELOPMENT) if self.part == "0" else []
        return [*of_kind(frames), *free]


def of_kind(frames: Sequence[Frame]) -> list[tuple[str, Frame]]:
    """Images with a lesion, and the background that can be cut from them."""
    cut = [background_of(frame) for frame in frames]
    return [
        *((LESION, frame) for frame in frames),
        *((BACKGROUND, frame) for frame in cut if frame is not None),
    ]


def free_frames(layout: OutlineLayout, source: str) -> list[tuple[str, Frame]]:
    """A source's own images without a lesion."""
    free = tables.CASES.read(layout.lesion_free(source))
    frames = _frames(free, layout.ingested(source), outlined=False) if len(free) else []
    return [(FREE, frame) for frame in frames]


def development(layout: OutlineLayout) -> tuple[list[Frame], dict[str, dict[str, str]]]:
    """The development images, and every patient's split by fold."""
    cases = tables.CASES.read(layout.cases(DEVELOPMENT))
    frames = _frames(cases, layout.ingested(DEVELOPMENT))
    splits = read_splits(layout.splits, sorted(cases["patient_id"].astype(str).unique()))
    by_fold = {
        str(fold): dict(zip(part["patient_id"].astype(str), part["split"].astype(str), strict=True))
        for fold, part in splits.groupby("fold")
    }
    return frames, by_fold


def _frames(cases: pd.DataFrame, root: Path, *, outlined: bool = True) -> list[Frame]:
    """Every picture of a table that this run has written: one that cannot be read is a fault, not a gap."""
    frames, failures = read_frames(cases, root, outlined=outlined)
    for place, error in failures.items():
        raise DataError(f"{error.sentence} (image {cases['image_id'].iloc[place]}, in {root}); give the command again")
    return frames


def largest_lesion(frame: Frame) -> BoolArray:
    """The lesion of an image that a box is drawn around, (rows, columns).

    Raises
    ------
    ConfigError
        If the image has none.
    """
    numbers, areas = np.unique(frame.lesions[frame.lesions > 0], return_counts=True)
    if not len(numbers):
        raise ConfigError(f"found no lesion in {frame.image_id}, expected one to draw a box around")
    return np.asarray(frame.lesions == numbers[int(areas.argmax())])


def lesion_box(frame: Frame) -> tuple[float, float, float, float]:
    """The box of an image's largest lesion, as a reader would draw it."""
    mask = largest_lesion(frame)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(rows[0]), float(cols[0]), float(rows[-1] - rows[0] + 1), float(cols[-1] - cols[0] + 1)


def _rows(frame: Frame, kind: str, way: str, found: Outlined) -> list[dict[str, Any]]:
    """One row per lesion; one with the number 0 where nothing was found."""
    common = {
        "image_id": frame.image_id,
        "patient_id": frame.patient_id,
        "kind": kind,
        "way": way,
        "presence": found.presence,
        "why": found.why,
    }
    if not found.lesions:
        return [{**common, "number": 0, "score": np.nan, "short_axis": np.nan, "area_px": 0}]
    return [
        {
            **common,
            "number": lesion.number,
            "score": lesion.score,
            "short_axis": lesion.short_axis,
            "area_px": lesion.area_px,
        }
        for lesion in found.lesions
    ]


def _save(target: Path, masks: dict[str, npt.NDArray[np.uint8]]) -> None:
    with target.open("wb") as stream:
        np.savez_compressed(stream, **masks)  # type: ignore[arg-type]  # numpy types the options, not the arrays
