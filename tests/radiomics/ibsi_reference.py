"""The digital phantom and the consensus values of the Image Biomarker Standardisation Initiative."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

DASH = "—"
PHANTOM = "dig. phantom"


@dataclass(frozen=True)
class Reference:
    """One value of the reference manual.

    Parameters
    ----------
    code, feature : str
        IBSI's code and name.
    data, aggregation : str
        Measured on what, and how matrices are put together.
    value : float or None
        ``None`` where there is no consensus value.
    tolerance : float
        Largest difference that still agrees; a dash in the manual means to the printed digits.
    consensus : str
        From weak to very strong.
    """

    code: str
    feature: str
    data: str
    aggregation: str
    value: float | None
    tolerance: float
    consensus: str

    def agrees(self, measured: float) -> bool:
        """Whether a measurement is the manual's."""
        if self.value is None:
            raise ValueError(f"the manual has no value for {self.feature} ({self.code}, {self.aggregation})")
        # The product's own rounding must not push a value on the tolerance's edge over it.
        return abs(measured - self.value) <= self.tolerance * (1 + 1e-9)


def printed_digits(text: str) -> float:
    """Half a unit of the last printed digit.

    Examples
    --------
    >>> printed_digits("0.121"), printed_digits("147"), printed_digits("1.5e-03")
    (0.0005, 0.5, 5e-05)
    """
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return float(f"5e{int(exponent or 0) - digits - 1}")


def read_reference(folder: Path) -> tuple[Reference, ...]:
    """All values of ``ibsi_reference_values.csv``."""
    out = []
    with (folder / "ibsi_reference_values.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            value, tolerance = row["value"], row["tolerance"]
            missing = value in (DASH, "")
            out.append(
                Reference(
                    row["code"],
                    row["feature"],
                    row["data"],
                    row["aggregation"],
                    None if missing else float(value),
                    float("nan")
                    if missing
                    else (printed_digits(value) if tolerance in (DASH, "") else float(tolerance)),
                    row["consensus"],
                )
            )
    return tuple(out)


def phantom_values(folder: Path) -> dict[tuple[str, str], Reference]:
    """The phantom's values by code and aggregation."""
    out: dict[tuple[str, str], Reference] = {}
    for one in read_reference(folder):
        if one.data == PHANTOM:
            out.setdefault((one.code, one.aggregation), one)
    return out


def read_phantom(folder: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], tuple[float, float, float]]:
    """Image and mask, (slices, rows, columns), and the spacing in mm in the same order."""
    root = folder / "ibsi_1_digital_phantom" / "nifti"
    image, mask = (
        nibabel.nifti1.Nifti1Image.from_filename(root / name) for name in ("image/phantom.nii.gz", "mask/mask.nii.gz")
    )
    spacing = tuple(float(side) for side in np.linalg.norm(image.affine[:3, :3], axis=0)[::-1])
    assert len(spacing) == 3
    pixels = np.asarray(image.get_fdata(), dtype=np.float64).transpose(2, 1, 0)  # NIfTI stores columns first
    return np.ascontiguousarray(pixels), np.ascontiguousarray(mask.get_fdata().transpose(2, 1, 0) > 0), spacing
