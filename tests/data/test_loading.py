"""From samples to batches: the same whatever the workers, and from any epoch on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from usdlr.data.augment import Augmenter, AugmentSettings
from usdlr.data.batch import Batch, block_pixels, collate, item
from usdlr.data.datamodule import FoldDataModule
from usdlr.data.dataset import BlockDataset, EpochSampler
from usdlr.data.samples import Sample, SampleStore

SIDE = 32
BLOCKS = ("bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral")


def sample(seed: int, *, elasto: bool = True) -> Sample:
    rng = np.random.default_rng(seed)
    roi = np.zeros((SIDE, SIDE), bool)
    roi[8:24, 8:24] = True
    images = {"bmode": rng.uniform(0, 255, (SIDE, SIDE)).astype(np.float32)}
    if elasto:
        images["elasto"] = rng.uniform(0, 300, (SIDE, SIDE)).astype(np.float32)
        images["elasto"][:10] = np.nan
    return Sample(images, {"intratumoral": roi, "peritumoral": ~roi})


def dataset(size: int, *, augment: bool) -> BlockDataset:
    store = SampleStore(tuple(f"i{i}" for i in range(size)), tuple(sample(i, elasto=i % 3 > 0) for i in range(size)))
    table = np.arange(size * 2, dtype=np.float32).reshape(size, 2)
    label = np.array([np.nan if i % 5 == 4 else i % 2 for i in range(size)], dtype=np.float64)
    return BlockDataset(store, BLOCKS, table, label, Augmenter(AugmentSettings(), 1) if augment else None)


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(one["images"][block], other["images"][block]) for block in BLOCKS) and all(
        torch.equal(torch.nan_to_num(a, nan=-9.0), torch.nan_to_num(b, nan=-9.0))
        for a, b in (
            (one["table"], other["table"]),
            (one["present"], other["present"]),
            (one["label"], other["label"]),
            (one["row"], other["row"]),
        )
    )


def test_block_pixels_are_scaled_inside_the_region_and_zero_elsewhere() -> None:
    roi = np.zeros((2, 4), bool)
    roi[0] = True
    pixels = np.array([[0.0, 255.0, 127.5, np.nan], [9.0, 9.0, 9.0, 9.0]], np.float32)
    stiffness = np.array([[0.0, 300.0, 900.0, np.nan], [9.0, 9.0, 9.0, 9.0]], np.float32)
    one = Sample({"bmode": pixels, "elasto": stiffness}, {"intratumoral": roi, "peritumoral": ~roi})
    np.testing.assert_array_equal(block_pixels(one, "bmode.intratumoral"), [[-2, 2, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(block_pixels(one, "elasto.intratumoral"), [[-2, 2, 2, 0], [0, 0, 0, 0]])
    assert not block_pixels(one, "bmode.peritumoral")[0].any()
    absent = Sample({"bmode": pixels}, one.rois)
    np.testing.assert_array_equal(block_pixels(absent, "elasto.intratumoral"), np.zeros((2, 4)))


def test_item_and_batch_have_the_documented_shapes() -> None:
    items = [item(sample(i, elasto=i > 0), BLOCKS, np.array([i, 2.0], np.float32), float(i), 7 + i) for i in range(2)]
    assert items[0]["images"][BLOCKS[0]].shape == (1, SIDE, SIDE)
    batch = collate(items)
    assert list(batch["images"]) == list(BLOCKS)
    assert all(pixels.shape == (2, 1, SIDE, SIDE) for pixels in batch["images"].values())
    assert all(pixels.dtype == torch.float32 for pixels in batch["images"].values())
    assert batch["table"].tolist() == [[0, 2], [1, 2]]
    # Image blocks in order, then the table, which everybody has.
    assert batch["present"].tolist() == [[True, True, False, True], [True, True, True, True]]
    assert batch["label"].tolist() == [0, 1]
    assert batch["row"].tolist() == [7, 8]
    assert batch["row"].dtype == torch.int64


def test_dataset_replays_an_epoch() -> None:
    data = dataset(6, augment=True)
    assert equal(collate([data[(2, 3)]]), collate([dataset(6, augment=True)[(2, 3)]]))
    assert not equal(collate([data[(2, 3)]]), collate([data[(3, 3)]]))
    plain = dataset(6, augment=False)
    assert equal(collate([plain[4]]), collate([plain[(9, 4)]]))


def test_dataset_refuses_parts_of_different_length() -> None:
    store = dataset(3, augment=False).store
    with pytest.raises(ValueError, match="3 samples, 2 table rows and 3 labels"):
        BlockDataset(store, BLOCKS, np.zeros((2, 1), np.float32), np.zeros(3))


def test_sampler_permutes_anew_every_epoch_and_resumes_anywhere() -> None:
    sampler = EpochSampler(50, seed=4)
    epochs = []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert {index[0] for index in order} == {epoch}
        assert sorted(index[1] for index in order) == list(range(50))
        epochs.append([index[1] for index in order])
    assert len({tuple(order) for order in epochs}) == 5
    assert epochs[0] != list(range(50))
    resumed = EpochSampler(50, seed=4)
    resumed.set_epoch(3)
    torch.manual_seed(99)
    assert [index[1] for index in resumed] == epochs[3]
    other = EpochSampler(50, seed=5)
    assert [index[1] for index in other] != epochs[0]
    assert len(sampler) == 50


def batches(workers: int, epoch: int) -> list[Batch]:
    """What a training epoch gives with this many workers."""
    data = dataset(14, augment=True)
    sampler = EpochSampler(len(data), 8)
    sampler.set_epoch(epoch)
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=4, sampler=sampler, collate_fn=collate, num_workers=workers,
        generator=torch.Generator().manual_seed(workers),
    )  # fmt: skip
    return list(loader)


@pytest.mark.parametrize("epoch", [0, 3])
def test_workers_do_not_change_a_batch(epoch: int) -> None:
    alone, side_by_side = batches(0, epoch), batches(2, epoch)
    assert len(alone) == len(side_by_side) == 4
    assert all(equal(one, other) for one, other in zip(alone, side_by_side, strict=True))


@pytest.mark.parametrize(("size", "sizes"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2])])
def test_a_last_batch_of_one_is_left_out_of_training(size: int, sizes: list[int]) -> None:
    module = FoldDataModule(dataset(size, augment=True), dataset(9, augment=False), batch_size=4, seed=0)
    assert [len(batch["label"]) for batch in module.train_dataloader()] == sizes
    rows = torch.cat([batch["row"] for batch in module.val_dataloader()])
    assert rows.tolist() == list(range(9))


def test_training_order_is_that_of_the_sampler_and_leaves_the_global_random_state_alone() -> None:
    module = FoldDataModule(dataset(10, augment=True), dataset(4, augment=False), batch_size=4, seed=0)
    before = torch.get_rng_state()
    loader = module.train_dataloader()
    rows = torch.cat([batch["row"] for batch in loader])
    list(module.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)
    assert rows.tolist() == [row for _, row in EpochSampler(10, 0)]
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(1)
    assert torch.cat([batch["row"] for batch in loader]).tolist() != rows.tolist()
