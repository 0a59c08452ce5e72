"""Heat maps: what they add up to, where they peak, and where they lie on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from tests.inference.made_stage import COLUMNS, NETWORK, SIDE, Cohort, made_cohort, made_model
from usdlr.core.errors import ConfigError
from usdlr.core.leak import Rows
from usdlr.core.types import MaskSource
from usdlr.core.units import Spacing
from usdlr.data.dataset import Axillae
from usdlr.data.samples import Sample, SampleStore
from usdlr.imaging.crop import CropSettings, lesion_grid
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import Box, Grid, resample_image
from usdlr.inference.heatmap import Heat, heat_maps, place_on_image, spread
from usdlr.inference.heatmap_sites import Site
from usdlr.inference.signature import SignatureReadout, SignatureSettings, by_axilla
from usdlr.inference.stage import StageModel, prepare_torch
from usdlr.models.backbones import build_backbone, feature_maps

BMODE_ONLY = replace(NETWORK, modalities=["bmode"], rois=["intratumoral"])
PATCH = 16
# What a branch receives as zero: the middle of each modality's range.
GREY = {"bmode": 127.5, "elasto": 150.0}


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    prepare_torch(1)


class PatchReader(nn.Module):
    """A backbone that one can see through: the mean of every patch, and a weight for each."""

    def __init__(self, weights: npt.NDArray[np.float64], width: int) -> None:
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.direction = torch.cos(torch.arange(width, dtype=torch.float32))

    def forward_features(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, PATCH)

    def forward_head(self, maps: Tensor) -> Tensor:
        return (maps[:, 0] * self.weights).sum(dim=(1, 2))[:, None] * self.direction

    def forward(self, image: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(image))


def whole_crop(cohort: Cohort) -> Cohort:
    """The same images, every region the whole crop: no input is masked."""
    every = np.ones((SIDE, SIDE), dtype=bool)
    samples = tuple(replace(sample, rois={"intratumoral": every}) for sample in cohort.store.samples)
    return replace(cohort, store=SampleStore(cohort.store.image_id, samples))


def reading_patches(cohort: Cohort, weights: npt.NDArray[np.float64], settings: Any = BMODE_ONLY) -> StageModel:
    """A stage whose B-mode branch reads patches by their weights."""
    model = made_model(cohort, settings, networks=1)
    backbones = model.networks[0].encoders.backbones
    name = model.networks[0].encoders._group("bmode.intratumoral")
    backbones[name] = PatchReader(weights, int(backbones[name].num_features))  # type: ignore[arg-type]  # untyped in timm
    return model


def explained(model: StageModel, cohort: Cohort) -> Heat:
    return heat_maps(model, cohort.cases, cohort.store, cohort.design, 3)


def logits(model: StageModel, cohort: Cohort, store: SampleStore) -> npt.NDArray[np.float64]:
    found = model.predict_axillae(cohort.cases, store, cohort.design, 3)
    return found["logit"].to_numpy(np.float64)


def greyed(
    store: SampleStore, where: npt.NDArray[np.bool_] | None = None, only: Sequence[int] | None = None
) -> SampleStore:
    """The store with nothing to see, everywhere or where it is said, of all images or some."""

    def one(sample: Sample) -> Sample:
        images = {
            name: np.where(np.isfinite(pixels) & (True if where is None else where), GREY[name], pixels)
            for name, pixels in sample.images.items()
        }
        return replace(sample, images={name: pixels.astype(np.float32) for name, pixels in images.items()})

    kept = range(len(store)) if only is None else only
    samples = [one(sample) if place in kept else sample for place, sample in enumerate(store.samples)]
    return SampleStore(store.image_id, tuple(samples))


def sums(heat: Heat) -> npt.NDArray[np.float64]:
    """What the maps of every axilla add up to."""
    out = np.zeros(len(heat.change))
    for one in heat.maps:
        out[one.axilla] += one.total + one.unplaced
    return out


def patch(row: int, col: int) -> npt.NDArray[np.bool_]:
    out = np.zeros((SIDE, SIDE), dtype=bool)
    out[row * PATCH : (row + 1) * PATCH, col * PATCH : (col + 1) * PATCH] = True
    return out


def test_where_one_patch_decides_the_map_peaks_there_and_nowhere_else() -> None:
    cohort = whole_crop(made_cohort())
    weights = np.zeros((4, 4))
    weights[1, 2] = 3.0
    model = reading_patches(cohort, weights)
    heat = explained(model, cohort)
    assert len(heat.maps) == len(cohort.cases)
    change = logits(model, cohort, cohort.store) - logits(model, cohort, greyed(cohort.store, patch(1, 2)))
    assert np.abs(change).min() > 0.01
    np.testing.assert_allclose(heat.change, change, atol=1e-5)
    far = np.ones((SIDE, SIDE), dtype=bool)
    far[0 : 3 * PATCH, PATCH : 4 * PATCH] = False
    for one in heat.maps:
        peak = np.unravel_index(np.abs(one.values).argmax(), one.values.shape)
        assert patch(1, 2)[peak]
        assert not one.values[far].any()
        assert one.cell_px == (PATCH, PATCH)


def test_of_a_linear_network_every_patch_gets_what_covering_it_takes_away() -> None:
    cohort = whole_crop(made_cohort(4))
    weights = np.random.default_rng(3).normal(size=(4, 4))
    model = reading_patches(cohort, weights)
    for projection in model.networks[0].encoders.projections.values():
        projection[2] = nn.Identity()  # type: ignore[operator]  # a Sequential, without its normalisation
    heat = explained(model, cohort)
    of_axilla = np.zeros((len(heat.change), SIDE, SIDE))
    for one in heat.maps:
        of_axilla[one.axilla] += one.values * 0.5**2  # millimetres per pixel
    np.testing.assert_allclose(of_axilla.sum(axis=(1, 2)), heat.change, atol=1e-4)
    # Enlarged, a patch's value spreads over its neighbours: compare what stands at the patches' centres.
    covered = np.zeros((len(heat.change), 4, 4))
    for row in range(4):
        for col in range(4):
            less = logits(model, cohort, greyed(cohort.store, patch(row, col)))
            covered[:, row, col] = logits(model, cohort, cohort.store) - less
    centre = of_axilla.reshape(-1, 4, PATCH, 4, PATCH)[:, :, 7:9, :, 7:9].mean(axis=(2, 4)) * PATCH**2
    np.testing.assert_allclose(centre, covered, atol=0.12 * np.abs(covered).max())
    assert np.corrcoef(centre.ravel(), covered.ravel())[0, 1] > 0.99


def test_a_network_that_ignores_an_image_gets_a_map_of_zeros() -> None:
    cohort = made_cohort()
    model = made_model(cohort, networks=1)
    place = model.networks[0].blocks.index("elasto.intratumoral")
    with torch.no_grad():
        model.networks[0].fusion.head[place] = 0.0  # type: ignore[operator]  # of the late fusion
    heat = explained(model, cohort)
    by = {name: [one for one in heat.maps if one.block == name] for name in NETWORK.image_blocks}
    assert len(by["elasto.intratumoral"]) == int(sum("elasto" in sample.images for sample in cohort.store.samples))
    for one in by["elasto.intratumoral"]:
        assert not one.values.any()
        assert one.total == 0
    assert all(one.values.any() for one in by["bmode.intratumoral"])


def test_only_the_image_that_is_read_has_heat() -> None:
    cohort = whole_crop(made_cohort(3))
    weights = np.zeros((4, 4))
    weights[0, 0] = 1.0
    model = reading_patches(cohort, weights)
    store = greyed(cohort.store, only=[0])  # the first of the first axilla's two images
    heat = heat_maps(model, cohort.cases, store, cohort.design, 3)
    first, second = heat.maps[0], heat.maps[1]
    assert (first.image, second.image, first.axilla, second.axilla) == (0, 1, 0, 0)
    assert not first.values.any()
    assert second.values.any()


@pytest.mark.parametrize(
    ("backbone", "fusion", "pooling"),
    [
        ("test_resnet", "gated", "attention"),
        ("test_vit", "late", "mean"),  # reads its class token alone
        ("test_vit2", "concat", "max"),
        ("test_convnext", "film", "mean"),
        ("mobilenetv4_conv_small", "cross_attention", "mean"),
    ],
)
def test_maps_add_up_to_what_the_images_change(backbone: str, fusion: str, pooling: str) -> None:
    cohort = made_cohort(5)
    model = made_model(cohort, replace(NETWORK, backbone=backbone, fusion=fusion, pooling=pooling))
    heat = explained(model, cohort)
    change = logits(model, cohort, cohort.store) - logits(model, cohort, greyed(cohort.store))
    np.testing.assert_allclose(heat.change, change, atol=1e-5)
    np.testing.assert_allclose(sums(heat), change, atol=5e-3)
    assert np.abs(change).max() > 0.02
    for one in heat.maps:
        region = cohort.store.samples[one.image].rois["intratumoral"]
        assert not one.values[~region].any()
        assert 0 <= one.inside <= 1
        assert np.isfinite(one.values).all()
        if one.inside == 1:
            assert float(one.values.sum()) * 0.5**2 == pytest.approx(one.total, abs=1e-4)  # millimetres per pixel
    placed = sum(abs(one.total) for one in heat.maps)
    assert placed > 0.2 * sum(abs(one.unplaced) for one in heat.maps)


def test_swin_has_its_places_in_row_and_column_order() -> None:
    cohort = whole_crop(made_cohort(2))
    model = made_model(cohort, replace(BMODE_ONLY, backbone="swin_tiny_patch4_window7_224"), networks=1)
    heat = explained(model, cohort)
    change = logits(model, cohort, cohort.store) - logits(model, cohort, greyed(cohort.store))
    np.testing.assert_allclose(sums(heat), change, atol=5e-3)
    assert heat.maps[0].cell_px == (32, 32)


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2", "swin_tiny_patch4_window7_224", "test_convnext"])
def test_places_are_those_of_the_feature_maps(backbone: str) -> None:
    torch.manual_seed(0)
    built = build_backbone(backbone, size_px=64).eval()
    image = torch.randn(2, 1, 64, 64)
    site = Site(built)
    with torch.no_grad():
        values, maps = site.values(image), feature_maps(built, image)
        assert values is not None
        assert maps is not None
        placed = site.by_place(values)
    assert placed is not None
    torch.testing.assert_close(placed[0], maps.sum(dim=1))


def test_blocks_that_share_a_backbone_keep_their_own_maps() -> None:
    cohort = whole_crop(made_cohort(4))
    model = made_model(cohort, replace(NETWORK, share="all"), networks=1)
    samples = tuple(
        replace(sample, images={**sample.images, "elasto": np.full((SIDE, SIDE), GREY["elasto"], np.float32)})
        for sample in cohort.store.samples
    )
    heat = heat_maps(model, cohort.cases, SampleStore(cohort.store.image_id, samples), cohort.design, 3)
    for one in heat.maps:
        assert bool(one.values.any()) == (one.block == "bmode.intratumoral")


def test_a_signature_readout_is_explained_as_what_it_is() -> None:
    cohort = made_cohort(24)
    model = made_model(cohort)
    readings = model.read(cohort.cases, cohort.store, cohort.design, 8)
    told = readings[0].embeddings[:, 0, 1] + readings[1].embeddings[:, 0, 1]  # a label that the images tell
    label = (told > np.median(told)).astype(np.float64)
    readout = SignatureReadout.fit(
        readings,
        NETWORK,
        model.networks[0].blocks,
        by_axilla(cohort.design, cohort.axillae),
        label,
        np.arange(24) // 12,
        rows=Rows.of(cohort.axillae.keys["patient_id"], ["train"] * 24),
        chosen=SignatureSettings(l1_ratio=0.01),
        seed=0,
        outcome="positive",
    )
    signed = replace(model, readout=readout)
    some = cohort.cases["patient_id"].isin([f"p{place}" for place in range(6)])
    cohort = replace(cohort, cases=cohort.cases[some], store=cohort.store.select(cohort.cases["image_id"][some]))
    change = logits(signed, cohort, cohort.store) - logits(signed, cohort, greyed(cohort.store))
    assert np.abs(change).max() > 0.01, "a signature that reads no image proves nothing"
    heat = explained(signed, cohort)
    np.testing.assert_allclose(heat.change, change, atol=1e-4)
    np.testing.assert_allclose(sums(heat), change, atol=0.05)  # its values are clipped: the path has corners


def test_networks_of_two_crops_have_maps_on_both() -> None:
    cohort = made_cohort(4)
    turned = tuple(
        replace(
            sample,
            images={name: pixels[:, ::-1].copy() for name, pixels in sample.images.items()},
            pixel_mm=1.0,
        )
        for sample in cohort.store.samples
    )
    both = replace(cohort, store=SampleStore(cohort.store.image_id, cohort.store.samples, (turned,)))
    model = replace(made_model(cohort), crops=(0, 1))
    heat = explained(model, both)
    assert {one.crop for one in heat.maps} == {0, 1}
    empty = SampleStore(cohort.store.image_id, greyed(cohort.store).samples, (greyed(both.store.crop(1)).samples,))
    change = logits(model, both, both.store) - logits(model, both, empty)
    np.testing.assert_allclose(sums(heat), change, atol=5e-3)


def test_the_same_twice_and_the_network_as_it_was() -> None:
    cohort = made_cohort(4)
    model = made_model(cohort)
    before = logits(model, cohort, cohort.store)
    kinds = [type(module) for network in model.networks for module in network.modules()]
    one, two = explained(model, cohort), explained(model, cohort)
    assert all(a.values.tobytes() == b.values.tobytes() for a, b in zip(one.maps, two.maps, strict=True))
    assert [type(module) for network in model.networks for module in network.modules()] == kinds
    assert all(parameter.grad is None for network in model.networks for parameter in network.parameters())
    np.testing.assert_array_equal(logits(model, cohort, cohort.store), before)


def test_no_map_names_a_patient() -> None:
    cohort = made_cohort(3)
    heat = explained(made_model(cohort), cohort)
    for one in heat.maps:
        words = " ".join(str(getattr(one, field.name)) for field in fields(one))
        assert not any(str(name) in words for name in (*cohort.cases["patient_id"], *cohort.cases["image_id"]))


class WithoutPlace(nn.Module):
    """Features as pairs: nobody knows where in the image they come from."""

    num_features = 8

    def forward_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, image

    def forward_head(self, features: Any) -> Tensor:
        out: Tensor = features[0].mean(dim=(1, 2, 3))[:, None].expand(-1, 8)
        return out

    def forward(self, image: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(image))


def test_a_backbone_without_places_is_refused_in_words() -> None:
    cohort = made_cohort(2)
    model = made_model(cohort, BMODE_ONLY, networks=1)
    for name in model.networks[0].encoders.backbones:
        model.networks[0].encoders.backbones[name] = WithoutPlace()
    for projection in model.networks[0].encoders.projections.values():
        projection[1] = nn.Linear(8, NETWORK.embedding_dim)  # type: ignore[operator]  # a Sequential
    with pytest.raises(ConfigError, match=r"found a backbone of the kind WithoutPlace.*expected.*choose another"):
        explained(model, cohort)


@pytest.mark.parametrize(
    ("spacing", "settings"),
    [
        (Spacing(0.1, 0.1), CropSettings(size_px=64, context_mm=5.0)),
        (Spacing(0.08, 0.2), CropSettings(size_px=48, context_mm=3.0)),
        (Spacing(0.3, 0.15), CropSettings(size_px=96, policy="fixed", side_mm=30.0)),
    ],
)
def test_what_was_cut_from_the_image_goes_back_to_its_place(spacing: Spacing, settings: CropSettings) -> None:
    shape = (round(40 / spacing.row_mm), round(60 / spacing.col_mm))
    rows, cols = (np.arange(shape[0]) + 0.5) * spacing.row_mm, (np.arange(shape[1]) + 0.5) * spacing.col_mm
    lesion = np.hypot(rows[:, None] - 14, cols[None, :] - 22) < 6
    blob = np.exp(-((rows[:, None] - 17) ** 2 + (cols[None, :] - 19) ** 2) / (2 * 1.5**2))
    grid = lesion_grid(LesionMask(lesion, spacing, MaskSource.READER), settings)
    crop = resample_image(blob.astype(np.float32), grid)
    back = place_on_image(np.nan_to_num(crop), grid, shape)
    row, col = np.unravel_index(back.argmax(), shape)
    assert rows[row] == pytest.approx(17, abs=0.5)
    assert cols[col] == pytest.approx(19, abs=0.5)
    # A density keeps what it adds up to.
    on_crop = float(np.nansum(crop)) * grid.spacing.row_mm * grid.spacing.col_mm
    assert float(back.sum()) * spacing.row_mm * spacing.col_mm == pytest.approx(on_crop, rel=0.02)
    outside = np.ones(shape, dtype=bool)
    box = grid.box
    outside[max(box.row, 0) : box.row + box.rows, max(box.col, 0) : box.col + box.cols] = False
    assert not back[outside].any()


def test_what_a_cell_adds_stays_in_the_region() -> None:
    rng = np.random.default_rng(0)
    adds = rng.normal(size=(3, 4))
    region = np.zeros((48, 64), dtype=bool)
    region[10:40, 12:50] = True
    density, share = spread(adds, region)
    assert not density[~region].any()
    assert density.sum() == pytest.approx((adds * share).sum())
    whole, all_of_it = spread(adds, np.ones((48, 64), dtype=bool))
    assert (all_of_it == 1).all()
    assert whole.sum() == pytest.approx(adds.sum())
    one = np.zeros((3, 4))
    one[2, 3] = 1.0  # its pixels, rows 24 on and columns 40 on, are not in the first rows
    density, share = spread(one, np.arange(48)[:, None] < np.full(64, 20))
    assert share[2, 3] == 0
    assert not density.any()


def test_a_map_of_another_grid_is_refused() -> None:
    grid = Grid.of(Box(0, 0, 10, 10), Spacing(0.1, 0.1), 8, 8)
    with pytest.raises(ValueError, match="own crop's grid"):
        place_on_image(np.zeros((9, 8)), grid, (20, 20))
    far = Grid.of(Box(100, 100, 10, 10), Spacing(0.1, 0.1), 8, 8)
    assert not place_on_image(np.ones((8, 8)), far, (20, 20)).any()


def test_axillae_come_in_the_order_of_their_images() -> None:
    cohort = made_cohort(5)
    heat = explained(made_model(cohort), cohort)
    owner = {int(place): axilla for axilla, images in enumerate(Axillae.of(cohort.cases).images) for place in images}
    assert [one.axilla for one in heat.maps] == [owner[one.image] for one in heat.maps]
    assert [one.image for one in heat.maps] == sorted(one.image for one in heat.maps)
    assert pd.Series([one.image for one in heat.maps]).nunique() == len(cohort.cases)
    assert len(COLUMNS) == cohort.design.shape[1]
