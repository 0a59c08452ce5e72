"""Log-odds that mean what they say: every calibrator by its name, all fitted on tuning patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from usdlr.core.errors import BundleError
from usdlr.core.named_parts import Part, build_part
from usdlr.decision.calibration_curves import BetaCalibrator, IsotonicCalibrator, VennAbersCalibrator
from usdlr.decision.calibration_linear import (
    LARGEST_SLOPE,
    InterceptCalibrator,
    LineCalibrator,
    PlattCalibrator,
    TemperatureCalibrator,
)
from usdlr.decision.calibrator import Calibrator
from usdlr.decision.logistic import SMALLEST_SLOPE
from usdlr.decision.recalibration import RecalibratedCalibrator

__all__ = [
    "CALIBRATORS",
    "LARGEST_SLOPE",
    "SMALLEST_SLOPE",
    "BetaCalibrator",
    "Calibrator",
    "InterceptCalibrator",
    "IsotonicCalibrator",
    "LineCalibrator",
    "PlattCalibrator",
    "RecalibratedCalibrator",
    "TemperatureCalibrator",
    "VennAbersCalibrator",
    "build_calibrator",
    "calibrator_from_dict",
]

CALIBRATORS: Final[dict[str, type[Calibrator]]] = {
    calibrator.kind: calibrator
    for calibrator in (
        PlattCalibrator,
        TemperatureCalibrator,
        BetaCalibrator,
        IsotonicCalibrator,
        VennAbersCalibrator,
    )
}

# What a bundle may hold; a run chooses among CALIBRATORS.
_KNOWN: Final[dict[str, type[Calibrator]]] = {**CALIBRATORS, InterceptCalibrator.kind: InterceptCalibrator}


def build_calibrator(part: Part) -> Calibrator:
    """The calibrator, not yet fitted, that a configuration names.

    Parameters
    ----------
    part : str or mapping
        A name of :data:`CALIBRATORS`, or that name with its options.

    Raises
    ------
    ConfigError
        If the name or an option is unknown.

    Examples
    --------
    >>> build_calibrator({"temperature": {"prior_strength": 0.0}}).kind
    'temperature'
    """
    calibrator: Calibrator = build_part(part, "calibrator", CALIBRATORS)
    return calibrator


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """Restore a calibrator of any kind from what its ``to_dict`` wrote; without a kind it is Platt scaling.

    Raises
    ------
    BundleError
        If the kind is unknown, or a number is missing or impossible.
    """
    kind = str(values.get("kind", PlattCalibrator.kind))
    if kind == RecalibratedCalibrator.kind:
        return _recalibrated(values)
    if kind not in _KNOWN:
        known = (*_KNOWN, RecalibratedCalibrator.kind)
        raise BundleError(
            f"found a calibrator of the kind {kind!r}, expected one of {', '.join(known)}; "
            "update usdlr or export the bundle again"
        )
    return _KNOWN[kind].from_dict(values)


def _recalibrated(values: Mapping[str, Any], deepest: int = 8) -> RecalibratedCalibrator:
    """A calibrator behind another; a bundle is adapted a few times at most, and no file may nest without end."""
    before, after = values.get("before"), values.get("after")
    depth, inner = 0, before
    while isinstance(inner, Mapping) and inner.get("kind") == RecalibratedCalibrator.kind and depth <= deepest:
        depth, inner = depth + 1, inner.get("before")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping) or depth > deepest:
        raise BundleError("found a damaged recalibrated calibrator, expected one map behind another; export it again")
    return RecalibratedCalibrator.restored(
        calibrator_from_dict(before), calibrator_from_dict(after), values.get("covariance")
    )
