"""Stages whose networks read no table, or clinical variables alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.inference.made_stage import COLUMNS, IMAGE_BLOCKS, NETWORK, SIDE, alone, made_cohort, made_network
from usdlr.core.leak import Rows
from usdlr.experiment.table import without_columns
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage import BASE, StageModel, network_columns
from usdlr.inference.stage_files import SCORES, SELECTOR, load_stage, save_stage
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.selection.selector import FeatureSelector

IMAGES = replace(NETWORK, tabular="none")
COHORT = made_cohort()


def model_of(settings: NetworkSettings, selector: FeatureSelector | None = None) -> StageModel:
    chosen = without_columns() if selector is None else selector
    networks = []
    for seed in range(2):
        network = made_network(settings, chosen, seed)
        with torch.no_grad():  # nothing may hold by accident of an initial zero
            for parameter in network.fusion.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        networks.append(network)
    return StageModel(tuple(networks), chosen, BlockScores({}, {}), 0, "0" * 12)


def predict(model: StageModel, design: pd.DataFrame | None = None) -> pd.DataFrame:
    return model.predict_axillae(COHORT.cases, COHORT.store, COHORT.design if design is None else design, 4)


def clinical_selector() -> FeatureSelector:
    label = np.arange(len(COHORT.cases)) % 2
    rows = Rows.of(COHORT.cases["patient_id"], ["train"] * len(COHORT.cases))
    return FeatureSelector(3, 1.0, (COLUMNS[2],)).fit(COHORT.design[[COLUMNS[2]]], label, rows=rows)


@pytest.mark.parametrize("fusion", ["concat", "gated", "cross_attention", "late"])
def test_contributions_are_of_image_blocks_alone_and_add_up(fusion: str) -> None:
    found = predict(model_of(replace(IMAGES, fusion=fusion)))
    shares = [f"contribution.{block}" for block in IMAGE_BLOCKS]
    assert [name for name in found if str(name).startswith("contribution.")] == [*shares, BASE]
    np.testing.assert_allclose(found[[*shares, BASE]].sum(axis=1), found["logit"], rtol=0, atol=1e-12)
    assert (found[shares[1]].isna() == COHORT.without_map).all()
    assert found["logit"].std() > 1e-3


def test_nothing_of_a_table_is_read() -> None:
    whole = predict(model_of(IMAGES))
    other = COHORT.design * -7 + 1e3
    pd.testing.assert_frame_equal(predict(model_of(IMAGES), other), whole)
    pd.testing.assert_frame_equal(predict(model_of(IMAGES), COHORT.design.iloc[:, :0]), whole)


def test_without_any_usable_image_block_everybody_gets_the_base() -> None:
    found = predict(model_of(replace(IMAGES, modalities=["elasto"])))
    bare = found[COHORT.without_map]
    assert len(bare) >= 2
    assert bare["contribution.elasto.intratumoral"].isna().all()
    assert bare["logit"].nunique() == 1
    np.testing.assert_array_equal(bare["logit"], bare[BASE])
    assert not np.isin(found.loc[~COHORT.without_map, "logit"], bare["logit"]).any()


def test_its_files_name_no_column_and_give_the_same_again(tmp_path: Path) -> None:
    built = model_of(IMAGES)
    weights = [network.state_dict() for network in built.networks]
    save_stage(tmp_path, weights, built.selector, built.scores, target=0, variants=alone(IMAGES, SIDE) * 2)
    assert json.loads((tmp_path / SELECTOR).read_text())["columns"] == []
    assert json.loads((tmp_path / SCORES).read_text()) == {"columns": {}, "patterns": []}
    assert not [name for name in weights[0] if name.startswith("tabular.")]
    loaded = load_stage(tmp_path, alone(IMAGES, SIDE))
    assert loaded.networks[0].blocks == tuple(IMAGE_BLOCKS)
    pd.testing.assert_frame_equal(predict(loaded), predict(built))
    table = loaded.embed(COHORT.cases, COHORT.store, COHORT.design, 4)
    assert {str(name).split(".")[1] for name in table if str(name).startswith("embedding.")} == {"bmode", "elasto"}


def test_clinical_variables_alone_are_one_block_and_no_radiomics_is_read() -> None:
    settings = replace(NETWORK, tabular="clinical")
    built = model_of(settings, clinical_selector())
    assert built.networks[0].blocks == (*IMAGE_BLOCKS, "clinical")
    assert network_columns(built.selector) == [COLUMNS[2]]
    whole = predict(built)
    assert whole["contribution.clinical"].notna().all()
    garbage = COHORT.design.assign(**{COLUMNS[0]: 1e6, COLUMNS[1]: -1e6})
    pd.testing.assert_frame_equal(predict(built, garbage), whole)
    pd.testing.assert_frame_equal(predict(built, COHORT.design[[COLUMNS[2]]]), whole)
    older = COHORT.design.assign(**{COLUMNS[2]: COHORT.design[COLUMNS[2]] + 9})
    assert (predict(built, older)["logit"] - whole["logit"]).abs().max() > 1e-3


def test_ridge_scores_of_clinical_variables_alone_read_no_radiomics() -> None:
    settings = replace(NETWORK, tabular="clinical", score=True)
    label = (np.arange(len(COHORT.cases)) % 2).astype(np.float64)[:, None]
    rows = Rows.of([f"p{place}" for place in range(len(label))], ["train"] * len(label))
    fitted, scores = BlockScores.fit(settings, COHORT.design, label, rows=rows, width=1, seed=0)
    assert fitted.blocks == ("clinical",)
    assert scores.shape == (len(label), 1, 1)
    garbage = COHORT.design.assign(**{COLUMNS[0]: 1e6})
    np.testing.assert_array_equal(fitted.score(garbage, 1), fitted.score(COHORT.design, 1))
