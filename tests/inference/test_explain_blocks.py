"""Shares of blocks: every order in which blocks can arrive, on every fusion, against the network's own answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.axillae import random_sample
from tests.inference.made_stage import COLUMNS, NETWORK, SIDE, Cohort, made_cohort, made_model
from usdlr.core.errors import DataError
from usdlr.data.samples import SampleStore
from usdlr.inference.explain_blocks import block_shares, design_blocks, model_blocks, source_blocks
from usdlr.inference.explain_probe import Probe
from usdlr.inference.stage import StageModel, prepare_torch
from usdlr.models.fusion import FUSIONS
from usdlr.models.heads import HEADS

FIVE = replace(NETWORK, rois=["intratumoral", "peritumoral"])


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    prepare_torch(1)


def probe_of(model: StageModel, cohort: Cohort, patient: str = "p0") -> Probe:
    rows = cohort.cases[cohort.cases["patient_id"] == patient]
    return Probe(model, rows, cohort.store, cohort.design)


def answer(model: StageModel, cohort: Cohort, patient: str, hidden: list[str]) -> float:
    """The log-odds of one axilla with some blocks hidden, by the whole networks."""
    rows = cohort.cases[cohort.cases["patient_id"] == patient].reset_index(drop=True)
    found = model.predict_axillae(rows, cohort.store, cohort.design, 1, hidden=hidden)
    return float(found["logit"].iloc[0])


def by_orders(model: StageModel, cohort: Cohort, patient: str, sets: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """What every set of blocks adds on arrival, the mean over all orders of arrival (Shapley's own definition)."""
    known: dict[frozenset[str], float] = {}

    def worth(there: frozenset[str]) -> float:
        if there not in known:
            hidden = [block for name, of in sets.items() if name not in there for block in of]
            known[there] = answer(model, cohort, patient, hidden)
        return known[there]

    shares = dict.fromkeys(sets, 0.0)
    for order in permutations(sets):
        there: frozenset[str] = frozenset()
        for name in order:
            shares[name] += (worth(there | {name}) - worth(there)) / factorial(len(sets))
            there |= {name}
    return shares


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_five_blocks_on_every_fusion(fusion: str) -> None:
    cohort = made_cohort(4)
    model = made_model(cohort, replace(FIVE, fusion=fusion))
    sets = design_blocks(model.networks[0].blocks)
    shares, base = block_shares(probe_of(model, cohort), sets)
    assert list(sets) == [*FIVE.image_blocks, "radiomics"]
    assert base == pytest.approx(answer(model, cohort, "p0", [block for of in sets.values() for block in of]), abs=1e-6)
    assert base + sum(map(float, filter(None, shares.values()))) == pytest.approx(
        answer(model, cohort, "p0", []), abs=1e-6
    )
    expected = by_orders(model, cohort, "p0", sets)
    for name, share in shares.items():
        assert share == pytest.approx(expected[name], abs=1e-6)


def test_blocks_that_come_together_are_one_player() -> None:
    """A table of three blocks: their shared share is that of the game in which they arrive as one."""
    cohort = made_cohort(4)
    model = made_model(cohort, replace(NETWORK, tabular="split", fusion="cross_attention"))
    blocks = model.networks[0].blocks
    for sets in (design_blocks(blocks), source_blocks(blocks)):
        shares, _ = block_shares(probe_of(model, cohort), sets)
        expected = by_orders(model, cohort, "p0", sets)
        assert {name: float(share or 0.0) for name, share in shares.items()} == pytest.approx(expected, abs=1e-6)
    together = shares_of_sum(probe_of(model, cohort), design_blocks(blocks))
    assert abs(together[0] - together[1]) > 1e-4, "single shares summed would have done: the case tells nothing"


def shares_of_sum(probe: Probe, sets: dict[str, tuple[str, ...]]) -> tuple[float, float]:
    """The share of the table's blocks as one, and the sum of their shares as several."""
    whole = block_shares(probe, sets)[0]["radiomics"]
    single = block_shares(probe, {block: (block,) for block in probe.blocks})[0]
    return float(whole or 0.0), sum(float(single[block] or 0.0) for block in sets["radiomics"])


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_adds_up(head: str) -> None:
    cohort = made_cohort(4)
    model = made_model(cohort, replace(FIVE, head=head, fusion="film"))
    model = replace(model, target=model.networks[0].head.targets - 1)
    shares, base = block_shares(probe_of(model, cohort), design_blocks(model.networks[0].blocks))
    assert base + sum(float(one or 0.0) for one in shares.values()) == pytest.approx(
        answer(model, cohort, "p0", []), abs=1e-6
    )


def test_absent_blocks_have_no_share() -> None:
    cohort = made_cohort(4)  # the fourth has no elastography
    model = made_model(cohort)
    shares, _ = block_shares(probe_of(model, cohort, "p3"), design_blocks(model.networks[0].blocks))
    assert shares["elasto.intratumoral"] is None
    assert shares["bmode.intratumoral"] is not None


def test_contributions_of_the_predictions_are_the_same_shares() -> None:
    cohort = made_cohort(5)
    model = made_model(cohort, FIVE)
    predicted = model.predict_axillae(cohort.cases, cohort.store, cohort.design, 2)
    for place in range(5):
        probe = probe_of(model, cohort, f"p{place}")
        shares, base = block_shares(probe, {block: (block,) for block in model_blocks(probe)})
        row = predicted.iloc[place]
        told = {name: row[f"contribution.{name}"] for name in shares}
        assert base == pytest.approx(row["contribution.base"], abs=1e-6)
        for name, share in shares.items():
            assert pd.isna(told[name]) if share is None else share == pytest.approx(told[name], abs=1e-6)


def test_more_blocks_than_the_design_stand_by_themselves() -> None:
    blocks = ["bmode.context", "bmode.peritumoral-3mm", "bmode.intratumoral@axilla", "clinical"]
    assert list(design_blocks(blocks)) == blocks
    assert source_blocks(blocks) == {}
    assert source_blocks(["bmode.intratumoral", "radiomics"]) == {}


@pytest.mark.parametrize("patients", [[], ["p0", "p1"]])
def test_one_axilla_at_a_time(patients: list[str]) -> None:
    cohort = made_cohort(4)
    rows = cohort.cases[cohort.cases["patient_id"].isin(patients)]
    with pytest.raises(DataError, match="expected one axilla"):
        Probe(made_model(cohort), rows, cohort.store, cohort.design)


@pytest.mark.parametrize("settings", [{}, {"tabular": "split"}, {"pooling": "attention"}, {"pooling": "max"}])
def test_other_tables_are_those_of_the_whole_networks(settings: dict[str, Any]) -> None:
    """What is computed on kept embeddings is what the networks say when they read everything anew."""
    cohort = made_cohort(4)
    model = made_model(cohort, replace(FIVE, **settings))
    probe = probe_of(model, cohort)
    other = probe.design.assign(**{COLUMNS[2]: 31.0})
    bare = other.assign(**{COLUMNS[1]: np.nan})
    found = probe.logits([probe.design, other, bare])
    for logit, design in zip(found, (probe.design, other, bare), strict=True):
        rows = cohort.cases[cohort.cases["patient_id"] == "p0"].reset_index(drop=True)
        whole = model.predict_axillae(rows, cohort.store, design, 1)["logit"].iloc[0]
        assert logit == pytest.approx(whole, abs=1e-6)


def test_hidden_pixels_are_those_of_the_whole_networks() -> None:
    cohort = made_cohort(2)
    model = made_model(cohort, FIVE, networks=1)
    probe = probe_of(model, cohort)
    (run,) = probe.runs
    pixels = torch.zeros(1, *run.batch["images"]["bmode.intratumoral"].shape[1:])
    output = probe.replaced(run, 0, "bmode.intratumoral", pixels)
    grey = random_sample(0, SIDE)
    inside = np.where(grey.rois["intratumoral"], np.float32(127.5), grey.images["bmode"])
    # Both regions read one picture, but only the lesion's pixels are grey: the ring's stay as they are.
    sample = replace(grey, images={**grey.images, "bmode": inside})
    store = SampleStore(cohort.store.image_id, (sample, *cohort.store.samples[1:]))
    changed = Cohort(cohort.cases, store, cohort.design)
    said = float(model.networks[0].head.stage_logits(output.logits)[0, 0])
    assert said == pytest.approx(answer(model, changed, "p0", []), abs=1e-6)
