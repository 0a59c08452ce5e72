from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from tests.ingest.annotations.circles import SHAPE, disc
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.rle import decode_coco, decode_runs, uncompress


def compressed(pixels: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def uncompressed(pixels: np.ndarray) -> dict[str, Any]:
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]]).astype(np.int8)))
    return {"size": list(pixels.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
@settings(max_examples=150, deadline=None)
def test_what_the_coco_tools_encode_comes_back(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_coco(compressed(pixels), pixels.shape), pixels)
    np.testing.assert_array_equal(decode_coco(uncompressed(pixels), pixels.shape), pixels)


def test_counts_that_need_many_groups_of_bits() -> None:
    pixels = np.zeros((3000, 2000), dtype=np.bool_)
    pixels[2999, 1999] = pixels[1, 3] = pixels[700:1500, 900:1200] = True
    np.testing.assert_array_equal(decode_coco(compressed(pixels), (3000, 2000)), pixels)


def test_cvat_runs_go_along_the_rows() -> None:
    assert decode_runs(np.array([1, 3, 2]), 2, 3, by_column=False).astype(int).tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    "segmentation",
    [
        {},
        {"size": [120, 160]},
        {"size": [120, 160], "counts": []},
        {"size": [120, 160], "counts": ""},
        {"size": [120, 160], "counts": [19200, 1]},
        {"size": [120, 160], "counts": [19199]},
        {"size": [120, 160], "counts": [-1, 19201]},
        {"size": [120, 160], "counts": [2**62, 2**62, 2**62, 2**62, 19200]},
        {"size": [120, 160], "counts": [10**400]},
        {"size": [120, 160], "counts": [19200.0]},
        {"size": [120, 160], "counts": [True, 19199]},
        {"size": [120, 160], "counts": [0] * 19203},
        {"size": [120, 160], "counts": "\x00\xff"},
        {"size": [120, 160], "counts": "ooooooooooooooooo0"},
        {"size": [120, 160], "counts": "o"},
        {"size": ["120", 160], "counts": [19200]},
        {"size": [120, 160, 1], "counts": [19200]},
        {"size": [0, 160], "counts": [0]},
    ],
)
def test_damaged_runs_are_refused(segmentation: dict[str, Any]) -> None:
    with pytest.raises(CaseError) as caught:
        decode_coco(segmentation, (120, 160))
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_a_mask_of_another_size_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(CaseError, match=r"60000 x 60000.*120 x 160") as caught:
        decode_coco({"size": [60000, 60000], "counts": [3_600_000_000]}, (120, 160))
    assert caught.value.code is ExclusionCode.MASK_SIZE_MISMATCH
    with pytest.raises(CaseError):
        decode_runs(np.array([2**40]), 2**20, 2**20, by_column=True)


@given(st.text(alphabet=[chr(code) for code in range(40, 120)], max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_counts_or_refused(text: str) -> None:
    with suppress(CaseError):
        assert decode_coco({"size": list(SHAPE), "counts": text}, SHAPE).shape == SHAPE


def test_a_damaged_character_does_not_change_the_mask_without_a_word() -> None:
    whole = compressed(disc())
    changed = whole["counts"][:10] + chr(ord(whole["counts"][10]) ^ 1) + whole["counts"][11:]
    with pytest.raises(CaseError):
        decode_coco({**whole, "counts": changed}, SHAPE)


def test_the_counts_are_those_of_the_coco_tools() -> None:
    counts = uncompressed(disc())
    assert uncompress(compressed(disc())["counts"], 10_000).tolist() == counts["counts"]
