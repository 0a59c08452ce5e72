"""The loss of an outline: held against another library, against sums by hand, and against its own settings."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor

from usdlr.core.errors import ConfigError
from usdlr.models.segmentation import MaskLossSettings, MaskOutput, mask_loss
from usdlr.models.segmentation.losses import SMALLEST_PX

SIZE = 24
PLAIN = MaskLossSettings()


def lesion(row: float = 12, col: float = 10, radius: float = 6) -> Tensor:
    """(1, 1, size, size), 0 or 1."""
    rows, cols = np.indices((SIZE, SIZE)) + 0.5
    return torch.from_numpy(np.hypot(rows - row, cols - col) <= radius).float()[None, None]


def said(seed: int, batch: int = 1) -> MaskOutput:
    made = torch.Generator().manual_seed(seed)
    return MaskOutput(2 * torch.randn(batch, 1, SIZE, SIZE, generator=made), torch.randn(batch, generator=made))


def parts(output: MaskOutput, target: Tensor, distance: Tensor | None = None) -> dict[str, Tensor]:
    return mask_loss(output, target, torch.zeros_like(target) if distance is None else distance, PLAIN)[1]


@pytest.mark.parametrize("seed", range(3))
def test_overlap_is_that_of_another_library(seed: int) -> None:
    output, target = said(seed), lesion(radius=3 + seed)
    # It counts the overlap once where Dice counts it twice, so half of our smoothing term is all of its own.
    theirs = DiceLoss("binary", smooth=0.5, eps=0.0)(output.mask, target)
    torch.testing.assert_close(parts(output, target)["dice"], theirs)


def test_overlap_by_hand() -> None:
    target = torch.zeros(1, 1, SIZE, SIZE)
    target[..., :4, :5] = 1
    mask = torch.full_like(target, -100.0)
    mask[..., 2:6, :5] = 100.0
    found = parts(MaskOutput(mask, torch.zeros(1)), target)["dice"]
    assert float(found) == pytest.approx(1 - (2 * 10 + 1) / (20 + 20 + 1))
    right = torch.where(target > 0, 100.0, -100.0)
    assert float(parts(MaskOutput(right, torch.zeros(1)), target)["dice"]) == pytest.approx(0.0, abs=1e-6)


def test_windows_without_a_lesion_do_not_count_as_overlap() -> None:
    output = said(5, batch=4)
    target = torch.cat([lesion(), torch.zeros(1, 1, SIZE, SIZE), lesion(radius=4), torch.zeros(1, 1, SIZE, SIZE)])
    found = parts(output, target)["dice"]
    single = [parts(MaskOutput(output.mask[i : i + 1], output.presence[i : i + 1]), target[i : i + 1]) for i in (0, 2)]
    torch.testing.assert_close(found, torch.stack([one["dice"] for one in single]).mean())
    nothing = parts(output, torch.zeros_like(target))
    assert float(nothing["dice"]) == 0.0
    assert all(math.isfinite(float(value)) for value in nothing.values())


def test_a_speck_is_no_lesion() -> None:
    target = torch.zeros(2, 1, SIZE, SIZE)
    target[0].flatten()[: int(SMALLEST_PX) - 1] = 1
    target[1].flatten()[: int(SMALLEST_PX)] = 1
    output = MaskOutput(torch.zeros(2, 1, SIZE, SIZE), torch.tensor([-50.0, 50.0]))
    found = parts(output, target)
    assert float(found["presence"]) == pytest.approx(0.0, abs=1e-6)
    half = 0.5 * SIZE * SIZE
    assert float(found["dice"]) == pytest.approx(1 - (SMALLEST_PX + 1) / (half + SMALLEST_PX + 1))


def test_pixels_and_presence_are_cross_entropies() -> None:
    output, target = said(7, batch=2), torch.cat([lesion(), torch.zeros(1, 1, SIZE, SIZE)])
    found = parts(output, target)
    likely = 1 / (1 + np.exp(-output.mask.double().numpy()))
    truth = target.double().numpy()
    expected = -(truth * np.log(likely) + (1 - truth) * np.log(1 - likely)).mean()
    assert float(found["pixels"]) == pytest.approx(expected, rel=1e-5)
    there = 1 / (1 + np.exp(-output.presence.double().numpy()))
    assert float(found["presence"]) == pytest.approx(-(np.log(there[0]) + np.log(1 - there[1])) / 2, rel=1e-5)


def test_boundary_is_the_probability_times_the_distance() -> None:
    output, target = said(9), lesion()
    inside = target[0, 0].numpy() > 0
    away = (distance_transform_edt(~inside) - distance_transform_edt(inside)) / SIZE
    found = parts(output, target, torch.from_numpy(away).float()[None, None])["boundary"]
    likely = 1 / (1 + np.exp(-output.mask[0, 0].double().numpy()))
    expected = sum(likely[place] * away[place] for place in np.ndindex(SIZE, SIZE)) / SIZE**2
    assert float(found) == pytest.approx(expected, rel=1e-5)
    # Nothing is better than the outline itself, and spilling far costs more than spilling near.
    distance = torch.from_numpy(away).float()[None, None]

    def of(shape: Tensor) -> float:
        return float(parts(MaskOutput(200 * shape - 100, torch.zeros(1)), target, distance)["boundary"])

    near, far = target.clone(), target.clone()
    near[0, 0, 12, 17], far[0, 0, 23, 23] = 1, 1
    assert of(target) < of(near) < of(far)
    assert of(target) < of(lesion(radius=4))


@pytest.mark.parametrize("name", ["dice", "pixels", "boundary", "presence"])
def test_the_sum_is_weighted(name: str) -> None:
    settings = MaskLossSettings(**{**{"dice": 1.0, "pixels": 1.0, "boundary": 1.0, "presence": 1.0}, name: 3.0})
    output, target = said(1), lesion()
    distance = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    total, found = mask_loss(output, target, distance, settings)
    assert list(found) == ["dice", "pixels", "boundary", "presence"] == list(asdict(settings))
    assert float(total) == pytest.approx(sum(map(float, found.values())) + 2 * float(found[name]), rel=1e-5)


def test_every_answer_gets_a_gradient() -> None:
    output = said(2, batch=2)
    mask, presence = output.mask.requires_grad_(), output.presence.requires_grad_()
    target = torch.cat([lesion(), torch.zeros(1, 1, SIZE, SIZE)])
    loss, _ = mask_loss(MaskOutput(mask, presence), target, torch.zeros_like(target), PLAIN)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for value in (mask, presence):
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
        assert (value.grad.flatten(1) if value.ndim > 1 else value.grad[:, None]).any(dim=1).all()


def test_following_the_loss_finds_the_outline() -> None:
    target = lesion()
    inside = target[0, 0].numpy() > 0
    away = torch.from_numpy((distance_transform_edt(~inside) - distance_transform_edt(inside)) / SIZE).float()
    mask = torch.zeros(1, 1, SIZE, SIZE, requires_grad=True)
    presence = torch.zeros(1, requires_grad=True)
    walker = torch.optim.Adam([mask, presence], lr=0.2)
    for _ in range(60):
        walker.zero_grad()
        loss, _ = mask_loss(MaskOutput(mask, presence), target, away[None, None], PLAIN)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        walker.step()
    assert torch.equal(mask > 0, target > 0)
    assert float(presence.detach()) > 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dice": -1.0}, "loss.dice = -1.0, expected a weight of at least 0"),
        ({"presence": math.nan}, "loss.presence = nan"),
        ({"boundary": math.inf}, "loss.boundary = inf"),
        ({"dice": 0.0, "pixels": 0.0}, "loss.dice and loss.pixels = 0, expected one of them above 0"),
    ],
)
def test_impossible_weights_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskLossSettings(**given)
