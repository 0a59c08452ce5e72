"""Pictures of a validation's failures: missed axillae first, with their images and where the networks looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.progress import say
from usdlr.core.types import Stage
from usdlr.inference.bundle import Bundle
from usdlr.inference.heatmap import heat_maps
from usdlr.inference.sites import tumours
from usdlr.inference.stage import prepare_torch
from usdlr.report.example_cases import choose, gallery_cases, missed_axillae
from usdlr.report.figures_heatmap import HeatCase
from usdlr.report.gallery import GalleryCase
from usdlr.validation.predict import Predicted

MOST_HEAT = 4  # heat maps per stage


def failures_first(decisions: pd.DataFrame, labels: pd.DataFrame, count: int) -> list[int]:
    """Positions in ``decisions`` of axillae to show: all that were missed as far as there is room, then each group.

    Parameters
    ----------
    decisions, labels : DataFrame
        As for :func:`usdlr.report.example_cases.choose`.
    count : int
        At most so many.
    """
    missed = missed_axillae(decisions, labels)
    rows = decisions.reset_index(drop=True)
    first = [int(place) for place in rows[missed].sort_values("p_sln", kind="stable").index[:count]]
    others = [place for place in choose(decisions, labels, count) if place not in first]
    return (first + others)[:count]


def failure_gallery(
    parts: Sequence[Predicted], decisions: pd.DataFrame, labels: pd.DataFrame, count: int, *, margin_mm: float
) -> list[GalleryCase]:
    """The chosen axillae of all sources as pictures, in the order of :func:`failures_first`.

    Parameters
    ----------
    parts : sequence of Predicted
        The sources.
    decisions, labels : DataFrame
        Of all of them.
    count : int
        At most so many.
    margin_mm : float
        Width of the ring that is drawn.
    """
    chosen = failures_first(decisions, labels, count)
    wanted = [tuple(decisions.iloc[place][AXILLA_KEY]) for place in chosen]
    found: dict[tuple[str, str], GalleryCase] = {}
    for part in parts:
        rows = part.decisions.reset_index(drop=True)
        place_of = {tuple(key): place for place, key in enumerate(rows[AXILLA_KEY].to_numpy().tolist())}
        mine = [key for key in wanted if key in place_of]
        drawn = gallery_cases(
            tumours(part.prepared.cases), part.root, rows, labels, [place_of[key] for key in mine], margin_mm=margin_mm
        )
        found |= dict(zip(mine, drawn, strict=True))
    return [replace(found[key], number=number) for number, key in enumerate(wanted, start=1)]


def failure_heat(
    bundle: Bundle, parts: Sequence[Predicted], decisions: pd.DataFrame, labels: pd.DataFrame
) -> list[HeatCase]:
    """Where the networks looked in missed axillae, at most :data:`MOST_HEAT` per stage, lowest probability first.

    A backbone whose features have no place in the image has no maps, which is said.
    """
    from usdlr.report.heat_cases import heat_of_axillae  # OpenCV's drawing is slow to import

    prepare_torch(bundle.preparation.threads)
    missed = missed_axillae(decisions, labels)
    rows = decisions.reset_index(drop=True)[missed]
    truth = labels.set_index(AXILLA_KEY)
    out: list[HeatCase] = []
    for stage in Stage:
        column = f"p_{stage}"
        positive = [truth.loc[tuple(key), str(stage)] == 1 for key in rows[AXILLA_KEY].to_numpy().tolist()]
        ranked = rows[np.array(positive, dtype=bool)].sort_values(column, kind="stable").head(MOST_HEAT)
        drawn: list[HeatCase] = []
        for part in parts:
            cases = part.prepared.cases
            chosen = ranked.merge(cases[AXILLA_KEY].drop_duplicates(), on=AXILLA_KEY, how="inner")
            if chosen.empty:
                continue
            keys = pd.MultiIndex.from_frame(chosen[AXILLA_KEY])
            own = cases[pd.MultiIndex.from_frame(cases[AXILLA_KEY]).isin(keys)].reset_index(drop=True)
            try:
                heat = heat_maps(
                    bundle.member.models[stage],
                    own,
                    part.prepared.store,
                    part.prepared.design,
                    bundle.preparation.batch_size,
                )
            except ConfigError as error:
                say(f"no heat maps: {error}")
                return []
            asked = chosen[AXILLA_KEY].assign(probability=chosen[column], found=1.0)
            drawn += heat_of_axillae(
                asked, own, part.prepared.store, heat.maps, stage, margin_mm=bundle.preparation.radiomics.margin_mm
            )
        out += [replace(one, number=number) for number, one in enumerate(drawn, start=1)]
    return out
