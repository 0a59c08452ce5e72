"""From samples to batches: the same whatever the workers, and from any epoch on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from tests.axillae import COLUMNS, NETWORK, SCORED, bright_axillae, random_sample
from usdlr.data.augment import Augmenter, AugmentSettings
from usdlr.data.batch import Batch, InputForm, collate
from usdlr.data.datamodule import FoldDataModule
from usdlr.data.dataset import AxillaData, AxillaDataset, Axillae, EpochSampler, table_present
from usdlr.data.samples import Sample, SampleStore
from usdlr.imaging.regions import distance_map
from usdlr.models.network import FusionNetwork

SIDE = 32
FORM = InputForm(("bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral"))


def data(size: int, *, most: int = 3) -> AxillaData:
    """Axillae of one image, two images and so on in turn; some lack a map, some a label."""
    counts = [1 + row % most for row in range(size)]
    total = sum(counts)
    ends = np.cumsum(counts)
    store = SampleStore(
        tuple(f"i{i}" for i in range(total)), tuple(random_sample(i, SIDE, elasto=i % 3 > 0) for i in range(total))
    )
    label = np.array([[np.nan if row % 5 == 4 else row % 2] for row in range(size)], dtype=np.float64)
    return AxillaData(
        store,
        np.arange(total * 2, dtype=np.float32).reshape(total, 2),
        -np.arange(total, dtype=np.float32).reshape(total, 1, 1),
        np.arange(total * 2).reshape(total, 2) % 4 != 0,
        tuple(np.arange(end - count, end) for count, end in zip(counts, ends, strict=True)),
        label,
    )


def dataset(size: int, *, augment: bool, **rest: Any) -> AxillaDataset:
    return AxillaDataset(data(size), FORM, Augmenter(AugmentSettings(), 1) if augment else None, **rest)


def equal(one: Batch, other: Batch) -> bool:
    parts = ("table", "scores", "present", "place", "label", "auxiliary", "row")
    # The keys of a TypedDict are literals; these are all of its tensors.
    pairs = [(one[key], other[key]) for key in parts]  # type: ignore[literal-required]
    pairs += [(one["images"][block], other["images"][block]) for block in FORM.blocks]
    return all(torch.equal(torch.nan_to_num(a, nan=-9.0), torch.nan_to_num(b, nan=-9.0)) for a, b in pairs)


LESION = np.zeros((2, 4), bool)
LESION[0] = True
NAN = np.nan
BMODE = np.array([[0.0, 255.0, 127.5, NAN], [9.0, 9.0, 9.0, 9.0]], np.float32)
BEFORE = np.array([[255.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]], np.float32)
AFTER = np.array([[127.5, 127.5, 255.0, 255.0], [9.0, 9.0, 9.0, 9.0]], np.float32)
STIFFNESS = np.array([[0.0, 300.0, 900.0, NAN], [9.0, 9.0, 9.0, 9.0]], np.float32)
BMODE_INSIDE = [[-2, 2, 0, 0], [0, 0, 0, 0]]


def by_hand(**images: Any) -> Sample:
    rois = {"intratumoral": LESION, "peritumoral": ~LESION, "context": np.ones((2, 4), bool)}
    return Sample({"bmode": BMODE, **images}, rois, LESION, pixel_mm=4.0)


def pixels(sample: Sample, block: str = "bmode.intratumoral", **form: Any) -> Any:
    found = InputForm((block,), **form).pixels(sample, block)
    assert found.dtype == np.float32
    return found.tolist()


def test_pixels_are_scaled_inside_the_region_and_zero_elsewhere() -> None:
    one = by_hand(elasto=STIFFNESS)
    assert pixels(one) == [BMODE_INSIDE]
    assert pixels(one, "elasto.intratumoral") == [[[-2, 2, 2, 0], [0, 0, 0, 0]]]
    peritumoral = np.array(pixels(one, "bmode.peritumoral"))
    assert not peritumoral[0, 0].any()
    np.testing.assert_allclose(peritumoral[0, 1], (9 / 255 - 0.5) * 4, rtol=1e-6)
    assert pixels(by_hand(), "elasto.intratumoral") == np.zeros((1, 2, 4)).tolist()


def test_a_colour_stem_sees_the_grey_image_three_times() -> None:
    assert pixels(by_hand(), stem="rgb") == [BMODE_INSIDE] * 3


def test_frames_are_before_now_and_after_and_the_middle_one_stands_in() -> None:
    before, after = [[2, -2, -2, -2], [0] * 4], [[0, 0, 2, 2], [0] * 4]
    both = by_hand(**{"bmode@-1": BEFORE, "bmode@+1": AFTER, "elasto": STIFFNESS})
    assert pixels(both, stem="frames") == [before, BMODE_INSIDE, after]
    assert pixels(by_hand(**{"bmode@+1": AFTER}), stem="frames") == [BMODE_INSIDE, BMODE_INSIDE, after]
    assert pixels(by_hand(), stem="frames") == [BMODE_INSIDE] * 3
    # A stiffness map has no frames of its own here.
    assert pixels(both, "elasto.intratumoral", stem="frames") == [[[-2, 2, 2, 0], [0, 0, 0, 0]]] * 3
    # The frame before does not matter to the other stems.
    assert pixels(both) == [BMODE_INSIDE]


def test_further_channels_show_the_lesion_and_the_distance_whatever_the_region() -> None:
    """Pixels of 4 mm; the contour runs between the rows, 2 mm from either; 10 mm become 1."""
    mask = [[1, 1, 1, 1], [0, 0, 0, 0]]
    for block in ("bmode.intratumoral", "bmode.peritumoral", "bmode.context"):
        found = np.array(pixels(by_hand(), block, channels=("distance", "mask")))
        assert found.shape == (3, 2, 4)
        np.testing.assert_allclose(found[1], [[-0.2] * 4, [0.2] * 4], rtol=1e-6)
        np.testing.assert_array_equal(found[2], mask)
    assert np.array(pixels(by_hand(), stem="frames", channels=("mask",)))[3].tolist() == mask


def test_distance_stays_at_one_beyond_ten_millimetres() -> None:
    lesion = np.zeros((1, 8), bool)
    lesion[0, :4] = True
    one = Sample({"bmode": np.zeros((1, 8), np.float32)}, {"context": lesion}, lesion, pixel_mm=4.0)
    found = np.array(pixels(one, "bmode.context", channels=("distance",)))[1, 0]
    np.testing.assert_allclose(found, [-1, -1, -0.6, -0.2, 0.2, 0.6, 1, 1], rtol=1e-6)


def test_item_and_batch_have_the_documented_shapes() -> None:
    data_ = dataset(3, augment=False)
    first = data_[2]
    assert first["images"]["bmode.intratumoral"].shape == (3, 1, SIDE, SIDE)
    batch = collate([data_[row] for row in (0, 2, 1)])  # one image, three, two
    assert list(batch["images"]) == list(FORM.blocks)
    assert all(block.shape == (6, 1, SIDE, SIDE) for block in batch["images"].values())
    assert all(block.dtype == torch.float32 for block in batch["images"].values())
    # Images of the store 0; 3, 4, 5; 1, 2.
    assert batch["table"].tolist() == [[0, 1], [6, 7], [8, 9], [10, 11], [2, 3], [4, 5]]
    assert batch["scores"].flatten().tolist() == [0, -3, -4, -5, -1, -2]
    assert batch["scores"].shape == (6, 1, 1)
    assert batch["place"].tolist() == [[0, -1, -1], [1, 2, 3], [4, 5, -1]]
    # Image blocks in order, then those of the table; every third map is missing.
    assert batch["present"].tolist() == [
        [True, True, False, False, True],
        [True, True, False, True, True],
        [True, True, True, False, True],
        [True, True, True, True, True],
        [True, True, True, True, True],
        [True, True, True, False, True],
    ]
    assert batch["label"].tolist() == [[0], [0], [1]]
    assert batch["label"].dtype == torch.float32
    assert batch["auxiliary"].shape == (3, 0)
    assert batch["row"].tolist() == [0, 2, 1]
    assert batch["row"].dtype == batch["place"].dtype == torch.int64


def test_a_map_without_a_value_inside_the_region_is_absent_there() -> None:
    given = data(1)
    given.store.samples[0].images["elasto"] = np.where(  # type: ignore[index]  # a dict as made
        given.store.samples[0].lesion, np.nan, 30.0
    ).astype(np.float32)
    form = InputForm(("elasto.intratumoral", "elasto.peritumoral"))
    found = AxillaDataset(given, form)[0]
    assert found["present"].tolist() == [[False, True, False, True]]


def test_dataset_replays_an_epoch() -> None:
    varied = dataset(6, augment=True)
    assert equal(collate([varied[(2, 3)]]), collate([dataset(6, augment=True)[(2, 3)]]))
    assert not equal(collate([varied[(2, 3)]]), collate([varied[(3, 3)]]))
    plain = dataset(6, augment=False)
    assert equal(collate([plain[4]]), collate([plain[(9, 4)]]))


def test_every_image_of_an_axilla_is_varied_in_its_own_way() -> None:
    given = data(3)
    same = given.store.samples[0]
    store = SampleStore(given.store.image_id, (same,) * len(given.store))
    varied = AxillaDataset(
        AxillaData(store, given.table, given.scores, given.table_present, given.images, given.label),
        FORM,
        Augmenter(AugmentSettings(), 1),
    )[(1, 2)]["images"]["bmode.intratumoral"]
    assert not torch.equal(varied[0], varied[1])
    assert not torch.equal(varied[1], varied[2])


def test_parts_of_different_length_are_refused() -> None:
    given = data(3)
    rest = (given.scores, given.table_present, given.images, given.label)
    with pytest.raises(ValueError, match="6 samples, 2 and 6 table rows"):
        AxillaData(given.store, given.table[:2], *rest)
    with pytest.raises(ValueError, match="6 samples"):
        AxillaData(given.store, given.table, given.scores[:1], *rest[1:])
    with pytest.raises(ValueError, match="3 axillae, 2 labels, 3 auxiliaries"):
        AxillaData(given.store, given.table, *rest[:3], given.label[:2])
    with pytest.raises(ValueError, match="3 axillae, 3 labels, 2 auxiliaries"):
        AxillaData(given.store, given.table, *rest, np.zeros((2, 1)))


def test_axillae_are_patient_and_side_in_the_order_of_the_cases() -> None:
    cases = pd.DataFrame(
        {
            "patient_id": ["q", "p", "q", "p", "q", "a"],
            "side": ["right", "left", "left", "left", "right", "left"],
        },
        index=[7, 7, 3, 2, 1, 0],  # whatever the index says
    )
    found = Axillae.of(cases)
    assert found.keys.to_dict("list") == {"patient_id": ["q", "p", "q", "a"], "side": ["right", "left", "left", "left"]}
    assert [images.tolist() for images in found.images] == [[0, 4], [1, 3], [2], [5]]
    assert len(found) == 4


def test_a_table_block_without_a_value_is_absent_but_the_last_one_never() -> None:
    design = np.array([[1.0, np.nan, np.nan], [np.nan, np.nan, 2.0], [np.inf, 1.0, 1.0]])
    found = table_present(design, {"radiomics.bmode.intratumoral": [0, 1], "clinical": [2]})
    assert found.tolist() == [[True, True], [False, True], [True, True]]
    assert table_present(design, {"radiomics": [0, 1, 2]}).tolist() == [[True]] * 3


def many(most_images: int | None, *, seed: int = 0) -> AxillaDataset:
    """One axilla of 400 images and one of three; an image's place in the store is its table row."""
    one = random_sample(0, SIDE)
    total = 403
    return AxillaDataset(
        AxillaData(
            SampleStore(tuple(f"i{i}" for i in range(total)), (one,) * total),
            np.arange(total, dtype=np.float32)[:, None],
            np.zeros((total, 1, 1), np.float32),
            np.ones((total, 1), bool),
            (np.arange(400), np.arange(400, 403)),
            np.array([[1.0], [0.0]]),
        ),
        InputForm(("bmode.intratumoral",)),
        most_images=most_images,
        seed=seed,
    )


def drawn(dataset_: AxillaDataset, epoch: int, row: int = 0) -> list[int]:
    return [int(value) for value in dataset_[(epoch, row)]["table"].flatten()]


def test_most_images_are_drawn_by_seed_epoch_and_axilla_without_repetition() -> None:
    draws = [drawn(many(8), epoch) for epoch in range(30)]
    assert all(len(set(draw)) == len(draw) == 8 for draw in draws)
    assert all(draw == sorted(draw) for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 30
    # 240 draws out of 400: none is left out for good, and none preferred.
    assert len({image for draw in draws for image in draw}) > 150
    assert [drawn(many(8), epoch) for epoch in range(30)] == draws
    assert drawn(many(8, seed=1), 0) != draws[0]
    assert drawn(many(8), 3, row=1) == [400, 401, 402]
    assert len(drawn(many(None), 0)) == len(drawn(many(400), 0)) == 400
    assert drawn(many(1), 0) != drawn(many(1), 1)


def test_two_axillae_are_drawn_each_by_itself() -> None:
    whole = many(8).data
    halves = (np.arange(200), np.arange(200, 400))
    parts = AxillaData(whole.store, whole.table, whole.scores, whole.table_present, halves, whole.label)
    split = AxillaDataset(parts, InputForm(("bmode.intratumoral",)), most_images=8)
    assert [image - 200 for image in drawn(split, 0, 1)] != drawn(split, 0, 0)


def test_an_axilla_of_four_hundred_images_fits_into_a_step() -> None:
    built = FusionNetwork(NETWORK, COLUMNS, 64, scored=SCORED).train()
    crowded = bright_axillae(2, 0, images=(400, 1), side=32)
    assert [len(images) for images in crowded.images] == [400, 400]
    training = AxillaDataset(crowded, InputForm(NETWORK.image_blocks), most_images=8)
    batch = collate([training[(0, 0)], training[(0, 1)]])
    assert batch["place"].shape == (2, 8)
    output = built(batch["images"], batch["table"], batch["scores"], batch["present"], batch["place"])
    output.logits.sum().backward()
    assert torch.isfinite(output.logits).all()
    # A prediction reads all of them.
    whole = collate([AxillaDataset(crowded, InputForm(NETWORK.image_blocks))[0]])
    with torch.inference_mode():
        output = built.eval()(whole["images"], whole["table"], whole["scores"], whole["present"], whole["place"])
    assert whole["place"].shape == (1, 400)
    assert torch.isfinite(output.logits).all()
    assert (output.image_weights > 0).all()


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


@pytest.mark.parametrize(("size", "devices", "each"), [(12, 2, 6), (13, 2, 6), (14, 3, 4), (5, 5, 1)])
def test_devices_share_an_epoch_and_every_one_takes_as_many(size: int, devices: int, each: int) -> None:
    alone = EpochSampler(size, seed=2)
    alone.set_epoch(7)
    parts = []
    for rank in range(devices):
        sampler = EpochSampler(size, seed=2, rank=rank, devices=devices)
        sampler.set_epoch(7)
        parts.append(list(sampler))
        assert len(sampler) == len(parts[-1]) == each
    together = [index for step in zip(*parts, strict=True) for index in step]
    # Step by step the devices take what one device would take in its order.
    assert together == list(alone)[: each * devices]
    assert len(set(together)) == each * devices


def batches(workers: int, epoch: int) -> list[Batch]:
    """What a training epoch gives with this many workers."""
    varied = dataset(14, augment=True, most_images=2, seed=6)
    sampler = EpochSampler(len(varied), 8)
    sampler.set_epoch(epoch)
    loader: DataLoader[Any] = DataLoader(
        varied, batch_size=4, sampler=sampler, collate_fn=collate, num_workers=workers,
        generator=torch.Generator().manual_seed(workers),
    )  # fmt: skip
    return list(loader)


@pytest.mark.parametrize("epoch", [0, 3])
def test_workers_do_not_change_a_batch(epoch: int) -> None:
    alone, side_by_side = batches(0, epoch), batches(2, epoch)
    assert len(alone) == len(side_by_side) == 4
    assert all(equal(one, other) for one, other in zip(alone, side_by_side, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_that_stay_alive_follow_the_epoch(workers: int) -> None:
    varied = dataset(8, augment=True)
    module = FoldDataModule(varied, dataset(4, augment=False), batch_size=4, seed=0, workers=workers)
    loader = module.train_dataloader()
    assert loader.num_workers == workers
    assert isinstance(loader.sampler, EpochSampler)
    for epoch in (0, 5):
        loader.sampler.set_epoch(epoch)
        rows = [row for _, row in loader.sampler]
        expected = [collate([varied[(epoch, row)] for row in rows[start : start + 4]]) for start in (0, 4)]
        assert all(equal(one, other) for one, other in zip(loader, expected, strict=True))


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


def test_the_distance_is_measured_once_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = ("bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral", "elasto.peritumoral")
    crowded = bright_axillae(1, 0, images=(3,))
    samples = tuple(random_sample(seed) for seed in range(3))
    data = replace(crowded, store=SampleStore(crowded.store.image_id, samples))
    form = InputForm(blocks, "grey", ("mask", "distance"))
    alone = {block: np.stack([form.pixels(sample, block) for sample in samples]) for block in blocks}
    calls: list[int] = []

    def counted(lesion: Any, pixel_mm: float) -> Any:
        calls.append(1)
        return distance_map(lesion, pixel_mm)

    monkeypatch.setattr("usdlr.data.batch.distance_map", counted)
    found = AxillaDataset(data, form)[0]["images"]
    assert len(calls) == 3
    for block in blocks:
        np.testing.assert_array_equal(found[block].numpy(), alone[block])
