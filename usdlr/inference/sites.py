"""Which images of an axilla a model reads: the tumour always, lymph nodes beside it where it was made with them.

A node's image joins the axilla's bag in image blocks of its own (``bmode.intratumoral@axilla``: inside the outline of
the node; ``bmode.peritumoral@axilla``: the ring around it). It is never pooled with the tumour's images, so that an
answer can say what the node adds and what the tumour adds. It feeds no radiomics and no clinical variable: those
columns speak of the tumour, and a node's row holds nothing in them. Averaged over an axilla's images, a node's
diameter or texture would otherwise pass for the tumour's. An axilla without node images lacks the blocks, as it may
lack a map; one without an image of the tumour is left out, because radiomics and size would be missing altogether.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import ExclusionCode, Site
from usdlr.data.samples import SampleStore
from usdlr.radiomics.design import design_table

Reason = tuple[str, str]

NOT_TUMOUR: Reason = (
    str(ExclusionCode.NOT_TUMOUR),
    "found an image of the axilla, expected the primary tumour, which is what the model reads; leave it out",
)
TUMOUR_MISSING: Reason = (
    str(ExclusionCode.TUMOUR_MISSING),
    "found images of lymph nodes and no usable image of the tumour of this patient and side, expected at least one; "
    "add it, or correct the side",
)


def is_tumour(cases: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which image sets show the tumour, (images,)."""
    return (cases["site"] == str(Site.TUMOUR)).to_numpy(dtype=np.bool_)


def tumours(cases: pd.DataFrame) -> pd.DataFrame:
    """The image sets of tumours: those that radiomics, clinical variables and plain models speak of."""
    return cases[is_tumour(cases)].reset_index(drop=True)


def shows_tumour(store: SampleStore) -> npt.NDArray[np.bool_]:
    """Which samples show the tumour, (samples,)."""
    return np.array([sample.site is Site.TUMOUR for sample in store.samples], dtype=np.bool_)


def unread(cases: pd.DataFrame, sites: Sequence[str]) -> dict[str, Reason]:
    """Code and sentence, by image id, of image sets of a site that is not read."""
    return dict.fromkeys(map(str, cases["image_id"][~cases["site"].isin(list(sites))]), NOT_TUMOUR)


def orphans(cases: pd.DataFrame) -> dict[str, Reason]:
    """Code and sentence, by image id, of node images whose axilla has no image of the tumour among ``cases``.

    Ask again whenever image sets have dropped out: the tumour's may have been among them.
    """
    tumour = pd.Series(is_tumour(cases), index=cases.index)
    with_tumour = tumour.groupby([cases[name] for name in AXILLA_KEY]).transform("any")
    return dict.fromkeys(map(str, cases["image_id"][~with_tumour.astype(bool)]), TUMOUR_MISSING)


def design_of(features: pd.DataFrame, cases: pd.DataFrame, clinical: Sequence[str]) -> pd.DataFrame:
    """The design table with a row for every image set; a node's row holds nothing at all.

    Parameters
    ----------
    features : DataFrame
        The ``features`` table; rows of node images in it are not read.
    cases : DataFrame
        The ``cases`` table.
    clinical : sequence of str
        Pre-operative columns of ``cases``.

    Raises
    ------
    ConfigError
        If the guard refuses a variable.
    DataError
        If a tumour's image has no features.
    """
    measured = design_table(features, tumours(cases), clinical)
    return measured if len(measured) == len(cases) else measured.reindex(list(cases["image_id"]))
