"""What a validation does only when asked: adapt the bundle to the centre, and hand out a result without patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json
from usdlr.core.journal import Journal
from usdlr.core.progress import say
from usdlr.core.types import Stage
from usdlr.inference.bundle import Bundle
from usdlr.validation.adapt import BUNDLE, RECORD, SPLITS, adapt
from usdlr.validation.adapt_settings import AdaptSettings, plain
from usdlr.validation.lock import record_adaptation
from usdlr.validation.plan import Plan
from usdlr.validation.predict import Predicted
from usdlr.validation.share import default_ledger, shared_result, shared_rows, write_share

ADAPTED = "adapted"


def adapt_here(
    plan: Plan,
    folder: Path,
    parts: Sequence[Predicted],
    labels: pd.DataFrame,
    settings: AdaptSettings,
    out: Path,
    *,
    journal: Journal,
    key: Any,
    lock: Path,
) -> dict[str, Any]:
    """Adapt the bundle to the centre, with the plan's targets; the record of what was done and what came of it.

    Before outcomes are looked at, the attempt is written into the lock, and the record counts those before it.

    Parameters
    ----------
    plan : Plan
        Whose targets the new contract is about.
    folder : Path
        The bundle.
    parts : sequence of Predicted
        One source.
    labels : DataFrame
        ``patient_id side sln nsln``.
    settings : AdaptSettings
        What to do.
    out : Path
        Folder of the validation; the new bundle lies below ``adapted/``.
    journal, key
        Of the validation.
    lock : Path
        Its lock file.

    Raises
    ------
    ConfigError
        If there are several sources or centres: an adapted model is one centre's.
    """
    part = _one(parts, labels, "--adapt", "an adapted model and its contract are one centre's")
    alpha = plan.hypotheses.alpha
    contract = replace(settings.contract, alpha_sln=alpha[str(Stage.SLN)], alpha_nsln=alpha[str(Stage.NSLN)])
    asked = replace(settings, contract=contract)
    target = out / ADAPTED
    attempts = record_adaptation(lock, plain(asked))

    def work() -> None:
        say("adapting on a part of the patients")
        adapt(folder, part.prepared, labels[[*AXILLA_KEY, "sln", "nsln"]], asked, target)

    if not journal.is_done(ADAPTED, [key, repr(asked)]):
        work()
        outputs = [target / RECORD, target / SPLITS, *(path for path in (target / BUNDLE).rglob("*") if path.is_file())]
        journal.mark_done(ADAPTED, [key, repr(asked)], sorted(outputs))
    record: dict[str, Any] = read_json(target / RECORD)
    return record | {"attempts": len(attempts)}


def share_here(
    plan: Plan,
    bundle: Bundle,
    parts: Sequence[Predicted],
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    target: Path,
    ledger: Path | None,
) -> None:
    """Write the centre's result as one file without patients.

    Parameters
    ----------
    plan, bundle, parts, predictions, decisions, labels
        Of the validation.
    target : Path
        The file to hand out.
    ledger : Path or None
        Of what was handed out before; the user's own by default, see :func:`usdlr.validation.share.default_ledger`.

    Raises
    ------
    ConfigError
        If there are several centres: each hands out its own. Or if the contract is one by strata.
    InputError
        If an earlier file and this one together would tell of single patients.
    """
    _one(parts, labels, "--share", "every centre hands out its own result")
    contract = bundle.member.contract
    if contract.strata is not None:
        raise ConfigError(
            "found a contract by strata with --share, expected one pair of thresholds: the file holds one pair, and "
            "counts by it would not be those of the decisions; leave --share out"
        )
    truth = labels[[*AXILLA_KEY, "sln", "nsln"]]
    result = shared_result(
        str(labels["centre_id"].iloc[0]),
        bundle_id=bundle.bundle_id,
        plan_hash=plan.hash,
        predictions=predictions,
        decisions=decisions,
        labels=truth,
        thresholds={Stage.SLN: contract.t_sln, Stage.NSLN: contract.t_nsln},
        alpha=dict(plan.hypotheses.alpha),
    )
    write_share(result, target, shared_rows(predictions, decisions, truth), ledger=ledger or default_ledger())
    say(f"result without patients: {target}")


def _one(parts: Sequence[Predicted], labels: pd.DataFrame, option: str, why: str) -> Predicted:
    centres = sorted(labels["centre_id"].astype(str).unique())
    if len(parts) != 1 or len(centres) != 1:
        raise ConfigError(
            f"found {len(parts)} sources of {len(centres)} centres with {option}, expected one of one: {why}; give the "
            "command once for each"
        )
    return parts[0]
