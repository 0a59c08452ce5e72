"""The native engine: PyRadiomics' names and values in two dimensions, without PyRadiomics and without a compiler.

Filters run once per image and serve all of its regions; grey levels are cut once per region and version; all texture
matrices come from one pass over the region's box, and every class from its matrices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.native import classes
from usdlr.radiomics.native.correlation import maximal_correlation
from usdlr.radiomics.native.discretise import discretise
from usdlr.radiomics.native.filters import FilteredImage
from usdlr.radiomics.native.laplacian import Box
from usdlr.radiomics.native.matrices import matrices
from usdlr.radiomics.native.shape import SHAPE2D, shape2d
from usdlr.radiomics.settings import SHAPE, RadiomicsSettings

Doubles = npt.NDArray[np.float64]

_FROM_MATRICES = {
    "glcm": (classes.GLCM, classes.glcm),
    "glrlm": (classes.GLRLM, classes.glrlm),
    "glszm": (classes.GLSZM, classes.glszm),
    "gldm": (classes.GLDM, classes.gldm),
    "ngtdm": (classes.NGTDM, classes.ngtdm),
}


@dataclass(frozen=True)
class _Region:
    """A region within the box that all regions of an image share."""

    window: tuple[slice, slice]
    inside: npt.NDArray[np.bool_]


class NativeEngine:
    """Measures in two dimensions what PyRadiomics 3.0.1 measures (doi 10.1158/0008-5472.CAN-17-0339)."""

    def __init__(self, settings: RadiomicsSettings) -> None:
        self.settings = settings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        """Measure one image in its ROIs; see :meth:`usdlr.radiomics.engines.Engine.measure`."""
        if not rois:
            return {}
        boxes = {name: self._box(roi) for name, roi in rois.items()}
        top, bottom = min(box[0] for box in boxes.values()), max(box[1] for box in boxes.values())
        left, right = min(box[2] for box in boxes.values()), max(box[3] for box in boxes.values())
        whole = np.where(np.isnan(pixels), 0.0, pixels).astype(np.float64)
        if not np.isfinite(whole).all():
            raise CaseError(
                ExclusionCode.FEATURES_FAILED,
                f"found {int(np.isinf(whole).sum())} infinite intensities, expected finite ones; check the image",
            )
        filtered = FilteredImage(whole, spacing, (top, bottom, left, right), self.settings)
        regions = {
            name: _Region(
                (slice(box[0] - top, box[1] - top), slice(box[2] - left, box[3] - left)),
                np.ascontiguousarray(rois[name][box[0] : box[1], box[2] : box[3]]),
            )
            for name, box in boxes.items()
        }
        out: dict[str, dict[str, float]] = {name: {} for name in rois}
        for name in shape:
            if SHAPE in self.settings.classes and name in regions:
                out[name] |= self._named("original", SHAPE, SHAPE2D, shape2d(regions[name].inside, spacing))
        # Eigenvalues are found for all versions of a region together.
        stacks: dict[str, list[tuple[str, Doubles]]] = {name: [] for name in rois}
        for image_type, version, values in filtered.versions():
            for name, region in regions.items():
                found, stack = self._textures(values[region.window], region.inside, image_type, version, spacing)
                out[name] |= found
                if stack is not None:
                    stacks[name].append((f"{version}.glcm.MCC", stack))
        for name, waiting in stacks.items():
            for (key, _), value in zip(waiting, maximal_correlation([stack for _, stack in waiting]), strict=True):
                out[name][key] = value
        return out

    def _box(self, roi: BoolArray) -> Box:
        """First row, row after the last, first column, column after the last.

        Raises
        ------
        CaseError
            If the region is smaller than the settings allow, or a single pixel.
        """
        count = int(np.count_nonzero(roi))
        needed = max(self.settings.min_pixels, 2)  # a single pixel has no texture
        if count < needed:
            raise CaseError(
                ExclusionCode.FEATURES_FAILED,
                f"found a ROI of {count} pixels, expected at least {needed}; check image and contour",
            )
        rows, cols = np.flatnonzero(roi.any(axis=1)), np.flatnonzero(roi.any(axis=0))
        return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1

    def _textures(
        self, part: npt.NDArray[Any], inside: npt.NDArray[np.bool_], image_type: str, version: str, spacing: Spacing
    ) -> tuple[dict[str, float], Doubles | None]:
        """Features of one version of the image in one region; the co-occurrence matrices where MCC is wanted."""
        settings = self.settings
        wanted = [name for name in settings.classes if name != SHAPE]
        if not wanted:
            return {}, None
        box = np.ascontiguousarray(part)
        width = settings.bin_width_for(image_type)
        levels = discretise(box, inside, count=settings.bin_count, width=width)
        found = matrices(levels) if any(name in _FROM_MATRICES for name in wanted) else None
        out: dict[str, float] = {}
        stack = None
        for name in wanted:
            if name == "firstorder":
                values = classes.firstorder(box[inside], levels.counts, spacing.pixel_area_mm2, settings.energy_shift)
                out |= self._named(version, name, classes.FIRSTORDER, values)
                continue
            assert found is not None
            names, compute = _FROM_MATRICES[name]
            out |= self._named(version, name, names, compute(found))
            if f"{version}.glcm.MCC" in out and name == "glcm":
                stack = classes.used_directions(found.co_occurrence)
        return out, stack

    def _named(self, version: str, cls: str, names: tuple[str, ...], values: Doubles) -> dict[str, float]:
        chosen = self.settings.features
        return {
            f"{version}.{cls}.{name}": float(value)
            for name, value in zip(names, values, strict=True)
            if not chosen or f"{cls}.{name}" in chosen
        }
