"""What the blocks of the design add to a stage's log-odds: exact Shapley shares, whatever the networks are made of.

The networks divide their answer among the blocks that they have. The design has five: B-mode lesion, B-mode ring,
elastography lesion, elastography ring, and radiomics with tumour size. Where a network reads its table in several
blocks, these come and go together in the game whose shares are told: no sum of single shares, which would differ
wherever blocks act on each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from usdlr.core.modalities import MODALITIES
from usdlr.inference.explain_probe import Probe, reading_of
from usdlr.models.settings import CLINICAL_BLOCK, RADIOMICS

Sets = dict[str, tuple[str, ...]]


def design_blocks(blocks: Sequence[str]) -> Sets:
    """The design's blocks out of a model's: each image block, and all of the table as one.

    Examples
    --------
    >>> design_blocks(["bmode.intratumoral", "radiomics.bmode.intratumoral", "clinical"])
    {'bmode.intratumoral': ('bmode.intratumoral',), 'radiomics': ('radiomics.bmode.intratumoral', 'clinical')}
    """
    images = [block for block in blocks if block.split(".")[0] in MODALITIES]
    tables = tuple(block for block in blocks if block not in images)
    found: Sets = {block: (block,) for block in images}
    if tables:
        found[CLINICAL_BLOCK if tables == (CLINICAL_BLOCK,) else RADIOMICS] = tables
    return found


def source_blocks(blocks: Sequence[str]) -> Sets:
    """Where what is known comes from: every region of a modality with its radiomics, and the clinical variables.

    Empty where radiomics and clinical variables are one block, which then belongs to no region.

    Examples
    --------
    >>> found = source_blocks(["bmode.intratumoral", "radiomics.bmode.intratumoral", "clinical"])
    >>> found["bmode.intratumoral"], found["clinical"]
    (('bmode.intratumoral', 'radiomics.bmode.intratumoral'), ('clinical',))
    """
    if RADIOMICS in blocks or not any(block.startswith(f"{RADIOMICS}.") for block in blocks):
        return {}
    found: dict[str, list[str]] = {}
    for block in blocks:
        found.setdefault(block.removeprefix(f"{RADIOMICS}."), []).append(block)
    return {name: tuple(of) for name, of in found.items()}


def block_shares(probe: Probe, sets: Mapping[str, Sequence[str]]) -> tuple[dict[str, float | None], float]:
    """Exact Shapley shares in the stage's raw log-odds, and the base, which add up to them.

    Parameters
    ----------
    probe : Probe
        The axilla.
    sets : mapping of str to sequence of str
        Blocks that come and go together; every block of the model once. See :func:`model_blocks`.

    Returns
    -------
    tuple of dict and float
        Shares in nat by set, ``None`` where all of its blocks are absent, and the log-odds without any block.
        Below a readout, whose logit is linear, a set's share is the sum of its columns' terms.
    """
    model, outputs = probe.model, probe.outputs()
    every: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    if model.readout is None:
        together = [[probe.blocks.index(block) for block in of] for of in sets.values()]
        there = np.zeros(len(sets), dtype=bool)
        for run, output in zip(probe.runs, outputs, strict=True):
            with torch.inference_mode():
                shares, base = run.network.shares(output, model.target, together)
            there |= np.array([bool(output.present[0, blocks].any()) for blocks in together])
            every.append(np.concatenate([shares[0].double().numpy(), base.double().numpy()]))
        mean = np.mean(every, axis=0)
    else:
        names = model_blocks(probe)
        table = probe.axilla_design()
        for view in range(probe.views):
            of = [
                reading_of(output, run.network, model.target)
                for run, output in zip(probe.runs, outputs, strict=True)
                if run.view == view
            ]
            every += [one[0] for one in model.readout.shares(of, probe.settings, probe.blocks, table)]
        single = dict(zip(names, np.array(every)[:, :-1].T, strict=True))
        there = np.array([any(np.isfinite(single[block]).any() for block in of) for of in sets.values()])
        sums = [sum(np.nan_to_num(single[block]).mean() for block in of) for of in sets.values()]
        mean = np.array([*sums, np.array(every)[:, -1].mean()])
    told = {name: float(mean[place]) if there[place] else None for place, name in enumerate(sets)}
    return told, float(mean[-1])


def model_blocks(probe: Probe) -> tuple[str, ...]:
    """The blocks that share a stage's log-odds: the networks', or below a readout those of all columns."""
    if probe.model.readout is None:
        return tuple(probe.blocks)
    return probe.model.readout.blocks(probe.settings, [str(name) for name in probe.design.columns])
