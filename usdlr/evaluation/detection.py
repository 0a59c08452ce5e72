"""Objects of many images in numbers: recall, false positives per image, quality by size stratum.

Intervals draw patients, not images or objects: a patient's images and nodes resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kruskal

from usdlr.core.errors import ConfigError, DataError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.instances import FOUND, Matching
from usdlr.evaluation.intervals import Estimate, rate, undefined
from usdlr.evaluation.resampling import REPLICATES, Patients, patient_bootstrap, patients

STRATA_MM = (5, 10, 15)
SIGNIFICANT = 0.01
QUALITIES = ("dice", "iou", "hausdorff_mm", "average_hausdorff_mm", "hausdorff95_mm", "boundary_error_mm")
CAVEAT = "takes objects as independent; several objects of one patient are not, so its p-value is too small"


def collect(matchings: Sequence[tuple[str, str, Matching]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All images and all objects as two tables.

    Parameters
    ----------
    matchings : sequence of (patient_id, image_id, Matching)
        Each image once.

    Returns
    -------
    images : DataFrame
        One row per image: ``patient_id image_id``, the counts of :attr:`Matching.counts`, ``dropped``, and the
        overlap of matched objects.
    objects : DataFrame
        One row per object: ``patient_id image_id`` and the columns of :attr:`Matching.objects`.

    Raises
    ------
    DataError
        If an image appears twice.
    """
    names = [image for _, image, _ in matchings]
    if len(set(names)) < len(names):
        raise DataError(f"found {len(names) - len(set(names))} images more than once, expected each once; remove them")
    images, objects = [], []
    for patient, image, matching in matchings:
        key = {"patient_id": patient, "image_id": image}
        quality = matching.overlap.as_dict()
        images.append(
            {**key, **matching.counts, "dropped": matching.dropped, **{name: quality[name] for name in QUALITIES}}
        )
        objects.append(matching.objects.assign(**key))
    columns = ["patient_id", "image_id", "reference", "found", "predicted", "false_positives", "neutral", "dropped"]
    table = pd.DataFrame(images, columns=[*columns, *QUALITIES])
    # Images without objects give empty frames, whose columns have no type to agree on.
    filled = [part for part in objects if len(part)]
    first = ["patient_id", "image_id"]
    if not filled:
        return table, pd.DataFrame(columns=[*first, *(objects[0].columns.drop(first) if objects else [])])
    together = pd.concat(filled, ignore_index=True)
    return table, together[[*first, *together.columns.drop(first)]]


def detection(images: pd.DataFrame, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Estimate]:
    """Recall, precision, false positives per image, and mean overlap of matched objects.

    Parameters
    ----------
    images : DataFrame
        From :func:`collect`.
    replicates, seed : int
        Of the patient bootstrap.

    Returns
    -------
    dict of str to Estimate
        ``recall`` (found among reference objects), ``precision`` (matched among predicted ones that are not neutral),
        ``false_positives_per_image``, and the mean over images with a matched object of each overlap measure.
    """
    who = patients(images["patient_id"])
    count = {name: images[name].to_numpy(dtype=np.float64) for name in images.columns[2:8]}
    judged = count["predicted"] - count["neutral"]
    right = judged - count["false_positives"]
    ones = np.ones(len(images))
    given = {"replicates": replicates, "seed": seed}
    out = {
        "recall": _ratio("objects found", count["found"], count["reference"], who, events=True, **given),
        "precision": _ratio("predicted objects that are right", right, judged, who, events=True, **given),
        "false_positives_per_image": _ratio(
            "false positives per image", count["false_positives"], ones, who, events=False, **given
        ),
    }
    for name in QUALITIES:
        value = images[name].to_numpy(dtype=np.float64)
        known = ~np.isnan(value)
        where = np.where(known, value, 0.0)
        what = f"mean {name} over images with a matched object, unmatched objects removed"
        out[name] = _ratio(what, where, known.astype(np.float64), who, events=False, **given)
    return out


def strata(
    objects: pd.DataFrame, *, edges_mm: Sequence[int] = STRATA_MM, measures: Sequence[str] = ("dice", "hausdorff_mm")
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Recall and quality by short axis, and whether the quality differs between strata.

    The short axis is rounded to whole millimetres first, as readers state it: 4.5 mm is in the stratum from 5.

    Parameters
    ----------
    objects : DataFrame
        From :func:`collect`.
    edges_mm : sequence of int
        Lower ends of the strata, rising; the last is open. With more than two, everything from the second on is given
        as a stratum too, which overlaps and is left out of the test.
    measures : sequence of str
        Columns of ``objects``.

    Returns
    -------
    table : DataFrame
        Per stratum: ``stratum n found recall recall_low recall_high`` (Clopper-Pearson) and the ``median`` of each
        measure over found objects.
    tests : dict
        Per measure the Kruskal-Wallis test over disjoint strata: ``statistic p_value n strata significant method``;
        values are None where there are not two strata with objects, or all values are the same.
    """
    if len(edges_mm) < 2 or list(edges_mm) != sorted(set(edges_mm)):
        raise ConfigError(f"found strata from {list(edges_mm)} mm, expected at least two lower ends that rise")
    drawn = objects[objects["kind"] == "reference"]
    size = np.floor(drawn["short_axis_mm"].to_numpy(dtype=np.float64) + 0.5)
    ends = [*edges_mm[1:], np.inf]
    members = {_name(low, high): (size >= low) & (size < high) for low, high in zip(edges_mm, ends, strict=True)}
    disjoint = list(members)
    if len(edges_mm) > 2:
        members[_name(edges_mm[1], np.inf)] = size >= edges_mm[1]
    hit = (drawn["outcome"] == FOUND).to_numpy()
    rows = []
    for name, inside in members.items():
        recall = rate(int((inside & hit).sum()), int(inside.sum()))
        row = {"stratum": name, "n": recall.n, "found": recall.events, "recall": recall.value}
        row |= {"recall_low": recall.low, "recall_high": recall.high}
        for measure in measures:
            values = drawn.loc[inside & hit, measure].to_numpy(dtype=np.float64)
            row[f"median_{measure}"] = float(np.median(values)) if len(values) else None
        rows.append(row)
    tests = {
        measure: _kruskal([drawn.loc[members[name] & hit, measure].to_numpy(dtype=np.float64) for name in disjoint])
        for measure in measures
    }
    return pd.DataFrame(rows), tests


def _name(low: float, high: float) -> str:
    return f">={low:g} mm" if high == np.inf else f"{low:g}-{high - 1:g} mm"


def _kruskal(groups: Sequence[FloatArray]) -> dict[str, Any]:
    filled = [group for group in groups if len(group)]
    n = int(sum(len(group) for group in filled))
    out: dict[str, Any] = {"statistic": None, "p_value": None, "n": n, "strata": len(filled), "significant": None}
    if len(filled) < 2:
        return {**out, "method": "undefined: fewer than two strata hold a found object"}
    together = np.concatenate(filled)
    if together.min() == together.max():
        return {**out, "method": "undefined: all values are the same"}
    result = kruskal(*filled)
    p_value = float(result.pvalue)
    return {
        **out,
        "statistic": float(result.statistic),
        "p_value": p_value,
        "significant": p_value < SIGNIFICANT,
        "method": f"Kruskal-Wallis at {SIGNIFICANT:g}; {CAVEAT}",
    }


def _ratio(
    what: str, above: FloatArray, below: FloatArray, who: Patients, *, events: bool, replicates: int, seed: int
) -> Estimate:
    total = float(below.sum())
    if total == 0:
        return undefined(0, f"{what}: nothing in the denominator")
    # Images without anything in the denominator weigh nothing, but their patients are drawn all the same.
    found = patient_bootstrap(
        lambda weight: weight @ above / (weight @ below), who, what, replicates=replicates, seed=seed
    )
    count = int(above.sum()) if events else None
    return Estimate(found.value, found.low, found.high, int(total), found.method, count)
