"""What a step of a run does not depend on, so that runs which differ in nothing else can share it.

The lists name what certainly does not matter. Everything else counts, a setting that is added later too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

# What is fitted, judged and shown comes after the cohort; of the network, only its regions and sites decide the crops.
COHORT_FREE: Final = (
    "name",
    "question",
    "selection",
    "fit",
    "calibrator",
    "views",
    "contract",
    "readout",
    "baselines",
    "threads",
    "gallery",
    *(
        f"model.{name}"
        for name in (
            "backbone",
            "pretrained",
            "frozen",
            "share",
            "embedding_dim",
            "tabular_hidden",
            "dropout",
            "block_dropout",
            "fusion",
            "pooling",
            "head",
        )
    ),
)
# Plain models read the design table, labels and splits alone, unless one of them reads embeddings.
BASELINES_FREE: Final = (*(name for name in COHORT_FREE if name != "baselines"), "crop", "model", "variants")


def settings_but(content: Mapping[str, Any], free: Sequence[str]) -> dict[str, Any]:
    """Nested settings without those of the given dotted keys, as plain data.

    Examples
    --------
    >>> settings_but({"model": {"dropout": 0.1, "rois": ("a",)}, "seed": 1}, ["model.dropout"])
    {'model': {'rois': ['a']}, 'seed': 1}
    """
    found: dict[str, Any] = json.loads(json.dumps(content))
    for key in free:
        *path, last = key.split(".")
        part: Any = found
        for name in path:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(last, None)
    return found
