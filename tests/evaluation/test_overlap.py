"""Overlap and distances against SimpleITK, and against every pair of boundary pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.evaluation.overlap import boundary, overlap

Mask = NDArray[np.bool_]
ITK: Any = SimpleITK  # ships no types
SPACING = Spacing(0.31, 0.08)


def blobs(seed: int, share: float = 0.3) -> Mask:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(41, 57)), 3)
    return np.asarray(field > np.quantile(field, 1 - share))


def pixel(row: int, col: int) -> Mask:
    mask = np.zeros((41, 57), dtype=bool)
    mask[row, col] = True
    return mask


def image(mask: Mask, spacing: Spacing) -> Any:
    out = ITK.GetImageFromArray(mask.astype(np.uint8))
    out.SetSpacing((spacing.col_mm, spacing.row_mm))
    return out


PAIRS = {
    "two": (blobs(0), blobs(1)),
    "small": (blobs(2, 0.02), blobs(3, 0.4)),
    "equal": (blobs(4), blobs(4)),
    "full": (np.ones((41, 57), dtype=bool), blobs(5)),
    "pixel in mask": (pixel(7, 9), blobs(6) | pixel(7, 9)),
    "two pixels": (pixel(0, 0), pixel(40, 56)),
    "same pixel": (pixel(3, 3), pixel(3, 3)),
    "touching the edge": (np.pad(np.ones((41, 20), dtype=bool), ((0, 0), (0, 37))), blobs(8)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("spacing", [SPACING, Spacing(1.0, 1.0), Spacing(0.05, 2.0)])
def test_overlap_is_that_of_simple_itk(name: str, spacing: Spacing) -> None:
    reference, predicted = PAIRS[name]
    found = overlap(reference, predicted, spacing)
    first, second = image(reference, spacing), image(predicted, spacing)
    overlaps = ITK.LabelOverlapMeasuresImageFilter()
    overlaps.Execute(first, second)
    assert found.dice == pytest.approx(overlaps.GetDiceCoefficient(), abs=1e-12)
    assert found.iou == pytest.approx(overlaps.GetJaccardCoefficient(), abs=1e-12)
    distances = ITK.HausdorffDistanceImageFilter()
    distances.Execute(first, second)
    assert found.hausdorff_mm == pytest.approx(distances.GetHausdorffDistance(), abs=1e-5)
    assert found.average_hausdorff_mm == pytest.approx(distances.GetAverageHausdorffDistance(), abs=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_boundary_distances_are_those_of_all_pairs(name: str) -> None:
    edges = []
    for mask in PAIRS[name]:
        # Padded, so that beyond the image is outside.
        contour = ITK.LabelContour(image(np.pad(mask, 1), SPACING), fullyConnected=False)
        edges.append(np.argwhere(ITK.GetArrayFromImage(contour) > 0) * np.array([SPACING.row_mm, SPACING.col_mm]))
    pairs = cdist(*edges)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    found = overlap(*PAIRS[name], SPACING)
    assert found.hausdorff95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-12)
    assert found.boundary_error_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-12)
    assert boundary(PAIRS[name][0]).sum() == len(edges[0])


def test_a_shift_is_measured_in_millimetres() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:20, 10:20] = True
    down, across = (overlap(mask, np.roll(mask, 4, axis=axis), Spacing(0.5, 0.1)) for axis in (0, 1))
    assert (down.hausdorff_mm, across.hausdorff_mm) == pytest.approx((2.0, 0.4))
    assert down.dice == across.dice == pytest.approx(0.6)
    assert down.reference_mm2 == pytest.approx(100 * 0.05)


def test_distances_do_not_depend_on_the_margin_around() -> None:
    reference, predicted = PAIRS["two"]
    wide = overlap(np.pad(reference, 9), np.pad(predicted, 9), SPACING)
    near = overlap(reference, predicted, SPACING)
    # A mask that ends at the image's edge has its boundary there, so only margins change nothing.
    assert wide == near


def test_an_empty_mask_has_no_distance() -> None:
    nothing, some = np.zeros((41, 57), dtype=bool), blobs(0)
    for found in (overlap(nothing, some, SPACING), overlap(some, nothing, SPACING)):
        assert (found.dice, found.iou) == (0.0, 0.0)
        assert (found.hausdorff_mm, found.boundary_error_mm, found.hausdorff95_mm) == (None, None, None)
    both = overlap(nothing, nothing, SPACING)
    assert (both.dice, both.iou, both.average_hausdorff_mm, both.reference_mm2) == (None, None, None, 0.0)


@pytest.mark.parametrize("shape", [(41, 56), (41, 57, 1)])
def test_another_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CaseError, match="resample the prediction") as caught:
        overlap(blobs(0), np.ones(shape), SPACING)
    assert caught.value.code == ExclusionCode.MASK_SIZE_MISMATCH
