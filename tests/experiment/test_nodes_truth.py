"""The limit of a cohort with lymph nodes reads what is measured of the node, where there is a node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.experiment.test_truth import AXILLA, Simulated, simulated
from usdlr.experiment.truth import read_truth
from usdlr.simulate.latents import LATENTS, NODE_LATENTS
from usdlr.simulate.scenario_file import find_scenario

FILE = Path(__file__).resolve().parents[2] / "configs" / "scenario" / "node_images.yaml"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """A thousand axillae, of which nine in ten have one or two views of a node; measured as drawn."""
    root = tmp_path_factory.mktemp("truth")
    made = simulated(root, find_scenario(str(FILE)), patients=1000)
    images = pd.read_parquet(root / "truth_images.parquet").assign(site="tumour")
    views = []
    for column in ("has_node_image", "has_second_node_view"):
        rows = made.table.loc[made.table[column], ["centre_id", *AXILLA, *NODE_LATENTS]]
        rows = rows.assign(lesion_id="node1", site="axilla", view=column, source_id=column)
        views.append(rows.assign(**{f"measured.{name}": rows[name] for name in NODE_LATENTS}))
    pd.concat([*views, images]).to_parquet(root / "truth_images.parquet")
    return made


def test_a_nodes_latents_are_measured_where_there_is_a_node(cohort: Simulated) -> None:
    measured = read_truth(cohort.root, cohort.labels).measured
    assert list(measured) == [*LATENTS, *NODE_LATENTS]
    np.testing.assert_allclose(measured[list(LATENTS)], cohort.table[list(LATENTS)], rtol=1e-9)
    seen = cohort.table["has_node_image"].to_numpy()
    found = measured["node_cortex_mm"].to_numpy()
    assert np.isnan(found[~seen]).all()
    np.testing.assert_allclose(found[seen], cohort.table["node_cortex_mm"][seen], rtol=1e-9)


@pytest.mark.parametrize("stage", ["sln", "nsln"])
def test_the_limit_is_below_the_oracle_by_those_without_an_image(cohort: Simulated, stage: str) -> None:
    oracle, limit = cohort.auc("oracle", stage), cohort.auc("limit", stage)
    assert oracle > 0.79
    assert oracle - 0.09 < limit < oracle - 0.01
