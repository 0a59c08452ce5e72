"""What the auxiliary heads learn: further quantities of an axilla's lesions, standardised on training axillae."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.modalities import ELASTO
from usdlr.data.dataset import Axillae
from usdlr.data.samples import Sample, SampleStore
from usdlr.inference.sites import shows_tumour
from usdlr.models.auxiliary import encode_birads

Values = npt.NDArray[np.float64]


def auxiliary_targets(
    names: Sequence[str], cases: pd.DataFrame, store: SampleStore, axillae: Axillae, train: npt.NDArray[np.intp]
) -> Values:
    """The auxiliary quantities of every axilla, (axillae, names), not-a-number where unknown.

    Parameters
    ----------
    names : sequence of str
        ``stiffness``: mean kPa inside the lesion, the mean over the axilla's maps. ``birads``: the rank of its
        highest category.
    cases : DataFrame
        The ``cases`` table.
    store : SampleStore
        Crops in the order of the cases.
    axillae : Axillae
        Which rows belong together.
    train : int array
        Positions of the training axillae: mean and standard deviation are theirs.
    """
    out = np.full((len(axillae), len(names)), np.nan)
    for column, name in enumerate(names):
        per_image = stiffness(store.samples) if name == "stiffness" else encode_birads(cases["birads"])
        take = np.nanmean if name == "stiffness" else np.nanmax
        per_image = np.where(shows_tumour(store), per_image, np.nan)
        for row, images in enumerate(axillae.images):
            known = per_image[images][np.isfinite(per_image[images])]
            out[row, column] = take(known) if len(known) else np.nan
        known = out[train, column][np.isfinite(out[train, column])]
        spread = float(known.std()) if len(known) else 0.0
        # A quantity that does not vary in training teaches nothing.
        out[:, column] = (out[:, column] - known.mean()) / spread if spread > 0 else np.nan
    return out


def stiffness(samples: Sequence[Sample]) -> Values:
    """Mean Young's modulus inside each sample's lesion, (samples,), kPa; not-a-number without a map."""
    found = np.full(len(samples), np.nan)
    for row, sample in enumerate(samples):
        pixels = sample.images.get(ELASTO)
        if pixels is not None:
            inside = pixels[sample.lesion & np.isfinite(pixels)]
            found[row] = float(inside.mean()) if inside.size else np.nan
    return found
