"""Engines that measure one image in several ROIs, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.catalogue import features as catalogue
from usdlr.radiomics.settings import RadiomicsSettings

NATIVE = "native"
PYRADIOMICS = "pyradiomics"
DEFAULT_ENGINE = NATIVE


class Engine(Protocol):
    """Measures features."""

    settings: RadiomicsSettings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        """Measure one image in its ROIs; every filter runs once for all of them.

        Parameters
        ----------
        pixels : float array, (rows, columns)
            Finite inside the ROIs; not-a-number elsewhere reads as 0.
        rois : mapping of str to bool array, (rows, columns)
            Where to measure.
        spacing : Spacing
            Of all arrays.
        shape : collection of str
            ROIs whose shape is measured too.

        Returns
        -------
        dict of str to dict of str to float
            By ROI, then by ``{image_type}.{class}.{feature}``.

        Raises
        ------
        CaseError
            If a ROI cannot be measured.
        """
        ...


def _native(settings: RadiomicsSettings) -> Engine:
    from usdlr.radiomics.native.engine import NativeEngine

    return NativeEngine(settings)


def _pyradiomics(settings: RadiomicsSettings) -> Engine:
    from usdlr.radiomics.reference import PyRadiomicsEngine

    return PyRadiomicsEngine(settings)


ENGINES: dict[str, Callable[[RadiomicsSettings], Engine]] = {NATIVE: _native, PYRADIOMICS: _pyradiomics}


def build_engine(name: str, settings: RadiomicsSettings) -> Engine:
    """The engine called ``name``.

    Raises
    ------
    ConfigError
        If there is none, its libraries are not installed, or the settings name a feature that does not exist.
    """
    if name not in ENGINES:
        raise ConfigError(f"found engine {name!r}, expected one of {', '.join(ENGINES)}")
    for chosen in settings.features:
        catalogue.feature(*chosen.split(".", 1))
    return ENGINES[name](settings)
