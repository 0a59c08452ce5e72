"""The loss by hand, and the schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.axillae import COLUMNS, SCORED
from usdlr.core.errors import ConfigError
from usdlr.data.batch import Batch
from usdlr.models.network import Output
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.classification import NodeStatusTask
from usdlr.tasks.settings import FitSettings

SETTINGS = NetworkSettings(
    backbone="test_resnet", modalities=["bmode"], rois=["intratumoral"], embedding_dim=4, tabular_hidden=2
)
UNKNOWN = math.nan


def task(network: NetworkSettings = SETTINGS, **change: Any) -> NodeStatusTask:
    targets = 1 if network.head == "binary" else 2
    options: dict[str, Any] = {
        "network": network.as_dict(),
        "columns": COLUMNS,
        "scored": SCORED,
        "size_px": 64,
        "loss": "bce",
        "positives": [10] * targets,
        "negatives": [30] * targets,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "layer_decay": 1.0,
        "block_weight": 0.5,
        "auxiliary_weight": 0.25,
        "max_epochs": 5,
    }
    torch.manual_seed(0)
    return NodeStatusTask(**{**options, **change})


@pytest.mark.parametrize(
    ("network", "loss", "expected"),
    [
        ({}, "bce", [math.log(10 / 30)]),
        ({}, "balanced", [0.0]),  # weights make both classes the same
        # The second question is asked of the 10 positive axillae, of which 4 are positive.
        ({"head": "multitask"}, "bce", [math.log(10 / 30), math.log(4 / 6)]),
        ({"head": "corn"}, "bce", [math.log(10 / 30), math.log(4 / 6)]),
    ],
)
@pytest.mark.parametrize("fusion", ["gated", "concat", "film"])
def test_a_fit_starts_at_the_log_odds_of_the_training_axillae(
    network: dict[str, Any], loss: str, expected: list[float], fusion: str
) -> None:
    first = torch.tensor([1.0] * 10 + [0.0] * 30)
    second = torch.tensor([1.0] * 4 + [0.0] * 6 + [UNKNOWN] * 30)
    label = torch.stack([first, second][: len(expected)], dim=1)
    counts = {"positives": [10, 4][: len(expected)], "negatives": [30, 6][: len(expected)]}
    made = task(replace(SETTINGS, fusion=fusion, **network), loss=loss, **counts)
    made.start_from(label)
    nobody = torch.zeros(1, 2, 4)
    found = made.network.fusion(nobody, torch.zeros(1, 2, dtype=torch.bool)).logits[0]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in made.parameters())


def test_proportional_odds_start_at_the_share_of_positive_axillae() -> None:
    """Its cutpoints are still those of the start: one number for everybody, where the likelihood is highest."""
    made = task(replace(SETTINGS, head="cumulative"), positives=[10, 4], negatives=[30, 6])
    label = torch.tensor([[1.0, 1.0]] * 4 + [[1.0, 0.0]] * 6 + [[0.0, UNKNOWN]] * 30)
    made.start_from(label)
    logits = made.network.fusion(torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.bool)).logits
    grid = torch.linspace(-4, 4, 8001)[:, None, None].expand(-1, 40, 1)
    losses = [float(made.network.head.loss(at, label, made.criterion).detach()) for at in grid]
    assert float(logits.detach()) == pytest.approx(float(grid[losses.index(min(losses)), 0, 0]), abs=2e-3)


def output(
    logits: Sequence[Sequence[float]],
    blocks: Sequence[Sequence[Sequence[float]]],
    present: Sequence[Sequence[bool]],
    auxiliary: Sequence[Sequence[float]] | None = None,
) -> Output:
    own = torch.tensor(blocks)
    return Output(
        logits=torch.tensor(logits),
        block_logits=own,
        direct=torch.zeros_like(own),
        weights=None,
        embeddings=torch.zeros(*own.shape[:2], 4),
        present=torch.tensor(present),
        image_weights=torch.ones(len(own), 1, own.shape[1]),
        auxiliary=torch.zeros(len(own), 0) if auxiliary is None else torch.tensor(auxiliary),
    )


def batch(label: Sequence[Sequence[float]], auxiliary: Sequence[Sequence[float]] | None = None) -> Batch:
    """One image per axilla."""
    count = len(label)
    return Batch(
        images={"bmode.intratumoral": torch.randn(count, 1, 64, 64)},
        table=torch.randn(count, 3),
        scores=torch.randn(count, 1, len(label[0])),
        present=torch.ones(count, 2, dtype=torch.bool),
        place=torch.arange(count)[:, None],
        label=torch.tensor(label),
        auxiliary=torch.zeros(count, 0) if auxiliary is None else torch.tensor(auxiliary),
        row=torch.arange(count),
    )


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


THREE = output(
    [[0.7], [-1.2], [5.0]],
    [[[0.4], [-0.3]], [[0.9], [0.1]], [[9.0], [9.0]]],
    [[True, True], [False, True], [True, True]],
)


@pytest.mark.parametrize(
    ("loss", "weight"), [("bce", 1.0), ("balanced", 3.0), ({"asymmetric": {"miss_cost": 7.0}}, 7.0)]
)
def test_loss_by_hand(loss: Any, weight: float) -> None:
    """-log p, times a weight for a positive; axillae without a label and absent blocks do not count."""
    everything = batch([[1.0], [0.0], [UNKNOWN]])
    main, blocks, auxiliary = task(loss=loss).losses(THREE, everything)
    assert main.item() == pytest.approx((weight * softplus(-0.7) + softplus(-1.2)) / 2, rel=1e-6)
    own = weight * softplus(-0.4) + weight * softplus(0.3) + softplus(0.1)
    assert blocks.item() == pytest.approx(own / 3, rel=1e-6)
    assert auxiliary.item() == 0


def test_loss_of_two_questions_by_hand() -> None:
    """The second question counts for positive axillae of known answer alone; both questions weigh the same."""
    found = output([[0.7, -0.2], [-1.2, 3.0], [0.5, 0.9]], [[[0.0, 0.0]]] * 3, [[True]] * 3)
    label = [[1.0, 0.0], [0.0, 1.0], [1.0, UNKNOWN]]
    module = task(NetworkSettings(**{**SETTINGS.as_dict(), "head": "multitask"}))
    main, blocks, _ = module.losses(found, batch(label))
    first = (softplus(-0.7) + softplus(-1.2) + softplus(-0.5)) / 3
    assert main.item() == pytest.approx((first + softplus(-0.2)) / 2, rel=1e-6)
    assert blocks.item() == pytest.approx(math.log(2), rel=1e-6)


def test_a_block_that_was_hidden_does_not_count() -> None:
    found = output([[0.7]], [[[7.0], [0.2]]], [[False, True]])
    _, blocks, _ = task().losses(found, batch([[1.0]]))
    assert blocks.item() == pytest.approx(softplus(-0.2), rel=1e-6)


def test_auxiliary_loss_by_hand() -> None:
    """Smooth L1: half the square up to 1, then the distance less a half; unknown quantities do not count."""
    module = task(NetworkSettings(**{**SETTINGS.as_dict(), "auxiliary": ["birads", "stiffness"]}))
    found = output([[0.0]] * 3, [[[0.0], [0.0]]] * 3, [[True, True]] * 3, [[0.5, 9.0], [3.0, 9.0], [0.0, 9.0]])
    labelled = batch([[1.0], [0.0], [1.0]], [[0.0, UNKNOWN], [0.0, UNKNOWN], [UNKNOWN, UNKNOWN]])
    assert module.losses(found, labelled)[2].item() == pytest.approx((0.5 * 0.5**2 + 2.5) / 2)


@pytest.mark.parametrize("head", ["binary", "multitask", "corn", "cumulative"])
def test_a_batch_without_labels_costs_nothing_and_breaks_nothing(head: str) -> None:
    module = task(NetworkSettings(**{**SETTINGS.as_dict(), "head": head, "auxiliary": ["birads"]})).train()
    targets, width = module.network.head.targets, module.network.head.width
    unlabelled = batch([[UNKNOWN] * targets] * 4, [[UNKNOWN]] * 4)
    unlabelled["scores"] = torch.randn(4, 1, width)
    losses = module.losses(module(unlabelled), unlabelled)
    assert [loss.item() for loss in losses] == [0, 0, 0]
    total: Any = sum(losses)
    total.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or (parameter.grad == 0).all(), name
    module.validation_step(unlabelled, 0)


def test_training_loss_adds_the_blocks_own_and_the_auxiliary() -> None:
    network = NetworkSettings(**{**SETTINGS.as_dict(), "auxiliary": ["birads"]})
    for block_weight, auxiliary_weight in ((0.0, 0.0), (0.5, 0.25)):
        module = task(network, block_weight=block_weight, auxiliary_weight=auxiliary_weight).eval()
        labelled = batch([[1.0], [0.0], [1.0]], [[0.5], [UNKNOWN], [-1.0]])
        main, blocks, auxiliary = (loss.item() for loss in module.losses(module(labelled), labelled))
        assert min(main, blocks, auxiliary) > 0
        expected = main + block_weight * blocks + auxiliary_weight * auxiliary
        assert module.training_step(labelled, 0).item() == pytest.approx(expected, rel=1e-6)


def test_tuning_judges_each_question_on_what_is_known() -> None:
    module = task(NetworkSettings(**{**SETTINGS.as_dict(), "head": "multitask"})).eval()
    label = [[1.0, 0.0], [0.0, UNKNOWN], [1.0, 1.0], [UNKNOWN, UNKNOWN], [1.0, UNKNOWN]]
    module.validation_step(batch(label), 0)
    counts = [sum(len(part) for part in metric.preds) for metric in module.tuning_auc]  # type: ignore[union-attr,misc]  # torchmetrics is untyped
    assert counts == [4, 2]


def test_learning_rate_warms_up_then_falls_as_a_cosine() -> None:
    configured = task(max_epochs=5, learning_rate=0.1).configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    cosine = [0.1 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx([0.02, *cosine])
    assert configured["lr_scheduler"]["interval"] == "epoch"
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.01}


def test_lower_layers_learn_more_slowly_by_the_stated_factor() -> None:
    groups = task(learning_rate=0.1, layer_decay=0.5).configure_optimizers()["optimizer"].param_groups
    rates = sorted({round(group["initial_lr"] / 0.1, 12) for group in groups}, reverse=True)
    assert len(rates) > 2
    assert rates == [0.5**depth for depth in range(len(rates))]


def test_one_epoch_has_a_schedule_too() -> None:
    assert task(max_epochs=1).configure_optimizers()["optimizer"].param_groups[0]["lr"] > 0


def test_the_task_is_plain_data_and_comes_back() -> None:
    module = task()
    again = NodeStatusTask(**dict(module.hparams))
    again.load_state_dict(module.state_dict())
    labelled = batch([[1.0], [0.0]])
    assert torch.equal(module.eval()(labelled).logits, again.eval()(labelled).logits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, r"fit.epochs = 0, expected at least 1"),
        ({"patience": 0}, r"fit.patience = 0"),
        ({"accumulate": 0}, r"fit.accumulate = 0"),
        ({"most_images": 0}, r"fit.most_images = 0"),
        ({"members": 0}, r"fit.members = 0"),
        ({"devices": 0}, r"fit.devices = 0"),
        ({"workers": -1}, r"fit.workers = -1, expected at least 0"),
        ({"batch_size": 1}, r"fit.batch_size = 1, expected at least 2 for batch normalisation"),
        ({"learning_rate": 0.0}, r"fit.learning_rate"),
        ({"learning_rate": math.nan}, r"fit.learning_rate"),
        ({"weight_decay": -1.0}, r"weight_decay"),
        ({"block_weight": math.nan}, r"block_weight"),
        ({"auxiliary_weight": -0.1}, r"auxiliary_weight"),
        ({"layer_decay": 0.0}, r"fit.layer_decay = 0.0, expected a factor above 0 up to 1"),
        ({"layer_decay": 1.1}, r"fit.layer_decay"),
        ({"average": 1.0}, r"fit.average = 1.0, expected a decay of at least 0 and below 1"),
        ({"precision": "64"}, r"fit.precision = '64', expected one of 32, bf16-mixed, 16-mixed"),
        ({"wandb": "cloud"}, r"fit.wandb = 'cloud', expected one of offline, online, disabled"),
        ({"loss": "focl"}, r"fit.loss = 'focl', expected one of .*did you mean 'focal'"),
        ({"loss": {"focal": {"alpha": 1}}}, r"option 'alpha' of fit.loss = focal, expected some of gamma"),
    ],
)
def test_settings_refuse(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FitSettings(**change)
