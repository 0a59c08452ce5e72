"""Draw a record, apply a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import MODALITIES, Modality
from usdlr.data.augment.geometry import draw_geometry, move
from usdlr.data.augment.parts import PARTS, pipeline
from usdlr.data.augment.record import Change, Record
from usdlr.data.augment.settings import AugmentSettings
from usdlr.data.samples import Sample
from usdlr.imaging.image import FloatArray


def draw(settings: AugmentSettings, seed: int, epoch: int, image_id: str) -> Record:
    """What happens to an image in an epoch: the same four arguments give the same record on every machine.

    Parameters
    ----------
    settings : AugmentSettings
        Strengths.
    seed : int
        Seed of the fit.
    epoch : int
        Epoch of the fit.
    image_id : str
        Which image.
    """
    # A stream per modality: one more in the registry changes nothing for the others.
    intensity = {
        name: draw_changes(modality, settings, _stream(seed, epoch, image_id, name))
        for name, modality in MODALITIES.items()
    }
    return Record(draw_geometry(_stream(seed, epoch, image_id), settings), intensity)


def draw_changes(modality: Modality, settings: AugmentSettings, random: Random) -> tuple[Change, ...]:
    """What happens to the intensities of one image of a modality."""
    done = []
    for transform in pipeline(modality.augmentation, settings).transforms:
        happens = random.random() < transform.p
        values = transform.part.draw(random, transform.strength)
        if happens:
            done.append(Change(transform.name, values))
    return tuple(done)


def apply(record: Record, sample: Sample) -> Sample:
    """The sample that a record describes; the given one is not changed.

    Intensity comes first, in the image as it was acquired, with sound running along the rows; then geometry, once.
    """
    images = {}
    for name, pixels in sample.images.items():
        modality = name.partition("@")[0]
        changes = record.intensity.get(modality, ())
        images[name] = change_pixels(pixels, sample.pixel_mm, MODALITIES[modality], changes) if changes else pixels
    return move(replace(sample, images=images), record.geometry)


def _stream(*parts: object) -> Random:
    return Random(derive_seed(*parts))  # noqa: S311  # nothing here is a secret, and its streams are documented


def change_pixels(pixels: FloatArray, pixel_mm: float, modality: Modality, changes: Sequence[Change]) -> FloatArray:
    """An image of a modality, in its unit, after intensity changes; ``pixel_mm`` millimetres per pixel."""
    low, high = (np.float32(limit) for limit in modality.value_range)
    parts = PARTS[modality.augmentation]
    unit = np.clip((pixels - low) / (high - low), 0.0, 1.0)
    for change in changes:
        unit = parts[change.part].change(unit, pixel_mm, **change.values)
    return np.asarray(np.clip(unit, 0.0, 1.0) * (high - low) + low, dtype=np.float32)


class Augmenter:
    """Varies samples, each by a record that can be had beforehand.

    Parameters
    ----------
    settings : AugmentSettings
        Strengths.
    seed : int
        Seed of the fit.
    """

    def __init__(self, settings: AugmentSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def record(self, epoch: int, image_id: str) -> Record:
        """What :meth:`__call__` does to an image in an epoch."""
        return draw(self.settings, self.seed, epoch, image_id)

    def __call__(self, sample: Sample, epoch: int, image_id: str) -> Sample:
        """Vary one sample; the same epoch and image id give the same result.

        Parameters
        ----------
        sample : Sample
            Not changed.
        epoch : int
            Epoch of the fit.
        image_id : str
            Which image.
        """
        return apply(self.record(epoch, image_id), sample)
