"""Names and numbers of the ways to decide about surgery, the same in figure, table and file."""

from __future__ import annotations

from collections.abc import Mapping

from usdlr.evaluation.pathways import Fate, Way

WAYS: Mapping[Way, str] = {
    Way.CURRENT: "Dissection if positive",
    Way.Z0011: "Z0011 rule",
    Way.CASCADE: "Cascade",
}
FATES: Mapping[Fate, str] = {
    Fate.NO_SURGERY: "No axillary surgery",
    Fate.BIOPSY: "Sentinel biopsy alone",
    Fate.DISSECTION: "Sentinel biopsy and dissection",
    Fate.UNDECIDED: "Z0011 rule not decidable",
}
OUTCOMES: Mapping[str, str] = {
    "biopsies_spared": "Sentinel biopsies spared",
    "dissections_spared": "Dissections spared",
    "sln_positive_without_surgery": "SLN-positive axillae left without surgery",
    "nsln_positive_undissected": "NSLN-positive axillae left undissected",
    "nsln_negative_dissected": "Dissections of NSLN-negative axillae",
}
AMONG: Mapping[str, str] = {
    "biopsies_spared": "of all axillae with known SLN status",
    "dissections_spared": "of SLN-positive axillae whose way is decided",
    "sln_positive_without_surgery": "of SLN-positive axillae",
    "nsln_positive_undissected": "of NSLN-positive axillae whose way is decided",
    "nsln_negative_dissected": "of dissected axillae with known NSLN status",
}
# What cannot be anything but nought is no finding.
SHOWN: Mapping[str, tuple[Way, ...]] = {
    "biopsies_spared": (Way.CASCADE,),
    "dissections_spared": (Way.Z0011, Way.CASCADE),
    "sln_positive_without_surgery": (Way.CASCADE,),
    "nsln_positive_undissected": (Way.Z0011, Way.CASCADE),
    "nsln_negative_dissected": (Way.CURRENT, Way.Z0011, Way.CASCADE),
}


def way_name(way: Way, adjective: str = "") -> str:
    """A way's name; the cascade's carries the mark of its thresholds.

    Examples
    --------
    >>> way_name(Way.CASCADE, "uncertified "), way_name(Way.Z0011, "uncertified ")
    ('Uncertified cascade', 'Z0011 rule')
    """
    name = WAYS[way]
    return f"{adjective}{name.lower()}".capitalize() if way is Way.CASCADE and adjective else name
