"""Augmentation: parameters are drawn, kept as a record, and applied; a record replays the same sample exactly.

Geometry acts once and on everything in a case together; intensity acts per modality. Every draw is seeded by (seed,
epoch, image id), never by a worker's state.
"""

from usdlr.data.augment.augmenter import Augmenter, apply, draw
from usdlr.data.augment.geometry import Geometry
from usdlr.data.augment.parts import pipeline
from usdlr.data.augment.record import Change, Record
from usdlr.data.augment.settings import AugmentSettings, ViewSettings
from usdlr.data.augment.views import views

__all__ = [
    "AugmentSettings",
    "Augmenter",
    "Change",
    "Geometry",
    "Record",
    "ViewSettings",
    "apply",
    "draw",
    "pipeline",
    "views",
]
