"""The loss by hand, and the schedule."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from usdlr.core.errors import ConfigError
from usdlr.data.batch import Batch
from usdlr.models.fusion import Fused
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.classification import NodeStatusTask
from usdlr.tasks.settings import FitSettings

SETTINGS = NetworkSettings(
    backbone="test_resnet", modalities=["bmode"], rois=["intratumoral"], embedding_dim=4, tabular_hidden=2
)
UNKNOWN = math.nan


def task(**change: Any) -> NodeStatusTask:
    options: dict[str, Any] = {
        "network": SETTINGS.as_dict(),
        "tabular_features": 3,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "auxiliary_weight": 0.5,
        "positive_weight": 3.0,
        "max_epochs": 5,
    }
    return NodeStatusTask(**{**options, **change})


def fused(logit: list[float], blocks: list[list[float]], present: list[list[bool]]) -> Fused:
    gates = torch.tensor(present) / torch.tensor(present).sum(dim=1, keepdim=True)
    return Fused(torch.tensor(logit), gates, gates, torch.tensor(blocks), torch.tensor(0.0), torch.tensor(present))


def batch(label: list[float], present: list[list[bool]] | None = None) -> Batch:
    count = len(label)
    return Batch(
        images={"bmode.intratumoral": torch.randn(count, 1, 64, 64)},
        table=torch.randn(count, 3),
        present=torch.tensor(present or [[True, True]] * count),
        label=torch.tensor(label),
        row=torch.arange(count),
    )


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_loss_by_hand() -> None:
    """-log p for a negative and 3 (-log p) for a positive; rows without a label and absent blocks do not count."""
    found = fused([0.7, -1.2, 5.0], [[0.4, -0.3], [0.9, 0.1], [9.0, 9.0]], [[True, True], [False, True], [True, True]])
    everything = batch([1.0, 0.0, UNKNOWN])
    main, per_block = task().loss(found, everything)
    assert main.item() == pytest.approx((3 * softplus(-0.7) + softplus(-1.2)) / 2, rel=1e-6)
    assert per_block.item() == pytest.approx((3 * softplus(-0.4) + 3 * softplus(0.3) + softplus(0.1)) / 3, rel=1e-6)


def test_a_block_that_was_hidden_does_not_count_even_if_the_patient_has_it() -> None:
    found = fused([0.7], [[7.0, 0.2]], [[False, True]])
    _, per_block = task(positive_weight=1.0).loss(found, batch([1.0], [[True, True]]))
    assert per_block.item() == pytest.approx(softplus(-0.2), rel=1e-6)


def test_balance_makes_one_positive_weigh_as_much_as_its_negatives() -> None:
    logit = [0.0] * 4
    found = fused(logit, [[0.0, 0.0]] * 4, [[True, True]] * 4)
    module = task(positive_weight=3.0)
    positive, _ = module.loss(found, batch([1.0, UNKNOWN, UNKNOWN, UNKNOWN]))
    whole, _ = module.loss(found, batch([1.0, 0.0, 0.0, 0.0]))
    assert whole.item() == pytest.approx((3 * math.log(2) + 3 * math.log(2)) / 4, rel=1e-6)
    assert positive.item() == pytest.approx(3 * math.log(2), rel=1e-6)


def test_a_batch_without_labels_costs_nothing_and_breaks_nothing() -> None:
    module = task().train()
    unlabelled = batch([UNKNOWN] * 4)
    main, per_block = module.loss(module(unlabelled), unlabelled)
    assert main.item() == per_block.item() == 0
    loss: Any = main + per_block
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or (parameter.grad == 0).all(), name
    module.validation_step(unlabelled, 0)


def test_training_loss_adds_the_blocks_own() -> None:
    for weight in (0.0, 0.5):
        module = task(auxiliary_weight=weight).eval()
        labelled = batch([1.0, 0.0, 1.0])
        main, per_block = module.loss(module(labelled), labelled)
        assert module.training_step(labelled, 0).item() == pytest.approx((main + weight * per_block).item(), rel=1e-6)


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
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_one_epoch_has_a_schedule_too() -> None:
    assert task(max_epochs=1).configure_optimizers()["optimizer"].param_groups[0]["lr"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, r"fit.epochs = 0, expected at least 1"),
        ({"patience": 0}, r"fit.patience = 0"),
        ({"batch_size": 1}, r"fit.batch_size = 1, expected at least 2 for batch normalisation"),
        ({"learning_rate": 0.0}, r"fit.learning_rate"),
        ({"weight_decay": -1.0}, r"weight_decay"),
        ({"auxiliary_weight": math.nan}, r"auxiliary_weight"),
        ({"wandb": "cloud"}, r"fit.wandb = 'cloud', expected one of offline, online, disabled"),
    ],
)
def test_settings_refuse(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FitSettings(**change)
