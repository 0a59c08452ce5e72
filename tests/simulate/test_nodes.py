"""Simulated lymph nodes: true millimetres, a hilum that a thick cortex takes away, and tumours left as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import ConfigError
from usdlr.core.hashing import file_hash
from usdlr.core.tables import CASES
from usdlr.core.types import Site
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.ingest.pipeline import ingest
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.export import manifest_table, simulate
from usdlr.simulate.latents import LATENTS, NODE_LATENTS
from usdlr.simulate.node_measure import measure_node
from usdlr.simulate.node_tissue import build_node_phantom, node_shape
from usdlr.simulate.nodes import NodeModel
from usdlr.simulate.plan import ExportFormat, plan_cohort
from usdlr.simulate.render import Rendered
from usdlr.simulate.scenario import SCENARIOS, Logit, Scenario
from usdlr.simulate.scenario_file import find_scenario, read_scenario, scenario_yaml
from usdlr.simulate.tissue import Phantom

FILE = Path(__file__).resolve().parents[2] / "configs" / "scenario" / "node_images.yaml"
SHAPE = (300, 400)
SQUARE = Spacing(0.1, 0.1)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return find_scenario(str(FILE))


def phantom(cortex: float, seed: int, spacing: Spacing = SQUARE, length: float = 14.0) -> Phantom:
    latents = {"node_cortex_mm": cortex, "node_length_mm": length}
    return build_node_phantom(latents, SHAPE, spacing, np.random.default_rng(seed))


@pytest.mark.parametrize("spacing", [SQUARE, Spacing(0.11, 0.09), Spacing(0.08, 0.12)])
def test_a_node_is_as_long_as_stated_on_any_pixels(spacing: Spacing) -> None:
    for seed, cortex in enumerate((1.0, 2.2, 5.0)):
        found = measure(LesionMask(phantom(cortex, seed, spacing).lesion, spacing)).longest_diameter_mm
        assert found == pytest.approx(14.0, abs=1.5 * max(spacing.as_tuple()))


def test_the_cortex_takes_the_hilum_and_then_rounds_the_node_up() -> None:
    shapes = [node_shape({"node_cortex_mm": cortex, "node_length_mm": 14.0}) for cortex in (0.8, 2.2, 3.4, 5.0, 9.0)]
    hila = [shape.hilum_mm for shape in shapes]
    assert hila == sorted(hila, reverse=True)
    assert hila[0] > 4
    assert hila[2:] == [0.0, 0.0, 0.0]
    assert shapes[0].height_mm / shapes[0].length_mm < 0.5 < shapes[3].height_mm / shapes[3].length_mm
    assert shapes[4].height_mm == 18.0 < shapes[4].length_mm  # never higher than long


def test_a_normal_node_is_dark_around_a_bright_middle_and_an_involved_one_dark_throughout() -> None:
    core, shell, involved = [], [], []
    for seed in range(8):
        normal, thick = phantom(1.6, seed), phantom(4.5, seed)
        depth = -normal.distance_mm
        core.append(normal.echo_db[depth > 0.85 * depth.max()].mean())
        shell.append(normal.echo_db[(depth > 0.5) & (depth < 0.9)].mean())
        involved.append(thick.echo_db[thick.distance_mm < -0.6].mean())
        outside = normal.echo_db[(normal.distance_mm > 2) & (normal.distance_mm < 6)].mean()
        assert shell[-1] < outside - 3  # the cortex is darker than the fat around it
    assert np.mean(core) > np.mean(shell) + 8
    assert np.mean(involved) < np.mean(core) - 10


def test_what_is_measured_on_the_picture_is_the_cortex_that_was_drawn() -> None:
    random = np.random.default_rng(3)
    truth, found = [], []
    for seed in range(45):
        centre = CENTRES[("north", "south", "west")[seed % 3]]
        latents = {name: float(latent.value(random.normal(size=1))[0]) for name, latent in NODE_LATENTS.items()}
        length = node_shape(latents).length_mm
        spacing, shape = centre.spacing_for(length), centre.shape_for(length, 0.5)
        node = build_node_phantom(latents, shape, spacing, np.random.default_rng(seed))
        truth.append(latents)
        found.append(measure_node(acquire_bmode(node, centre, random), node.lesion, spacing, centre))
    true, seen = pd.DataFrame(truth), pd.DataFrame(found)
    assert list(seen) == list(NODE_LATENTS)
    assert spearmanr(true["node_cortex_mm"], seen["node_cortex_mm"]).statistic > 0.9
    assert (seen["node_cortex_mm"] / true["node_cortex_mm"]).median() == pytest.approx(1.0, abs=0.1)


def test_nodes_leave_every_tumour_as_it_is(scenario: Scenario, tmp_path: Path) -> None:
    """The same patients with and without images of the axilla: the tumours' files and latents are the same bytes."""
    plain = replace(scenario, name="plain", sln=Logit(0.0), nsln=Logit(0.0), nodes=NodeModel())
    imaged = replace(plain, nodes=NodeModel(imaged_rate=1.0))
    folders = [
        simulate(tmp_path / str(number), patients=3, seed=8, centres=["north"], scenario=chosen)
        for number, chosen in enumerate((plain, imaged))
    ]
    first, second = ({path.name: file_hash(path) for path in folder.glob("images/*/*")} for folder in folders)
    assert first.items() < second.items()
    assert all("-e_" in name or "-f_" in name for name in set(second) - set(first))
    manifests = [pd.read_csv(folder / "manifest.csv", dtype="str") for folder in folders]
    tumours = manifests[1][manifests[1]["site"] == "tumour"].reset_index(drop=True)
    pd.testing.assert_frame_equal(tumours, manifests[0])
    nodes = manifests[1][manifests[1]["site"] == "axilla"]
    assert len(nodes) >= 3
    assert nodes["tumour_size_mm"].isna().all()
    truths = [pd.read_parquet(folder / "truth.parquet") for folder in folders]
    pd.testing.assert_frame_equal(truths[1][list(truths[0].columns)], truths[0])
    assert set(truths[1]) - set(truths[0]) == set(NODE_LATENTS)
    images = [pd.read_parquet(folder / "truth_images.parquet") for folder in folders]
    assert "site" not in images[0]
    theirs = images[1][images[1]["site"] == "axilla"]
    assert theirs[[*LATENTS, *(f"measured.{name}" for name in LATENTS)]].isna().all(axis=None)
    assert theirs[[f"measured.{name}" for name in NODE_LATENTS]].notna().all(axis=None)
    # What ingest makes of it: the site is kept, and the size is the tumour's.
    ingest(folders[1], "manifest", tmp_path / "ingested", jobs=1)
    cases = CASES.read(tmp_path / "ingested" / "cases.parquet")
    assert (cases["site"] == "axilla").sum() == len(nodes)
    assert cases["mask_path"].notna().all()
    assert cases["row_mm"].notna().all()
    stated = dict(zip(tumours["patient_id"], tumours["tumour_size_mm"].astype(float), strict=True))
    for row in cases.to_dict("records"):
        assert row["tumour_size_mm"] == stated[str(row["patient_id"]).rpartition("-")[2]]


def test_a_node_longer_than_the_tumour_states_no_size(scenario: Scenario) -> None:
    plan = plan_cohort(Path("out"), [CENTRES["north"]], 12, 4, scenario, ExportFormat.PNG)
    rendered = [Rendered({}, 60.0 if item.site is Site.AXILLA else 11.5, {}, {}) for item in plan.image_sets]
    manifest = manifest_table(plan.patients, plan.image_sets, rendered)
    assert set(manifest["tumour_size_mm"][manifest["site"] == "tumour"]) == {"11.50"}
    assert set(manifest["tumour_size_mm"][manifest["site"] == "axilla"]) == {""}


def test_every_scenario_by_name_images_no_node() -> None:
    for named in SCENARIOS.values():
        assert not named.nodes.imaged
        assert not set(NODE_LATENTS) & set(draw_cohort(CENTRES["north"], 3, 0, named).columns)


def test_only_the_node_tells_in_the_scenario_of_node_images(scenario: Scenario) -> None:
    drawn = pd.concat([draw_cohort(CENTRES[name], 20_000, 9, scenario) for name in ("north", "south")])
    positive = drawn["sln_true"].to_numpy()
    assert positive.mean() == pytest.approx(0.40, abs=0.01)
    assert drawn["nsln_true"][positive].mean() == pytest.approx(0.40, abs=0.02)
    assert roc_auc_score(positive, drawn["node_cortex_mm"]) == pytest.approx(0.86, abs=0.01)
    for name in ("size_mm", "rim_kpa", "halo_db", "node_length_mm", "aggressiveness", "has_node_image"):
        assert roc_auc_score(positive, drawn[name]) == pytest.approx(0.5, abs=0.012), name
    assert drawn["has_node_image"].mean() == pytest.approx(0.9, abs=0.01)
    assert not drawn.loc[~drawn["has_node_image"], "has_second_node_view"].any()


def test_image_sets_of_nodes_follow_those_of_the_tumour(scenario: Scenario) -> None:
    plan = plan_cohort(Path("out"), [CENTRES["north"]], 60, 4, scenario, ExportFormat.PNG)
    nodes = [item for item in plan.image_sets if item.site is Site.AXILLA]
    assert len({item.image_id for item in plan.image_sets}) == len(plan.image_sets)
    assert {item.lesion_id for item in nodes} == {"node1"}
    assert len({item.patient_id for item in nodes}) == plan.patients["has_node_image"].sum()
    for item in nodes:
        rows, cols = item.shape
        assert min(rows * item.spacing.row_mm, cols * item.spacing.col_mm) > item.size_mm + 5
        assert set(item.latents) == set(NODE_LATENTS)


def test_a_term_of_a_node_that_nobody_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"term of node_cortex_mm with nodes.imaged_rate = 0"):
        replace(SCENARIOS["default"], sln=Logit(0.0, {"node_cortex_mm": 1.0}))
    for rate in (1.2, -0.1, float("nan"), "often"):
        with pytest.raises(ConfigError, match=r"nodes.imaged_rate"):
            NodeModel(imaged_rate=rate)  # type: ignore[arg-type]  # wrong on purpose
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmeaning: with nodes\nnodes: {imaged_rat: 0.5}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"did you mean nodes.imaged_rate"):
        read_scenario(path)


def test_the_file_reads_back_as_itself(scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_yaml(scenario), encoding="utf-8")
    assert read_scenario(path).as_dict() == scenario.as_dict()


def test_the_data_card_states_the_latents_of_nodes() -> None:
    card = (FILE.parents[2] / "data_cards" / "simulated.md").read_text(encoding="utf-8")
    lines = card.split("\n| node latent |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for (name, middle, spread, limits, loading, _), latent in zip(rows, NODE_LATENTS.values(), strict=True):
        assert f"`{latent.name}`" in name
        assert float(middle.split()[0]) == latent.middle
        assert float(spread.split()[0]) == latent.spread
        assert [float(end) for end in limits.removesuffix(" mm").split("–")] == [latent.low, latent.high]
        assert float(loading) == latent.loading
