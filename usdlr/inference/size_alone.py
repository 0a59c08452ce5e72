"""The curves of tumour size alone that a bundle carries, and what they say of one axilla."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdlr.baselines.size_alone import SizeCurve
from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.types import Stage
from usdlr.decision.wording_explanation import SIZE_ALONE, size_alone_words
from usdlr.inference.bundle import Bundle

FOLDER = "size_alone"
CURVES = "curves.json"


def write_size_alone(folder: Path, curves: Mapping[Stage, SizeCurve]) -> Path:
    """Write the curves into a folder of their own, which the bundle takes over as :data:`FOLDER`."""
    write_json(folder / CURVES, {str(stage): curve.as_dict() for stage, curve in curves.items()})
    return folder


def bundle_size_curves(bundle: Bundle) -> dict[Stage, SizeCurve]:
    """The curves that a bundle carries; empty where it has none.

    Raises
    ------
    BundleError
        If they are damaged.
    """
    folder = bundle.extras.get(FOLDER)
    if folder is None:
        return {}
    try:
        found = read_json(folder / CURVES)
        return {stage: SizeCurve.from_dict(found[str(stage)]) for stage in Stage if str(stage) in found}
    except (OSError, DataError, TypeError) as error:
        raise BundleError(f"found a damaged curve of tumour size in the bundle ({error}); export it again") from error


def size_alone(curves: Mapping[Stage, SizeCurve], row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """What tumour size alone says of one axilla: title and words; empty where the size or the curves are unknown.

    Parameters
    ----------
    curves : mapping of Stage to SizeCurve
        Of the bundle.
    row : mapping
        Of ``cases``; ``tumour_size_mm`` is the largest lesion's.
    """
    try:
        size_mm = float(row["tumour_size_mm"])
    except (KeyError, TypeError, ValueError):
        return []
    if not curves or not size_mm > 0:
        return []
    said = {stage: curve.probability(size_mm) for stage, curve in curves.items()}
    beyond = [stage for stage, curve in curves.items() if not curve.low_mm <= size_mm <= curve.high_mm]
    axillae = {stage: curve.axillae for stage, curve in curves.items()}
    return [(SIZE_ALONE, size_alone_words(size_mm, said, axillae, beyond=beyond))]
