"""What a network may be made of, and what is refused before any data is read."""

from __future__ import annotations

from typing import Any

import pytest

from usdlr.core.errors import ConfigError
from usdlr.models.settings import NetworkSettings

COLUMNS = [
    "present.elasto",
    "elasto.peritumoral.original.glcm.Contrast",
    "clinical.age_years",
    "bmode.intratumoral.original.glcm.Contrast",
    "clinical.tumour_size_mm",
    "bmode.intratumoral.wavelet-HL.glcm.Contrast",
]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modalities": []}, r"model.modalities = \[\], expected different names out of bmode, elasto"),
        ({"modalities": ["bmode", "bmode"]}, "expected different names"),
        ({"modalities": ["mri"]}, "expected different names"),
        ({"rois": []}, r"model.rois = \[\], expected different regions, at least one"),
        ({"rois": ["context", "context"]}, "expected different regions"),
        ({"rois": ["liver"]}, "the region 'liver', expected one of intratumoral"),
        ({"rois": ["peritumoral-0mm"]}, "above 0 and at most 200 mm"),
        ({"channels": ["mask", "mask"]}, r"model.channels = \['mask', 'mask'\]"),
        ({"channels": ["depth"]}, "expected different names out of mask, distance"),
        ({"auxiliary": ["grade"]}, "expected different names out of stiffness, birads"),
        ({"auxiliary": ["stiffness"], "modalities": ["elasto"]}, "expected bmode among model.modalities"),
        ({"stem": "gray"}, "model.stem = 'gray', expected one of grey, rgb, frames"),
        ({"share": "some"}, "model.share = 'some', expected one of none, rois, modalities, all"),
        ({"tabular": "both"}, "model.tabular = 'both', expected one of joint, split, clinical, none"),
        ({"tabular": "none"}, "model.score = true with model.tabular = none, expected false"),
        ({"tabular": "none", "score": False, "fusion": "film"}, "by which film scales and shifts the images"),
        ({"dropout": 1.0}, r"model.dropout = 1.0, expected a share"),
        ({"dropout": float("nan")}, r"model.dropout = nan, expected a share"),
        ({"block_dropout": -0.1}, r"model.block_dropout = -0.1"),
        ({"frozen": 1.01}, r"model.frozen = 1.01, expected a share from 0 to 1"),
        ({"embedding_dim": 1}, r"model.embedding_dim = 1"),
        ({"tabular_hidden": 0}, r"model.tabular_hidden = 0"),
        ({"pretrained": True, "weights_file": "x"}, "expected one source of weights"),
        ({"fusion": "gatd"}, "model.fusion = 'gatd', expected one of .*did you mean 'gated'"),
        ({"fusion": {"gated": {"heads": 2}}}, "the option 'heads' of model.fusion = gated, expected none"),
        ({"pooling": {"attention": {"hiden": 2}}}, "did you mean 'hidden'"),
        ({"pooling": "median"}, "model.pooling = 'median'"),
        ({"head": "ternary"}, "model.head = 'ternary'"),
    ],
)
def test_settings_refuse(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NetworkSettings(**change)


def test_settings_are_plain_data_and_come_back() -> None:
    chosen = NetworkSettings(
        rois=["combined", "peritumoral-2.5mm"],
        modalities=["elasto"],
        fusion={"cross_attention": {"heads": 2}},
        pooling="attention",
        channels=["distance"],
    )
    assert NetworkSettings(**chosen.as_dict()) == chosen
    assert chosen.image_blocks == ("elasto.combined", "elasto.peritumoral-2.5mm")


def test_joint_columns_are_one_block_in_the_order_of_the_table() -> None:
    assert NetworkSettings().table_blocks(COLUMNS) == {"radiomics": [0, 1, 2, 3, 4, 5]}


def test_split_columns_are_a_block_per_map_and_clinical_variables_come_last() -> None:
    """A map that is missing takes its block with it: the column that says so belongs to nobody."""
    found = NetworkSettings(tabular="split").table_blocks(COLUMNS)
    assert list(found.items()) == [
        ("radiomics.elasto.peritumoral", [1]),
        ("radiomics.bmode.intratumoral", [3, 5]),
        ("clinical", [2, 4]),
    ]


def test_a_network_may_read_clinical_columns_alone_or_none() -> None:
    assert NetworkSettings(tabular="clinical").table_blocks(COLUMNS) == {"clinical": [2, 4]}
    images = NetworkSettings(tabular="none", score=False)
    assert images.table_blocks(COLUMNS) == {}
    assert images.table_columns(COLUMNS) == []
    assert NetworkSettings(tabular="clinical").table_columns(COLUMNS) == [
        "clinical.age_years",
        "clinical.tumour_size_mm",
    ]
    read = [
        NetworkSettings(tabular=word, score=False).reads_radiomics for word in ("joint", "split", "clinical", "none")
    ]
    assert read == [True, True, False, False]


@pytest.mark.parametrize(
    ("stem", "channels", "count"),
    [("grey", [], 1), ("rgb", [], 3), ("frames", ["mask"], 4), ("grey", ["distance", "mask"], 3)],
)
def test_input_channels(stem: str, channels: list[str], count: int) -> None:
    assert NetworkSettings(stem=stem, channels=channels).in_channels == count


def test_where_the_weights_came_from_is_left_behind_and_nothing_else() -> None:
    chosen = NetworkSettings(weights_file="/home/somebody/weights.safetensors", share="all")
    assert chosen.without_start() == NetworkSettings(share="all")
    assert NetworkSettings(pretrained=True).without_start() == NetworkSettings()
