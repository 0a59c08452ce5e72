"""What is measured, as one frozen record that is part of every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.hashing import data_hash
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.types import Roi
from usdlr.imaging.rings import DEFAULT_MARGIN_MM

# Two-dimensional classes of PyRadiomics 3.0.1. Shape is the lesion's alone: a ring's shape repeats it.
SHAPE = "shape2D"
CLASSES = (SHAPE, "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
IMAGE_TYPES = (
    "Original",
    "Wavelet",
    "LoG",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP2D",
)
LBP_METHODS = ("default", "ror", "uniform", "nri_uniform", "var")
DEFAULT_BIN_COUNT = 32
# Matrices grow with the square of the number of levels.
MAX_BIN_COUNT = 2048
# Far beyond any breast, and any detail.
MAX_MARGIN_MM = 100.0
MIN_SIGMA_MM = 0.01
MIN_BIN_WIDTH = 1e-9


@dataclass(frozen=True)
class RadiomicsSettings:
    """Radiomics settings.

    Parameters
    ----------
    modalities : tuple of str
        Modalities that are measured, by default all. The lesion's shape counts as B-mode's: it needs ``bmode``.
    rois : tuple of str
        Regions measured on every modality.
    image_types : tuple of str
        PyRadiomics image types.
    classes : tuple of str
        PyRadiomics feature classes.
    features : tuple of str
        ``{class}.{feature}`` to which the classes are restricted; empty measures all of them.
    margin_mm : float
        Width of the peritumoral ring in mm.
    bin_count : int or None
        Number of grey levels over the ROI's range. A fixed count is recommended where the unit is arbitrary, as in
        B-mode, since gain and dynamic range then drop out. ``None`` with ``bin_width``.
    bin_width : float or None
        Width of a grey level in the image's unit, with edges at its multiples; ``bin_count`` must then be ``None``.
    bin_width_of : dict of str to float
        Widths of single image types, e.g. ``{LBP2D: 1.0}``, whatever holds for the others.
    normalize : bool
        Standardise the image by the mean and the standard deviation of its field of view before it is resampled.
    normalize_scale : float
        Standard deviation after ``normalize``.
    remove_outliers : float or None
        Clip at this many standard deviations after ``normalize``.
    energy_shift : float
        Added to every intensity before it is squared in the energies and the root mean square (PyRadiomics'
        ``voxelArrayShift``), where intensities may be negative.
    pixel_mm : float or None
        Side of the isotropic pixel to which image and mask are resampled, in mm; ``None`` measures on the image's
        own grid, which makes texture depend on the scanner's zoom.
    log_sigma_mm : tuple of float
        Widths of the Laplacian of Gaussian in mm, for the image type ``LoG``.
    wavelet : str
        PyWavelets' name of a discrete wavelet, for ``Wavelet``.
    wavelet_level, wavelet_start_level : int
        Number of levels, and how many are passed over first.
    gradient_in_mm : bool
        Whether ``Gradient`` is per mm, or per pixel.
    lbp_radius, lbp_samples, lbp_method : float, int, str
        Neighbourhood of ``LBP2D`` in pixels and scikit-image's name of the pattern.
    min_pixels : int
        Smallest ROI, in pixels of the measured grid.
    min_area_mm2 : float
        Smallest ROI, in mm².
    """

    modalities: tuple[str, ...] = tuple(MODALITIES)
    rois: tuple[str, ...] = (str(Roi.INTRATUMORAL), str(Roi.PERITUMORAL))
    image_types: tuple[str, ...] = ("Original",)
    classes: tuple[str, ...] = CLASSES
    features: tuple[str, ...] = ()
    margin_mm: float = DEFAULT_MARGIN_MM
    bin_count: int | None = DEFAULT_BIN_COUNT
    bin_width: float | None = None
    bin_width_of: dict[str, float] | None = None
    normalize: bool = False
    normalize_scale: float = 1.0
    remove_outliers: float | None = None
    energy_shift: float = 0.0
    pixel_mm: float | None = 0.1
    log_sigma_mm: tuple[float, ...] = (0.5, 1.0, 2.0)
    wavelet: str = "coif1"
    wavelet_level: int = 1
    wavelet_start_level: int = 0
    gradient_in_mm: bool = True
    lbp_radius: float = 1.0
    lbp_samples: int = 8
    lbp_method: str = "uniform"
    min_pixels: int = 64
    min_area_mm2: float = 0.0

    def __post_init__(self) -> None:
        for name in ("modalities", "rois", "image_types", "classes", "features", "log_sigma_mm"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON and YAML give lists
        _require_known("radiomics.modalities", self.modalities, tuple(MODALITIES))
        _require_known("radiomics.rois", self.rois, tuple(map(str, Roi)))
        _require_known("radiomics.image_types", self.image_types, IMAGE_TYPES)
        _require_known("radiomics.classes", self.classes, CLASSES)
        if self.bin_width_of:
            _require_known("radiomics.bin_width_of", tuple(self.bin_width_of), IMAGE_TYPES)
        if (self.bin_count is None) == (self.bin_width is None):
            raise ConfigError(
                f"found radiomics.bin_count = {self.bin_count} and radiomics.bin_width = {self.bin_width}, expected "
                "exactly one of them; give the other as null"
            )
        for name in self.features:
            if name.partition(".")[0] not in self.classes or not name.partition(".")[2]:
                raise ConfigError(
                    f"found radiomics.features = {name!r}, expected {{class}}.{{feature}} with a class of "
                    f"radiomics.classes: {', '.join(self.classes)}"
                )
        widths = [
            ("bin_width", self.bin_width),
            *((f"bin_width_of.{k}", v) for k, v in (self.bin_width_of or {}).items()),
        ]
        for key, value, low, high, inclusive in (
            ("margin_mm", self.margin_mm, 0.0, MAX_MARGIN_MM, False),
            ("bin_count", self.bin_count, 2, MAX_BIN_COUNT, True),
            *((key, value, MIN_BIN_WIDTH, None, True) for key, value in widths),
            ("normalize_scale", self.normalize_scale, 0.0, None, False),
            ("remove_outliers", self.remove_outliers, 0.0, None, False),
            ("pixel_mm", self.pixel_mm, 0.01, 1.0, True),
            ("wavelet_level", self.wavelet_level, 1, 8, True),
            ("wavelet_start_level", self.wavelet_start_level, 0, 8, True),
            ("lbp_radius", self.lbp_radius, 0.0, None, False),
            ("lbp_samples", self.lbp_samples, 2, 64, True),
            ("min_pixels", self.min_pixels, 2, None, True),
            ("min_area_mm2", self.min_area_mm2, 0.0, None, True),
            *(("log_sigma_mm", sigma, MIN_SIGMA_MM, None, True) for sigma in self.log_sigma_mm),
        ):
            _require_between(f"radiomics.{key}", value, low, high, inclusive=inclusive)
        for name in ("features", "log_sigma_mm"):
            found = getattr(self, name)
            if len(set(found)) < len(found):
                raise ConfigError(f"found radiomics.{name} = {', '.join(map(str, found))}, expected each once")
        if set(self.classes) == {SHAPE} and str(Roi.INTRATUMORAL) not in self.rois:
            raise ConfigError(
                f"found radiomics.classes = {SHAPE} without {Roi.INTRATUMORAL} among radiomics.rois, of which alone "
                "the shape is measured; add a class or the ROI"
            )
        if set(self.classes) == {SHAPE} and BMODE not in self.modalities:
            raise ConfigError(
                f"found radiomics.classes = {SHAPE} without {BMODE} among radiomics.modalities, as whose feature alone "
                f"the shape is measured; add a class or {BMODE}"
            )
        if "LoG" in self.image_types and not self.log_sigma_mm:
            raise ConfigError("found radiomics.log_sigma_mm empty, expected widths above 0 mm for LoG")
        if self.lbp_method not in LBP_METHODS:
            raise ConfigError(
                f"found radiomics.lbp_method = {self.lbp_method!r}, expected one of {', '.join(LBP_METHODS)}"
            )
        if "Wavelet" in self.image_types:
            _require_wavelet(self.wavelet)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: lists, numbers and strings, for JSON and YAML."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def digest(self) -> str:
        """SHA-256 of the settings: part of every key under which features are kept."""
        return data_hash(self.as_dict())

    def __hash__(self) -> int:
        return hash(self.digest)

    def bin_width_for(self, image_type: str) -> float | None:
        """Width of a grey level on an image type, ``None`` where ``bin_count`` rules.

        Examples
        --------
        >>> settings = RadiomicsSettings(bin_width_of={"LBP2D": 1.0})
        >>> settings.bin_width_for("LBP2D"), settings.bin_width_for("Original")
        (1.0, None)
        """
        return (self.bin_width_of or {}).get(image_type, self.bin_width)


# As in configs/radiomics, where the reasons stand; `usdlr features --explain-binning` measures them on own images.
PRESETS: dict[str, dict[str, Any]] = {
    "ultrasound": {
        "image_types": ("Original", "Wavelet", "LoG"),
        "bin_count": DEFAULT_BIN_COUNT,
        "pixel_mm": 0.1,
        "log_sigma_mm": (0.5, 1.0, 1.5, 2.0, 2.5),
    },
    "original": {"image_types": ("Original",)},
}


def preset(name: str) -> RadiomicsSettings:
    """Recommended settings by name.

    Raises
    ------
    ConfigError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"found the radiomics preset {name!r}, expected one of {', '.join(PRESETS)}")
    return RadiomicsSettings(**PRESETS[name])


def _require_wavelet(name: str) -> None:
    try:
        import pywt
    except ImportError as error:
        raise ConfigError(
            "found no PyWavelets, expected it for the image type Wavelet; pip install usdlr[radiomics]"
        ) from error
    known = pywt.wavelist(kind="discrete")
    if name not in known:
        raise ConfigError(f"found radiomics.wavelet = {name!r}, expected one of PyWavelets' {', '.join(known)}")


def _require_known(key: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not found:
        raise ConfigError(f"found {key} empty, expected some of {', '.join(known)}")
    for name in found:
        if name not in known:
            raise ConfigError(f"found {key} = {name!r}, expected some of {', '.join(known)}")
    if len(set(found)) < len(found):
        raise ConfigError(f"found {key} = {', '.join(found)}, expected each once")


def _require_between(key: str, value: float | None, low: float, high: float | None, *, inclusive: bool) -> None:
    if value is None:
        return
    if not (value >= low if inclusive else value > low) or (high is not None and value > high):
        bounds = f"{'at least' if inclusive else 'more than'} {low:g}" + (
            "" if high is None else f" and at most {high:g}"
        )
        raise ConfigError(f"found {key} = {value:g}, expected {bounds}")
