"""What another least score would have given: lesions kept, their outlines, and lesions seen where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from usdlr.core.errors import DataError
from usdlr.evaluation.outline_means import mean_of, share_of
from usdlr.evaluation.resampling import REPLICATES

SCORES = (0.0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


def by_least_score(
    images: pd.DataFrame, scores: Sequence[float] = SCORES, *, replicates: int = REPLICATES, seed: int = 0
) -> list[dict[str, Any]]:
    """Each image by its likeliest lesion alone, counted from some score on.

    Parameters
    ----------
    images : DataFrame
        From :func:`usdlr.evaluation.outline_quality.judge_images`, outlined without a least score.
    scores : sequence of float
        From which score on a lesion counts, 0..1.
    replicates, seed : int
        Of the patient bootstrap.

    Returns
    -------
    list of dict
        Per score ``least_score``, ``kept`` (share of images with a lesion on which one is outlined), ``dice`` (their
        mean; 0 where none is) and ``without_a_lesion.KIND`` (share of such images on which one is outlined).

    Raises
    ------
    DataError
        If a score is not one of 0..1.
    """
    if not all(0 <= score <= 1 for score in scores):
        raise DataError(f"found the least scores {list(scores)}, expected shares from 0 to 1; correct them")
    shown, free = images[images["lesions"] > 0], images[images["lesions"] == 0]
    rows = []
    for score in scores:
        kept = shown["score"] >= score  # false where nothing was found at any score
        outlined = shown.assign(dice=shown["dice"].where(kept, 0.0))
        rows.append(
            {
                "least_score": float(score),
                "kept": share_of(shown, kept).as_dict(),
                "dice": mean_of(outlined, "dice", replicates=replicates, seed=seed).as_dict(),
                "without_a_lesion": {
                    str(kind): share_of(part, part["score"] >= score).as_dict() for kind, part in free.groupby("kind")
                },
            }
        )
    return rows
