"""Augmentation: geometry applied to all of a case's images and masks together, intensity per modality.

Every draw is seeded by (seed, epoch, image id), never by a worker's state: a sample can be replayed from these three.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import albumentations as A
import cv2
import numpy as np

from usdlr.core.errors import ConfigError
from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import MODALITIES
from usdlr.data.samples import Sample

# Beyond this, gamma and speckle factors would reach zero.
MAX_INTENSITY = 4.0


@dataclass(frozen=True)
class AugmentSettings:
    """How strongly training samples are varied.

    Parameters
    ----------
    flip : float
        Chance of a left-right flip. Never up-down: depth has a direction.
    rotate_deg : float
        Largest rotation in degrees.
    scale : float
        Largest relative zoom; small, since size carries meaning.
    shift : float
        Largest shift as a share of the crop's side.
    intensity : float
        Strength of intensity changes: 0 none, 1 the defaults, at most 4.
    """

    flip: float = 0.5
    rotate_deg: float = 12.0
    scale: float = 0.1
    shift: float = 0.05
    intensity: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ConfigError(f"found augment.{name} = {value}, expected at least 0")
        if self.flip > 1 or self.scale >= 1 or self.shift >= 1:
            raise ConfigError("found augment.flip, scale or shift above 1, expected shares")
        if self.intensity > MAX_INTENSITY:
            raise ConfigError(f"found augment.intensity = {self.intensity}, expected at most {MAX_INTENSITY:g}")


def _echo(strength: float) -> list[Any]:
    """Gain, dynamic range and speckle of a B-mode image."""
    if strength == 0:
        return []
    step = 0.15 * strength
    return [
        A.RandomBrightnessContrast(brightness_limit=(-step, step), contrast_limit=(-step, step), p=0.7),
        A.RandomGamma(gamma_limit=(100 - 20 * strength, 100 + 25 * strength), p=0.5),
        A.MultiplicativeNoise(multiplier=(1 - 0.6 * step, 1 + 0.6 * step), elementwise=True, p=0.3),
    ]


def _stiffness(strength: float) -> list[Any]:
    """Measurement error of a stiffness map, common to all its pixels."""
    step = 0.1 * strength
    return [A.MultiplicativeNoise(multiplier=(1 - step, 1 + step), elementwise=False, p=0.5)] if strength else []


INTENSITY = {"echo": _echo, "stiffness": _stiffness}


class Augmenter:
    """Applies one recorded draw to a sample.

    Parameters
    ----------
    settings : AugmentSettings
        Strengths.
    seed : int
        Seed of the fit.
    """

    def __init__(self, settings: AugmentSettings, seed: int) -> None:
        self.seed = seed
        self._geometry = A.Compose(
            [
                A.HorizontalFlip(p=settings.flip),
                A.Affine(
                    rotate=(-settings.rotate_deg, settings.rotate_deg),
                    scale=(1 - settings.scale, 1 + settings.scale),
                    keep_ratio=True,  # taller than wide is a sign of malignancy: no zoom along one axis
                    translate_percent=(-settings.shift, settings.shift),
                    border_mode=cv2.BORDER_CONSTANT,
                    p=0.9,
                ),
            ],
            additional_targets={
                **{f"image_{name}": "image" for name in MODALITIES},
                **{f"weight_{name}": "image" for name in MODALITIES},
            },
            seed=seed,
        )
        self._intensity = {
            name: A.Compose(INTENSITY[modality.augmentation](settings.intensity), seed=seed)
            for name, modality in MODALITIES.items()
        }

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
        draw = derive_seed(self.seed, epoch, image_id)
        # albumentations wants one target called `image`; the first modality's crop stands in and is taken by name.
        first = next(iter(sample.images.values()))
        targets: dict[str, Any] = {"image": np.zeros((*first.shape, 1), np.float32)}
        for name, pixels in sample.images.items():
            low, high = MODALITIES[name].value_range
            unit = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low), 0.0, 1.0).astype(np.float32)
            _reseed(self._intensity[name], derive_seed(draw, name))
            varied = np.clip(self._intensity[name](image=unit[..., None])["image"], 0.0, 1.0)
            weight = np.isfinite(pixels).astype(np.float32)[..., None]
            targets |= {f"image_{name}": varied * weight, f"weight_{name}": weight}
        roi_names = list(sample.rois)
        targets["masks"] = np.stack([sample.rois[name].astype(np.uint8) for name in roi_names])
        _reseed(self._geometry, draw)
        moved = self._geometry(**targets)
        images = {}
        for name in sample.images:
            low, high = MODALITIES[name].value_range
            # Only pixels with a value count: a hole in the map must not bleed into its rim.
            weight = moved[f"weight_{name}"][..., 0]
            with np.errstate(invalid="ignore", divide="ignore"):
                values = low + moved[f"image_{name}"][..., 0] / weight * (high - low)
            images[name] = np.where(weight >= 0.5, values, np.nan).astype(np.float32)
        rois = {name: np.asarray(moved["masks"][index] > 0) for index, name in enumerate(roi_names)}
        return Sample(images, rois)


def _reseed(pipeline: A.Compose, seed: int) -> None:
    """Give every transform a stream of its own; albumentations gives them all the same, so that they move together."""
    pipeline.set_random_seed(seed)
    for position, transform in enumerate(pipeline.transforms):
        transform.set_random_seed(derive_seed(seed, position))
