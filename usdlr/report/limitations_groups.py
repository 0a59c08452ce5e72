"""Limitations of groups and of images: groups that differ, centres that are scanners, images that hardly count."""

from __future__ import annotations

from collections.abc import Iterator

from usdlr.core.columns import CONTRIBUTION_PREFIX
from usdlr.core.types import Split, Stage
from usdlr.decision.wording_limitations import images_sentence
from usdlr.decision.wording_subgroups import division_sentence, small_sentence, unlike_sentence
from usdlr.report import facts
from usdlr.report.inputs import StudyInputs


def unlike(inputs: StudyInputs) -> Iterator[str]:
    """Subgroups that the tests found to differ, the false-negative rates first."""
    for key in ("fnr", "auc", "calibration"):
        for stage in Stage:
            part = facts.found(inputs.metrics, f"subgroups.{stage}.variables") or {}
            for entry in part.values():
                told = unlike_sentence(
                    stage, key, entry, known_nsln=inputs.known_nsln, adjective=inputs.marks.adjective
                )
                if told:
                    yield told


def too_few(inputs: StudyInputs) -> Iterator[str]:
    """Subgroups too small to judge."""
    for stage in Stage:
        part = facts.found(inputs.metrics, f"subgroups.{stage}") or {}
        small = [
            (str(entry["title"]), row)
            for name, entry in (part.get("variables") or {}).items()
            if name != "all"
            for row in entry["levels"]
            if row.get("small")
        ]
        if small:
            yield small_sentence(stage, small)


def same_division(inputs: StudyInputs) -> Iterator[str]:
    """Where centre and scanner or maker divide the axillae alike, nobody can tell whose a difference is."""
    alike, n = [], 0
    for column, words in (("device", "scanner"), ("vendor", "maker")):
        if not {"centre_id", column} <= set(inputs.axillae):
            continue
        both = inputs.axillae[["centre_id", column]].dropna().astype(str)
        parts = len(both.drop_duplicates())
        if parts > 1 and parts == both["centre_id"].nunique() == both[column].nunique():
            alike.append(words)
            n = max(n, len(both))
    if alike:
        yield division_sentence(alike, n)


def images(inputs: StudyInputs) -> Iterator[str]:
    """Stages whose log-odds the images hardly move."""
    rows = inputs.predictions
    blocks = [
        name
        for name in map(str, rows)
        if name.startswith(CONTRIBUTION_PREFIX) and "." in name[len(CONTRIBUTION_PREFIX) :]
    ]
    for stage in Stage if blocks else ():
        own = rows[(rows["split"].astype(str) == str(Split.TEST)) & (rows["stage"].astype(str) == str(stage))]
        # A block that is absent adds nothing.
        moved = float(own[blocks].fillna(0.0).sum(axis=1).astype(float).std())
        whole = float(own["logit"].astype(float).std())
        if told := images_sentence(stage, moved, whole, len(own), maps=bool(inputs.heat_maps)):
            yield told
