"""The names of the regions that a network may look at, beyond those that radiomics measures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.core.types import Roi, Site

# The whole crop inside the field of view: lesion, ring and what lies around them.
CONTEXT = "context"
# Regions whose width is a margin in millimetres; "peritumoral-3mm" states one of its own.
WITH_MARGIN = (str(Roi.PERITUMORAL), str(Roi.COMBINED))
STATED = re.compile(r"(?P<kind>[a-z]+)-(?P<margin>[0-9]+(?:\.[0-9]+)?)mm")
# Between the name of an image block and the site of its images, where that is not the tumour.
AT = "@"
# No breast is wider: a longer margin is a wrong unit.
WIDEST_MM = 200.0


@dataclass(frozen=True, slots=True)
class Region:
    """One region of an image block.

    Parameters
    ----------
    name : str
        As the configuration states it, e.g. ``peritumoral-3mm``.
    kind : str
        ``intratumoral``, ``peritumoral``, ``combined`` or ``context``.
    margin_mm : float or None
        The margin that the name states; ``None``: the experiment's own, or the region has none.
    """

    name: str
    kind: str
    margin_mm: float | None = None

    @classmethod
    def named(cls, name: str) -> Region:
        """The region of a name.

        Raises
        ------
        ConfigError
            If there is no such region, or its margin is not above 0 mm and at most 200 mm.

        Examples
        --------
        >>> Region.named("peritumoral-2.5mm")
        Region(name='peritumoral-2.5mm', kind='peritumoral', margin_mm=2.5)
        >>> Region.named("context").margin_mm is None
        True
        """
        if name in (*map(str, Roi), CONTEXT):
            return cls(name, name)
        found = STATED.fullmatch(name)
        if found is None or found["kind"] not in WITH_MARGIN or not 0 < float(found["margin"]) <= WIDEST_MM:
            known = (*map(str, Roi), CONTEXT)
            raise ConfigError(
                f"found the region {name!r}, expected one of {', '.join(known)}, or {' or '.join(WITH_MARGIN)} with a "
                f"margin of its own above 0 and at most {WIDEST_MM:g} mm such as peritumoral-3mm"
                f"{nearest(name.split('-')[0], known)}"
            )
        return cls(name, found["kind"], float(found["margin"]))


def site_block(block: str, site: Site) -> str:
    """The name of an image block for one site: the tumour's has no suffix.

    What a lymph node shows and what the tumour shows are blocks of their own, so that they are never pooled into one
    another and each has its own share in a prediction.

    Examples
    --------
    >>> site_block("bmode.intratumoral", Site.AXILLA), site_block("bmode.intratumoral", Site.TUMOUR)
    ('bmode.intratumoral@axilla', 'bmode.intratumoral')
    """
    return block if site is Site.TUMOUR else f"{block}{AT}{site}"


def block_site(block: str) -> Site:
    """What the images of an image block show.

    Examples
    --------
    >>> block_site("elasto.peritumoral-3mm@axilla"), block_site("elasto.peritumoral-3mm")
    (<Site.AXILLA: 'axilla'>, <Site.TUMOUR: 'tumour'>)
    """
    return Site(block.partition(AT)[2] or Site.TUMOUR)


def split_block(block: str) -> tuple[str, str]:
    """Modality and region name of an image block, whatever its site.

    Examples
    --------
    >>> split_block("bmode.peritumoral-2.5mm"), split_block("bmode.intratumoral@axilla")
    (('bmode', 'peritumoral-2.5mm'), ('bmode', 'intratumoral'))
    """
    modality, _, region = block.partition(AT)[0].partition(".")
    return modality, region


def block_words(block: str) -> str:
    """An image block in words.

    Examples
    --------
    >>> block_words("bmode.intratumoral")
    'B-mode, lesion'
    """
    name, _, site = block.partition("@")
    modality, _, region = name.partition(".")
    kind, _, margin = region.partition("-")
    words = {"intratumoral": "lesion", "peritumoral": "ring", "combined": "lesion and ring", "context": "whole crop"}
    of = f" of {margin.removesuffix('mm')} mm" if margin else ""
    where = " (lymph node)" if site else ""
    image = {"bmode": "B-mode", "elasto": "elastography"}.get(modality, modality)
    return f"{image}, {words.get(kind, kind)}{of}{where}"
