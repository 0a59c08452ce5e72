"""Stage 2 starts from the image branches of stage 1, and from nothing else of it."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.tasks.test_fit import NETWORK, SETTINGS, dataset
from usdlr.models.network import FusionNetwork
from usdlr.tasks import fit
from usdlr.tasks.fit import fit_stage
from usdlr.tasks.settings import FitSettings


def test_branches_are_taken_over_and_the_rest_is_not(tmp_path: Path) -> None:
    torch.manual_seed(123)
    other = FusionNetwork(NETWORK, tabular_features=5).state_dict()  # another selector kept other columns
    frozen = FitSettings(epochs=1, batch_size=8, learning_rate=1e-12, weight_decay=0.0, wandb="disabled")

    def weights(name: str, start: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
        return fit_stage(
            dataset(16, 0, augment=False),
            dataset(8, 1, augment=False),
            network=NETWORK,
            settings=frozen,
            seed=3,
            folder=tmp_path / name,
            name=name,
            start=start,
        )

    cold, warm = weights("cold", None), weights("warm", other)
    parameters = {name for name, _ in FusionNetwork(NETWORK, 3).named_parameters()}
    for key in warm.keys() & parameters:
        expected = other[key] if key.startswith(fit.BRANCHES) else cold[key]
        torch.testing.assert_close(warm[key], expected, atol=1e-6, rtol=0)
    assert any(not torch.equal(warm[key], cold[key]) for key in warm if key.startswith(fit.BRANCHES))
    assert SETTINGS.warm_start
