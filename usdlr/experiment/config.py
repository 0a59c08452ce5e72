"""The configuration of an experiment: a constructor signature, nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import OnUncertified, Stage
from usdlr.decision.thresholds import ContractSettings
from usdlr.imaging.crop import CropSettings
from usdlr.inference.bundle import Preparation
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.splits import SplitSettings
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.design import require_preoperative
from usdlr.radiomics.engines import DEFAULT_ENGINE
from usdlr.radiomics.selection.chain import check_steps
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.tasks.settings import FitSettings


@dataclass(frozen=True)
class EndpointSettings:
    """What one stage predicts.

    Parameters
    ----------
    column : str
        Boolean column of ``cases``.
    positive : str
        Words for the positive class.
    proxy : str or None
        A sentence when the column only stands in for node status.
    """

    column: str
    positive: str
    proxy: str | None = None


@dataclass(frozen=True)
class DataSettings:
    """Where the cases come from.

    Parameters
    ----------
    centre : str
        Name of the centre adapter.
    root : str or None
        Folder of the centre's export; machines differ, so it is given on the command line.
    sln, nsln : EndpointSettings
        Endpoints of the two stages.
    clinical : list of str
        Pre-operative numeric variables that join the radiomics block.
    ingest : IngestSettings
        Field of view, drawn marks, repair of contours.
    """

    centre: str
    root: str | None = None
    sln: EndpointSettings = field(
        default_factory=lambda: EndpointSettings("sln_positive", "positive sentinel lymph node")
    )
    nsln: EndpointSettings = field(
        default_factory=lambda: EndpointSettings("nsln_positive", "positive non-sentinel lymph node")
    )
    clinical: list[str] = field(default_factory=lambda: ["tumour_size_mm"])
    ingest: IngestSettings = field(default_factory=IngestSettings)

    def __post_init__(self) -> None:
        require_preoperative(self.clinical)
        if self.sln.column == self.nsln.column:
            raise ConfigError(f"found data.sln.column = data.nsln.column = {self.sln.column!r}, expected two endpoints")

    def endpoint(self, stage: Stage) -> EndpointSettings:
        """The endpoint of a stage."""
        return self.sln if stage is Stage.SLN else self.nsln


@dataclass(frozen=True)
class SelectionSettings:
    """Which features the radiomics block reads; fitted on training rows of each fold.

    Parameters
    ----------
    max_features : int
        Number of features beside the clinical variables.
    max_correlation : float
        Of two features with a larger absolute Spearman correlation, one goes.
    steps : list, optional
        Steps of a :class:`usdlr.radiomics.selection.chain.SelectionChain` by name, with options where a step is a
        mapping, e.g. ``[variance, {correlation: {max_correlation: 0.8}}, {mrmr: {max_features: 20}}]``;
        they then choose instead of the two above.
    bootstraps : int
        Draws of the training patients on which the choice is repeated, for the report alone; 0 for none.
    """

    max_features: int = 40
    max_correlation: float = 0.9
    steps: list[str | dict[str, Any]] | None = None
    bootstraps: int = 20

    def __post_init__(self) -> None:
        if self.max_features < 1 or not 0 < self.max_correlation <= 1:
            raise ConfigError(
                f"found selection.max_features = {self.max_features} and selection.max_correlation = "
                f"{self.max_correlation}, expected at least 1 feature and a correlation above 0 up to 1"
            )
        if self.bootstraps < 0:
            raise ConfigError(f"found selection.bootstraps = {self.bootstraps}, expected 0 or more")
        if self.steps is not None:
            check_steps(self.steps)


@dataclass(frozen=True)
class ExperimentConfig:
    """An experiment.

    Parameters
    ----------
    name : str
        Short name, part of the report's title.
    question : str
        What the experiment asks, in one sentence.
    data : DataSettings
        Cases and endpoints.
    splits : SplitSettings
        Folds and shares.
    radiomics : RadiomicsSettings
        Features; its margin is the ring's margin everywhere.
    engine : str
        Radiomics engine.
    selection : SelectionSettings
        Feature selection.
    crop : CropSettings
        What the network sees.
    model : NetworkSettings
        The network.
    fit : FitSettings
        How it is fitted.
    contract : ContractSettings
        False-negative targets.
    baselines : list of str
        Plain models on the same folds.
    seed : int
        Seed of everything that is random.
    threads : int
        Threads per process in fits and predictions; part of the result's last digits.
    jobs : int
        Processes side by side; the result does not depend on it.
    gallery : int
        Cases shown in the report.
    """

    name: str
    question: str
    data: DataSettings
    splits: SplitSettings = field(default_factory=SplitSettings)
    radiomics: RadiomicsSettings = field(default_factory=RadiomicsSettings)
    engine: str = DEFAULT_ENGINE
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    model: NetworkSettings = field(default_factory=NetworkSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    contract: ContractSettings = field(default_factory=ContractSettings)
    baselines: list[str] = field(default_factory=lambda: ["size", "radiomics"])
    seed: int = 0
    threads: int = 1
    jobs: int = 2
    gallery: int = 12

    def __post_init__(self) -> None:
        for name in ("threads", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected at least 1")
        if self.gallery < 0:
            raise ConfigError(f"found gallery = {self.gallery}, expected at least 0")

    @property
    def preparation(self) -> Preparation:
        """From files to tensors, as the bundle carries it."""
        return Preparation(
            network=self.model.without_start(),
            crop=self.crop,
            radiomics=self.radiomics,
            engine=self.engine,
            clinical=tuple(self.data.clinical),
            batch_size=self.fit.batch_size,
            threads=self.threads,
        )

    @property
    def on_uncertified(self) -> OnUncertified:
        """What the bundle answers without a certified contract."""
        return OnUncertified(self.contract.on_uncertified)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what YAML and JSON give back."""
        return asdict(self) | {"radiomics": self.radiomics.as_dict()}

    def identity(self) -> dict[str, Any]:
        """What decides the result: everything but the machine's paths and the number of processes."""
        content = self.as_dict()
        del content["jobs"]
        content["data"].pop("root")
        content["model"].pop("weights_file")  # a path; the file's hash is among the run's inputs
        content["splits"].pop("table")  # likewise
        return content


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: item for key, part in value.items() for name, item in flat(part, f"{prefix}.{key}".lstrip(".")).items()
    }
