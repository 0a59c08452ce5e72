"""What is measured, as one frozen record that is part of every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import Roi
from usdlr.imaging.rings import DEFAULT_MARGIN_MM

# Two-dimensional classes of PyRadiomics 3.0.1. Shape is the lesion's alone: a ring's shape repeats it.
CLASSES = ("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
# LBP2D is left out: PyRadiomics skips it silently without scikit-image.
IMAGE_TYPES = ("Original", "Wavelet", "LoG", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient")


@dataclass(frozen=True)
class RadiomicsSettings:
    """Radiomics settings.

    Parameters
    ----------
    rois : list of str
        Regions measured on every modality.
    image_types : list of str
        PyRadiomics image types.
    classes : list of str
        PyRadiomics feature classes.
    margin_mm : float
        Width of the peritumoral ring in mm.
    bin_count : int
        Number of grey levels over the ROI's range. A fixed count is recommended where the unit is arbitrary, as in
        B-mode, since gain and dynamic range then drop out.
    pixel_mm : float or None
        Side of the isotropic pixel to which image and mask are resampled, in mm; ``None`` measures on the image's
        own grid, which makes texture depend on the scanner's zoom.
    log_sigma_mm : list of float
        Widths of the Laplacian of Gaussian in mm, for the image type ``LoG``.
    min_pixels : int
        Smallest ROI, in pixels of the measured grid.
    """

    rois: list[str] = field(default_factory=lambda: [str(Roi.INTRATUMORAL), str(Roi.PERITUMORAL)])
    image_types: list[str] = field(default_factory=lambda: ["Original"])
    classes: list[str] = field(default_factory=lambda: list(CLASSES))
    margin_mm: float = DEFAULT_MARGIN_MM
    bin_count: int = 32
    pixel_mm: float | None = 0.1
    log_sigma_mm: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    min_pixels: int = 64

    def __post_init__(self) -> None:
        _require_known("radiomics.rois", self.rois, tuple(map(str, Roi)))
        _require_known("radiomics.image_types", self.image_types, IMAGE_TYPES)
        _require_known("radiomics.classes", self.classes, CLASSES)
        if not self.margin_mm > 0:
            raise ConfigError(f"found radiomics.margin_mm = {self.margin_mm}, expected more than 0 mm")
        if self.bin_count < 2:
            raise ConfigError(f"found radiomics.bin_count = {self.bin_count}, expected at least 2")
        if self.pixel_mm is not None and not 0.01 <= self.pixel_mm <= 1:
            raise ConfigError(f"found radiomics.pixel_mm = {self.pixel_mm}, expected 0.01 to 1 mm or null")
        if "LoG" in self.image_types and not (self.log_sigma_mm and min(self.log_sigma_mm) > 0):
            raise ConfigError(f"found radiomics.log_sigma_mm = {self.log_sigma_mm}, expected widths above 0 mm for LoG")
        if self.min_pixels < 4:
            raise ConfigError(f"found radiomics.min_pixels = {self.min_pixels}, expected at least 4")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def _require_known(key: str, found: list[str], known: tuple[str, ...]) -> None:
    if not found:
        raise ConfigError(f"found {key} empty, expected some of {', '.join(known)}")
    for name in found:
        if name not in known:
            raise ConfigError(f"found {key} = {name!r}, expected some of {', '.join(known)}")
