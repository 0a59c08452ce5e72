"""Intensities by the mean and the standard deviation of what the scanner showed."""

from __future__ import annotations

import numpy as np

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray, FloatArray


def standardise(
    pixels: FloatArray, fov: BoolArray | None, *, scale: float = 1.0, outliers: float | None = None
) -> FloatArray:
    """An image with mean 0 and sample standard deviation ``scale`` over the field of view.

    PyRadiomics' ``normalizeImage``, which calls SimpleITK's ``Normalize`` on the whole image, with two differences that
    ultrasound needs: what lies outside the field of view, and pixels without a value, do not count.

    Parameters
    ----------
    pixels : float32 array, (rows, columns)
        Intensities, NaN where there is no value.
    fov : bool array, (rows, columns), or None
        Field of view, ``None`` when it is the whole image.
    scale : float
        Standard deviation of the result.
    outliers : float, optional
        Clip at this many standard deviations, before ``scale``.

    Returns
    -------
    float32 array, (rows, columns)
        No unit.

    Raises
    ------
    CaseError
        If fewer than two pixels have a value, or all have the same.

    References
    ----------
    doi 10.1158/0008-5472.CAN-17-0339

    Examples
    --------
    >>> standardise(np.array([[1, 2, 3]], np.float32), None, scale=10).tolist()
    [[-10.0, 0.0, 10.0]]
    """
    counted = np.isfinite(pixels) if fov is None else np.isfinite(pixels) & fov
    values = pixels[counted].astype(np.float64)
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    if not deviation > 0:
        raise CaseError(
            ExclusionCode.FEATURES_FAILED,
            f"found {values.size} pixels of one intensity in the field of view, expected some contrast to normalise "
            "by; use another image, or radiomics.normalize = false",
        )
    out = (pixels.astype(np.float64) - values.mean()) / deviation
    if outliers is not None:
        out = np.clip(out, -outliers, outliers)
    return np.asarray(out * scale, dtype=np.float32)
