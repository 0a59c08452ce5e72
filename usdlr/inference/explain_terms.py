"""Which single columns of the table move the score, in plain words and in their own units.

Beside what the networks make of it, a table enters the log-odds through a ridge regression: a coefficient times the
distance of a standardised value from the training patients' mean, a sum over all columns. Its terms are told one by one
and by class of features. Many features are correlated, so that a single term is one of many ways to share the same
evidence; the sum over a class is steadier. Below a signature readout, the terms are those of its linear log-odds, which
count from the training median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.decision.explanation import FamilySum, FeatureTerm
from usdlr.decision.wording_explanation import variable_words
from usdlr.inference.explain_probe import Probe, reading_of
from usdlr.inference.reading import EMBEDDING
from usdlr.inference.signature import LOGIT
from usdlr.radiomics.catalogue.features import FAMILIES, describe
from usdlr.radiomics.design import CLINICAL
from usdlr.radiomics.settings import RadiomicsSettings

NOT_A_SUM = "the head bends the score of this stage, so that it is no sum of single features"
NO_SCORE = "the networks read no linear score of their table"


@dataclass(frozen=True)
class TableTerms:
    """What the columns of an axilla's table add to a stage's raw log-odds.

    Parameters
    ----------
    terms : tuple of FeatureTerm
        The largest first; columns that add nothing to anybody are among them.
    reason : str
        Why there is none; empty where there are.
    """

    terms: tuple[FeatureTerm, ...]
    reason: str = ""

    @property
    def total(self) -> float | None:
        """What they add together, in nat; ``None`` where there is none."""
        return None if self.reason else float(np.sum([term.adds for term in self.terms]))


def table_terms(
    probe: Probe, radiomics: RadiomicsSettings, *, intensity: Mapping[str, str] | None = None
) -> TableTerms:
    """The linear terms of an axilla's table in the stage's raw log-odds.

    Parameters
    ----------
    probe : Probe
        The axilla.
    radiomics : RadiomicsSettings
        What was measured; names the ring's width.
    intensity : mapping of str to str, optional
        Unit of a modality's intensities where it is not the usual one, e.g. ``{"elasto": "%"}``.
    """
    if probe.model.readout is not None:
        added, usual = _of_readout(probe)
    else:
        if not probe.runs[0].network.scored:
            return TableTerms((), NO_SCORE)
        if probe.model.target >= probe.model.networks[0].head.width:
            return TableTerms((), NOT_A_SUM)
        added, usual = _of_score(probe)
    known = probe.axilla_design().iloc[0]
    terms = [
        FeatureTerm(
            column,
            column_words(column, radiomics, intensity or {}),
            None if column not in known or not np.isfinite(known[column]) else float(known[column]),
            usual[column],
            adds,
        )
        for column, adds in added.items()
    ]
    return TableTerms(tuple(sorted(terms, key=lambda term: (-abs(term.adds), term.column))))


def family_sums(terms: tuple[FeatureTerm, ...]) -> tuple[FamilySum, ...]:
    """Terms by class of features and region, the largest sum first; every clinical variable stands by itself."""
    found: dict[tuple[str, str], list[FeatureTerm]] = {}
    for term in terms:
        found.setdefault(_family(term.column), []).append(term)
    sums = [
        FamilySum(block, family, _family_words(block, family), len(of), float(np.sum([term.adds for term in of])))
        for (block, family), of in found.items()
    ]
    return tuple(sorted(sums, key=lambda one: (-abs(one.adds), one.block, one.family)))


def column_words(column: str, radiomics: RadiomicsSettings, intensity: Mapping[str, str]) -> str:
    """A column in plain words with its unit.

    Examples
    --------
    >>> column_words("clinical.tumour_size_mm", RadiomicsSettings(), {})
    'tumour size (mm)'
    >>> column_words("elasto.intratumoral.original.firstorder.Mean", RadiomicsSettings(), {"elasto": "%"})
    'elastography, inside the lesion: mean stiffness (%)'
    """
    if column.startswith(CLINICAL):
        return variable_words(column.removeprefix(CLINICAL))
    try:
        return describe(column, radiomics, intensity=intensity.get(column.partition(".")[0]))
    except ConfigError:  # of another version, which its name still says more about than nothing
        return column


def _of_score(probe: Probe) -> tuple[dict[str, float], dict[str, float]]:
    """Terms of the ridge score, as much of it as the networks take over, and the training means."""
    model = probe.model
    columns, usual = model.scores.by_column(probe.design, model.target)
    first = probe.runs[0]
    blocks = [probe.blocks[place] for place in first.network.scored]
    added: dict[str, float] = {}
    for position, block in enumerate(blocks):
        scale = np.mean([float(run.network.score_scale[position, model.target].detach()) for run in probe.runs])
        has = first.batch["present"][:, probe.blocks.index(block)].numpy()
        for name in model.scores.columns[block]:
            values = columns[name].to_numpy()[has]
            added[name] = float(scale * values.mean()) if values.size else 0.0
    means = usual.mean(axis=0)  # of another pattern's model where an image lacks a map
    # A column that varied in no training patient has no mean and adds nothing.
    known = {str(name): float(one) for name, one in means.items()}
    return {name: one for name, one in added.items() if np.isfinite(known[name])}, known


def _of_readout(probe: Probe) -> tuple[dict[str, float], dict[str, float]]:
    """Terms of a signature's columns other than those that networks made, and the training medians."""
    readout = probe.model.readout
    assert readout is not None
    outputs, table = probe.outputs(), probe.axilla_design()
    parts: list[dict[str, npt.NDArray[np.float64]]] = []
    for view in range(probe.views):
        of = [
            reading_of(output, run.network, probe.model.target)
            for run, output in zip(probe.runs, outputs, strict=True)
            if run.view == view
        ]
        parts += [columns for _, columns in readout.by_column(of, probe.settings, probe.blocks, table)]
    names = [name for name in parts[0] if not name.startswith((EMBEDDING, LOGIT))]
    medians = dict(readout.median)
    if readout.signature is not None:
        medians |= dict(zip(readout.signature.columns, map(float, readout.signature.scaling.median), strict=True))
    return {name: float(np.mean([part[name][0] for part in parts])) for name in names}, medians


def _family(column: str) -> tuple[str, str]:
    if column.startswith(CLINICAL):
        return "clinical", column.removeprefix(CLINICAL)
    parts = column.split(".")
    return ".".join(parts[:2]), parts[3] if len(parts) == 5 else ""


def _family_words(block: str, family: str) -> str:
    if block == "clinical":
        return variable_words(family)
    modality, _, region = block.partition(".")
    where = {"intratumoral": "inside the lesion", "peritumoral": "ring", "combined": "lesion and ring"}
    title = FAMILIES[family].title if family in FAMILIES else family
    if modality == "elasto":
        title = title.replace("brightness", "stiffness").replace("grey level", "level")
    return f"{MODALITIES[modality].title}, {where.get(region, region)}: {title}"
