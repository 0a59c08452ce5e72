"""The block that a plain model reads: one modality, one region of it, the clinical variables, or embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.core.named_parts import nearest
from usdlr.core.regions import CONTEXT, STATED, Region
from usdlr.core.types import Roi
from usdlr.radiomics.design import CLINICAL

EMBEDDING = "embedding"
CLINICAL_BLOCK = "clinical"
RADIOMICS_BLOCK = "radiomics"
REGION_WORDS = {
    str(Roi.INTRATUMORAL): "lesion",
    str(Roi.PERITUMORAL): "ring",
    str(Roi.COMBINED): "lesion and ring",
    CONTEXT: "whole crop",
}
# A margin's decimal point in a name without dots: peritumoral-2-5mm.
_POINTLESS = re.compile(r"-([0-9]+)-([0-9]+mm)$")


@dataclass(frozen=True)
class Block:
    """Columns of one kind.

    Parameters
    ----------
    kind : str
        ``radiomics``, ``clinical`` or ``embedding``.
    modality : str or None
        ``None`` for every modality.
    region : str or None
        ``None`` for every region.

    Examples
    --------
    >>> Block.named("bmode.peritumoral").title
    'radiomics of the B-mode ring'
    >>> Block.named("bmode-peritumoral").columns(["bmode.peritumoral.original.glcm.Contrast", "clinical.age_years"])
    ['bmode.peritumoral.original.glcm.Contrast']
    """

    kind: str
    modality: str | None = None
    region: str | None = None

    @classmethod
    def named(cls, name: str) -> Block:
        """The block of a name.

        Parameters
        ----------
        name : str
            ``radiomics``, ``{modality}``, ``{modality}.{region}``, ``clinical``, ``embedding``,
            ``embedding.{modality}`` or ``embedding.{modality}.{region}``; a hyphen may stand for every dot.

        Raises
        ------
        ConfigError
            Naming the nearest block, if there is none of this name.
        """
        first, rest = _cut(name)
        if name in (CLINICAL_BLOCK, RADIOMICS_BLOCK, EMBEDDING):
            return cls(name)
        kind = EMBEDDING if first == EMBEDDING else RADIOMICS_BLOCK
        modality, region = _cut(rest if kind == EMBEDDING else name)
        region = _POINTLESS.sub(r"-\1.\2", region)
        regions = [*REGION_WORDS] if kind == EMBEDDING else [*map(str, Roi)]
        if modality in MODALITIES:
            if not region:
                return cls(kind, modality)
            if region in regions or (kind == EMBEDDING and STATED.fullmatch(region)):
                return cls(kind, modality, Region.named(region).name)
        known = _known_blocks()
        raise ConfigError(
            f"found the block {name!r}, expected one of {', '.join(known)}{nearest(name.replace('-', '.'), known)}"
        )

    @property
    def name(self) -> str:
        """The name without a dot, which is safe in paths such as ``baselines.<name>.auc``.

        Examples
        --------
        >>> Block.named("embedding.bmode.peritumoral-2.5mm").name
        'embedding-bmode-peritumoral-2-5mm'
        """
        words = [self.kind] if self.kind != RADIOMICS_BLOCK or self.modality is None else []
        words += [word for word in (self.modality, self.region) if word is not None]
        return "-".join(words).replace(".", "-")

    @property
    def title(self) -> str:
        """Words for readers."""
        if self.kind == CLINICAL_BLOCK:
            return "clinical variables"
        place = ""
        if self.modality is not None:
            modality = MODALITIES[self.modality].title
            place = f" of {modality}" if self.region is None else f" of the {modality} {_region_words(self.region)}"
        return f"embeddings{place}" if self.kind == EMBEDDING else f"radiomics{place or ' of all images'}"

    def columns(self, names: Sequence[str]) -> list[str]:
        """Those of the given columns that belong to the block, in their order."""
        if self.kind == CLINICAL_BLOCK:
            return [name for name in names if name.startswith(CLINICAL)]
        return [name for name in names if self._holds(name.split("."))]

    def _holds(self, parts: list[str]) -> bool:
        if self.kind == EMBEDDING:
            if parts[0] != EMBEDDING or parts[1] not in MODALITIES:  # embeddings of tables are not images
                return False
            parts = [parts[1], ".".join(parts[2:-1])]
        return (
            parts[0] in MODALITIES and self.modality in (None, parts[0]) and self.region in (None, ".".join(parts[1:2]))
        )

    def require_measured(
        self, baseline: str, *, clinical: Sequence[str], rois: Sequence[str], images: Sequence[str]
    ) -> None:
        """Refuse a block that an experiment does not measure.

        Parameters
        ----------
        baseline : str
            Whose block it is.
        clinical, rois, images : sequence of str
            The experiment's clinical variables, radiomics regions and the networks' image blocks.

        Raises
        ------
        ConfigError
            Naming what is missing and where to add it.
        """
        if self.kind == CLINICAL_BLOCK and not clinical:
            raise ConfigError(
                f"found the baseline {baseline} without data.clinical, expected at least one variable there"
            )
        if self.kind == RADIOMICS_BLOCK and self.region is not None and self.region not in rois:
            raise ConfigError(
                f"found the baseline {baseline} with radiomics.rois = {', '.join(rois)}, expected {self.region} among "
                f"them{nearest(self.region, rois)}"
            )
        mine = [
            block
            for block in images
            if self.modality in (None, block.partition(".")[0]) and self.region in (None, block.partition(".")[2])
        ]
        if self.kind == EMBEDDING and not mine:
            wanted = ".".join(word for word in (self.modality, self.region) if word)
            raise ConfigError(
                f"found the baseline {baseline}, and the network has the image blocks {', '.join(images)}, expected "
                f"{wanted} among them{nearest(wanted, images)}"
            )


def _cut(name: str) -> tuple[str, str]:
    """The first word and the rest, at a dot or a hyphen."""
    found = re.match(r"([^.-]*)[.-]?(.*)", name)
    assert found is not None
    return found[1], found[2]


def _region_words(region: str) -> str:
    found = Region.named(region)
    margin = "" if found.margin_mm is None else f"{found.margin_mm:g} mm "
    return margin + REGION_WORDS[found.kind]


def _known_blocks() -> list[str]:
    regions = [f"{modality}.{roi}" for modality in MODALITIES for roi in Roi]
    return [RADIOMICS_BLOCK, *MODALITIES, *regions, CLINICAL_BLOCK, EMBEDDING, f"{EMBEDDING}.{{modality}}.{{region}}"]
