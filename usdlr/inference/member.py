"""One complete cascade of a bundle: both stages, what calibrates them, and the contract that was made for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usdlr.core.errors import BundleError
from usdlr.core.files import read_json
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.types import Stage
from usdlr.decision.calibration import Calibrator
from usdlr.decision.contract import Contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.inference.ood import OutOfDistribution
from usdlr.inference.ood_files import load_ood, ood_files
from usdlr.inference.preparation import Preparation
from usdlr.inference.stage import StageModel
from usdlr.inference.stage_files import CALIBRATOR, INTERVAL, load_calibrator, load_interval, load_stage, stage_files

CONTRACT, USED = "contract.json", "used.json"
# The member that ships; the others are folds.
SHIPPED = "bundle"


@dataclass(frozen=True)
class Member:
    """One complete cascade: both stages, their calibrators and the contract.

    Parameters
    ----------
    name : str
        ``bundle``, or the name of the fold.
    models, calibrators, intervals : mapping
        By stage.
    contract : Contract
        Thresholds and what they promise.
    used : mapping of str to str
        What each image set was used for, by :func:`image_key`.
    ood : OutOfDistribution or None
        How unlike the training patients an axilla is; None in a bundle from before that was known.
    """

    name: str
    models: Mapping[Stage, StageModel]
    calibrators: Mapping[Stage, Calibrator]
    intervals: Mapping[Stage, LogitInterval]
    contract: Contract
    used: Mapping[str, str]
    ood: OutOfDistribution | None = None


def member_files(folder: Path) -> list[Path]:
    """Every file of a fitted member."""
    stages = [folder / str(stage) for stage in Stage]
    parts = [path for stage in stages for path in (*stage_files(stage), stage / CALIBRATOR, stage / INTERVAL)]
    return [*parts, *ood_files(folder), folder / CONTRACT, folder / USED]


def certified_hash(folder: Path, preparation: Mapping[str, Any]) -> str:
    """Changes when anything changes that a member's probabilities depend on: its fitted files, or the preparation."""
    named = {str(path.relative_to(folder)): path for path in member_files(folder)}
    files = {name: file_hash(path) for name, path in named.items() if name not in (CONTRACT, USED)}
    return data_hash({"files": files, "preparation": dict(preparation)})


def require_certified(folder: Path, name: str, preparation: Mapping[str, Any]) -> None:
    """Refuse a member that was refitted, or is prepared for in another way, after its contract was made.

    A contract from before contracts said what they were made for is not checked.

    Raises
    ------
    BundleError
        If anything differs, or the contract cannot be read.
    """
    try:
        certified_for = Contract.from_dict(read_json(folder / CONTRACT)).certified_for
        found = certified_for and certified_hash(folder, preparation)
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise BundleError(f"found no readable {missing} in {folder}, expected it; export the bundle again") from error
    if found != certified_for:
        raise BundleError(
            f"found weights, calibrators or a preparation of the member {name!r} other than those that its "
            "false-negative contract was made for; nothing may be refitted after certification: certify anew"
        )


def image_key(image_id: str) -> str:
    """A name for an image set that tells nobody whose it is: an image id ends in the hash of the image's content.

    Examples
    --------
    >>> image_key("case001-1362e890b738")[:8] == image_key("case001-1362e890b738")[:8] != image_key("case001-0")[:8]
    True
    """
    return data_hash(["image", image_id])


def load_member(folder: Path, name: str, preparation: Preparation) -> Member:
    """Read a member's files.

    Raises
    ------
    BundleError
        If one is missing or damaged.
    """
    stages = {stage: folder / str(stage) for stage in Stage}
    try:
        return Member(
            name=name,
            models={stage: load_stage(path, preparation.ensemble) for stage, path in stages.items()},
            calibrators={stage: load_calibrator(path) for stage, path in stages.items()},
            intervals={stage: load_interval(path) for stage, path in stages.items()},
            contract=Contract.from_dict(read_json(folder / CONTRACT)),
            used={str(key): str(split) for key, split in read_json(folder / USED).items()},
            ood=load_ood(folder),
        )
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise BundleError(f"found no readable {missing} in {folder}, expected it; export the bundle again") from error
