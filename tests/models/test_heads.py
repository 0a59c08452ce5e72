from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import logistic
from sklearn.metrics import log_loss
from statsmodels.miscmodels.ordinal_model import OrderedModel
from torch import Tensor

from usdlr.core.errors import ConfigError
from usdlr.models.heads import HEADS, CumulativeHead, build_head, check_head_and_loss
from usdlr.models.losses import LOSSES, build_loss

NAN = math.nan


def burden_labels(rank: np.ndarray[Any, Any], known: np.ndarray[Any, Any] | bool = True) -> Tensor:
    """Rank 0, 1 (1-2 nodes), 2 (at least 3) as conditional labels; an undissected positive axilla is only '>= 1'."""
    second = np.where((rank >= 1) & known, (rank == 2).astype(float), np.nan)
    return torch.tensor(np.column_stack([(rank >= 1).astype(float), second]))


def cumulative(first: float, second: float) -> CumulativeHead:
    head = CumulativeHead(gap=second - first).double()
    with torch.no_grad():
        head.first.fill_(first)
        head.spread.fill_(math.log(math.expm1(second - first)))
    return head


def cohort(rows: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Scores and ranks under proportional odds with cutpoints 0.4 and 1.9."""
    draw = np.random.default_rng(seed)
    score = draw.normal(0.0, 1.5, rows)
    return score, np.searchsorted([0.4, 1.9], score + draw.logistic(size=rows))


def fit(head: CumulativeHead, score: Tensor, label: Tensor) -> list[float]:
    """Slope and cutpoints of the best fit."""
    slope = torch.ones((), dtype=torch.float64, requires_grad=True)
    loss = build_loss("bce", [1, 1], [1, 1])
    optimiser = torch.optim.LBFGS([slope, *head.parameters()], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> float:
        optimiser.zero_grad()
        value = head.loss(slope * score[:, None], label, loss)
        torch.autograd.backward(value)
        return float(value.detach())

    optimiser.step(step)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return [float(slope.detach()), *head.cutpoints.detach().tolist()]


def test_what_each_head_says_of_itself() -> None:
    said = {name: (h.width, h.targets, h.joint, h.ordinal) for name, h in ((n, build_head(n)) for n in HEADS)}
    assert said == {
        "binary": (1, 1, False, False),
        "multitask": (2, 2, True, False),
        "corn": (2, 2, True, True),
        "cumulative": (1, 2, True, True),
    }


@pytest.mark.parametrize("name", HEADS)
def test_shapes_with_any_leading_axes(name: str) -> None:
    head = build_head(name)
    for leading in ((5,), (5, 3), (2, 5, 3)):
        assert head.stage_logits(torch.randn(*leading, head.width)).shape == (*leading, head.targets)


@pytest.mark.parametrize("name", ["binary", "multitask", "corn"])
def test_outputs_are_the_conditional_log_odds_themselves(name: str) -> None:
    head = build_head(name)
    logits = torch.randn(6, head.width)
    assert torch.equal(head.stage_logits(logits), logits)


@pytest.mark.parametrize("name", ["multitask", "corn", "cumulative"])
def test_the_second_question_learns_nothing_from_an_axilla_without_a_positive_node(name: str) -> None:
    head, loss = build_head(name).double(), build_loss("bce", [5, 5], [5, 5])
    logits = torch.randn(4, head.width, dtype=torch.float64)
    structural = torch.tensor([[0.0, 0.0], [NAN, 0.0], [NAN, 1.0], [1.0, NAN]])
    silent = torch.tensor([[0.0, NAN], [NAN, NAN], [NAN, NAN], [1.0, NAN]])
    assert head.loss(logits, structural, loss) == head.loss(logits, silent, loss)
    if head.width == 2:
        logits.requires_grad_()
        torch.autograd.backward(head.loss(logits, structural, loss))
        assert logits.grad is not None
        assert not logits.grad[:, 1].any()
        assert logits.grad[[0, 3], 0].all()


def test_multitask_is_the_mean_of_two_log_losses() -> None:
    draw = np.random.default_rng(0)
    logits, rank = draw.normal(0, 2, (60, 2)), draw.integers(0, 3, 60)
    some = rank >= 1
    truth = (log_loss(some, expit(logits[:, 0])) + log_loss(rank[some] == 2, expit(logits[some, 1]))) / 2
    found = build_head("multitask").loss(torch.tensor(logits), burden_labels(rank), build_loss("bce", [1, 1], [1, 1]))
    assert float(found) == pytest.approx(truth, abs=1e-12)


def test_corn_is_the_published_loss() -> None:
    # Shi, Cao and Raschka: task k sees the rows of rank above k - 1, and one mean goes over the rows of all tasks.
    draw = np.random.default_rng(1)
    logits, rank = draw.normal(0, 2, (60, 2)), draw.integers(0, 3, 60)
    some = rank >= 1
    first = log_loss(some, expit(logits[:, 0]), normalize=False)
    second = log_loss(rank[some] == 2, expit(logits[some, 1]), normalize=False)
    found = build_head("corn").loss(torch.tensor(logits), burden_labels(rank), build_loss("bce", [1, 1], [1, 1]))
    assert float(found) == pytest.approx((first + second) / (60 + some.sum()), abs=1e-12)


@pytest.mark.parametrize("score", [-500.0, -50.0, -5.0, 0.0, 0.7, 5.0, 50.0, 500.0])
@pytest.mark.parametrize(("first", "second"), [(0.4, 1.9), (-3.0, -2.999), (-1.0, 30.0)])
def test_cumulative_log_odds_are_exact_at_any_score(score: float, first: float, second: float) -> None:
    with localcontext() as exact:
        exact.prec = 600
        one, three = (1 / (1 + (Decimal(cut) - Decimal(score)).exp()) for cut in (first, second))
        truth = [float((p / (1 - p)).ln()) for p in (one, three / one)]
    head = cumulative(first, second)
    logits = torch.tensor([score], dtype=torch.float64, requires_grad=True)
    found = head.stage_logits(logits)
    assert found.detach().tolist() == pytest.approx(truth, rel=1e-9, abs=1e-9)
    torch.autograd.backward(found.sum())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    single = head.float().stage_logits(torch.tensor([score]))
    assert single.tolist() == pytest.approx(truth, rel=1e-4, abs=1e-4)


def test_cumulative_stages_chain_to_proportional_odds() -> None:
    score = np.linspace(-6, 6, 25)
    stages = expit(cumulative(0.4, 1.9).stage_logits(torch.tensor(score)[:, None]).detach().numpy())
    np.testing.assert_allclose(stages[:, 0], logistic.cdf(score - 0.4), rtol=1e-12)
    np.testing.assert_allclose(stages.prod(axis=1), logistic.cdf(score - 1.9), rtol=1e-12)


def test_cumulative_likelihood_is_that_of_statsmodels() -> None:
    score, rank = cohort(200, 0)
    model = OrderedModel(rank, score[:, None], distr="logit")
    for slope, first, second in ((1.0, 0.4, 1.9), (0.3, -1.0, 2.5)):
        truth = -model.loglike(np.array([slope, first, math.log(second - first)])) / len(rank)
        logits = slope * torch.tensor(score)[:, None]
        found = cumulative(first, second).loss(logits, burden_labels(rank), build_loss("bce", [1, 1], [1, 1]))
        assert float(found.detach()) == pytest.approx(truth, rel=1e-10)


def test_cumulative_fit_is_that_of_statsmodels() -> None:
    score, rank = cohort(300, 1)
    truth = OrderedModel(rank, score[:, None], distr="logit").fit(method="bfgs", disp=False, gtol=1e-8).params
    found = fit(CumulativeHead().double(), torch.tensor(score), burden_labels(rank))
    assert found == pytest.approx([truth[0], truth[1], truth[1] + math.exp(truth[2])], abs=2e-4)


def test_an_undissected_axilla_counts_as_at_least_one() -> None:
    # One axilla of each state of knowledge, against the distribution function of the logistic law.
    score = np.array([0.3, -0.5, 2.0, 1.0])
    label = torch.tensor([[0.0, NAN], [1.0, 0.0], [1.0, 1.0], [1.0, NAN]], dtype=torch.float64)
    below_one, below_three = logistic.cdf(0.4 - score), logistic.cdf(1.9 - score)
    chance = [below_one[0], below_three[1] - below_one[1], 1 - below_three[2], 1 - below_one[3]]
    found = cumulative(0.4, 1.9).loss(torch.tensor(score)[:, None], label, build_loss("bce", [1, 1], [1, 1]))
    assert float(found.detach()) == pytest.approx(-np.log(chance).mean(), rel=1e-10)


def test_censoring_does_not_bend_the_fit_and_reading_unknown_as_negative_would() -> None:
    score, rank = cohort(20_000, 2)
    known = np.random.default_rng(5).random(len(rank)) < expit(score)
    censored = fit(CumulativeHead().double(), torch.tensor(score), burden_labels(rank, known))
    assert censored == pytest.approx([1.0, 0.4, 1.9], abs=0.08)
    as_negative = burden_labels(np.where(~known, np.minimum(rank, 1), rank))
    assert fit(CumulativeHead().double(), torch.tensor(score), as_negative)[2] > 2.05


def test_cutpoints_stay_ordered_whatever_the_parameters_are() -> None:
    head = CumulativeHead(gap=0.7)
    assert head.cutpoints.tolist() == pytest.approx([0.0, 0.7])
    for spread in (-30.0, -3.0, 0.0, 3.0, 30.0):
        with torch.no_grad():
            head.spread.fill_(spread)
        stages = head.double().stage_logits(torch.linspace(-50, 50, 101, dtype=torch.float64)[:, None]).detach()
        assert torch.isfinite(stages).all()
        assert head.cutpoints[1] > head.cutpoints[0]
        assert (stages.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("name", HEADS)
def test_block_loss_judges_the_blocks_that_are_there(name: str) -> None:
    head = build_head(name).double()
    loss = build_loss("bce", [5] * head.targets, [5] * head.targets)
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, head.width, generator=draw, dtype=torch.float64)
    label = torch.tensor([[0.0, NAN], [1.0, 0.0], [1.0, 1.0], [1.0, NAN], [NAN, NAN], [0.0, NAN], [1.0, 1.0]])
    label = label[:, : head.targets].double()
    present = torch.rand(7, 3, generator=draw) < 0.6
    present[2] = False
    row, block = torch.nonzero(present, as_tuple=True)
    truth = head.loss(logits[row, block], label[row], loss)

    logits[~present] = NAN
    logits.requires_grad_()
    found = head.block_loss(logits, label, present, loss)
    torch.autograd.backward(found)
    torch.testing.assert_close(found.detach(), truth.detach())
    assert logits.grad is not None
    assert not logits.grad[~present].any()
    assert all(p.grad is not None and torch.isfinite(p.grad) for p in head.parameters())


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("label", [NAN, 0.0, 1.0])
def test_batches_of_one_kind_stay_finite_in_deterministic_mode(name: str, label: float) -> None:
    head = build_head(name)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        logits = torch.tensor([[-50.0], [0.0], [50.0]]).expand(3, head.width).clone().requires_grad_()
        loss = head.loss(
            logits, torch.full((3, head.targets), label), build_loss("bce", [1] * head.targets, [1] * head.targets)
        )
        torch.autograd.backward(loss)
    finally:
        torch.use_deterministic_algorithms(before)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (float(loss.detach()) == 0.0) == math.isnan(label)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "bce"])
def test_the_cumulative_head_refuses_every_loss_that_is_no_likelihood(name: str) -> None:
    with pytest.raises(ConfigError, match=f"cumulative with fit.loss = {name}, expected fit.loss = bce"):
        check_head_and_loss("cumulative", name)
    with pytest.raises(ConfigError, match=r"expected fit\.loss = bce"):
        CumulativeHead().loss(torch.zeros(2, 1), torch.zeros(2, 2), build_loss(name, [1, 1], [1, 1]))


def test_every_other_pair_goes_together() -> None:
    check_head_and_loss({"cumulative": {"gap": 2.0}}, "bce")
    for head in ("binary", "multitask", "corn"):
        for name in LOSSES:
            check_head_and_loss(head, name)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("coral", "did you mean 'corn'"),
        ({"corn": {"gap": 1}}, "expected none"),
        ({"cumulative": {"gap": 0.0}}, "found gap = 0.0"),
        ({"cumulative": {"gap": math.inf}}, "found gap = inf"),
    ],
)
def test_impossible_heads_are_refused(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_head(part)
