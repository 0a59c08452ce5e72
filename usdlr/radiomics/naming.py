"""What both engines say alike."""

from __future__ import annotations

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode


def log_name(sigma_mm: float) -> str:
    """PyRadiomics' name of a Laplacian of Gaussian; it says 3D in two dimensions too.

    Examples
    --------
    >>> log_name(0.5)
    'log-sigma-0-5-mm-3D'
    """
    return f"log-sigma-{str(sigma_mm).replace('.', '-')}-mm-3D"


def too_small_for_log(shape: tuple[int, ...], sigma_mm: float) -> CaseError:
    """The reason why an image cannot be filtered."""
    return CaseError(
        ExclusionCode.FEATURES_FAILED,
        f"found an image of {shape[0]} x {shape[1]} pixels around the ROI, too small for a "
        f"Laplacian of Gaussian of {sigma_mm} mm; use a smaller radiomics.log_sigma_mm",
    )
