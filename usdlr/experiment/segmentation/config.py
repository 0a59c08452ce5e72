"""What an experiment on outlines is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import Site
from usdlr.evaluation.instances import COVERED, SMALLEST_MM
from usdlr.imaging.components import LesionRules
from usdlr.ingest.settings import IngestSettings
from usdlr.models.segmentation import OutlinerSettings
from usdlr.tasks.segmentation.settings import OutlineFitSettings


@dataclass(frozen=True)
class OutlineData:
    """Where images and readers' outlines come from.

    Parameters
    ----------
    centre : str
        Name of the centre adapter.
    root : str or None
        Folder of the centre's export; machines differ, so it is given on the command line.
    site : str
        What is outlined: ``tumour``, or ``axilla`` for its lymph nodes. Each has networks of its own; images of the
        other are left out.
    ingest : IngestSettings
        Field of view, drawn marks, repair of contours.
    external : dict of str to str or None
        Further sources, folder of the export by centre adapter, that nothing is learned from or tuned on: the finished
        bundle outlines them once. Folders are given on the command line.
    groups : list of str
        Columns of ``cases`` by which the quality is told apart, and patients are spread over the folds.
    """

    centre: str
    root: str | None = None
    site: str = str(Site.TUMOUR)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    external: dict[str, str | None] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.site not in set(map(str, Site)):
            raise ConfigError(f"found data.site = {self.site!r}, expected {' or '.join(map(str, Site))}")
        if self.ingest.relative_diameter is not None:
            raise ConfigError(
                "found data.ingest.relative_diameter, a scale that follows from the outline, in an experiment that "
                "looks for the outline; leave it out"
            )


@dataclass(frozen=True)
class JudgeSettings:
    """How outlines are judged.

    Parameters
    ----------
    covered : float
        A reader's lesion is found if at least this share of its area is covered.
    smallest_mm : float
        Lesions of a smaller short axis are left out of recall and false positives, where the image is calibrated.
    replicates : int
        Draws of the patient bootstrap.
    gallery : int
        Pictures of the worst cases, and as many drawn by chance.
    """

    covered: float = COVERED
    smallest_mm: float = SMALLEST_MM
    replicates: int = 2000
    gallery: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.covered <= 1 or not self.smallest_mm >= 0:
            raise ConfigError(
                f"found judge.covered = {self.covered} and judge.smallest_mm = {self.smallest_mm}, expected a share "
                "above 0 and 0 mm or more"
            )
        if self.replicates < 100 or self.gallery < 0:
            raise ConfigError(
                f"found judge.replicates = {self.replicates} and judge.gallery = {self.gallery}, expected at least 100 "
                "and 0"
            )


@dataclass(frozen=True)
class SegmentationConfig:
    """An experiment on outlines.

    Parameters
    ----------
    name, question : str
        As of any experiment.
    data : OutlineData
        Images and readers' outlines.
    folds : int
        Every patient is outlined once by a network that has not seen the patient; the bundle holds all of them.
    network : OutlinerSettings
        What is fitted.
    fit : OutlineFitSettings
        How.
    lesions : LesionRules
        What counts as a lesion.
    judge : JudgeSettings
        How outlines are judged.
    seed : int
        Of everything that is random.
    threads : int
        Threads of each fit; part of the result's last digits.
    jobs : int
        Processes side by side; the result does not depend on it.
    """

    name: str
    question: str
    data: OutlineData
    folds: int = 5
    network: OutlinerSettings = field(default_factory=OutlinerSettings)
    fit: OutlineFitSettings = field(default_factory=OutlineFitSettings)
    lesions: LesionRules = field(default_factory=LesionRules)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    seed: int = 0
    threads: int = 1
    jobs: int = 2

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("threads", 1), ("jobs", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected at least {least}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """What decides the result: no folder of a machine, no number of processes."""
        content = self.as_dict()
        del content["jobs"], content["network"]["weights_file"]
        content["fit"]["workers"] = 0
        content["data"]["root"] = None
        content["data"]["external"] = sorted(content["data"]["external"])
        return content

    def fit_identity(self) -> dict[str, Any]:
        """What decides the fitted networks."""
        content = self.identity()
        return {name: content[name] for name in ("folds", "network", "fit", "seed", "threads")}
