from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss  # type: ignore[import-untyped]  # torchvision publishes no types

from usdlr.core.errors import ConfigError, DataError
from usdlr.models.losses import LOSSES, build_loss

NAN = math.nan


def sample(rows: int = 40) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(rows, 2, generator=draw, dtype=torch.float64)
    label = (torch.rand(rows, 2, generator=draw) < 0.3).double()
    label[torch.rand(rows, 2, generator=draw) < 0.25] = NAN
    return logits, label


def best_probability(part: Any, positives: int, negatives: int) -> float:
    """The one probability for all axillae that a general optimiser finds best."""
    loss = build_loss(part, [positives], [negatives])
    label = torch.tensor([1.0] * positives + [0.0] * negatives, dtype=torch.float64)[:, None]
    found = minimize_scalar(
        lambda z: float(loss(torch.full_like(label, z), label)), bounds=(-10, 10), options={"xatol": 1e-9}
    )
    return 1 / (1 + math.exp(-found.x))


def test_plain_loss_is_torchs_on_the_known_labels_averaged_over_targets() -> None:
    logits, label = sample()
    truth = torch.stack(
        [
            binary_cross_entropy_with_logits(logits[use, t], label[use, t])
            for t, use in enumerate(torch.isfinite(label).T)
        ]
    ).mean()
    assert float(build_loss("bce", [5, 5], [5, 5])(logits, label)) == pytest.approx(float(truth), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_torchvisions(gamma: float) -> None:
    logits, label = sample()
    use = torch.isfinite(label)
    truth = sigmoid_focal_loss(logits[use], label[use], alpha=-1, gamma=gamma)
    loss = build_loss({"focal": {"gamma": gamma}}, [5, 5], [5, 5])
    torch.testing.assert_close(loss.entries(logits, label)[use], truth)


def test_balanced_loss_is_torchs_with_its_positive_weight() -> None:
    logits, label = sample()
    use = torch.isfinite(label[:, 0])
    truth = binary_cross_entropy_with_logits(logits[use, :1], label[use, :1], pos_weight=torch.tensor(30 / 12))
    assert float(build_loss("balanced", [12], [30])(logits[:, :1], label[:, :1])) == pytest.approx(float(truth))


@pytest.mark.parametrize(
    ("beta", "positives", "negatives", "ratio"),
    [
        (0.9, 1, 3, 2.71),  # effective numbers by hand: 1, and 1 + 0.9 + 0.81
        (0.9, 2, 3, 2.71 / 1.9),
        (0.0, 7, 900, 1.0),  # the paper's limits: one for beta = 0, ...
        (1 - 1e-9, 10, 30, 3.0),  # ... n for beta towards 1, ...
        (0.999, 1, 10**5, 1000.0),  # ... and 1 / (1 - beta) for many samples
    ],
)
def test_class_balanced_weights_are_those_of_the_paper(
    beta: float, positives: int, negatives: int, ratio: float
) -> None:
    loss = build_loss({"class_balanced": {"beta": beta}}, [positives], [negatives])
    above, below = float(loss.positive_weight), float(loss.negative_weight)
    assert above / below == pytest.approx(ratio, rel=1e-5)
    assert above + below == pytest.approx(2.0)


@pytest.mark.parametrize(("cost", "positives", "expected"), [(4.0, 100, 4 / 13), (9.0, 100, 0.5), (1.0, 300, 0.3)])
def test_the_minimum_of_the_asymmetric_loss_lies_where_its_cost_puts_it(
    cost: float, positives: int, expected: float
) -> None:
    found = best_probability({"asymmetric": {"miss_cost": cost}}, positives, 1000 - positives)
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_asymmetric_gradient_is_the_weighted_residual() -> None:
    logits = torch.tensor([[0.4], [-1.2]], requires_grad=True)
    torch.autograd.backward(
        build_loss({"asymmetric": {"miss_cost": 3.0}}, [1], [1])(logits, torch.tensor([[1.0], [0.0]]))
    )
    residual = [3 * (1 / (1 + math.exp(-0.4)) - 1) / 2, 1 / (1 + math.exp(1.2)) / 2]
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx(residual, rel=1e-5)


def test_the_minimum_of_the_others() -> None:
    assert best_probability("bce", 120, 880) == pytest.approx(0.12, abs=1e-5)
    assert best_probability("balanced", 120, 880) == pytest.approx(0.5, abs=1e-5)
    assert 0.12 < best_probability("focal", 120, 880) < 0.5


@pytest.mark.parametrize("name", LOSSES)
def test_an_unknown_label_never_reaches_the_gradient(name: str) -> None:
    logits, label = sample()
    unknown = torch.isnan(label)
    logits[unknown] = torch.tensor([NAN, math.inf, 1e30], dtype=torch.float64).repeat(100)[: int(unknown.sum())]
    logits.requires_grad_()
    loss = build_loss(name, [5, 3], [5, 9])
    torch.autograd.backward(loss(logits, label))
    assert logits.grad is not None
    assert torch.equal(logits.grad[unknown], torch.zeros_like(logits.grad[unknown]))
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~unknown] != 0).all()

    kept = ~unknown.all(dim=1)
    alone = logits.detach()[kept].requires_grad_()
    torch.autograd.backward(loss(alone, label[kept]))
    torch.testing.assert_close(alone.grad, logits.grad[kept])


@pytest.mark.parametrize("name", LOSSES)
def test_where_nothing_is_known_the_loss_is_zero_and_still_differentiable(name: str) -> None:
    logits = torch.randn(4, 2, requires_grad=True)
    loss = build_loss(name, [5, 3], [5, 9])(logits, torch.full((4, 2), NAN))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_target_without_a_known_label_does_not_dilute_the_others() -> None:
    label = torch.tensor([[1.0, NAN], [NAN, NAN], [0.0, NAN]])
    loss = build_loss("bce", [5, 5], [5, 5])(torch.zeros(3, 2), label)
    assert float(loss) == pytest.approx(math.log(2))


@pytest.mark.parametrize("part", ["bce", {"focal": {"gamma": 0.5}}, {"focal": {"gamma": 5.0}}, "balanced"])
def test_extreme_log_odds_stay_finite(part: Any) -> None:
    logits = torch.tensor([[-1e4], [-100.0], [-20.0], [20.0], [100.0], [1e4]]).repeat(2, 1).requires_grad_()
    torch.autograd.backward(build_loss(part, [6], [6])(logits, torch.tensor([[0.0]] * 6 + [[1.0]] * 6)))
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_leading_axes_are_rows() -> None:
    logits, label = sample()
    loss = build_loss("asymmetric", [5, 5], [5, 5])
    torch.testing.assert_close(loss(logits.view(8, 5, 2), label.view(8, 5, 2)), loss(logits, label))


def test_half_precision_is_judged_in_single() -> None:
    logits, label = sample()
    assert build_loss("focal", [5, 5], [5, 5])(logits.bfloat16(), label.float()).dtype == torch.float32


def test_weights_stay_out_of_the_checkpoint() -> None:
    loss = build_loss("balanced", [10, 20], [30, 10])
    assert dict(loss.state_dict()) == {}
    assert loss.to(torch.float64).positive_weight.tolist() == [3.0, 0.5]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("positives", "negatives", "missing"), [((9, 0), (9, 7), "positive"), ((9, 7), (9, 0), "neg")])
def test_a_target_of_one_class_is_refused_by_name(
    name: str, positives: tuple[int, int], negatives: tuple[int, int], missing: str
) -> None:
    with pytest.raises(DataError, match=f"found no {missing}.* axilla of nsln among 7 with known status"):
        build_loss(name, positives, negatives, ["sln", "nsln"])
    with pytest.raises(DataError, match="of target 1"):
        build_loss(name, positives, negatives)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("focl", "did you mean 'focal'"),
        ({"focal": {"gama": 1}}, "did you mean 'gamma'"),
        ({"bce": {"gamma": 1}}, "expected none"),
        ({"focal": {"gamma": -1}}, "found gamma = -1"),
        ({"class_balanced": {"beta": 1.0}}, "found beta = 1.0"),
        ({"asymmetric": {"miss_cost": 0}}, "found miss_cost = 0"),
    ],
)
def test_impossible_losses_are_refused(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_loss(part, [1], [1])
