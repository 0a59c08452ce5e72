"""An ensemble over crops and networks: what its parts say apart is what it says together, averaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.axillae import random_sample
from tests.inference.made_stage import IMAGE_BLOCKS, NETWORK, Cohort, made_cohort, made_selector
from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.core.leak import Rows
from usdlr.data.samples import Sample, SampleStore
from usdlr.imaging.crop import CropSettings
from usdlr.inference.preparation import Preparation
from usdlr.inference.scores import BlockScores
from usdlr.inference.signature import SignatureReadout, SignatureSettings, by_axilla
from usdlr.inference.stage import BASE, StageModel, network_columns, scored_blocks
from usdlr.inference.stage_files import STAGE, load_stage, save_readout, save_stage
from usdlr.inference.variants import Variant, distinct_crops, ensemble_of
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.settings import RadiomicsSettings

CROP = CropSettings(64)
SMALL = {"crop": {"size_px": 32, "policy": "fixed", "side_mm": 20}}
# Another crop; another network on the first crop; another network on the other crop.
OVER: dict[str, dict[str, Any]] = {
    "a_own": {},
    "b_small": SMALL,
    "c_vit": {"model": {"backbone": "test_efficientnet", "embedding_dim": 6, "fusion": "gated", "pooling": "max"}},
    "d_both": SMALL | {"model": {"stem": "rgb", "channels": ["mask"], "embedding_dim": 3, "share": "all"}},
}
ENSEMBLE = ensemble_of(NETWORK, CROP, OVER)
SHARES = [f"contribution.{block}" for block in (*IMAGE_BLOCKS, "radiomics")]
NUMBERS = ["logit", *SHARES, BASE]


def two_crops(size: int = 8) -> Cohort:
    """Axillae in two crops that have nothing in common but who has a map."""
    made = made_cohort(size)
    other = tuple(
        random_sample(500 + place, 32, elasto="elasto" in sample.images)
        for place, sample in enumerate(made.store.samples)
    )
    return replace(made, store=replace(made.store, further=(other,)))


COHORT = two_crops()
DATA = (COHORT.cases, COHORT.store, COHORT.design, 3)


def fitted_scores(settings: NetworkSettings, cohort: Cohort) -> BlockScores:
    label = (np.arange(len(cohort.cases)) % 2)[:, None].astype(np.float64)
    rows = Rows.of(cohort.cases["patient_id"] + cohort.cases["image_id"], ["train"] * len(cohort.cases))
    return BlockScores.fit(settings, cohort.design, label, rows=rows, width=1, seed=0)[0]


def saved(folder: Path, variants: tuple[Variant, ...], seed: int = 0, scored: bool = False) -> Path:
    """A stage with one network per variant; the weights of a variant are the same in every stage of a seed."""
    selector = made_selector(COHORT)
    scores = fitted_scores(replace(NETWORK, score=True), two_crops(30)) if scored else BlockScores({}, {})
    networks = []
    for variant in variants:
        torch.manual_seed(seed + sum(map(ord, variant.name)))
        columns, size = network_columns(selector), variant.crop.size_px
        network = FusionNetwork(variant.network, columns, size, scored=scored_blocks(scores, variant.network))
        with torch.no_grad():
            for parameter in network.fusion.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        networks.append(network.state_dict())
    save_stage(folder, networks, selector, scores, target=0, variants=variants)
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> StageModel:
    return load_stage(saved(tmp_path_factory.mktemp("stage"), ENSEMBLE), ENSEMBLE)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[StageModel, SampleStore]]:
    """Each variant as a stage of its own, with its crop as the only one."""
    found = []
    for variant in ENSEMBLE:
        alone = ensemble_of(variant.network, variant.crop, {variant.name: {}})
        model = load_stage(saved(tmp_path_factory.mktemp("alone"), alone), alone)
        found.append((model, COHORT.store.crop(distinct_crops(ENSEMBLE).index(variant.crop))))
    return found


def test_variants_are_laid_over_the_experiments_settings() -> None:
    assert [variant.name for variant in ENSEMBLE] == list(OVER)
    assert ENSEMBLE[0] == Variant("a_own", NETWORK, CROP)
    assert ENSEMBLE[1].network == NETWORK
    assert ENSEMBLE[1].crop == CropSettings(32, policy="fixed", side_mm=20.0)
    assert ENSEMBLE[3].network == replace(NETWORK, stem="rgb", channels=["mask"], embedding_dim=3, share="all")
    assert distinct_crops(ENSEMBLE) == (CROP, ENSEMBLE[1].crop)
    assert ensemble_of(NETWORK, CROP, {}) == (Variant("", NETWORK, CROP),)
    assert isinstance(ENSEMBLE[1].crop.side_mm, float)


def test_the_order_in_a_file_says_nothing() -> None:
    turned = ensemble_of(NETWORK, CROP, dict(reversed(OVER.items())))
    assert turned == ENSEMBLE
    assert distinct_crops(turned) == distinct_crops(ENSEMBLE)


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        ({"a": {"model": {"rois": ["context"]}}}, r"variants\.a\.model\.rois, expected the same modalities, rois"),
        ({"a": {"model": {"head": "binary"}}}, r"set model\.head for all of them"),
        ({"a": {"model": {"modalities": ["bmode"]}}}, "averaged block by block"),
        ({"a": {"model": {"tabular": "split"}}}, r"variants\.a\.model\.tabular"),
        ({"a": {"model": {"sites": ["tumour"]}}}, r"variants\.a\.model\.sites"),
        ({"a": {"modle": {}}}, "did you mean 'model'"),
        ({"a": {"crop.side_mm": 30}}, r"expected the whole table.*give variants\.a = \{crop: \{\.\.\.\}\}"),
        ({"a": {"fit": {}}}, r"variants\.a\.fit, expected crop or model"),
        ({"a": {"model": {"backbon": "x"}}}, "did you mean 'backbone'"),
        ({"a": {"crop": {"size": 64}}}, r"unknown key variants\.a\.crop\.size"),
        ({"a": {"crop": {"policy": "fixd"}}}, r"variants\.a\.crop: found crop\.policy = 'fixd'.*did you mean 'fixed'"),
        ({"a": {"crop": {"size_px": "64"}}}, r"variants\.a\.crop\.size_px = '64', expected a whole number"),
        ({"a": {"crop": {"size_px": True}}}, "expected a whole number"),
        ({"a": {"crop": {"side_mm": "wide"}}}, "expected a number"),
        ({"a": {"crop": {"side_mm": float("nan")}}}, "crop.side_mm = nan"),
        ({"a": {"model": {"channels": "mask"}}}, "expected a list"),
        ({"a": {"model": {"channels": [1]}}}, "expected a list"),
        ({"a": {"model": {"pretrained": 1}}}, "expected true or false"),
        ({"a": {"model": {"weights_file": 3}}}, "expected text or null"),
        ({"a": {"model": {"fusion": 3}}}, "expected text or a table"),
        ({"a": {"model": {"fusion": "gatd"}}}, "did you mean 'gated'"),
        ({"a": {"model": ["x"]}}, r"variants\.a\.model = \['x'\], expected a table"),
        ({"a": {"model": 5}}, r"variants\.a\.model = 5, expected a table"),
        ({"a": "wide"}, "expected a table with crop and model"),
        ({"a b": {}}, "variant 'a b', expected a name of letters"),
        ({"../a": {}}, "rename it"),
    ],
)
def test_what_cannot_be_averaged_or_is_misspelt_is_refused(variants: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ensemble_of(NETWORK, CROP, variants)


def test_an_ensemble_says_the_mean_of_what_its_variants_say(
    together: StageModel, apart: list[tuple[StageModel, SampleStore]]
) -> None:
    each = [model.predict_axillae(COHORT.cases, store, *DATA[2:]) for model, store in apart]
    found = together.predict_axillae(*DATA)
    mean = sum(part[NUMBERS] for part in each) / len(each)
    np.testing.assert_allclose(found[NUMBERS], mean, rtol=0, atol=1e-6)
    logits = np.stack([part["logit"] for part in each])
    for one in range(4):
        for other in range(one):
            assert np.abs(logits[one] - logits[other]).min() > 1e-3
    np.testing.assert_allclose(found["spread"], logits.std(axis=0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(found[[*SHARES, BASE]].sum(axis=1), found["logit"], rtol=0, atol=1e-12)


def test_both_crops_are_read(together: StageModel) -> None:
    whole = together.predict_axillae(*DATA)["logit"]
    for place in (0, 1):
        dark = tuple(
            replace(sample, images={**sample.images, "bmode": sample.images["bmode"] / np.float32(2)})
            for sample in COHORT.store.crops[place]
        )
        crops = [dark if here == place else COHORT.store.crops[here] for here in (0, 1)]
        store = replace(COHORT.store, samples=crops[0], further=(crops[1],))
        changed = together.predict_axillae(COHORT.cases, store, *DATA[2:])["logit"]
        assert (changed - whole).abs().min() > 1e-5


def test_hidden_blocks_views_and_missing_maps_are_averaged_too(
    together: StageModel, apart: list[tuple[StageModel, SampleStore]]
) -> None:
    def darker(sample: Sample, epoch: int, image_id: str) -> Sample:
        return replace(sample, images={**sample.images, "bmode": sample.images["bmode"] / np.float32(2)})

    varied: tuple[dict[str, Any], ...] = ({"hidden": [IMAGE_BLOCKS[1]]}, {"views": [None, darker]})
    for options in varied:
        each = [model.predict_axillae(COHORT.cases, store, *DATA[2:], **options) for model, store in apart]
        found = together.predict_axillae(*DATA, **options)
        np.testing.assert_allclose(found["logit"], np.mean([part["logit"] for part in each], axis=0), atol=1e-6)
    less = [model.predict_without("elasto", COHORT.cases, store, *DATA[2:]) for model, store in apart]
    found = together.predict_without("elasto", *DATA)
    np.testing.assert_allclose(found["logit"], np.mean([part["logit"] for part in less], axis=0), atol=1e-6)
    assert len(found) == (~COHORT.without_map).sum()


def test_embeddings_stand_side_by_side_whatever_their_length(
    together: StageModel, apart: list[tuple[StageModel, SampleStore]]
) -> None:
    for by in ("axilla", "image"):
        table = together.embed(*DATA, by=by)
        for block in (*IMAGE_BLOCKS, "radiomics"):
            start = 0
            for (model, store), dim in zip(apart, (4, 4, 6, 3), strict=True):
                alone = model.embed(COHORT.cases, store, *DATA[2:], by=by)
                mine = [f"embedding.{block}.{place:03d}" for place in range(start, start + dim)]
                own = [f"embedding.{block}.{place:03d}" for place in range(dim)]
                np.testing.assert_allclose(table[mine], alone[own], atol=1e-6)
                start += dim
            assert f"embedding.{block}.{start:03d}" not in table
    readings = together.read(*DATA)
    assert [reading.embeddings.shape[2] for reading in readings] == [4, 4, 6, 3]


def test_a_block_that_one_crop_does_not_show_still_adds_up(together: StageModel) -> None:
    """The map of a small crop may hold no value where that of a large one does."""
    blank = tuple(
        replace(
            sample,
            images={
                name: np.full_like(pixels, np.nan) if name == "elasto" else pixels
                for name, pixels in sample.images.items()
            },
        )
        for sample in COHORT.store.further[0]
    )
    store = replace(COHORT.store, further=(blank,))
    found = together.predict_axillae(COHORT.cases, store, *DATA[2:])
    np.testing.assert_array_equal(found[SHARES[1]].isna(), COHORT.without_map)
    np.testing.assert_allclose(found[[*SHARES, BASE]].sum(axis=1), found["logit"], rtol=0, atol=1e-12)
    assert (found["logit"] - together.predict_axillae(*DATA)["logit"]).abs()[~COHORT.without_map].min() > 1e-6


def test_networks_of_one_variant_may_do_without_the_stages_scores(tmp_path: Path) -> None:
    over = {"a_scored": {"model": {"score": True}}, "plain": {"model": {"score": False}}}
    ensemble = ensemble_of(NETWORK, CROP, over)
    model = load_stage(saved(tmp_path, ensemble, scored=True), ensemble)
    assert [network.scored for network in model.networks] == [[2], []]
    assert model.predict_axillae(*DATA)["logit"].notna().all()


def test_a_stage_reads_only_the_crops_and_variants_that_it_was_made_with(tmp_path: Path, together: StageModel) -> None:
    with pytest.raises(DataError, match="found 1 crops of every image, expected 2"):
        together.predict_axillae(COHORT.cases, COHORT.store.crop(0), *DATA[2:])
    folder = saved(tmp_path, ENSEMBLE)
    assert json.loads((folder / STAGE).read_text())["variants"] == list(OVER)
    with pytest.raises(BundleError, match=r"found networks of the variants .*'b_small'.* expected \['a_own'\]"):
        load_stage(folder, ENSEMBLE[:1])
    with pytest.raises(BundleError, match=r"expected \[''\]"):
        load_stage(folder, ensemble_of(NETWORK, CROP, {}))
    with pytest.raises(BundleError, match="do not fit"):
        load_stage(folder, [replace(variant, network=NETWORK) for variant in ENSEMBLE])
    for damage in (["a_own"], "a_own", None, [["a_own"]]):
        stage = json.loads((folder / STAGE).read_text()) | {"variants": damage}
        (tmp_path / STAGE).write_text(json.dumps(stage))
        with pytest.raises(BundleError):
            load_stage(folder, ENSEMBLE)
    reordered = ENSEMBLE[::-1]
    again = load_stage(saved(tmp_path / "other", ENSEMBLE), reordered)
    crops = distinct_crops(reordered)
    assert [crops[again.crop_of(place)] for place in range(4)] == [variant.crop for variant in ENSEMBLE]


def test_a_signature_reads_every_variant(tmp_path: Path) -> None:
    """Two cross-fitting folds with all variants in each; one crop does not show the map of some axillae."""
    cohort = two_crops(24)
    blank = tuple(
        replace(sample, images={"bmode": sample.images["bmode"]}) if place % 5 == 0 else sample
        for place, sample in enumerate(cohort.store.further[0])
    )
    cohort = replace(cohort, store=replace(cohort.store, further=(blank,)))
    first, second = (saved(tmp_path / str(fold), ENSEMBLE, seed=fold) for fold in (0, 1))
    models = [load_stage(folder, ENSEMBLE) for folder in (first, second)]
    weights = [network.state_dict() for model in models for network in model.networks]
    folder = tmp_path / "stage"
    save_stage(folder, weights, models[0].selector, models[0].scores, target=0, variants=ENSEMBLE * 2)
    plain = load_stage(folder, ENSEMBLE)
    data = (cohort.cases, cohort.store, cohort.design, 5)
    design = by_axilla(cohort.design, cohort.axillae)
    readings = plain.read(*data)
    apart = np.arange(24) % 2
    # Positive is of whom the networks that did not see the patient say much by the B-mode image alone.
    said = np.stack([reading.block_logits[:, 0] for reading in readings]).reshape(2, 4, -1).mean(axis=1)
    score = said[apart, np.arange(24)] - np.array([said[fold, apart == fold].mean() for fold in (0, 1)])[apart]
    label = (score > np.median(score)).astype(float)
    readout = SignatureReadout.fit(
        readings,
        NETWORK,
        plain.networks[0].blocks,
        design,
        label,
        apart,
        rows=Rows.of(cohort.axillae.keys["patient_id"], ["train"] * 24),
        chosen=SignatureSettings(folds=2),
        seed=0,
        outcome="positive",
    )
    assert readout.signature is not None
    read = {name for name in readout.signature.columns if name.startswith("embedding.bmode.intratumoral.")}
    assert read <= {f"embedding.bmode.intratumoral.{place:03d}" for place in range(2 * (4 + 4 + 6 + 3))}
    assert any(str(name).startswith(("logit.bmode", "embedding.bmode")) for name in readout.signature.columns)
    save_readout(folder, readout)
    found = load_stage(folder, ENSEMBLE).predict_axillae(*data)
    shares = found.filter(like="contribution.")
    np.testing.assert_allclose(shares.sum(axis=1), found["logit"], atol=1e-12)
    np.testing.assert_array_equal(found["contribution.elasto.intratumoral"].isna(), cohort.without_map)
    assert roc_auc_score(label, found["logit"]) > 0.7


def test_a_preparation_comes_back_with_its_variants() -> None:
    plain = Preparation(NETWORK, CROP, RadiomicsSettings(), "native", (), 4, 1)
    assert "variants" not in plain.as_dict(), "a bundle without variants is as before there were some"
    assert plain.ensemble == ensemble_of(NETWORK, CROP, {})
    assert plain.crops == (CROP,)
    full = replace(plain, variants=ENSEMBLE)
    again = Preparation.from_dict(json.loads(json.dumps(full.as_dict())))
    assert again.variants == ENSEMBLE
    assert again.crops == distinct_crops(ENSEMBLE)
    assert Preparation.from_dict(json.loads(json.dumps(plain.as_dict()))).variants == ()


def test_networks_of_unlike_blocks_are_no_stage(together: StageModel) -> None:
    other = FusionNetwork(replace(NETWORK, modalities=["bmode"]), network_columns(together.selector), 64)
    with pytest.raises(ValueError, match="unlike blocks"):
        replace(together, networks=(together.networks[0], other), crops=())


def test_the_samples_of_a_cohort_are_selected_in_every_crop() -> None:
    names = list(COHORT.cases["image_id"])[::-2]
    chosen = COHORT.store.select(names)
    assert [len(samples) for samples in chosen.crops] == [len(names)] * 2
    position = {name: place for place, name in enumerate(COHORT.store.image_id)}
    for place in (0, 1):
        for name, sample in zip(names, chosen.crops[place], strict=True):
            assert sample is COHORT.store.crops[place][position[name]]
    assert not [sample for samples in chosen.without("elasto").crops for sample in samples if "elasto" in sample.images]
    assert pd.Index(chosen.image_id).equals(pd.Index(names))
