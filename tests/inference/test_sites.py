"""Lymph nodes in an axilla's bag: who is read, blocks of their own, and nothing among the tumour's columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.axillae import random_sample
from tests.inference.made_stage import COLUMNS, NETWORK, SIDE, Cohort, made_cohort, made_model
from usdlr.core.errors import ConfigError
from usdlr.core.types import Site
from usdlr.data.batch import InputForm
from usdlr.data.dataset import AxillaData, AxillaDataset
from usdlr.data.samples import Sample, SampleStore, blocks_present
from usdlr.experiment.auxiliary import auxiliary_targets
from usdlr.inference.calibrated import absent
from usdlr.inference.sites import design_of, orphans, unread
from usdlr.inference.stage import StageModel
from usdlr.models.encoders import sharing_groups
from usdlr.models.settings import NetworkSettings

WITH_NODES = replace(NETWORK, sites=["tumour", "axilla"])
NODE_BLOCKS = ["bmode.intratumoral@axilla", "elasto.intratumoral@axilla"]
CONTRIBUTIONS = [f"contribution.{block}" for block in NODE_BLOCKS]


def node_sample(seed: int, *, elasto: bool = True) -> Sample:
    return replace(random_sample(seed, SIDE, elasto=elasto), site=Site.AXILLA)


def with_nodes(cohort: Cohort, *, seed: int = 90, of: int = 2, first: bool = False) -> Cohort:
    """The same axillae; every so many-th has a node image too, before or after its tumour's images."""
    patients = list(dict.fromkeys(cohort.cases["patient_id"]))[::of]
    names = [f"node-{patient}" for patient in patients]
    extra = pd.DataFrame({"patient_id": patients, "side": "left", "image_id": names})
    parts = [extra, cohort.cases] if first else [cohort.cases, extra]
    cases = pd.concat(parts, ignore_index=True)
    samples = {
        **dict(zip(cohort.store.image_id, cohort.store.samples, strict=True)),
        **{name: node_sample(seed + place, elasto=place % 2 == 0) for place, name in enumerate(names)},
    }
    # In the order of the axillae, so that both orders can be compared row by row.
    order = cases.assign(place=cases["patient_id"].str[1:].astype(int)).sort_values("place", kind="stable")
    cases = order.drop(columns="place").reset_index(drop=True)
    store = SampleStore(tuple(cases["image_id"]), tuple(samples[name] for name in cases["image_id"]))
    return Cohort(cases, store, cohort.design.reindex(list(cases["image_id"])))


@pytest.fixture(scope="module")
def model() -> StageModel:
    return made_model(made_cohort(), WITH_NODES, 1)


def predicted(model: StageModel, cohort: Cohort) -> pd.DataFrame:
    return model.predict_axillae(cohort.cases, cohort.store, cohort.design, 4)


def test_a_nodes_image_reads_into_its_own_blocks_alone(model: StageModel) -> None:
    plain, nodes = made_cohort(), with_nodes(made_cohort())
    before, after = predicted(model, plain), predicted(model, nodes)
    has = after["patient_id"].isin(nodes.cases["patient_id"][nodes.cases["image_id"].str.startswith("node")])
    assert has.sum() == 4
    assert (after[CONTRIBUTIONS[0]].notna() == has).all()
    assert before[CONTRIBUTIONS].isna().all(axis=None)
    # Without a node, an axilla's answer is what it was; with one, it moves.
    np.testing.assert_allclose(after.loc[~has, "logit"], before.loc[~has, "logit"], atol=1e-6)
    assert (np.abs(after.loc[has, "logit"] - before.loc[has, "logit"]) > 1e-4).all()
    shares = after[[name for name in after if str(name).startswith("contribution.")]]
    np.testing.assert_allclose(shares.sum(axis=1), after["logit"], atol=1e-9)


def test_embeddings_of_the_tumour_do_not_know_the_node(model: StageModel) -> None:
    plain, nodes = made_cohort(), with_nodes(made_cohort())
    before = model.embed(plain.cases, plain.store, plain.design, 4)
    after = model.embed(nodes.cases, nodes.store, nodes.design, 4)
    tumour = [name for name in before if str(name).startswith("embedding.") and "@" not in str(name)]
    np.testing.assert_allclose(after[tumour], before[tumour], atol=1e-6)
    other = with_nodes(made_cohort(), seed=300)
    moved = model.embed(other.cases, other.store, other.design, 4)
    np.testing.assert_allclose(moved[tumour], before[tumour], atol=1e-6)
    theirs = [name for name in before if "@axilla" in str(name)]
    assert not np.allclose(moved[theirs].fillna(0), after[theirs].fillna(0), atol=1e-3)


def test_what_stands_in_a_nodes_row_of_the_table_is_not_read(model: StageModel) -> None:
    nodes = with_nodes(made_cohort())
    wrong = nodes.design.copy()
    wrong.loc[[str(name).startswith("node") for name in wrong.index]] = 1e6
    pd.testing.assert_frame_equal(predicted(model, nodes), predicted(model, replace(nodes, design=wrong)))


def test_the_order_of_the_images_does_not_matter(model: StageModel) -> None:
    last, first = (predicted(model, with_nodes(made_cohort(), first=first)) for first in (False, True))
    pd.testing.assert_frame_equal(last, first, rtol=1e-6, atol=1e-6)


def test_without_nodes_is_what_the_tumours_alone_give(model: StageModel) -> None:
    plain, nodes = made_cohort(), with_nodes(made_cohort())
    less = model.predict_without_nodes(nodes.cases, nodes.store, nodes.design, 4)
    assert len(less) == 4
    joined = less.merge(predicted(model, plain), on=["patient_id", "side"], suffixes=("", "_plain"))
    np.testing.assert_allclose(joined["logit"], joined["logit_plain"], atol=1e-6)
    none = model.predict_without_nodes(plain.cases, plain.store, plain.design, 4)
    assert none.empty


def test_a_map_of_the_node_is_no_map_of_the_tumour(model: StageModel) -> None:
    """Every fourth tumour has no map; its node has one, and the tumour's still counts as missing."""
    nodes = with_nodes(made_cohort(), of=1)
    found = absent(predicted(model, nodes))
    np.testing.assert_array_equal(found["elasto"], made_cohort().without_map)
    assert not found["axilla"].any()
    alone = absent(predicted(model, made_cohort()))
    assert alone["axilla"].all()
    less = model.predict_without("elasto", nodes.cases, nodes.store, nodes.design, 4)
    assert len(less) == (~made_cohort().without_map).sum()


def test_a_sample_has_the_blocks_of_its_site_and_keeps_it_in_a_file(tmp_path: Path) -> None:
    tumour, node = random_sample(0), replace(random_sample(1), site=Site.AXILLA)
    blocks = ["bmode.intratumoral", "bmode.intratumoral@axilla"]
    assert blocks_present(tumour, blocks).tolist() == [True, False]
    assert blocks_present(node, blocks).tolist() == [False, True]
    form = InputForm(tuple(blocks), "rgb", ("mask",))
    assert not form.pixels(node, blocks[0]).any()
    assert form.pixels(node, blocks[0]).shape == form.pixels(node, blocks[1]).shape == (4, 32, 32)
    # The node's own input is what the same picture would give as a tumour.
    same = form.pixels(replace(node, site=Site.TUMOUR), blocks[0])
    np.testing.assert_array_equal(form.pixels(node, blocks[1]), same)
    SampleStore(("a", "b"), (tumour, node)).save(tmp_path / "crops.npz")
    read = SampleStore.load(tmp_path / "crops.npz")
    assert [sample.site for sample in read.samples] == [Site.TUMOUR, Site.AXILLA]


def test_a_draw_of_images_always_holds_the_tumour() -> None:
    samples = tuple(replace(random_sample(n), site=Site.TUMOUR if n == 3 else Site.AXILLA) for n in range(6))
    store = SampleStore(tuple(f"i{n}" for n in range(6)), samples)
    empty = np.zeros((6, 0), np.float32)
    data = AxillaData(
        store, empty, np.zeros((6, 0, 1), np.float32), np.zeros((6, 0), bool), (np.arange(6),), np.zeros((1, 1))
    )
    form = InputForm(("bmode.intratumoral", "bmode.intratumoral@axilla"))
    dataset = AxillaDataset(data, form, most_images=2, seed=4)
    drawn = [dataset[(epoch, 0)]["present"] for epoch in range(40)]
    assert all(int(present[:, 0].sum()) == 1 and int(present[:, 1].sum()) == 1 for present in drawn)
    alone = AxillaDataset(replace(data, images=(np.array([0, 1, 2, 4]),)), form, most_images=2, seed=4)
    assert len(alone[(0, 0)]["present"]) == 2


def test_blocks_and_backbones_tell_nodes_from_tumours() -> None:
    settings = NetworkSettings(modalities=["bmode"], rois=["intratumoral", "context"], sites=["axilla", "tumour"])
    own = ["bmode.intratumoral", "bmode.context"]
    assert settings.image_blocks == (*own, *(f"{block}@axilla" for block in own))
    for share, groups in (("none", 4), ("rois", 2), ("modalities", 4), ("all", 1)):
        assert len(sharing_groups(settings.image_blocks, share)) == groups
    for wrong in (["axilla"], [], ["tumour", "tumour"], ["tumour", "breast"]):
        with pytest.raises(ConfigError, match=r"expected \[tumour\], or \[tumour, axilla\]"):
            NetworkSettings(sites=wrong)


def test_the_tumours_stiffness_is_not_learned_from_a_node() -> None:
    nodes = with_nodes(made_cohort())
    train = np.arange(len(nodes.axillae))
    found = auxiliary_targets(["stiffness"], nodes.cases, nodes.store, nodes.axillae, train)
    plain = made_cohort()
    expected = auxiliary_targets(["stiffness"], plain.cases, plain.store, plain.axillae, train)
    np.testing.assert_allclose(found, expected)


CASES = pd.DataFrame(
    {
        "patient_id": ["p", "p", "q", "r", "r"],
        "side": ["left", "left", "left", "left", "right"],
        "image_id": ["tumour-p", "node-p", "node-q", "tumour-r", "node-r"],
        "site": ["tumour", "axilla", "axilla", "tumour", "axilla"],
        "tumour_size_mm": [12.0, 12.0, None, 9.0, None],
    }
)


def test_who_is_read() -> None:
    assert set(unread(CASES, ["tumour"])) == {"node-p", "node-q", "node-r"}
    assert not unread(CASES, ["tumour", "axilla"])
    # The tumour of the other side does not count.
    reasons = orphans(CASES)
    assert {name: code for name, (code, _) in reasons.items()} == {
        "node-q": "tumour_missing", "node-r": "tumour_missing",
    }  # fmt: skip
    assert set(orphans(CASES.drop(index=0))) == {"node-p", "node-q", "node-r"}
    assert not orphans(CASES.iloc[:0])


def test_a_nodes_row_of_the_design_is_empty() -> None:
    features = pd.DataFrame({"image_id": ["tumour-p", "node-p", "tumour-r"], COLUMNS[0]: [1.0, 50.0, 3.0]})
    kept = CASES.iloc[[0, 1, 3]].reset_index(drop=True)
    design = design_of(features, kept, ["tumour_size_mm"])
    assert list(design.index) == ["tumour-p", "node-p", "tumour-r"]
    np.testing.assert_array_equal(design[COLUMNS[0]], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(design["clinical.tumour_size_mm"], [12.0, np.nan, 9.0])
