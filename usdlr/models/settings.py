"""What a network is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import BMODE, ELASTO, MODALITIES
from usdlr.core.named_parts import split_part
from usdlr.core.regions import Region, site_block
from usdlr.core.types import Roi, Site
from usdlr.models.fusion import FUSIONS
from usdlr.models.heads import HEADS
from usdlr.models.pooling import POOLINGS

# The block that reads radiomics features and clinical variables; split, it is one block per modality and region,
# and one for the clinical variables.
RADIOMICS, CLINICAL_BLOCK = "radiomics", "clinical"
NO_TABLE = "none"
TABLES = ("joint", "split", CLINICAL_BLOCK, NO_TABLE)
PRESENT = "present"  # first word of the columns that say whether a modality is there
STEMS = {"grey": 1, "rgb": 3, "frames": 3}
CHANNELS = ("mask", "distance")
SHARING = ("none", "rois", "modalities", "all")
AUXILIARY = ("stiffness", "birads")


def checked_sites(sites: Sequence[str], key: str) -> list[str]:
    """Sites in the order of :class:`usdlr.core.types.Site`, the tumour among them.

    Raises
    ------
    ConfigError
        If there is another one, one stands twice, or the tumour is missing.

    Examples
    --------
    >>> checked_sites(["axilla", "tumour"], "data.sites")
    ['tumour', 'axilla']
    """
    known = [str(site) for site in Site]
    if len(set(sites)) != len(sites) or not set(sites) <= set(known) or str(Site.TUMOUR) not in sites:
        raise ConfigError(
            f"found {key} = {list(sites)}, expected [tumour], or [tumour, axilla] to read lymph nodes too"
        )
    return [site for site in known if site in sites]


@dataclass(frozen=True)
class NetworkSettings:
    """Network settings.

    Parameters
    ----------
    backbone : str
        Any timm model name.
    pretrained : bool
        Whether timm fetches its published weights; needs a network or a filled cache.
    weights_file : str or None
        Local weights for the backbone instead: timm's own file, what ``usdlr pretrain`` wrote, or a fitted stage of
        usdlr (safetensors, or a state dict that loads with ``weights_only``).
    stem : str
        ``grey``: one image channel, a published stem is summed. ``rgb``: the grey image three times. ``frames``: the
        frame before, the frame itself and the frame after, where the case has them; else the frame stands in.
    channels : list of str
        Further input channels of every image branch: ``mask`` (1 inside the lesion), ``distance`` (signed distance
        to the contour in mm, negative inside, divided by 10 and clipped to -1..1).
    frozen : float
        Share of the backbone's layers, from the stem upward, that stay as they start; 1 freezes all of it.
    share : str
        Which image branches share one backbone: ``none``, ``rois`` (one per modality), ``modalities`` (one per
        region), ``all``. Tumours and lymph nodes share one under ``all`` alone. Every branch keeps a projection of its
        own.
    modalities : list of str
        Modalities with image branches.
    rois : list of str
        Regions with image branches; every modality gets one branch per region. ``intratumoral``, ``peritumoral``,
        ``combined``, ``context`` (the whole crop), or with a margin of its own, e.g. ``peritumoral-3mm``.
    sites : list of str
        What the images show: ``tumour``, and ``axilla`` where lymph nodes have branches of their own, one for each of
        the tumour's. An experiment states it as ``data.sites``, and it is taken from there.
    embedding_dim : int
        Length of each block's embedding.
    tabular : str
        ``joint``: one block of radiomics and clinical variables. ``split``: a radiomics block per modality and region,
        absent where the case has no such map, and a clinical block; for asking which of them carries a prediction.
        ``clinical``: one block of clinical variables, no radiomics. ``none``: images alone, which needs
        ``score: false``; an axilla without any usable image block then gets the base logit, the same for all of them.
    tabular_hidden : int
        Hidden units of each radiomics or clinical encoder.
    score : bool
        Whether the ridge logistic score of all columns, cross-fitted on training patients and told by block, enters
        the network's logit directly. The fit starts from this score, to which fusion adds nothing yet: images and
        interactions have to earn what they add. False without a table.
    dropout : float
        Dropout on every embedding.
    block_dropout : float
        Chance that a block of an axilla is hidden in training, so that the network learns to do without it.
    pooling : str or dict
        How the images of one axilla become one: a name of :data:`usdlr.models.pooling.POOLINGS`, or that name with
        its options.
    fusion : str or dict
        How the blocks become one: a name of :data:`usdlr.models.fusion.FUSIONS`, or that name with its options.
    head : str or dict
        What is predicted: a name of :data:`usdlr.models.heads.HEADS`, or that name with its options.
    auxiliary : list of str
        Further quantities that the B-mode branches learn to predict: ``stiffness`` (mean kPa in the lesion),
        ``birads``.
    """

    backbone: str = "mobilenetv4_conv_small"
    pretrained: bool = False
    weights_file: str | None = None
    stem: str = "grey"
    channels: list[str] = field(default_factory=list)
    frozen: float = 0.0
    share: str = "none"
    modalities: list[str] = field(default_factory=lambda: [BMODE, ELASTO])
    rois: list[str] = field(default_factory=lambda: [str(Roi.INTRATUMORAL), str(Roi.PERITUMORAL)])
    sites: list[str] = field(default_factory=lambda: [str(Site.TUMOUR)])
    embedding_dim: int = 64
    tabular: str = "joint"
    tabular_hidden: int = 32
    score: bool = True
    dropout: float = 0.3
    block_dropout: float = 0.1
    pooling: str | dict[str, Any] = "mean"
    fusion: str | dict[str, Any] = "gated"
    head: str | dict[str, Any] = "binary"
    auxiliary: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, found, known, least in (
            ("modalities", self.modalities, tuple(MODALITIES), 1),
            ("channels", self.channels, CHANNELS, 0),
            ("auxiliary", self.auxiliary, AUXILIARY, 0),
        ):
            if len(found) < least or len(set(found)) != len(found) or not set(found) <= set(known):
                raise ConfigError(f"found model.{key} = {found}, expected different names out of {', '.join(known)}")
        object.__setattr__(self, "sites", checked_sites(self.sites, "model.sites"))
        if not self.rois or len(set(self.rois)) != len(self.rois):
            raise ConfigError(f"found model.rois = {self.rois}, expected different regions, at least one")
        regions = [Region.named(name) for name in self.rois]
        if len({(region.kind, region.margin_mm) for region in regions}) != len(regions):
            raise ConfigError(f"found model.rois = {self.rois}, which name one region twice, expected different ones")
        for key, word, words in (
            ("stem", self.stem, tuple(STEMS)),
            ("share", self.share, SHARING),
            ("tabular", self.tabular, TABLES),
        ):
            if word not in words:
                raise ConfigError(f"found model.{key} = {word!r}, expected one of {', '.join(words)}")
        for key, value in (("dropout", self.dropout), ("block_dropout", self.block_dropout)):
            if not 0 <= value < 1:
                raise ConfigError(f"found model.{key} = {value}, expected a share of at least 0 and below 1")
        if not 0 <= self.frozen <= 1:
            raise ConfigError(f"found model.frozen = {self.frozen}, expected a share from 0 to 1")
        if self.embedding_dim < 2 or self.tabular_hidden < 2:
            raise ConfigError(
                f"found model.embedding_dim = {self.embedding_dim} and model.tabular_hidden = {self.tabular_hidden}, "
                "expected at least 2 each"
            )
        if self.pretrained and self.weights_file is not None:
            raise ConfigError("found both model.pretrained and model.weights_file, expected one source of weights")
        if self.auxiliary and BMODE not in self.modalities:
            raise ConfigError(
                f"found model.auxiliary = {self.auxiliary} without B-mode branches, which learn it, expected bmode "
                "among model.modalities"
            )
        split_part(self.pooling, "model.pooling", POOLINGS)
        fusion, _ = split_part(self.fusion, "model.fusion", FUSIONS)
        if self.tabular == NO_TABLE and fusion == "film":
            raise ConfigError(
                "found model.fusion = film with model.tabular = none, expected a table, by which film scales and "
                "shifts the images; use another fusion or model.tabular = joint, split or clinical"
            )
        if self.tabular == NO_TABLE and self.score:
            raise ConfigError(
                "found model.score = true with model.tabular = none, expected false: there is no table to be scored; "
                "set model.score = false"
            )
        split_part(self.head, "model.head", HEADS)

    @property
    def image_blocks(self) -> tuple[str, ...]:
        """``{modality}.{roi}`` of every image branch, then ``{modality}.{roi}@axilla`` of every branch of nodes."""
        every = [f"{modality}.{roi}" for modality in self.modalities for roi in self.rois]
        return tuple(site_block(block, Site(site)) for site in self.sites for block in every)

    def table_blocks(self, columns: Sequence[str]) -> dict[str, list[int]]:
        """Positions of the columns that each radiomics or clinical block reads, the clinical one last.

        Parameters
        ----------
        columns : sequence of str
            Names in the order of the table: ``{modality}.{roi}...``, ``clinical.{variable}``, ``present.{modality}``;
            the last belong to the one joint block, and to none of several.

        Examples
        --------
        >>> columns = ["bmode.peritumoral.original.glcm.Contrast", "clinical.tumour_size_mm"]
        >>> NetworkSettings(tabular="split").table_blocks(columns)
        {'radiomics.bmode.peritumoral': [0], 'clinical': [1]}
        """
        if self.tabular == NO_TABLE:
            return {}
        if self.tabular == "joint":
            return {RADIOMICS: list(range(len(columns)))}
        found: dict[str, list[int]] = {}
        for position, name in enumerate(columns):
            parts = name.split(".")
            if parts[0] == PRESENT:  # a block of its own map is absent with it: nothing is left to indicate
                continue
            block = ".".join([RADIOMICS, *parts[:2]]) if parts[0] in MODALITIES else CLINICAL_BLOCK
            if self.tabular == CLINICAL_BLOCK and block != CLINICAL_BLOCK:
                continue
            found.setdefault(block, []).append(position)
        return dict(sorted(found.items(), key=lambda item: item[0] == CLINICAL_BLOCK))

    @property
    def reads_radiomics(self) -> bool:
        """Whether any block reads radiomics features."""
        return self.tabular not in (CLINICAL_BLOCK, NO_TABLE)

    def table_columns(self, columns: Sequence[str]) -> list[str]:
        """The columns that any radiomics or clinical block may read, in their order.

        Examples
        --------
        >>> columns = ["bmode.peritumoral.original.glcm.Contrast", "clinical.tumour_size_mm"]
        >>> NetworkSettings(tabular="clinical").table_columns(columns)
        ['clinical.tumour_size_mm']
        """
        read = {place for places in self.table_blocks(columns).values() for place in places}
        return [name for place, name in enumerate(columns) if place in read]

    @property
    def in_channels(self) -> int:
        """Channels of an image branch's input: the stem's, then those of ``channels`` in their order."""
        return STEMS[self.stem] + len(self.channels)

    def without_start(self) -> NetworkSettings:
        """The same network without a word of where its first weights came from: fitted weights replace them all."""
        return replace(self, pretrained=False, weights_file=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
