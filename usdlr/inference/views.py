"""The views of a sample over which a prediction is averaged (test-time augmentation)."""

from __future__ import annotations

from functools import partial

from usdlr.data.augment import Record, apply, views
from usdlr.data.dataset import Vary
from usdlr.data.samples import Sample


def averaged_views(count: int) -> list[Vary | None]:
    """The first ``count`` views: the sample as it is, then fixed variations of it."""
    return [None, *(partial(_apply, record) for record in views(count)[1:])]


def _apply(record: Record, sample: Sample, epoch: int, image_id: str) -> Sample:
    return apply(record, sample)
