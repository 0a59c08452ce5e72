"""The table of embeddings: what the networks' own heads make of it is what the networks say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.inference.made_stage import COLUMNS, DIM, IMAGE_BLOCKS, NETWORK, made_cohort, made_model
from usdlr.core.errors import ConfigError, TableError
from usdlr.inference.embeddings import embeddings_table
from usdlr.inference.reading import embedding_columns

COHORT = made_cohort()
BLOCKS = [*IMAGE_BLOCKS, "radiomics"]


def of_block(table: pd.DataFrame, block: str) -> pd.DataFrame:
    return table[[name for name in table if str(name).rpartition(".")[0] == f"embedding.{block}"]]


@pytest.mark.parametrize("fusion", ["late", "gated", "concat", "film"])
def test_columns_through_the_networks_own_head_give_its_logit(fusion: str) -> None:
    model = made_model(COHORT, replace(NETWORK, fusion=fusion, pooling="attention"), networks=2)
    table = model.embed(COHORT.cases, COHORT.store, COHORT.design, 3)
    raw = model.predict_axillae(COHORT.cases, COHORT.store, COHORT.design, 3)
    logits = []
    for place, network in enumerate(model.networks):
        names = [[f"embedding.{block}.{place * DIM + i:03d}" for i in range(DIM)] for block in BLOCKS]
        values = torch.tensor(np.stack([table[of].to_numpy(np.float32) for of in names], axis=1))
        with torch.inference_mode():
            evidence = network.fusion(values, torch.isfinite(values).all(dim=2))
        logits.append(network.head.stage_logits(evidence.logits)[:, 0].numpy())
    np.testing.assert_allclose(np.mean(logits, axis=0), raw["logit"], atol=1e-5)
    assert np.ptp(raw["logit"]) > 0.01


def test_what_is_absent_is_null_and_the_ids_are_those_of_the_predictions() -> None:
    model = made_model(COHORT)
    table = model.embed(COHORT.cases, COHORT.store, COHORT.design, 4)
    raw = model.predict_axillae(COHORT.cases, COHORT.store, COHORT.design, 4)
    pd.testing.assert_frame_equal(table[["patient_id", "side"]], raw[["patient_id", "side"]])
    absent = of_block(table, "elasto.intratumoral").isna()
    np.testing.assert_array_equal(absent.all(axis=1), COHORT.without_map)
    np.testing.assert_array_equal(absent.any(axis=1), COHORT.without_map)
    assert table.drop(columns=list(absent)).notna().all(axis=None)
    assert list(table.columns[2:]) == [name for block in BLOCKS for name in embedding_columns(block, 2 * DIM)]


def test_an_axilla_pooled_by_the_mean_is_the_mean_of_its_images() -> None:
    model = made_model(COHORT)
    alone = model.embed(COHORT.cases, COHORT.store, COHORT.design, 4, by="image")
    pooled = model.embed(COHORT.cases, COHORT.store, COHORT.design, 4)
    assert list(alone["image_id"]) == list(COHORT.cases["image_id"])
    values = [name for name in pooled if str(name).startswith("embedding.")]
    mean = alone.groupby(["patient_id", "side"], sort=False)[values].mean().reset_index()
    np.testing.assert_allclose(mean[values], pooled[values], atol=1e-6)
    assert len(alone) > len(pooled)


def test_networks_are_not_averaged() -> None:
    """Places of different networks have nothing to do with each other."""
    two, one = (
        made_model(COHORT, networks=count).embed(COHORT.cases, COHORT.store, COHORT.design, 4) for count in (2, 1)
    )
    block = IMAGE_BLOCKS[0]
    np.testing.assert_array_equal(of_block(two, block).iloc[:, :DIM], of_block(one, block))
    assert of_block(two, block).shape[1] == 2 * DIM


def test_table_has_a_row_per_axilla_or_image_and_nothing_unknown() -> None:
    row: dict[str, object] = {
        "patient_id": "p",
        "side": "left",
        "stage": "sln",
        "fold": "0",
        "split": "test",
        "model_id": "m",
    }
    row |= {"embedding.bmode.peritumoral-2.5mm.000": 1.0, "embedding.radiomics.1000": None}
    embeddings_table("axilla").conform(pd.DataFrame([row]))
    with pytest.raises(TableError, match="second time"):
        embeddings_table("axilla").conform(pd.DataFrame([row, row]))
    two = pd.DataFrame([row | {"image_id": "a"}, row | {"image_id": "b"}])
    assert list(embeddings_table("image").conform(two)["image_id"]) == ["a", "b"]
    with pytest.raises(TableError, match="unknown column"):
        embeddings_table("axilla").conform(pd.DataFrame([row | {COLUMNS[0]: 1.0}]))
    with pytest.raises(ConfigError, match=r"found by = 'images', expected axilla or image; did you mean 'image'\?"):
        embeddings_table("images")
