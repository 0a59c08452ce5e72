"""A stage as files and as predictions: what it reads of an axilla, and what it refuses to read from a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, save_file

from tests.axillae import random_sample
from tests.inference.made_stage import alone
from usdlr.core.errors import BundleError, InputError
from usdlr.core.leak import Rows
from usdlr.data.dataset import Axillae
from usdlr.data.samples import Sample, SampleStore
from usdlr.decision.calibration import PlattCalibrator
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage import BASE, StageModel, axilla_data, network_columns
from usdlr.inference.stage_files import (
    SCORES,
    SELECTOR,
    STAGE,
    load_calibrator,
    load_stage,
    save_calibrator,
    save_stage,
    stage_files,
    weights_name,
)
from usdlr.inference.views import averaged_views
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.selection.selector import FeatureSelector

SIDE = 32
SETTINGS = NetworkSettings(backbone="test_resnet", embedding_dim=8, tabular_hidden=4)
COLUMNS = [
    "bmode.intratumoral.original.glcm.Contrast",
    "elasto.intratumoral.original.firstorder.Mean",
    "clinical.tumour_size_mm",
]
SHARES = [f"contribution.{block}" for block in (*SETTINGS.image_blocks, "radiomics")]
# Axillae in the order of their first image: (b, left), (a, left), (a, right), (c, left), (d, left).
CASES = pd.DataFrame(
    {
        "image_id": [f"i{place}" for place in range(9)],
        "patient_id": list("baabacdcc"),
        "side": ["left", "left", "right", "left", "left", "left", "left", "left", "left"],
    }
)
KEYS = [("b", "left"), ("a", "left"), ("a", "right"), ("c", "left"), ("d", "left")]


def cohort(seed: int = 0) -> tuple[SampleStore, pd.DataFrame]:
    """Crops and features of the cases, in an order of their own; two images of c and that of d have no map."""
    rng = np.random.default_rng(seed)
    without = {"i6", "i7", "i8"}
    samples = tuple(random_sample(100 * seed + place, SIDE, elasto=f"i{place}" not in without) for place in range(9))
    design = pd.DataFrame(rng.standard_normal((9, 3)), columns=COLUMNS, index=list(CASES["image_id"]))
    design.loc[sorted(without), COLUMNS[1]] = np.nan
    store = SampleStore(tuple(CASES["image_id"]), samples)
    return store.select([*CASES["image_id"][::-1]]), design.sample(frac=1, random_state=0)


def trained() -> tuple[pd.DataFrame, Any, Rows]:
    rng = np.random.default_rng(9)
    label = np.arange(40) % 2.0
    design = pd.DataFrame(rng.standard_normal((40, 3)) + label[:, None], columns=COLUMNS)
    design.iloc[::4, 1] = np.nan
    return design, label, Rows.of([f"person-{place}" for place in range(40)], ["train"] * 40)


def selector_and_scores(settings: NetworkSettings = SETTINGS) -> tuple[FeatureSelector, BlockScores]:
    return _fitted(settings.tabular, settings.score, 2 if settings.head == "multitask" else 1)


@cache
def _fitted(tabular: str, score: bool, width: int) -> tuple[FeatureSelector, BlockScores]:
    design, label, rows = trained()
    selector = FeatureSelector().fit(design, label, rows=rows)
    settings = replace(SETTINGS, tabular=tabular, score=score)
    targets = np.stack([label] * width, axis=1)
    scores, _ = BlockScores.fit(settings, design, targets, rows=rows, width=width, seed=0)
    return selector, scores


def fitted_network(seed: int, settings: NetworkSettings = SETTINGS) -> dict[str, torch.Tensor]:
    """Weights in which nothing holds by accident of an initial zero."""
    selector, scores = selector_and_scores(settings)
    torch.manual_seed(seed)
    built = FusionNetwork(settings, network_columns(selector), SIDE, scored=scores.blocks)
    with torch.no_grad():
        for parameter in built.fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return built.state_dict()


def saved(folder: Path, *seeds: int, settings: NetworkSettings = SETTINGS, target: int = 0) -> StageModel:
    selector, scores = selector_and_scores(settings)
    networks = [fitted_network(seed, settings) for seed in seeds]
    save_stage(folder, networks, selector, scores, target=target, variants=alone(settings, SIDE) * len(networks))
    return load_stage(folder, alone(settings, SIDE))


def predict(model: StageModel, cases: pd.DataFrame = CASES, batch_size: int = 4, **rest: Any) -> pd.DataFrame:
    return model.predict_axillae(cases, *cohort(), batch_size, **rest)


def assert_close(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage of two networks. Tests must not change it."""
    place = tmp_path_factory.mktemp("stage")
    saved(place, 1, 2)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> StageModel:
    return load_stage(folder, alone(SETTINGS, SIDE))


def test_a_prediction_has_one_row_per_axilla_whose_shares_add_up(model: StageModel) -> None:
    found = predict(model)
    assert list(found) == ["patient_id", "side", "logit", "spread", *SHARES, BASE]
    assert list(zip(found["patient_id"], found["side"], strict=True)) == KEYS
    np.testing.assert_allclose(found[[*SHARES, BASE]].sum(axis=1), found["logit"], rtol=0, atol=1e-12)
    assert found["logit"].std() > 0.01
    assert found[BASE].nunique() == 1
    # c has a map in one of its three images, d in none.
    assert found[SHARES[2:4]].isna().all(axis=1).tolist() == [False, False, False, False, True]
    assert found.drop(columns=SHARES[2:4]).notna().all(axis=None)


def test_what_was_written_is_what_predicts(tmp_path: Path) -> None:
    selector, scores = selector_and_scores()
    built = FusionNetwork(SETTINGS, network_columns(selector), SIDE, scored=scores.blocks)
    built.load_state_dict(fitted_network(1))
    before = StageModel((built.eval(),), selector, scores, 0, "x")
    pd.testing.assert_frame_equal(predict(saved(tmp_path, 1)), predict(before))


def test_the_identity_of_a_model_is_that_of_its_files(tmp_path: Path) -> None:
    one, same, other = (saved(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one.model_id == same.model_id
    assert len(one.model_id) == 12
    assert other.model_id != one.model_id
    assert saved(tmp_path / "d", 1, settings=replace(SETTINGS, head="multitask")).model_id != one.model_id


def test_the_same_stage_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    """A model's identity is the hash of its files: whatever order a library writes in by chance would change it."""
    selector, scores = selector_and_scores()
    network = fitted_network(1)
    found = set()
    for place in range(8):
        save_stage(tmp_path / str(place), [network], selector, scores, target=0, variants=alone(SETTINGS, SIDE))
        found.add(tuple(path.read_bytes() for path in stage_files(tmp_path / str(place))))
    assert len(found) == 1


def test_files_hold_data_and_no_patient(folder: Path) -> None:
    names = [path.name for path in stage_files(folder)]
    assert names == [weights_name(0), weights_name(1), SELECTOR, SCORES, STAGE]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert not [name for name in (SELECTOR, SCORES, STAGE) if "person" in (folder / name).read_text()]


def test_neither_order_nor_batches_nor_other_axillae_matter(model: StageModel) -> None:
    whole = predict(model)
    assert_close(predict(model, batch_size=1), whole)
    shuffled = CASES.iloc[[8, 2, 0, 5, 7, 3, 6, 4, 1]].reset_index(drop=True)
    again = predict(model, shuffled).set_index(["patient_id", "side"]).loc[KEYS].reset_index()
    assert_close(again, whole)
    alone = CASES[CASES["patient_id"] == "c"].reset_index(drop=True)
    assert_close(predict(model, alone), whole.iloc[[3]].reset_index(drop=True))


def test_images_given_again_change_nothing(model: StageModel) -> None:
    store, design = cohort()
    twice = pd.concat([CASES, CASES.assign(image_id=CASES["image_id"] + "-again")], ignore_index=True)
    more = SampleStore((*store.image_id, *(f"{name}-again" for name in store.image_id)), store.samples * 2)
    designs = pd.concat([design, design.rename(index=lambda name: f"{name}-again")])
    assert_close(model.predict_axillae(twice, more, designs, 4), predict(model))


def test_every_image_of_an_axilla_counts(model: StageModel) -> None:
    whole = predict(model)
    fewer = predict(model, CASES.drop(index=3).reset_index(drop=True))  # the second image of b
    assert abs(fewer["logit"][0] - whole["logit"][0]) > 1e-4
    assert_close(fewer.iloc[1:], whole.iloc[1:])


def test_members_are_averaged_and_their_spread_is_told(tmp_path: Path, model: StageModel) -> None:
    one, other = (predict(saved(tmp_path / str(seed), seed)) for seed in (1, 2))
    both = predict(model)
    numbers = ["logit", *SHARES, BASE]
    np.testing.assert_allclose(both[numbers], (one[numbers] + other[numbers]) / 2, rtol=0, atol=1e-9)
    assert (one["logit"] - other["logit"]).abs().min() > 1e-3
    np.testing.assert_allclose(both["spread"], (one["logit"] - other["logit"]).abs() / np.sqrt(2), atol=1e-9)
    assert (one["spread"] == 0).all()


def test_a_joint_network_answers_both_stages(tmp_path: Path) -> None:
    settings = replace(SETTINGS, head="multitask")
    first, second = (predict(saved(tmp_path / str(target), 1, settings=settings, target=target)) for target in (0, 1))
    assert (first["logit"] - second["logit"]).abs().min() > 1e-3
    for found in (first, second):
        np.testing.assert_allclose(found[[*SHARES, BASE]].sum(axis=1), found["logit"], rtol=0, atol=1e-12)


def test_a_hidden_block_is_as_absent_as_one_that_is_not_there(model: StageModel) -> None:
    hidden = predict(model, hidden=["elasto.intratumoral", "elasto.peritumoral"])
    assert hidden[SHARES[2:4]].isna().all(axis=None)
    store, design = cohort()
    bare = SampleStore(store.image_id, tuple(replace(s, images={"bmode": s.images["bmode"]}) for s in store.samples))
    assert_close(model.predict_axillae(CASES, bare, design, 4), hidden)
    whole = predict(model)
    assert (hidden["logit"] - whole["logit"]).abs()[:4].min() > 1e-4
    assert hidden["logit"][4] == pytest.approx(whole["logit"][4], abs=1e-6)


def test_without_any_block_everybody_gets_the_base(model: StageModel) -> None:
    found = predict(model, hidden=model.networks[0].blocks)
    assert found[SHARES].isna().all(axis=None)
    assert found["logit"].nunique() == 1
    np.testing.assert_allclose(found["logit"], found[BASE])


def test_views_are_averaged(model: StageModel) -> None:
    def darker(sample: Sample, epoch: int, image_id: str) -> Sample:
        return replace(sample, images={**sample.images, "bmode": sample.images["bmode"] / np.float32(2)})

    plain, dark, both = (predict(model, views=views) for views in ([None], [darker], [None, darker]))
    assert (plain["logit"] - dark["logit"]).abs().min() > 1e-4
    numbers = ["logit", *SHARES, BASE]
    np.testing.assert_allclose(both[numbers], (plain[numbers] + dark[numbers]) / 2, rtol=0, atol=1e-9)


def test_the_first_view_is_the_sample_itself_and_the_others_are_fixed(model: StageModel) -> None:
    assert averaged_views(1) == [None]
    views = averaged_views(3)
    assert views[0] is None
    assert len(views) == 3
    given = random_sample(0, SIDE)
    assert views[1] is not None
    assert views[2] is not None
    seen = [
        view(given, epoch, name).images["bmode"] for view in views[1:] if view for epoch, name in ((0, "a"), (9, "b"))
    ]
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert not np.array_equal(seen[0], seen[2], equal_nan=True)
    assert not np.array_equal(seen[0], given.images["bmode"], equal_nan=True)
    pd.testing.assert_frame_equal(predict(model, views=averaged_views(1)), predict(model))


def test_split_tables_are_absent_where_the_case_has_no_such_map(tmp_path: Path) -> None:
    settings = replace(SETTINGS, tabular="split")
    split_model = saved(tmp_path, 1, settings=settings)
    assert split_model.networks[0].blocks[4:] == (
        "radiomics.bmode.intratumoral",
        "radiomics.elasto.intratumoral",
        "clinical",
    )
    assert split_model.scores.blocks == split_model.networks[0].blocks[4:]
    found = predict(split_model)
    assert found["contribution.radiomics.elasto.intratumoral"].isna().tolist() == [False] * 4 + [True]
    assert found[["contribution.radiomics.bmode.intratumoral", "contribution.clinical"]].notna().all(axis=None)
    np.testing.assert_allclose(found.filter(like="contribution.").sum(axis=1), found["logit"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("tabular", ["joint", "split"])
def test_a_cohort_without_the_optional_modality_is_predicted(tmp_path: Path, tabular: str) -> None:
    """No images, and no columns either: its features were never measured."""
    found = saved(tmp_path, 1, settings=replace(SETTINGS, tabular=tabular))
    store, design = cohort()
    bare = SampleStore(store.image_id, tuple(replace(s, images={"bmode": s.images["bmode"]}) for s in store.samples))
    missing = design.assign(**{COLUMNS[1]: np.nan})
    without = found.predict_axillae(CASES, bare, design.drop(columns=COLUMNS[1]), 4)
    pd.testing.assert_frame_equal(without, found.predict_axillae(CASES, bare, missing, 4))
    assert without["logit"].notna().all()


def test_without_scores_a_stage_reads_none(tmp_path: Path) -> None:
    found = saved(tmp_path, 1, settings=replace(SETTINGS, score=False))
    assert found.scores.blocks == ()
    assert predict(found)["logit"].notna().all()


def test_a_dataset_is_about_the_chosen_axillae() -> None:
    selector, scores = selector_and_scores()
    store, design = cohort()
    axillae = Axillae.of(CASES)
    rows = store.select(CASES["image_id"])
    every = scores.score(design.loc[list(CASES["image_id"])], 1)
    label = np.arange(5.0)[:, None]
    data = axilla_data(
        axillae, rows, design, selector, every, SETTINGS, label=label, auxiliary=-label, chosen=np.array([3, 0])
    )
    assert [images.tolist() for images in data.images] == [[5, 7, 8], [0, 3]]
    assert data.label.tolist() == [[3], [0]]
    assert data.auxiliary.tolist() == [[-3], [0]]
    np.testing.assert_array_equal(data.table, selector.transform(design.loc[list(CASES["image_id"])]))
    assert np.isnan(axilla_data(axillae, rows, design, selector, every, SETTINGS).label).all()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def remove(path: Path) -> None:
    path.unlink()


def pickled(path: Path) -> None:
    torch.save(load(path.read_bytes()), path)


def less(key: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))

    return change


def other_json(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(text)

    return change


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (weights_name(0), cut_short),
        (weights_name(1), remove),
        (weights_name(1), pickled),
        (SELECTOR, remove),
        (SELECTOR, less("columns")),
        (SELECTOR, other_json("{")),
        (SCORES, remove),
        (SCORES, other_json('{"radiomics": [{}]}')),
        (SCORES, other_json("[1]")),
        (STAGE, less("target")),
    ],
)
def test_a_damaged_stage_is_refused(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    saved(tmp_path, 1, 2)
    damage(tmp_path / name)
    with pytest.raises(BundleError, match=r"damaged stage|expected safetensors"):
        load_stage(tmp_path, alone(SETTINGS, SIDE))


@pytest.mark.parametrize(
    "damage", [remove, less("members"), other_json("{"), other_json("[]"), other_json('{"members": "x"}')]
)
def test_a_folder_without_a_readable_stage_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    saved(tmp_path, 1)
    damage(tmp_path / STAGE)
    with pytest.raises(InputError, match=STAGE):
        load_stage(tmp_path, alone(SETTINGS, SIDE))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    with pytest.raises(BundleError, match=r"do not fit test_resnet.*use the bundle's own settings"):
        load_stage(tmp_path, alone(replace(SETTINGS, embedding_dim=4), SIDE))
    save_file({"wrong": torch.zeros(3)}, tmp_path / weights_name(0))
    with pytest.raises(BundleError, match="do not fit"):
        load_stage(tmp_path, alone(SETTINGS, SIDE))


def test_scores_of_another_block_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    (tmp_path / SCORES).write_text('{"columns": {}, "patterns": []}')
    with pytest.raises(BundleError, match="do not fit"):
        load_stage(tmp_path, alone(SETTINGS, SIDE))
    (tmp_path / SCORES).write_text("{}")
    with pytest.raises(BundleError, match="damaged stage"):
        load_stage(tmp_path, alone(SETTINGS, SIDE))


def test_a_fitted_stage_asks_for_no_start(tmp_path: Path) -> None:
    """The fitted weights replace whatever the fit started from, which need not be on this machine."""
    saved(tmp_path, 1)
    moved = replace(SETTINGS, weights_file=str(tmp_path / "nowhere.safetensors"))
    pd.testing.assert_frame_equal(
        predict(load_stage(tmp_path, alone(moved, SIDE))), predict(load_stage(tmp_path, alone(SETTINGS, SIDE)))
    )


def test_a_calibrator_comes_back(tmp_path: Path) -> None:
    calibrator = PlattCalibrator()
    calibrator.slope_, calibrator.intercept_ = 1.5, -0.25
    save_calibrator(tmp_path, calibrator)
    again = load_calibrator(tmp_path)
    assert (again.slope_, again.intercept_) == (1.5, -0.25)
    assert isinstance(again, PlattCalibrator)
