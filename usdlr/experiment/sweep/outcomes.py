"""What became of each point, one small file per point: the memory of an interrupted sweep."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from usdlr.core.files import read_checked, write_checked
from usdlr.experiment.sweep.objective import TuningAucs
from usdlr.experiment.sweep.points import Point

RUNNING, FINISHED, FAILED = "running", "finished", "failed"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one point.

    Parameters
    ----------
    point : str
        Its name.
    settings : dict
        What differs from the experiment.
    seed : int or None
        The experiment's seed, where the sweep sets it.
    state : str
        ``running`` (begun, to be continued), ``finished`` or ``failed``.
    reason : str or None
        Why it failed, or why a finished point has no objective.
    objective : float or None
        Mean over folds on tuning axillae.
    tuning : dict
        AUC on tuning axillae by stage and fold.
    wall_s : float or None
        Seconds from start to end; ``None`` where it was interrupted in between.
    shared_from : str or None
        The point whose finished steps it started from; ``wall_s`` is without those.
    versions : str or None
        Hash of the versions of Python, usdlr and the packages.
    """

    point: str
    settings: dict[str, Any]
    seed: int | None = None
    state: str = RUNNING
    reason: str | None = None
    objective: float | None = None
    tuning: TuningAucs = field(default_factory=dict)
    wall_s: float | None = None
    shared_from: str | None = None
    versions: str | None = None


class Outcomes:
    """The outcomes of a sweep, in a folder.

    Parameters
    ----------
    folder : Path
        One JSON file per point, with its own hash; a damaged file counts as absent, and the point is continued.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> Outcome | None:
        """The outcome of a point that was begun."""
        content = read_checked(self.folder / f"{name}.json")
        try:
            return None if content is None else Outcome(**content)
        except TypeError:
            return None

    def put(self, outcome: Outcome) -> Outcome:
        """Keep an outcome."""
        write_checked(self.folder / f"{outcome.point}.json", asdict(outcome))
        return outcome

    @staticmethod
    def begun(point: Point) -> Outcome:
        """The outcome of a point that has nothing yet."""
        return Outcome(point.name, dict(point.settings), point.seed)
