"""The adaptation as a section of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.contract import Contract
from usdlr.decision.numbers import EN_DASH, MINUS, count, estimate_text, finite, methods_of, rate_text
from usdlr.decision.wording import contract_lines
from usdlr.decision.wording_adaptation import (
    ADAPTED,
    HARMONISED,
    UNTOUCHED,
    attempts_sentence,
    change_word,
    fine_tuning_sentence,
    needed_sentence,
    recalibration_sentence,
)
from usdlr.report.document import Block, PageTable, Points, Prose, Section

# Key, words, digits, and whether less is better; of slope and intercept neither is.
_MEASURES: tuple[tuple[str, str, int, bool | None], ...] = (
    ("auc", "AUC", 2, False),
    ("brier", "Brier score", 3, True),
    ("log_loss", "Log loss (nat)", 3, True),
    ("calibration_slope", "Calibration slope (1 is ideal)", 2, None),
    ("calibration_intercept", "Calibration in the large (0 is ideal)", 2, None),
    ("observed_expected", "Observed / expected (1 is ideal)", 2, None),
    ("ici", "Mean distance of observed from predicted risk (ICI)", 3, None),
)
_RATES = (
    ("fnr_sln", "Missed, of SLN-positive axillae"),
    ("fnr_nsln", "Missed, of NSLN-positive axillae {known}"),
    ("spared_sln", "Spared sentinel biopsy (LR-SLN), of all axillae"),
    ("deferred", "Deferred, of all axillae"),
)


def adaptation_section(record: Mapping[str, Any], *, known_nsln: str) -> Section:
    """What was changed, what the new contract says, and what came of it on untouched patients.

    Parameters
    ----------
    record : mapping
        The content of ``adaptation.json``.
    known_nsln : str
        Among whom the NSLN status is known, see :func:`usdlr.decision.wording.known_nsln`.
    """
    contract = Contract.from_dict(record["contract"])
    needed = [needed_sentence(stage, record["needed"][str(stage)]) for stage in Stage]
    done = [recalibration_sentence(stage, one) for stage, one in record["recalibration"].items()]
    done += [fine_tuning_sentence(stage, one) for stage, one in record.get("fine_tuning", {}).items()]
    if "harmonisation" in record:
        done.insert(0, HARMONISED)
    tried = attempts_sentence(int(record["attempts"]), contract.delta) if "attempts" in record else ""
    lines = (ADAPTED, *contract_lines(contract, known_nsln=known_nsln), tried, *needed)
    blocks: tuple[Block, ...] = (
        Prose(tuple(filter(None, lines))),
        Points(tuple(done)),
        _parts(record),
        Prose((UNTOUCHED,)),
        *(_stage_table(record["untouched"]["stages"][str(stage)], stage, known_nsln) for stage in Stage),
        _cascade_table(record["untouched"]["cascade"], known_nsln),
    )
    return Section("adaptation", "Adaptation", "The model adapted to this centre", blocks)


def _parts(record: Mapping[str, Any]) -> PageTable:
    rows = tuple(
        (
            name.capitalize(),
            *(count(part[key]) for key in ("patients", "axillae")),
            *(f"{count(part[str(stage)]['positive'])} / {count(part[str(stage)]['negative'])}" for stage in Stage),
        )
        for name, part in record["parts"].items()
    )
    return PageTable(
        "How the centre's patients were divided",
        ("", "Patients", "Axillae", "SLN positive / negative", "NSLN positive / negative"),
        rows,
        (
            "Adaptation: for fits, and for the order in which thresholds are tried. Calibration: read once, for"
            " the thresholds. Test: both models are compared on it, and nothing else. A patient is in one part alone.",
            f"Adapted from the bundle {record['parent']}; seed {record['settings']['seed']}.",
        ),
    )


def _stage_table(found: Mapping[str, Any], stage: Stage, known_nsln: str) -> PageTable:
    rows = []
    for key, words, digits, less in _MEASURES:
        before, after = found["before"][key], found["after"][key]
        difference = found["difference"].get(key)
        cells = (estimate_text(before, digits), estimate_text(after, digits))
        if difference is None or less is None:
            rows.append((words, *cells, EN_DASH, EN_DASH))
        else:
            word = change_word(difference, smaller_is_better=less)
            rows.append((words, *cells, estimate_text(difference, digits), word))
    n = found["before"]["brier"].get("n")
    among = "" if stage is Stage.SLN else f" SLN-positive axillae, {known_nsln}."
    methods = methods_of([*found["before"].values(), *found["difference"].values()])
    return PageTable(
        f"{stage.upper()} stage before and after, on untouched axillae, n = {count(n)}",
        ("", "Before (95 % interval)", "After (95 % interval)", "After minus before", ""),
        tuple(rows),
        (f"{'; '.join(methods)}.{among}" if methods else "No estimate has a value.",),
        texts=(4,),
    )


def _cascade_table(found: Mapping[str, Any], known_nsln: str) -> PageTable:
    rows = tuple(
        (
            words.format(known=known_nsln),
            rate_text(found["before"][key]),
            rate_text(found["after"][key]),
            _points(found["difference"][key]),
        )
        for key, words in _RATES
    )
    return PageTable(
        "What the thresholds do, before and after, on untouched axillae",
        ("", "Before, contract void", "After, own contract", "After minus before (percentage points)"),
        rows,
        (
            "Before: the thresholds that the model brought along, which promise nothing here. After: those of the new "
            "contract, used here whether or not they are certified. Rates with 95 % intervals, ends rounded outward; "
            "differences by a patient bootstrap.",
        ),
    )


def _points(difference: Mapping[str, Any]) -> str:
    """A difference of rates in percentage points."""
    scaled = {
        key: None if finite(difference.get(key)) is None else 100 * difference[key] for key in ("value", "low", "high")
    }
    if scaled["value"] is not None and scaled["low"] is None:
        return f"{scaled['value']:.1f} (no interval)".replace("-", MINUS)
    return estimate_text({**difference, **scaled}, 1)
