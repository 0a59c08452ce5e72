"""Stiffness: its unit, its map, and maps that were exported as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.store import STIFFNESS_NO_VALUE, STIFFNESS_STEP

Unit = Literal["kPa", "relative"]
UNITS = ("kPa", "m/s", "relative")

TISSUE_DENSITY_KG_M3 = 1000.0
# No tissue reaches it; a scanner's scale ends at 300 kPa (10 m/s), for muscle and tendon at 800.
MAX_KPA = 1000.0
# The largest stiffness that a canonical file holds.
MAX_STORED_KPA = (STIFFNESS_NO_VALUE - 1) * STIFFNESS_STEP
# A whole map below this is no tissue: fat, the softest, has some 3 kPa.
MIN_MAP_KPA = 0.5
FULL_RELATIVE = 100.0


@dataclass(frozen=True)
class StiffnessMap:
    """Stiffness on a pixel grid.

    Parameters
    ----------
    values : float32 array, (rows, columns)
        Young's modulus in kPa, or relative stiffness; NaN where there is no value: no signal, or the end of the colour
        scale, beyond which the true value is unknown.
    unit : str
        ``kPa``, or ``relative``: percent of the colour scale, 0 for its softest and 100 for its stiffest colour,
        whichever colours these are. Relative stiffness of two images is not comparable.
    valid_fraction : float
        Share of the pixels in the map's box that have a value. The map's box is the smallest upright rectangle around
        everything that the scanner coloured or gave a number.
    saturated_fraction : float
        Share of the coloured pixels that lie at an end of the scale where the true value is unknown; they are NaN.
    opacity : float or None
        Share of colour in the blend with the grey image, 0 to 1; ``None`` where nothing was blended.
    """

    values: FloatArray
    unit: Unit
    valid_fraction: float
    saturated_fraction: float
    opacity: float | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ValueError(f"found a stiffness map of shape {self.values.shape}, expected (rows, columns)")

    @classmethod
    def of(
        cls,
        values: npt.NDArray[np.floating[Any]],
        unit: Unit,
        coloured: BoolArray,
        saturated: BoolArray,
        opacity: float | None = None,
    ) -> StiffnessMap:
        """A map with its shares counted.

        Parameters
        ----------
        values : float array, (rows, columns)
            NaN where there is no value; becomes NaN where ``saturated``.
        unit : str
            ``kPa`` or ``relative``.
        coloured, saturated : bool array, (rows, columns)
            What the scanner drew, and what of it lies at the end of the scale.
        opacity : float or None
            Share of colour in the blend.
        """
        kept = np.where(saturated, np.nan, values).astype(np.float32)
        rows, cols = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
        area = 0 if rows.size == 0 else int(rows[-1] - rows[0] + 1) * int(cols[-1] - cols[0] + 1)
        drawn = int(coloured.sum())
        return cls(
            values=kept,
            unit=unit,
            valid_fraction=float(np.isfinite(kept).sum()) / area if area else 0.0,
            saturated_fraction=float((saturated & coloured).sum()) / drawn if drawn else 0.0,
            opacity=opacity,
        )


def youngs_modulus_kpa(
    speed_m_s: npt.ArrayLike, density_kg_m3: float = TISSUE_DENSITY_KG_M3
) -> npt.NDArray[np.float64]:
    """Young's modulus in kPa from the speed of shear waves: E = 3 rho v².

    Holds for an incompressible, isotropic, purely elastic medium. Scanners take 1000 kg/m³ for the density, and so does
    the default; breast tissue has 911 (fat) to 1041 (gland), 9 % less to 4 % more stiffness.

    Parameters
    ----------
    speed_m_s : array-like
        Speed of shear waves in m/s.
    density_kg_m3 : float
        Density of the tissue in kg/m³.

    Returns
    -------
    float64 array
        Of the speed's shape.

    Raises
    ------
    ConfigError
        If the density is not a positive number.

    References
    ----------
    Bercoff, Tanter, Fink 2004, "Supersonic shear imaging", doi 10.1109/TUFFC.2004.1295425.

    Examples
    --------
    >>> youngs_modulus_kpa([1.0, 3.0, 7.0]).tolist()
    [3.0, 27.0, 147.0]
    """
    if not (math.isfinite(density_kg_m3) and density_kg_m3 > 0):
        raise ConfigError(f"found a density of {density_kg_m3} kg/m³, expected a positive number; tissue has 1000")
    speed = np.asarray(speed_m_s, dtype=np.float64)
    pascal: npt.NDArray[np.float64] = 3.0 * density_kg_m3 * speed * speed
    return np.asarray(pascal / 1000.0)


def to_kpa(values: npt.ArrayLike, unit: str) -> npt.NDArray[np.float64]:
    """Values in kPa.

    Parameters
    ----------
    values : array-like
        In ``unit``.
    unit : str
        ``kPa`` or ``m/s``.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable``, for relative strain: it has no kPa.
    ConfigError
        For an unknown unit.
    """
    check_unit(unit)
    if unit == "relative":
        raise CaseError(
            ExclusionCode.ELASTOGRAPHY_UNREADABLE,
            "found relative strain, expected kPa or m/s: strain elastography measures no modulus; use the case without "
            "stiffness",
        )
    return youngs_modulus_kpa(values) if unit == "m/s" else np.asarray(values, dtype=np.float64)


def check_unit(unit: str) -> None:
    """Refuse an unknown unit.

    Raises
    ------
    ConfigError
        With the units that exist.
    """
    if unit not in UNITS:
        raise ConfigError(f"found the stiffness unit {unit!r}, expected {', '.join(UNITS)}; correct it")


def stiffness_from_map(
    pixels: npt.NDArray[Any], unit: str, step: float | None = None, no_value: int | None = STIFFNESS_NO_VALUE
) -> StiffnessMap:
    """Stiffness from a map that was exported as numbers.

    Without a value are: NaN and infinity; ``no_value`` in an integer map; what is not positive in kPa or m/s (tissue
    without stiffness does not exist: exports write 0 or -1 where the wave was lost) and what exceeds 1000 kPa; what
    lies outside 0 to 100 in relative strain. Values from 655.34 kPa, the most that a canonical file holds, to 1000
    kPa count as saturated.

    Parameters
    ----------
    pixels : array, (rows, columns)
        Float: values in ``unit``. Integer: counts of ``step``.
    unit : str
        ``kPa``, ``m/s`` (becomes kPa) or ``relative`` (percent, 0 soft to 100 stiff).
    step : float or None
        Value of one count in ``unit``; an integer map needs it, a float map is multiplied by it where given.
    no_value : int or None
        Count of an integer map that means that the scanner gave no value.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable``: not a grey map, no step, no value at all, or values that cannot be
        in the stated unit.
    ConfigError
        For an unknown unit.
    """
    check_unit(unit)
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "uif":
        raise _unreadable(
            f"found a stiffness map of {pixels.dtype} with shape {pixels.shape}, expected numbers in rows and columns",
            "colours over grey are another layout: overlay",
        )
    whole = pixels.dtype.kind in "ui"
    if step is None and whole:
        raise _unreadable("found whole numbers without a step", f"state how many {unit} one count is")
    if step is not None and not (math.isfinite(step) and step > 0):
        raise _unreadable(f"found a step of {step}, expected a positive number", f"state how many {unit} one count is")
    drawn = np.isfinite(pixels)
    if whole and no_value is not None:
        drawn &= pixels != no_value
    # Counts of 0.01 multiplied in double precision find back to their own count when they are stored.
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.where(drawn, pixels, np.nan).astype(np.float64) * (1.0 if step is None else step)
        stiffness = values if unit == "relative" else to_kpa(values, unit)
    return _relative(stiffness) if unit == "relative" else _absolute(stiffness, unit)


def _relative(values: npt.NDArray[np.float64]) -> StiffnessMap:
    inside = (values >= 0) & (values <= FULL_RELATIVE)
    _require_some(inside, values, "relative", "0 to 100 percent of the colour scale")
    return StiffnessMap.of(np.where(inside, values, np.nan), "relative", inside, np.zeros_like(inside))


def _absolute(stiffness: npt.NDArray[np.float64], unit: str) -> StiffnessMap:
    possible = (stiffness > 0) & (stiffness <= MAX_KPA)
    _require_some(possible, stiffness, unit, f"more than 0 and at most {MAX_KPA:g} kPa")
    most = float(np.quantile(stiffness[possible], 0.99))
    if most < MIN_MAP_KPA:
        raise _unreadable(
            f"found a map whose stiffest tissue has {most:.3g} kPa when read as {unit}, expected more than "
            f"{MIN_MAP_KPA:g} kPa somewhere",
            "check the unit and the step",
        )
    saturated = possible & (stiffness > MAX_STORED_KPA)
    return StiffnessMap.of(np.where(possible, stiffness, np.nan), "kPa", possible, saturated)


def _require_some(possible: BoolArray, values: npt.NDArray[np.float64], unit: str, expected: str) -> None:
    """Refuse a map without values, and one where what cannot be true outweighs what can."""
    absurd = int((values > (FULL_RELATIVE if unit == "relative" else MAX_KPA)).sum())
    if not possible.any() or absurd > possible.sum():
        raise _unreadable(
            f"found {int(possible.sum())} possible values and {absurd} too large for {unit}, expected {expected}",
            "check the unit and the step",
        )


def _unreadable(found: str, mend: str) -> CaseError:
    return CaseError(ExclusionCode.ELASTOGRAPHY_UNREADABLE, f"{found}; {mend}")
