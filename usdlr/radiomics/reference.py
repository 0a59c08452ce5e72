"""The reference engine: PyRadiomics 3.0.1 on a two-dimensional image."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.naming import log_name, too_small_for_log
from usdlr.radiomics.settings import SHAPE, RadiomicsSettings

DIAGNOSTICS = "diagnostics_"


class PyRadiomicsEngine:
    """PyRadiomics 3.0.1 on a two-dimensional SimpleITK image (doi 10.1158/0008-5472.CAN-17-0339).

    The image is truly 2-D and ``force2D`` is off: a single-slice volume would silently lose LoG, and ``force2D`` on a
    2-D image makes the wavelet one-dimensional. PyRadiomics takes a region that fills the image for an empty one: it is
    measured with one more pixel of edge around the image, which filters see. Any other region is measured as it is.
    """

    def __init__(self, settings: RadiomicsSettings) -> None:
        self.settings = settings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        """Measure one image in its ROIs; see :meth:`usdlr.radiomics.engines.Engine.measure`."""
        return {name: self._one(pixels, roi, spacing, shape=name in shape) for name, roi in rois.items()}

    def _one(self, pixels: FloatArray, roi: BoolArray, spacing: Spacing, *, shape: bool) -> dict[str, float]:
        import SimpleITK

        if roi.all():  # PyRadiomics takes a mask of one value for an empty one
            pixels, roi = np.pad(pixels, 1, mode="edge"), np.pad(roi, 1)
        image = SimpleITK.GetImageFromArray(np.nan_to_num(pixels, nan=0.0).astype(np.float64))
        mask = SimpleITK.GetImageFromArray(roi.astype(np.uint8))
        target: Any
        for target in (image, mask):
            target.SetSpacing((spacing.col_mm, spacing.row_mm))  # SimpleITK puts columns (x) first
        try:
            raw = _extractor(self.settings, shape).execute(image, mask, label=1)
        except (ValueError, RuntimeError) as error:
            raise CaseError(
                ExclusionCode.FEATURES_FAILED,
                f"found PyRadiomics refuses the ROI of {int(roi.sum())} pixels ({error}); check image and contour",
            ) from error
        self._require_every_width(raw, roi)
        return {key.replace("_", "."): float(value) for key, value in raw.items() if not key.startswith(DIAGNOSTICS)}

    def _require_every_width(self, raw: Mapping[str, Any], roi: BoolArray) -> None:
        """PyRadiomics leaves out, without an error, a Laplacian of Gaussian that is wider than the image."""
        textures = set(self.settings.classes) - {SHAPE}
        for sigma in self.settings.log_sigma_mm if "LoG" in self.settings.image_types and textures else ():
            if not any(key.startswith(log_name(sigma)) for key in raw):
                raise too_small_for_log(roi.shape, sigma)


@lru_cache(maxsize=16)
def _extractor(settings: RadiomicsSettings, shape: bool) -> Any:
    """One extractor per settings and process; building it costs more than a small ROI."""
    try:
        from radiomics import featureextractor
    except ImportError as error:
        raise ConfigError(
            "found no PyRadiomics, expected it for radiomics.engine = pyradiomics; pip install usdlr[reference], "
            "or use the engine native"
        ) from error
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    extractor = featureextractor.RadiomicsFeatureExtractor(
        **_bins(settings.bin_width),
        **({"binCount": settings.bin_count} if settings.bin_width is None else {}),
        voxelArrayShift=settings.energy_shift,
        force2D=False,
        label=1,
        minimumROIDimensions=1,
        minimumROISize=settings.min_pixels - 1,  # PyRadiomics refuses a ROI of exactly this size
    )
    extractor.disableAllImageTypes()
    for name in settings.image_types:
        extractor.enableImageTypeByName(name, customArgs=_image_options(settings, name))
    extractor.disableAllFeatures()
    for name in settings.classes:
        if name == SHAPE and not shape:
            continue
        chosen = [feature.partition(".")[2] for feature in settings.features if feature.startswith(f"{name}.")]
        if chosen:
            extractor.enableFeaturesByName(**{name: chosen})
        elif not settings.features:
            extractor.enableFeatureClassByName(name)
    return extractor


def _bins(width: float | None) -> dict[str, Any]:
    # A width rules only where no count stands: the key must be None, not absent.
    return {} if width is None else {"binWidth": width, "binCount": None}


def _image_options(settings: RadiomicsSettings, name: str) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "LoG": {"sigma": list(settings.log_sigma_mm)},
        "Wavelet": {
            "wavelet": settings.wavelet,
            "level": settings.wavelet_level,
            "start_level": settings.wavelet_start_level,
        },
        "Gradient": {"gradientUseSpacing": settings.gradient_in_mm},
        "LBP2D": {
            "lbp2DRadius": settings.lbp_radius,
            "lbp2DSamples": settings.lbp_samples,
            "lbp2DMethod": settings.lbp_method,
        },
    }
    return options.get(name, {}) | _bins((settings.bin_width_of or {}).get(name))
