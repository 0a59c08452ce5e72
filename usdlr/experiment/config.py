"""The configuration of an experiment: a constructor signature, nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from usdlr.baselines.blocks import RADIOMICS_BLOCK
from usdlr.baselines.pipelines import baseline_named, check_baselines
from usdlr.core.endpoints import BURDEN_GE3
from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.core.named_parts import split_part
from usdlr.core.regions import WITH_MARGIN, Region, block_site
from usdlr.core.types import OnUncertified, Roi, Site
from usdlr.data.augment import ViewSettings
from usdlr.decision.calibration_choice import calibrator_name
from usdlr.decision.thresholds import ContractSettings
from usdlr.experiment.data_settings import DataSettings
from usdlr.experiment.neighbours import BundleSettings
from usdlr.imaging.crop import CropSettings
from usdlr.inference.preparation import Preparation
from usdlr.inference.signature import SignatureSettings, signature_settings
from usdlr.inference.variants import Variant, ensemble_of
from usdlr.ingest.splits import SplitSettings
from usdlr.models.heads import build_head, check_head_and_loss
from usdlr.models.losses import LOSSES
from usdlr.models.settings import CLINICAL_BLOCK, NO_TABLE, NetworkSettings
from usdlr.models.shapley import MOST_BLOCKS
from usdlr.radiomics.engines import DEFAULT_ENGINE
from usdlr.radiomics.selection.chain import check_steps
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.tasks.settings import FitSettings

# Losses under which log-odds are not shifted on purpose.
UNWEIGHTED = ("bce", "focal")


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
    stability : str or None
        A table ``repeats_*.parquet`` of ``usdlr features --stability`` with the experiment's features: those whose
        ICC(2,1) over the repeated measurements of the fold's own training cases is below ``min_icc``, or unknown, go
        first, and of correlated ones the step ``correlation`` keeps the most stable. Machines differ: its content
        decides, not its path.
    min_icc : float
        That bound; 0.75 is where Koo and Li (2016), doi:10.1016/j.jcm.2016.02.012, let good begin.
    """

    max_features: int = 40
    max_correlation: float = 0.9
    steps: list[str | dict[str, Any]] | None = None
    bootstraps: int = 20
    stability: str | None = None
    min_icc: float = 0.75

    def __post_init__(self) -> None:
        if self.max_features < 1 or not 0 < self.max_correlation <= 1:
            raise ConfigError(
                f"found selection.max_features = {self.max_features} and selection.max_correlation = "
                f"{self.max_correlation}, expected at least 1 feature and a correlation above 0 up to 1"
            )
        if self.bootstraps < 0:
            raise ConfigError(f"found selection.bootstraps = {self.bootstraps}, expected 0 or more")
        if not 0 < self.min_icc <= 1:
            raise ConfigError(f"found selection.min_icc = {self.min_icc}, expected a correlation above 0 up to 1")
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
    variants : dict of str to dict
        An ensemble over crops and networks: by name, what a variant changes of ``crop`` and ``model``, e.g.
        ``{wide: {crop: {context_mm: 12}}, resnet: {model: {backbone: resnet50}}}``. Every variant trains
        ``fit.members`` networks, and a stage's log-odds are the mean of all of them. Then the networks are those of
        the variants alone; ``own: {}`` adds that of ``crop`` and ``model`` as they are. All variants have the same
        ``modalities``, ``rois``, ``sites``, ``tabular`` and ``head``. Empty: one crop, one network.
    calibrator : str or dict
        How raw log-odds become probabilities: a name of :data:`usdlr.decision.calibration.CALIBRATORS`, or that name
        with its options; ``auto`` chooses among them by cross-validation on tuning patients, see
        :class:`usdlr.decision.calibration_choice.CalibratorChoice`.
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
    bundle : BundleSettings
        What the bundle holds beside the model.
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
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    calibrator: str | dict[str, Any] = "platt"
    views: int = 1
    contract: ContractSettings = field(default_factory=ContractSettings)
    readout: str | dict[str, Any] = "network"
    baselines: list[str] = field(default_factory=lambda: ["size", "radiomics"])
    seed: int = 0
    threads: int = 1
    jobs: int = 2
    gallery: int = 12
    bundle: BundleSettings = field(default_factory=BundleSettings)

    def __post_init__(self) -> None:
        for name in ("threads", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected at least 1")
        if self.gallery < 0:
            raise ConfigError(f"found gallery = {self.gallery}, expected at least 0")
        name = calibrator_name(self.calibrator)
        loss, _ = split_part(self.fit.loss, "fit.loss", LOSSES)
        if name == "temperature" and loss not in UNWEIGHTED:
            raise ConfigError(
                f"found calibrator = temperature with fit.loss = {loss}, which shifts all log-odds, and a temperature "
                f"has no intercept to shift them back; expected the calibrator platt, or a loss out of "
                f"{', '.join(UNWEIGHTED)}"
            )
        ViewSettings(self.views)
        self._take_sites()
        signature_settings(self.readout)
        self._check_table()
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

    def _check_table(self) -> None:
        """Refuse networks without a table that something asks for, or a table without anything in it."""
        tabular = self.model.tabular
        if self.signature is not None and not self.model.reads_radiomics:
            raise ConfigError(
                f"found readout = signature with model.tabular = {tabular}, expected a table with radiomics: a "
                "signature is fitted over it and the embeddings; use model.tabular = joint or split, or readout = "
                "network"
            )
        if tabular == CLINICAL_BLOCK and not self.data.clinical:
            raise ConfigError(
                "found model.tabular = clinical without data.clinical, expected at least one variable there; add it, "
                "or use model.tabular = none"
            )

    def _take_sites(self) -> None:
        """Give the network the branches of ``data.sites``."""
        stated, sites = self.model.sites, self.data.sites
        if stated not in (sites, [str(Site.TUMOUR)]):
            raise ConfigError(
                f"found model.sites = {stated} with data.sites = {sites}, expected one statement; leave model.sites "
                "out, it is taken from data.sites"
            )
        object.__setattr__(self, "model", replace(self.model, sites=list(sites)))

    def _check_baselines(self) -> None:
        """Refuse baselines without anything to read; keep their own names, which are safe in paths of metrics."""
        names = check_baselines(
            self.baselines,
            clinical=self.data.clinical,
            rois=list(map(str, self.radiomics.rois)),
            image_blocks=[block for block in self.model.image_blocks if block_site(block) is Site.TUMOUR],
        )
        if self.data.external and any(baseline_named(name).reads_embeddings for name in names):
            raise ConfigError(
                "found a baseline on embeddings with data.external, whose axillae get the scores of radiomics and "
                "clinical baselines only; leave one of them out"
            )
        for name in names:
            block = baseline_named(name).block
            if block is None or block.kind != RADIOMICS_BLOCK or block.modality in (None, *self.radiomics.modalities):
                continue
            raise ConfigError(
                f"found the baseline {name} with radiomics.modalities = {', '.join(self.radiomics.modalities)}, "
                f"expected {block.modality} among them; add it or leave the baseline out"
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
        split = 1 + len(self.radiomics.modalities) * len(self.radiomics.rois)
        tables = {"split": split, NO_TABLE: 0}.get(self.model.tabular, 1)
        blocks = len(self.model.image_blocks) + tables
        if blocks > MOST_BLOCKS:
            raise ConfigError(
                f"found up to {blocks} blocks, {len(self.model.image_blocks)} of them of images, expected "
                f"at most {MOST_BLOCKS}, among which a prediction is divided exactly; use fewer model.rois or "
                "radiomics.rois, or model.tabular = joint"
            )

    def _check_crop(self) -> None:
        """Refuse a crop that every ring would reach beyond."""
        for variant in self.ensemble:
            if variant.crop.policy != "adjustable":  # what a fixed crop cuts depends on the lesion, and is counted
                continue
            place = f"variants.{variant.name}.crop" if variant.name else "crop"
            for name in self.model.rois:
                region = Region.named(name)
                margin = (region.margin_mm or self.radiomics.margin_mm) if region.kind in WITH_MARGIN else 0.0
                if margin > variant.crop.context_mm:
                    raise ConfigError(
                        f"found the region {name} with a margin of {margin:g} mm and {place}.context_mm = "
                        f"{variant.crop.context_mm:g}, expected a crop that holds the ring; set {place}.context_mm to "
                        f"at least {margin:g}"
                    )

    @property
    def signature(self) -> SignatureSettings | None:
        """The signature readout; ``None`` where the networks' own logit is read."""
        return signature_settings(self.readout)

    @property
    def reads_radiomics(self) -> bool:
        """Whether anything reads radiomics: the networks or a baseline; otherwise nothing is measured."""
        every = [f"{modality}.{roi}.original.firstorder.Mean" for modality in MODALITIES for roi in Roi]
        return self.model.reads_radiomics or any(baseline_named(name).columns(every) for name in self.baselines)

    @property
    def networks(self) -> int:
        """Networks of every fitted stage."""
        return len(self.network_variants)

    @property
    def ensemble(self) -> tuple[Variant, ...]:
        """What the networks are made of and which crop they read: every variant, at least one."""
        return ensemble_of(self.model, self.crop, self.variants)

    @property
    def network_variants(self) -> tuple[Variant, ...]:
        """The variant of every network of a fitted stage, in the order of :mod:`usdlr.inference.variants`."""
        once = [variant for variant in self.ensemble for _ in range(self.fit.members)]
        return tuple(once * (self.signature.folds if self.signature else 1))

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
            where=self.data.where,
            measure=self.reads_radiomics,
            variants=tuple(replace(one, network=one.network.without_start()) for one in self.ensemble if one.name),
        )

    @property
    def on_uncertified(self) -> OnUncertified:
        """What the bundle answers without a certified contract."""
        return OnUncertified(self.contract.on_uncertified)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: what YAML and JSON give back."""
        content = asdict(self) | {"radiomics": self.radiomics.as_dict()}
        if not self.variants:  # an experiment without any is the same as before there were some
            del content["variants"]
        if self.bundle == BundleSettings():  # likewise
            del content["bundle"]
        return content

    def identity(self) -> dict[str, Any]:
        """What decides the result: everything but the machine's paths and the number of processes."""
        content = self.as_dict()
        del content["jobs"]
        content["data"].pop("root")
        if content["data"].pop("segmenter") is not None:  # a path; the bundle's id is among the run's inputs
            content["data"]["segmenter"] = True
        content["data"]["external"] = sorted(content["data"]["external"])  # without their paths
        content["model"].pop("weights_file")  # a path; the file's hash is among the run's inputs
        for variant in content.get("variants", {}).values():
            if variant and variant.get("model"):
                variant["model"].pop("weights_file", None)
        content["splits"].pop("table")  # likewise
        content["selection"]["stability"] = self.selection.stability is not None  # likewise
        for name in ("workers", "wandb"):  # how it is fitted and logged, not what comes of it
            content["fit"].pop(name)
        return content


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    if not isinstance(value, dict) or (not value and prefix.startswith("variants.")):  # an empty variant is one
        return {prefix: value}
    return {
        name: item for key, part in value.items() for name, item in flat(part, f"{prefix}.{key}".lstrip(".")).items()
    }
