"""The configuration of an experiment: a constructor signature, nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.baselines.pipelines import baseline_named, check_baselines
from usdlr.core.columns import CASES
from usdlr.core.endpoints import BURDEN_GE3
from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.core.named_parts import split_part
from usdlr.core.regions import WITH_MARGIN, Region
from usdlr.core.types import OnUncertified, Stage
from usdlr.data.augment import ViewSettings
from usdlr.decision.calibration import CALIBRATORS
from usdlr.decision.thresholds import ContractSettings
from usdlr.imaging.crop import CropSettings
from usdlr.inference.bundle import Preparation
from usdlr.inference.signature import SignatureSettings, signature_settings
from usdlr.ingest.settings import IngestSettings
from usdlr.ingest.splits import SplitSettings
from usdlr.models.heads import build_head, check_head_and_loss
from usdlr.models.losses import LOSSES
from usdlr.models.settings import NetworkSettings
from usdlr.models.shapley import MOST_BLOCKS
from usdlr.radiomics.design import require_preoperative
from usdlr.radiomics.engines import DEFAULT_ENGINE
from usdlr.radiomics.selection.chain import check_steps
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.tasks.settings import FitSettings

# Losses under which log-odds are not shifted on purpose.
UNWEIGHTED = ("bce", "focal")
# What is stated in millimetres, and has no meaning where lengths are relative to the lesion.
LENGTHS = tuple(column.name for column in CASES if column.unit == "mm")


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
        Field of view, drawn marks, repair of contours, millimetres or a scale relative to the lesion.
    external : dict of str to str or None
        Further sources, folder of the export by centre adapter, whose patients never train: the bundle judges them,
        and nothing of them reaches a selector, score, network, calibrator or threshold. Folders are given on the
        command line, as ``data.root`` is.
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
    external: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_preoperative(self.clinical)
        measured = [name for name in self.clinical if name in LENGTHS]
        if self.ingest.relative_diameter is not None and measured:
            raise ConfigError(
                f"found data.clinical = {measured[0]} with data.ingest.relative_diameter, under which every length is "
                "relative to the lesion and no size in millimetres is kept, expected variables without a length; leave "
                "it out, e.g. data.clinical = []"
            )
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
    calibrator : str or dict
        How raw log-odds become probabilities: a name of :data:`usdlr.decision.calibration.CALIBRATORS`, or that name
        with its options.
    views : int
        Views of every sample over which a prediction is averaged (test-time augmentation); 1: the sample as it is.
    contract : ContractSettings
        False-negative targets.
    readout : str or dict
        What makes a stage's logit of what its networks read: ``network``, their own logit, or ``signature``, a LASSO
        over embeddings, radiomics and clinical variables with a nomogram; see :mod:`usdlr.inference.signature`.
    baselines : list of str
        Plain models on the same folds; a learner may carry a block, e.g. ``radiomics_forest@bmode.peritumoral``, see
        :mod:`usdlr.baselines.blocks`.
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
    calibrator: str | dict[str, Any] = "platt"
    views: int = 1
    contract: ContractSettings = field(default_factory=ContractSettings)
    readout: str | dict[str, Any] = "network"
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
        name, _ = split_part(self.calibrator, "calibrator", CALIBRATORS)
        loss, _ = split_part(self.fit.loss, "fit.loss", LOSSES)
        if name == "temperature" and loss not in UNWEIGHTED:
            raise ConfigError(
                f"found calibrator = temperature with fit.loss = {loss}, which shifts all log-odds, and a temperature "
                f"has no intercept to shift them back; expected the calibrator platt, or a loss out of "
                f"{', '.join(UNWEIGHTED)}"
            )
        ViewSettings(self.views)
        signature_settings(self.readout)
        self._check_head()
        self._check_crop()
        self._check_blocks()
        self._check_baselines()
        if self.data.ingest.relative_diameter is not None and self.radiomics.pixel_mm is None:
            raise ConfigError(
                "found radiomics.pixel_mm = null with data.ingest.relative_diameter, expected one pixel for all "
                "lesions: on the images' own grids, sums over pixels tell how large a lesion was drawn; set it, e.g. "
                "0.15"
            )

    def _check_baselines(self) -> None:
        """Refuse baselines without anything to read; keep their own names, which are safe in paths of metrics."""
        names = check_baselines(
            self.baselines,
            clinical=self.data.clinical,
            rois=list(map(str, self.radiomics.rois)),
            image_blocks=self.model.image_blocks,
        )
        if self.data.external and any(baseline_named(name).reads_embeddings for name in names):
            raise ConfigError(
                "found a baseline on embeddings with data.external, whose axillae get the scores of radiomics and "
                "clinical baselines only; leave one of them out"
            )
        object.__setattr__(self, "baselines", names)

    def _check_head(self) -> None:
        """Refuse a head that the endpoints cannot feed."""
        check_head_and_loss(self.model.head, self.fit.loss)
        head = build_head(self.model.head)
        if head.ordinal and self.data.nsln.column != BURDEN_GE3:
            raise ConfigError(
                f"found the ordinal model.head = {self.model.head!r} with data.nsln.column = "
                f"{self.data.nsln.column!r}, a binary endpoint without ranks, expected {BURDEN_GE3}; "
                "or use the head multitask"
            )

    def _check_blocks(self) -> None:
        """Refuse more blocks than a prediction can be divided among exactly."""
        split = 1 + len(MODALITIES) * len(self.radiomics.rois)
        blocks = len(self.model.image_blocks) + (split if self.model.tabular == "split" else 1)
        if blocks > MOST_BLOCKS:
            raise ConfigError(
                f"found up to {blocks} blocks, {len(self.model.image_blocks)} of them of images, expected "
                f"at most {MOST_BLOCKS}, among which a prediction is divided exactly; use fewer model.rois or "
                "radiomics.rois, or model.tabular = joint"
            )

    def _check_crop(self) -> None:
        """Refuse a crop that every ring would reach beyond."""
        if self.crop.policy != "adjustable":  # what a fixed crop cuts depends on the lesion, and is counted
            return
        for name in self.model.rois:
            region = Region.named(name)
            margin = (region.margin_mm or self.radiomics.margin_mm) if region.kind in WITH_MARGIN else 0.0
            if margin > self.crop.context_mm:
                raise ConfigError(
                    f"found the region {name} with a margin of {margin:g} mm and crop.context_mm = "
                    f"{self.crop.context_mm:g}, expected a crop that holds the ring; set crop.context_mm to at least "
                    f"{margin:g}"
                )

    @property
    def signature(self) -> SignatureSettings | None:
        """The signature readout; ``None`` where the networks' own logit is read."""
        return signature_settings(self.readout)

    @property
    def networks(self) -> int:
        """Networks of every fitted stage."""
        return self.fit.members * (self.signature.folds if self.signature else 1)

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
            views=self.views,
            relative_diameter=self.data.ingest.relative_diameter,
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
        content["data"]["external"] = sorted(content["data"]["external"])  # without their paths
        content["model"].pop("weights_file")  # a path; the file's hash is among the run's inputs
        content["splits"].pop("table")  # likewise
        for name in ("workers", "wandb"):  # how it is fitted and logged, not what comes of it
            content["fit"].pop(name)
        return content


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: item for key, part in value.items() for name, item in flat(part, f"{prefix}.{key}".lstrip(".")).items()
    }
