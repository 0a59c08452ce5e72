"""Stage 2 starts from the image branches of stage 1, and from nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.axillae import COLUMNS, NETWORK, SCORED
from tests.tasks.test_fit import SETTINGS, Weights, fit, training, tuning
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.tasks import fit as module

STILL = replace(SETTINGS, epochs=1, learning_rate=1e-12, weight_decay=0.0)


def other_stage(network: NetworkSettings = NETWORK) -> Weights:
    """Another selector kept other columns."""
    torch.manual_seed(123)
    return FusionNetwork(network, [*COLUMNS, "present.elasto", "clinical.birads"], 64, scored=SCORED).state_dict()


def weights(folder: Path, start: Weights | None, network: NetworkSettings = NETWORK) -> Weights:
    return fit(folder, STILL, train=training(16), tuning=tuning(8), network=network, start=start)


def test_branches_are_taken_over_and_the_rest_is_not(tmp_path: Path) -> None:
    other = other_stage()
    cold, warm = weights(tmp_path / "cold", None), weights(tmp_path / "warm", other)
    parameters = {name for name, _ in FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).named_parameters()}
    for key in warm.keys() & parameters:
        expected = other[key] if key.startswith(module.BRANCHES) else cold[key]
        torch.testing.assert_close(warm[key], expected, atol=1e-6, rtol=0)
    assert any(not torch.equal(warm[key], cold[key]) for key in warm if key.startswith(module.BRANCHES))
    assert SETTINGS.warm_start


def test_what_is_frozen_stays_where_the_other_stage_left_it(tmp_path: Path) -> None:
    frozen = replace(NETWORK, frozen=1.0)
    other = other_stage(frozen)
    found = fit(tmp_path, replace(SETTINGS, epochs=1), train=training(16), network=frozen, start=other)
    backbone = [key for key in found if ".backbones." in key]
    assert backbone
    assert all(torch.equal(found[key], other[key]) for key in backbone)


def test_a_file_of_weights_starts_the_branches_and_the_other_stage_goes_before_it(tmp_path: Path) -> None:
    torch.manual_seed(5)
    stage = FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).state_dict()
    save_file(stage, tmp_path / "stage.safetensors")
    from_file = replace(NETWORK, weights_file=str(tmp_path / "stage.safetensors"))
    parameters = {name for name, _ in FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).named_parameters()}
    backbone = [key for key in stage if ".backbones." in key and key in parameters]
    found = weights(tmp_path / "file", None, from_file)
    for key in backbone:
        torch.testing.assert_close(found[key], stage[key], atol=1e-6, rtol=0)
    other = other_stage()
    found = weights(tmp_path / "both", other, from_file)
    for key in backbone:
        torch.testing.assert_close(found[key], other[key], atol=1e-6, rtol=0)
