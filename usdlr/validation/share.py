"""A centre's result as one small file without patients: counts, estimates with their intervals, scores in bins.

No id, no date and no path is in it. What small counts would tell is withheld (:mod:`usdlr.validation.share_cells`).
Against the difference of two files stands a ledger that never leaves the centre: it knows, under a secret key, who was
in a file, with which outcomes and with which rows, and a second file that differs from an earlier one by a few patients
in any of the three is refused, whatever the model and the plan.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import usdlr
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError, InputError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash
from usdlr.core.progress import say
from usdlr.core.types import Stage
from usdlr.evaluation import calibration, metrics
from usdlr.evaluation.alignment import by_axilla, label_table, same_axillae
from usdlr.validation.share_bins import tells
from usdlr.validation.share_cells import RATES, SMALLEST, Counts, cascade_counts
from usdlr.validation.share_scores import binned_scores, without_edge

FORMAT, VERSION = "usdlr result without patients", 2
LEDGER, LEDGER_VARIABLE = "shared.private.json", "USDLR_SHARE_LEDGER"
OUTCOMES = ("found_sln", "found_nsln")
# What a patient is known by: that it is in a result, with which outcomes, and with everything that it was made from.
_KINDS = ("members", "outcomes", "rows")
ESTIMATES = ("auc", "brier", "calibration_slope", "calibration_intercept", "observed_expected")
# Six decimals say all that a pooled result needs.
DIGITS, COARSE = 6, 3
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


def shared_result(
    centre: str,
    *,
    bundle_id: str,
    plan_hash: str | None,
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    thresholds: Mapping[Stage, float],
    alpha: Mapping[str, float],
    smallest: int = SMALLEST,
) -> dict[str, Any]:
    """What a centre may hand out.

    Parameters
    ----------
    centre : str
        Its name for readers: letters, digits, space, dot, hyphen.
    bundle_id : str
        Of the model, see :attr:`usdlr.inference.bundle.Bundle.bundle_id`.
    plan_hash : str or None
        Hash of the locked plan, so that results of other plans are not pooled with it.
    predictions, decisions : DataFrame
        The centre's tables, one row per axilla (and stage).
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    thresholds : mapping of Stage to float
        Of the model.
    alpha : mapping of str to float
        Targets by stage.
    smallest : int
        Fewest patients that a count above 0 may stand for.

    Returns
    -------
    dict
        ``format version centre bundle plan software smallest alpha thresholds counts rates stages``. A rate has
        ``events n``, null where withheld, and then ``least most`` of the events as far as the file tells, and
        ``effective``, the independent axillae that ``n`` is worth. A stage has ``estimates`` and ``scores``, both null
        where a class has too few patients; ``scores`` alone where they would give a withheld count away: then the
        estimates are coarse.

    Raises
    ------
    InputError
        If the centre's name cannot be shared, or the tables do not hold the same axillae.
    """
    if not NAME.fullmatch(centre):
        raise InputError(
            f"found the centre name {centre!r}, expected up to 64 letters, digits, spaces, dots and hyphens; name it so"
        )
    counts = cascade_counts(decisions, labels, smallest=smallest)
    truth = label_table(labels)
    binned = {stage: _binned(stage, predictions, truth, counts.shared, smallest) for stage in Stage}
    told: dict[Stage, dict[str, Any] | None] = dict.fromkeys(Stage)
    for stage in Stage:
        now = binned[stage]
        while now is not None and tells(counts.shared, {**told, stage: now}, thresholds, counts.secret, smallest):
            # The edge next to the threshold says most of who is on which side of it.
            edges, t = now["edges"], thresholds[stage]
            far = [abs(edge - t) for edge in edges[1:-1]]
            now = without_edge(now, 1 + far.index(min(far))) if far else None
        told[stage] = now
    return {
        "format": FORMAT,
        "version": VERSION,
        "centre": centre,
        "bundle": bundle_id,
        "plan": plan_hash,
        "software": {"usdlr": usdlr.__version__},
        "smallest": smallest,
        "alpha": {str(stage): float(alpha[str(stage)]) for stage in Stage},
        "thresholds": {str(stage): float(thresholds[stage]) for stage in Stage},
        "counts": dict(counts.shared),
        "rates": {name: _rate(name, counts) for name in RATES},
        "stages": {
            str(stage): {
                "estimates": _estimates(stage, predictions, truth, COARSE if told[stage] is None else DIGITS)
                if binned[stage] is not None
                else None,
                "scores": told[stage],
            }
            for stage in Stage
        },
    }


def _rate(name: str, counts: Counts) -> dict[str, float | None]:
    events, among = RATES[name]
    n = counts.shared[among]
    found: dict[str, float | None] = {"events": counts.shared[events], "n": n}
    found["effective"] = None if n is None else round(counts.effective[among], DIGITS)
    if found["events"] is None:
        low, high = counts.ranges.get(events, (0, None))
        found |= {"least": low, "most": high if n is None or high is None else min(high, n)}
    return found


def _of_stage(stage: Stage, predictions: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Predictions and status of a stage, NaN where unknown, by axilla."""
    rows = by_axilla(
        predictions[predictions["stage"].astype(str) == str(stage)],
        ("logit", "probability"),
        f"predictions of stage {stage}",
    )
    same_axillae(rows, truth, f"predictions of stage {stage}", "labels")
    return rows, truth["sln"] if stage is Stage.SLN else truth["nsln"].where(truth["sln"] == 1)


def _binned(
    stage: Stage, predictions: pd.DataFrame, truth: pd.DataFrame, shared: Mapping[str, int | None], smallest: int
) -> dict[str, Any] | None:
    """Binned scores; their totals are counts too, and are withheld where these are."""
    rows, y = _of_stage(stage, predictions, truth)
    totals = ("sln_positive", "sln_negative") if stage is Stage.SLN else ("nsln_positive", "nsln_known")
    if any(shared[name] is None for name in totals):
        return None
    return binned_scores(y, rows["probability"], truth.index.get_level_values("patient_id"), smallest=smallest)


def _estimates(stage: Stage, predictions: pd.DataFrame, truth: pd.DataFrame, digits: int) -> dict[str, Any]:
    rows, y = _of_stage(stage, predictions, truth)
    who = truth.index.get_level_values("patient_id")
    p, at = rows["probability"], rows["logit"]
    found = {
        "auc": metrics.auc(y, p, patients=who),
        "brier": calibration.brier(y, p, patients=who),
        "calibration_slope": calibration.calibration_slope(y, at),
        "calibration_intercept": calibration.calibration_intercept(y, at),
        "observed_expected": calibration.observed_expected(y, p),
    }
    return {name: _rounded(found[name].as_dict(), digits) for name in ESTIMATES}


def _rounded(estimate: Mapping[str, Any], digits: int) -> dict[str, Any]:
    """An estimate without its method, which readers know by its name and which could hold anything."""
    ends = {
        key: None if estimate[key] is None else _round(float(estimate[key]), digits) for key in ("value", "low", "high")
    }
    return {**ends, "n": int(estimate["n"])}


def _round(value: float, digits: int) -> float:
    """Rounded, but a share below 1 does not become 1, nor one above 0 become 0: their log-odds are finite."""
    step = 10.0**-digits
    if 0 < value < 1:
        return round(min(max(value, step), 1 - step), digits)
    return round(value, digits)


def write_share(result: Mapping[str, Any], path: Path, rows: pd.DataFrame, *, ledger: Path) -> None:
    """Write a result, unless somebody who holds an earlier one could subtract them.

    Parameters
    ----------
    result : mapping
        From :func:`shared_result`.
    path : Path
        The file to hand out.
    rows : DataFrame
        Of :func:`shared_rows`: whatever the result was made from, outcomes among it.
    ledger : Path
        File that stays at the centre, the same for all its results; keep it, and keep it private. Made, readable by
        the user alone, where there is none.

    Raises
    ------
    InputError
        If the result differs from one that was shared before by fewer than ``smallest`` patients: in who is there, in
        whose outcomes are others, or in whose rows are. Results of two models share the first two.
    DataError
        If the ledger is damaged.
    """
    known = _ledger(ledger)
    marks = _marks(rows, bytes.fromhex(known["key"]))
    smallest = int(result["smallest"])
    own = data_hash({key: result[key] for key in ("smallest", "counts", "rates", "stages")})
    for one in known["shared"]:
        least = max(smallest, one["smallest"])
        apart = [_apart(marks[kind], one[kind]) for kind in _KINDS]
        few = [number for number in apart if 0 < number < least]
        # Equal rows with another content: other bins or targets of the very same patients.
        if own != one["result"] and (few or not any(apart)):
            raise InputError(
                f"found a result that differs from one that was shared before by {min(few, default=0)} patients, "
                f"expected at least {least}: whoever holds both could subtract them and read these "
                "patients off; wait for more patients, or hand out the earlier file"
            )
    if own not in [one["result"] for one in known["shared"]]:
        known["shared"].append({"result": own, "smallest": smallest, **marks})
        if not ledger.exists():
            say(f"made the ledger of shared results: {ledger}; keep it, without it nobody can tell what was handed out")
        ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(ledger, known, private=True)
    write_json(path, dict(result))


def _apart(marks: Mapping[str, str], before: Mapping[str, str]) -> int:
    """Patients that are in one result only, or in both with other values."""
    return sum(marks.get(who) != before.get(who) for who in {*marks, *before})


def _marks(rows: pd.DataFrame, key: bytes) -> dict[str, dict[str, str]]:
    """Of every kind what it holds by patient; all told under a secret key, which nobody else can compute."""

    def keyed(text: str) -> str:
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    table = rows.assign(patient_id=rows["patient_id"].astype(str))
    order = sorted(map(str, table.columns))
    chosen = {"members": ["patient_id"], "outcomes": [*AXILLA_KEY, *OUTCOMES], "rows": order}
    found: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    for patient, part in table.groupby("patient_id", sort=True):
        for kind, columns in chosen.items():
            lines = sorted({json.dumps([_plain(value) for value in row]) for row in part[columns].to_numpy(object)})
            found[kind][keyed(f"patient {patient}")] = keyed(json.dumps([kind, *lines]))
    return found


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    # The last digits of a probability differ between machines.
    return round(float(value), 4) if isinstance(value, float | np.floating) else str(value)


def default_ledger() -> Path:
    """The user's own ledger: ``$USDLR_SHARE_LEDGER``, else ``usdlr/shared.private.json`` in the data folder.

    It lies outside every folder of results, so that no new folder forgets what was handed out.
    """
    named = os.environ.get(LEDGER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "usdlr" / LEDGER


def _ledger(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"key": secrets.token_hex(32), "shared": []}
    found = read_json(path)
    try:
        bytes.fromhex(found["key"])
        if not all({"result", "smallest", *_KINDS} <= set(one) for one in found["shared"]):
            raise ValueError("an entry without its marks")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"found a damaged ledger {path} ({error!r}), expected what an earlier share has written; restore it: "
            "without it, nobody can tell which results were handed out"
        ) from error
    return dict(found)


def shared_rows(predictions: pd.DataFrame, decisions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Everything that a result is made from, by axilla, for :func:`write_share`."""
    wide = predictions.pivot(index=AXILLA_KEY, columns="stage", values="probability").reset_index()
    wide.columns = pd.Index([str(name) for name in wide.columns])
    joined = wide.merge(decisions[[*AXILLA_KEY, "risk_group"]], on=AXILLA_KEY, validate="one_to_one")
    truth = labels[[*AXILLA_KEY, "sln", "nsln"]].rename(columns=dict(zip(("sln", "nsln"), OUTCOMES, strict=True)))
    return joined.merge(truth, on=AXILLA_KEY, validate="one_to_one")
