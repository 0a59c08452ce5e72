"""How a new centre's patients differ from those behind a model, and one alarm whose rate of false ones is stated.

Five kinds of shift are looked at apart: who the patients are (case mix), what their images measure, what is missing,
what the networks make of the images, and what the model answers. Each has a p-value that holds however its tests
depend on each other (Bonferroni over its tests, Holm over columns); the alarm is raised where any kind's, multiplied
by the number of kinds that could be tested, is at most the stated rate. Patients are the unit throughout: both axillae
of one count once. Outcomes are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.domain import domain_auc
from usdlr.evaluation.drift import IntArray, share_p, smooth_p, standardised, words_p
from usdlr.evaluation.levels import Variable, levels
from usdlr.evaluation.marginals import FEWEST, Marginals, finite
from usdlr.evaluation.multiplicity import benjamini_hochberg, holm
from usdlr.evaluation.reference import (
    RARE,
    WHERE,
    WORDS,
    PatientRows,
    Reference,
    bounded,
    counted,
    groups_of,
    projected,
)

RATE = 0.05
CASE_MIX, IMAGES, MISSING, LOOKS, ANSWERS = "case_mix", "image_features", "missing", "networks", "answers"
KINDS = (CASE_MIX, IMAGES, MISSING, LOOKS, ANSWERS)


def shift_report(
    reference: Reference, rows: PatientRows, *, rate: float = RATE, own: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Compare a centre with the reference.

    Parameters
    ----------
    reference : Reference
        Of the patients behind the model.
    rows : PatientRows
        The centre's.
    rate : float
        Chance of an alarm, at most, at a centre whose patients are exchangeable with the reference's.
    own : DataFrame, optional
        The training patients' own radiomics, for the domain classifier alone.

    Returns
    -------
    dict
        ``rate p_value alarm`` (None where nothing could be tested), ``patients`` and ``axillae`` here, ``reference``
        (its counts), ``kinds`` (``p adjusted alarm tested``), ``case_mix`` (``numbers words``), ``features``,
        ``missing``, ``discrepancy`` (by kernel: ``squared p``), ``log_odds`` (by stage: steps and counts of both),
        ``domain_auc``, and ``where`` (centres and scanners of both, untested: a new centre has another name).
    """
    numbers = _columns(reference.numbers, rows.case.reindex(columns=list(reference.numbers.columns)))
    words = [_words(reference, rows.case, name) for name in WORDS if name in reference.words and name in rows.case]
    features = _columns(reference.features, rows.design.reindex(columns=list(reference.features.columns)))
    missing = [_missing(reference, rows.design, name, own_) for name, own_ in _groups(reference).items()]
    kernels = _kernels(reference, rows)
    answers = _columns(reference.log_odds, rows.log_odds)
    tested = {
        CASE_MIX: [*(one["p"] for one in numbers), *(one["p"] for one in words)],
        # All columns together are one statement, the kernel another.
        IMAGES: [_least(holm([one["p"] for one in features])), kernels.get("features", {}).get("p")],
        MISSING: [one["p"] for one in missing],
        LOOKS: [kernels.get("looks", {}).get("p")],
        ANSWERS: [one["p"] for one in answers],
    }
    kinds = {name: _bonferroni(p) for name, p in tested.items()}
    counted_kinds = sum(p is not None for p in kinds.values())
    adjusted = {name: None if p is None else min(1.0, p * counted_kinds) for name, p in kinds.items()}
    known = [p for p in adjusted.values() if p is not None]
    return {
        "rate": rate,
        "p_value": min(known) if known else None,
        "alarm": min(known) <= rate if known else None,
        "patients": len(rows),
        "axillae": rows.axillae,
        "reference": dict(reference.counts),
        "kinds": {
            name: {
                "p": kinds[name],
                "adjusted": p,
                "alarm": None if p is None else p <= rate,
                "tested": sum(_known(one) for one in tested[name]),
            }
            for name, p in adjusted.items()
        },
        "case_mix": {"numbers": numbers, "words": words},
        "features": features,
        "missing": missing,
        "discrepancy": kernels,
        "log_odds": _histograms(reference.log_odds, rows.log_odds, answers),
        "domain_auc": domain_auc(reference, rows.design, own=own).as_dict(),
        "where": {name: _levels_of(reference, rows.case, name) for name in WHERE if name in reference.words},
    }


def _columns(known: Marginals, table: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry per column: both groups' numbers, the standardised difference and the test of drift."""
    values = finite(table.to_numpy(np.float64, na_value=np.nan).reshape(len(table), len(known)))
    n: IntArray = np.isfinite(values).sum(axis=0).astype(np.int64)
    mean, sd = _moments(values, n)
    gap, low, high = standardised(known.mean, known.sd, known.known, mean, sd, n)
    p = smooth_p(known.counts, known.place(values))
    by_holm, by_bh = holm(p), benjamini_hochberg(p)
    steps = [known.edges[place][np.isfinite(known.edges[place])] for place in range(len(known))]
    return [
        {
            "column": name,
            "reference": {
                "n": int(known.known[at]),
                "missing": int(known.missing[at]),
                "mean": _number(known.mean[at]),
                "sd": _number(known.sd[at]),
                "low": _number(steps[at][0]) if len(steps[at]) else None,
                "high": _number(steps[at][-1]) if len(steps[at]) else None,
            },
            "here": {
                "n": int(n[at]),
                "missing": len(values) - int(n[at]),
                "mean": _number(mean[at]),
                "sd": _number(sd[at]),
            },
            "difference": {"value": _number(gap[at]), "low": _number(low[at]), "high": _number(high[at])},
            "p": _number(p[at]),
            "holm": _number(by_holm[at]),
            "bh": _number(by_bh[at]),
        }
        for at, name in enumerate(known.columns)
    ]


def _moments(values: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of every column with five values at least."""
    filled = np.nan_to_num(values, nan=0.0)
    enough = n >= FEWEST
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = filled.sum(axis=0) / n
        sd = np.sqrt((np.where(np.isfinite(values), filled - mean, 0.0) ** 2).sum(axis=0) / (n - 1))
    return np.where(enough, mean, np.nan), np.where(enough, sd, np.nan)


def _words(reference: Reference, case: pd.DataFrame, name: str) -> dict[str, Any]:
    there = reference.words[name]
    here = _here(case, name, there)
    # Fewer than five patients with other levels are not told of: the number that speaks least for a shift is taken.
    untold = range(1) if RARE in there else range(FEWEST)
    p = [words_p(there | ({RARE: count} if count else {}), here) for count in untold]
    return {"column": name, "reference": there, "here": here, "p": None if np.isnan(p).all() else float(np.nanmax(p))}


def _here(case: pd.DataFrame, name: str, there: Mapping[str, int]) -> dict[str, int]:
    """Patients by the reference's levels; every other level counts among its rare ones."""
    named, _ = levels(case[name], Variable(name, name))
    counts = named.value_counts()
    told = {level: int(counts.get(level, 0)) for level in there if level != RARE}
    rest = int(counts.sum()) - sum(told.values())
    return told | ({RARE: rest} if rest or RARE in there else {})


def _levels_of(reference: Reference, case: pd.DataFrame, name: str) -> dict[str, Any]:
    named = levels(case[name], Variable(name, name))[0].value_counts() if name in case else pd.Series(dtype=int)
    return {"reference": reference.words[name], "here": {str(k): int(v) for k, v in sorted(named.items())}}


def _groups(reference: Reference) -> dict[str, list[str]]:
    return groups_of(reference.features.columns)


def _missing(reference: Reference, design: pd.DataFrame, name: str, columns: list[str]) -> dict[str, Any]:
    there, here = reference.groups[name], counted(design, columns)
    return {"group": name, "reference": list(there), "here": list(here), "p": _number(share_p(there, here))}


def _kernels(reference: Reference, rows: PatientRows) -> dict[str, dict[str, Any]]:
    found = {}
    if "features" in reference.kernels:
        chosen = reference.features.take(reference.read)
        scores = chosen.scores(rows.design.reindex(columns=list(reference.read)).to_numpy(np.float64))
        found["features"] = reference.kernels["features"].test(bounded(scores))
    if "looks" in reference.kernels and rows.looks.shape[1]:
        found["looks"] = reference.kernels["looks"].test(projected(reference.projection, rows.looks))
    return {name: {"squared": _number(squared), "p": _number(p)} for name, (squared, p) in found.items()}


def _histograms(known: Marginals, log_odds: pd.DataFrame, answers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By stage, the ends of the steps in nat, and patients in each of them."""
    placed = known.place(log_odds.to_numpy(np.float64))
    out = {}
    for at, stage in enumerate(map(str, Stage)):
        steps = int(known.steps[at])
        out[stage] = {
            "edges": known.edges[at, : steps - 1].tolist(),
            "reference": known.counts[at, :steps].tolist(),
            "here": placed[at, :steps].tolist(),
            "summary": answers[at],
        }
    return out


def _known(p: float | None) -> bool:
    return p is not None and bool(np.isfinite(p))


def _bonferroni(p: list[float | None]) -> float | None:
    known = [float(one) for one in p if one is not None and np.isfinite(one)]
    return min(1.0, min(known) * len(known)) if known else None


def _least(p: FloatArray) -> float | None:
    return float(np.nanmin(p)) if np.isfinite(p).any() else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
