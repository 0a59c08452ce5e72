"""Grad-CAM and occlusion where the answer is known, and the checks that a map must pass to mean anything."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from tests.axillae import random_sample
from tests.inference.made_stage import NETWORK, SIDE, Cohort, made_cohort, made_model
from usdlr.core.errors import ConfigError, InputError
from usdlr.data.samples import Sample, SampleStore
from usdlr.inference.explain_gradcam import grad_cam
from usdlr.inference.explain_occlusion import Occlusion, by_place, occlusion, patches
from usdlr.inference.explain_probe import Probe
from usdlr.inference.heatmap import heat_maps
from usdlr.inference.stage import StageModel, prepare_torch

ONE = replace(NETWORK, modalities=["bmode"])
BLOCK = "bmode.intratumoral"
CELL = 16
WHOLE = np.ones((SIDE, SIDE), dtype=bool)


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    prepare_torch(1)


class CellReader(nn.Module):
    """A backbone that one can see through: the mean of every cell of 16 pixels, and a weight for each."""

    def __init__(self, weights: npt.NDArray[np.float64], width: int) -> None:
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.direction = torch.cos(torch.arange(width, dtype=torch.float32))

    def forward_features(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, CELL)

    def forward_head(self, maps: Tensor) -> Tensor:
        return (maps[:, 0] * self.weights).sum(dim=(1, 2))[:, None] * self.direction

    def forward(self, image: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(image))


def whole_crop(size: int = 3) -> Cohort:
    """Axillae of which the first has two images; the region is the whole crop."""
    cohort = made_cohort(size)
    samples = tuple(replace(sample, rois={"intratumoral": WHOLE}) for sample in cohort.store.samples)
    return replace(cohort, store=SampleStore(cohort.store.image_id, samples))


def with_first(cohort: Cohort, sample: Sample) -> Cohort:
    """The same cohort whose first image is another one."""
    return replace(cohort, store=SampleStore(cohort.store.image_id, (sample, *cohort.store.samples[1:])))


def probe_of(model: StageModel, cohort: Cohort, patient: str = "p1") -> Probe:
    rows = cohort.cases[cohort.cases["patient_id"] == patient].reset_index(drop=True)
    return Probe(model, rows, cohort.store, cohort.design)


def reading_cells(weights: npt.NDArray[np.float64], cohort: Cohort) -> StageModel:
    model = made_model(cohort, ONE, networks=1)
    backbones = model.networks[0].encoders.backbones
    (name,) = backbones
    backbones[name] = CellReader(weights, int(backbones[name].num_features))  # type: ignore[arg-type]  # untyped in timm
    return model


def signed_map(model: StageModel, cohort: Cohort, patient: str = "p1") -> npt.NDArray[np.float32]:
    rows = cohort.cases[cohort.cases["patient_id"] == patient].reset_index(drop=True)
    return heat_maps(model, rows, cohort.store, cohort.design, 1).maps[0].values


def likeness(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def test_grad_cam_of_equal_weights_is_the_map_itself() -> None:
    """With one channel and one weight, Grad-CAM is a number times the channel's map (equation 2 of the paper)."""
    cohort = whole_crop()
    model = reading_cells(np.full((4, 4), 0.25), cohort)
    probe = probe_of(model, cohort)
    (found,) = grad_cam(probe).values()
    pixels = probe.runs[0].batch["images"][BLOCK][0, 0].numpy()
    cells = pixels.reshape(4, CELL, 4, CELL).mean(axis=(1, 3))
    # The corner pixels of a map that is enlarged between centres are those of its corner cells.
    corners = np.ix_([0, -1], [0, -1])
    ratio = found[corners] / cells[corners]
    assert np.abs(found).max() > 0
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-4)
    enlarged = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    assert np.corrcoef(found.ravel(), enlarged.ravel())[0, 1] == pytest.approx(np.sign(ratio[0, 0]), abs=1e-6)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet", "swin_tiny_patch4_window7_224"])
def test_grad_cam_of_every_kind_of_backbone(backbone: str) -> None:
    cohort = made_cohort(2)
    found = grad_cam(probe_of(made_model(cohort, replace(ONE, backbone=backbone), networks=1), cohort))
    (values,) = found.values()
    assert values.shape == (SIDE, SIDE)
    assert np.isfinite(values).all()
    assert np.abs(values).max() > 0


class WithoutPlace(nn.Module):
    """A backbone whose features come from nowhere in the image."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :8]


def test_grad_cam_says_where_there_is_no_place() -> None:
    cohort = made_cohort(2)
    model = made_model(cohort, ONE, networks=1)
    for name in model.networks[0].encoders.backbones:
        model.networks[0].encoders.backbones[name] = WithoutPlace()
    for projection in model.networks[0].encoders.projections.values():
        projection[1] = nn.Linear(8, NETWORK.embedding_dim)  # type: ignore[operator]  # a Sequential
    with pytest.raises(ConfigError, match="no place in the image"):
        grad_cam(probe_of(model, cohort))


def test_occlusion_finds_the_only_cell_that_is_read() -> None:
    """Hiding any patch that does not touch the cell changes nothing; the nearer all of it is hidden, the more."""
    weights = np.zeros((4, 4))
    weights[1, 2] = 8.0
    cohort = whole_crop()
    model = reading_cells(weights, cohort)
    (one,) = occlusion(probe_of(model, cohort), patch_mm=8.0)  # pixels of 0.5 mm: a patch is as large as a cell
    touching = np.array(
        [
            top < 2 * CELL and bottom > CELL and left < 3 * CELL and right > 2 * CELL
            for top, left, bottom, right in one.boxes
        ]
    )
    assert np.abs(one.drop[~touching]).max() < 1e-6
    exact = int(np.flatnonzero((one.boxes == (CELL, 2 * CELL, 2 * CELL, 3 * CELL)).all(axis=1))[0])
    assert abs(one.drop[exact]) > 1e-5
    drawn = one.on_crop(WHOLE, 0.5)
    row, col = np.unravel_index(int(np.abs(drawn).argmax()), drawn.shape)
    assert CELL <= row < 2 * CELL
    assert 2 * CELL <= col < 3 * CELL
    assert one.agreement(signed_map(model, cohort)) is not None


def test_a_patch_that_hides_everything_takes_all_that_the_image_changes() -> None:
    """One patch over the whole crop: what the signed map adds up to, by another way altogether."""
    cohort = whole_crop()
    model = made_model(cohort, ONE, networks=2)
    (one,) = occlusion(probe_of(model, cohort), patch_mm=4 * SIDE)
    rows = cohort.cases[cohort.cases["patient_id"] == "p1"].reset_index(drop=True)
    heat = heat_maps(model, rows, cohort.store, cohort.design, 1)
    largest = int(np.argmax((one.boxes[:, 2] - one.boxes[:, 0]) * (one.boxes[:, 3] - one.boxes[:, 1])))
    assert one.drop[largest] == pytest.approx(heat.change[0], abs=1e-5)


def test_occlusion_of_a_signature_is_the_change_of_its_own_answer() -> None:
    """Where several images and networks answer together, hiding is told in their common log-odds."""
    cohort = whole_crop()
    model = made_model(cohort, ONE, networks=2)
    found = by_place(occlusion(probe_of(model, cohort, "p0"), patch_mm=4 * SIDE))
    assert set(found) == {(0, BLOCK, 0), (1, BLOCK, 0)}
    grey = replace(cohort.store.samples[0], images={"bmode": np.full((SIDE, SIDE), 127.5, np.float32)})
    rows = cohort.cases[cohort.cases["patient_id"] == "p0"].reset_index(drop=True)
    before = model.predict_axillae(rows, cohort.store, cohort.design, 1)["logit"].iloc[0]
    after = model.predict_axillae(rows, with_first(cohort, grey).store, cohort.design, 1)["logit"].iloc[0]
    assert found[0, BLOCK, 0].drop[0] == pytest.approx(before - after, abs=1e-5)


@pytest.mark.parametrize("side", [0.0, -1.0, float("nan")])
def test_impossible_patches(side: float) -> None:
    cohort = whole_crop()
    with pytest.raises(InputError, match="expected a side above 0 mm"):
        occlusion(probe_of(made_model(cohort, ONE, networks=1), cohort), patch_mm=side)


def test_patches_of_small_regions() -> None:
    region = np.zeros((8, 8), dtype=bool)
    assert patches(region, 4).shape == (0, 4)
    region[3, 5] = True
    assert patches(region, 8).tolist() == [[3, 5, 4, 6]]


def test_agreement_needs_something_to_compare() -> None:
    boxes = patches(WHOLE, CELL)
    flat = Occlusion(0, BLOCK, 0, boxes, np.zeros(len(boxes)))
    assert flat.agreement(np.random.default_rng(0).normal(size=WHOLE.shape)) is None
    few = Occlusion(0, BLOCK, 0, boxes[:3], np.arange(3.0))
    assert few.agreement(np.random.default_rng(0).normal(size=WHOLE.shape)) is None
    rising = np.add.outer(np.arange(SIDE), np.zeros(SIDE))
    sums = [rising[t:b, lo:r].sum() for t, lo, b, r in boxes.tolist()]
    assert Occlusion(0, BLOCK, 0, boxes, np.array(sums)).agreement(rising) == pytest.approx(1.0)
    assert Occlusion(0, BLOCK, 0, boxes, -np.array(sums)).agreement(rising) == pytest.approx(-1.0)


@pytest.mark.parametrize("kind", ["signed", "Grad-CAM"])
def test_other_weights_give_another_map(kind: str) -> None:
    """Randomised weights must destroy a map (Adebayo et al., 2018, doi:10.48550/arXiv.1810.03292); no label is read."""
    cohort = whole_crop(8)
    model, other = made_model(cohort, ONE, networks=1), made_model(cohort, ONE, networks=1)
    torch.manual_seed(99)
    for parameter in other.networks[0].parameters():
        parameter.data.copy_(0.3 * torch.randn_like(parameter))
    alike = []
    for place in range(8):
        if kind == "signed":
            maps = [signed_map(one, cohort, f"p{place}") for one in (model, other)]
        else:
            maps = [next(iter(grad_cam(probe_of(one, cohort, f"p{place}")).values())) for one in (model, other)]
        alike.append(likeness(*maps))
    assert abs(float(np.mean(alike))) < 0.5
    again = made_model(cohort, ONE, networks=1)
    assert likeness(signed_map(model, cohort), signed_map(again, cohort)) == pytest.approx(1.0)


def test_shuffled_pixels_give_another_map() -> None:
    """A map follows what lies where: with the same pixels elsewhere, little of its order is left."""
    cohort = whole_crop(2)
    model = reading_cells(np.full((4, 4), 1.0), cohort)
    same, alike = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        pixels = (np.kron(rng.uniform(0, 200, (4, 4)), np.ones((CELL, CELL))) + rng.normal(0, 20, WHOLE.shape)).clip(0)
        cells = pixels.reshape(4, CELL, 4, CELL).mean(axis=(1, 3))
        maps = []
        for shown in (pixels, rng.permutation(pixels.ravel()).reshape(pixels.shape)):
            sample = replace(random_sample(seed, SIDE), images={"bmode": shown.astype(np.float32)})
            seen = with_first(cohort, replace(sample, rois={"intratumoral": WHOLE}))
            maps.append(signed_map(model, seen, "p0").reshape(4, CELL, 4, CELL).mean(axis=(1, 3)))
        same.append(abs(likeness(maps[0], cells.astype(np.float32))))
        alike.append(likeness(*maps))
    assert np.median(same) > 0.8
    assert abs(float(np.mean(alike))) < 0.5
