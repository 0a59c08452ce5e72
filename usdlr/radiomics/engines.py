"""Engines that measure one image in one ROI, behind one protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import numpy as np

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.settings import RadiomicsSettings

PYRADIOMICS = "pyradiomics"
DIAGNOSTICS = "diagnostics_"


class Engine(Protocol):
    """Measures features."""

    def measure(self, pixels: FloatArray, roi: BoolArray, spacing: Spacing, *, shape: bool) -> dict[str, float]:
        """Measure one image in one ROI.

        Parameters
        ----------
        pixels : float32 array, (rows, columns)
            Finite inside the ROI.
        roi : bool array, (rows, columns)
            Where to measure.
        spacing : Spacing
            Of both arrays.
        shape : bool
            Whether to measure the ROI's shape too.

        Returns
        -------
        dict of str to float
            By ``{image_type}.{class}.{feature}``.

        Raises
        ------
        CaseError
            If the ROI cannot be measured.
        """
        ...


class PyRadiomicsEngine:
    """PyRadiomics 3.0.1 on a two-dimensional SimpleITK image (doi 10.1158/0008-5472.CAN-17-0339).

    The image is truly 2-D and ``force2D`` is off: a single-slice volume would silently lose LoG, and ``force2D`` on a
    2-D image makes the wavelet one-dimensional.
    """

    def __init__(self, settings: RadiomicsSettings) -> None:
        self.settings = settings

    def measure(self, pixels: FloatArray, roi: BoolArray, spacing: Spacing, *, shape: bool) -> dict[str, float]:
        """Measure one image in one ROI; see :meth:`Engine.measure`."""
        import SimpleITK

        if roi.all():  # PyRadiomics takes a mask of one value for an empty one
            pixels, roi = np.pad(pixels, 1, mode="edge"), np.pad(roi, 1)
        image = SimpleITK.GetImageFromArray(np.nan_to_num(pixels, nan=0.0).astype(np.float64))
        mask = SimpleITK.GetImageFromArray(roi.astype(np.uint8))
        target: Any
        for target in (image, mask):
            target.SetSpacing((spacing.col_mm, spacing.row_mm))  # SimpleITK puts columns (x) first
        try:
            raw = _extractor(_frozen(self.settings), shape).execute(image, mask, label=1)
        except (ValueError, RuntimeError) as error:
            raise CaseError(
                ExclusionCode.FEATURES_FAILED,
                f"found PyRadiomics refuses the ROI of {int(roi.sum())} pixels ({error}); check image and contour",
            ) from error
        self._require_every_width(raw, roi)
        return {key.replace("_", "."): float(value) for key, value in raw.items() if not key.startswith(DIAGNOSTICS)}

    def _require_every_width(self, raw: Mapping[str, Any], roi: BoolArray) -> None:
        """PyRadiomics leaves out, without an error, a Laplacian of Gaussian that is wider than the image."""
        for sigma in self.settings.log_sigma_mm if "LoG" in self.settings.image_types else ():
            prefix = f"log-sigma-{str(sigma).replace('.', '-')}-mm"
            if not any(key.startswith(prefix) for key in raw):
                raise CaseError(
                    ExclusionCode.FEATURES_FAILED,
                    f"found an image of {roi.shape[0]} x {roi.shape[1]} pixels around the ROI, too small for a "
                    f"Laplacian of Gaussian of {sigma} mm; use a smaller radiomics.log_sigma_mm",
                )


def _frozen(settings: RadiomicsSettings) -> tuple[tuple[str, Any], ...]:
    return tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in settings.as_dict().items())


@cache
def _extractor(frozen: tuple[tuple[str, Any], ...], shape: bool) -> Any:
    """One extractor per settings and process; building it costs more than a small ROI."""
    try:
        from radiomics import featureextractor
    except ImportError as error:
        raise ConfigError(
            "found no PyRadiomics, expected it for radiomics.engine = pyradiomics; pip install usdlr[radiomics]"
        ) from error
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    settings = dict(frozen)
    extractor = featureextractor.RadiomicsFeatureExtractor(
        binCount=settings["bin_count"],
        force2D=False,
        label=1,
        minimumROIDimensions=1,
        minimumROISize=settings["min_pixels"] - 1,  # PyRadiomics refuses a ROI of exactly this size
    )
    extractor.disableAllImageTypes()
    for name in settings["image_types"]:
        extra = {"sigma": list(settings["log_sigma_mm"])} if name == "LoG" else {}
        extractor.enableImageTypeByName(name, customArgs=extra)
    extractor.disableAllFeatures()
    for name in settings["classes"]:
        if name != "shape2D" or shape:
            extractor.enableFeatureClassByName(name)
    return extractor


ENGINES: dict[str, type[PyRadiomicsEngine]] = {PYRADIOMICS: PyRadiomicsEngine}


def build_engine(name: str, settings: RadiomicsSettings) -> Engine:
    """The engine called ``name``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in ENGINES:
        raise ConfigError(f"found engine {name!r}, expected one of {', '.join(ENGINES)}")
    return ENGINES[name](settings)
