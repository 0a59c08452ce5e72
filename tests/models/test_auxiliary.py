from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from usdlr.core.columns import CASES
from usdlr.core.errors import DataError
from usdlr.models.auxiliary import AuxiliaryHeads, encode_birads

NAN = math.nan


def test_ranks_rise_with_the_suspicion_and_every_category_of_the_table_is_read() -> None:
    ranks = encode_birads(["2", "3", "4a", "4b", "4c", "5"])
    assert ranks.tolist() == [0, 1, 2, 3, 4, 5]
    assert encode_birads(["4"]).tolist() == [3]
    (column,) = (column for column in CASES if column.name == "birads")
    ungraded = [word for word in column.choices if np.isnan(encode_birads([word]))[0]]
    assert ungraded == ["0", "1", "6"]


def test_ranks_are_an_interval_scale_of_the_log_odds_of_cancer(shared_data: Path) -> None:
    # BUS-BRA: 1.8, 6.7, 59.6 and 97.5 % malignant in the categories 2, 3, 4 and 5.
    table = pd.read_csv(shared_data / "bus_bra" / "bus_data.csv", dtype=str)
    share = table["Pathology"].eq("malignant").groupby(encode_birads(table["BIRADS"])).mean()
    assert share.index.tolist() == [0, 1, 3, 5]
    chance = share.to_numpy(dtype=np.float64)
    per_rank = np.diff(np.log(chance / (1 - chance))) / np.diff(share.index)
    assert per_rank.max() / per_rank.min() < 1.25


def test_null_is_unknown_in_every_spelling() -> None:
    column = pd.Series(["5", None, "3"], dtype="str")
    np.testing.assert_array_equal(encode_birads(column), [5, NAN, 1])
    assert np.isnan(encode_birads([None, NAN, pd.NA])).all()
    assert encode_birads([]).shape == (0,)


@pytest.mark.parametrize("value", ["4d", "IV", 4, "nan", ""])
def test_another_word_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="in row 1, expected one of 0, 1, 2, 3, 4, 4a"):
        encode_birads(["3", value])


def heads(blocks: int = 2, targets: tuple[str, ...] = ("stiffness", "birads")) -> AuxiliaryHeads:
    torch.manual_seed(0)
    return AuxiliaryHeads(3, blocks, targets)


def test_the_prediction_is_the_mean_of_the_present_blocks_readings() -> None:
    module = heads(targets=("stiffness",))
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[[1.0], [0.0], [0.0]], [[0.0], [2.0], [0.0]]]))
        module.bias.fill_(0.5)
    embeddings = torch.tensor([[[3.0, 9.0, 9.0], [9.0, 4.0, 9.0]]]).expand(3, 2, 3)
    present = torch.tensor([[True, True], [True, False], [False, True]])
    assert module(embeddings, present).flatten().tolist() == [6.0, 3.5, 8.5]


def test_an_absent_block_influences_neither_prediction_nor_gradient() -> None:
    module = heads()
    clean = torch.randn(5, 2, 3)
    present = torch.tensor([[True, True], [True, False], [False, True], [True, True], [False, False]])
    planted = torch.where(present[..., None], clean, torch.tensor(NAN)).requires_grad_()
    predicted = module(planted, present)
    torch.testing.assert_close(predicted, module(clean, present), equal_nan=True)
    assert torch.isnan(predicted[4]).all()
    assert torch.isfinite(predicted[:4]).all()
    torch.autograd.backward(module.loss(predicted, torch.zeros(5, 2)))
    assert planted.grad is not None
    assert torch.isfinite(planted.grad).all()
    assert not planted.grad[~present].any()
    assert planted.grad[present].any(dim=1).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_the_loss_is_smooth_l1_over_the_known() -> None:
    predicted = torch.tensor([[2.0, 0.0], [0.5, 0.0], [7.0, NAN]])
    truth = torch.tensor([[0.0, NAN], [0.0, NAN], [NAN, 1.0]])
    # 2 - 1/2 and 0.5^2 / 2; the second quantity is known nowhere and does not dilute the first.
    assert float(heads().loss(predicted, truth)) == pytest.approx((1.5 + 0.125) / 2)


def test_where_nothing_is_known_the_loss_is_zero() -> None:
    module = heads()
    loss = module.loss(module(torch.randn(3, 2, 3), torch.ones(3, 2, dtype=torch.bool)), torch.full((3, 2), NAN))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0.0
    assert module.weight.grad is not None
    assert not module.weight.grad.any()


@pytest.mark.parametrize("blocks", [0, 2])
def test_without_quantities_or_blocks_there_is_nothing_to_learn(blocks: int) -> None:
    module = heads(blocks, targets=())
    predicted = module(torch.randn(4, blocks, 3), torch.ones(4, blocks, dtype=torch.bool))
    assert predicted.shape == (4, 0)
    assert float(module.loss(predicted, torch.zeros(4, 0)).detach()) == 0.0


def test_every_block_learns_a_planted_quantity() -> None:
    torch.manual_seed(1)
    embeddings = torch.randn(200, 2, 3)
    truth = torch.stack([embeddings[:, 0, 0] + embeddings[:, 1, 1], -embeddings[:, 1, 2]], dim=1)
    truth[::3, 1] = NAN
    present = torch.ones(200, 2, dtype=torch.bool)
    module = heads()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        torch.autograd.backward(module.loss(module(embeddings, present), truth))
        optimiser.step()
    assert float(module.loss(module(embeddings, present), truth).detach()) < 1e-3
    assert module.weight.detach()[..., 0].flatten().tolist() == pytest.approx([2, 0, 0, 0, 2, 0], abs=0.05)
