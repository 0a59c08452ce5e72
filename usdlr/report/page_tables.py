"""The tables of the study page, as plain text cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision import wording_page as words
from usdlr.decision.numbers import (
    EN_DASH,
    NBSP,
    count,
    counted_rate,
    events_text,
    finite,
    methods_of,
    number,
    percent,
    promise,
    rate_text,
)
from usdlr.decision.wording import standing
from usdlr.decision.wording_study import needle_note, tumour_cells_sentence
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs
from usdlr.report.redact import redact, redact_settings
from usdlr.report.tables import exclusion_words, quality_words

_LONGEST_EXAMPLE = 220


def contract_table(inputs: StudyInputs) -> PageTable:
    """Thresholds and counts of the bundle's contract and of each fold's."""
    folds: Mapping[str, Any] = inputs.metrics["cascade"]["folds"]
    rows = _contract_rows("Bundle", inputs.contract)
    for fold in sorted(folds, key=_natural):
        rows += _contract_rows(f"Fold {fold}", folds[fold])
    return PageTable(
        inputs.marks.title("Thresholds and what the calibration patients support"),
        (
            "",
            "Status",
            "Threshold SLN",
            "Threshold NSLN",
            "SLN positives missed",
            "NSLN positives missed",
            "SLN / NSLN positives needed",
            f"P{NBSP}value",
        ),
        tuple(rows),
        (words.thresholds_note(adjective=inputs.marks.adjective),),
        texts=(1,),
    )


def _contract_rows(name: str, contract: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A contract, and those of its strata, which decide in its place."""
    strata: Mapping[str, Any] = contract.get("by_stratum") or {}
    whole = f"{name}, all together" if strata else name
    return [_contract_row(whole, contract)] + [_contract_row(f"{name}, {one}", part) for one, part in strata.items()]


def _contract_row(name: str, contract: Mapping[str, Any]) -> tuple[str, ...]:
    needed, p_value = contract["required_positives"], finite(contract["p_value"])
    return (
        name,
        standing(contract["status"]),
        number(contract["t_sln"], 3),
        number(contract["t_nsln"], 3),
        *(f"{count(contract['misses'][stage])} of {count(contract['positives'][stage])}" for stage in Stage),
        f"{count(needed['sln'])} / {count(needed['nsln'])}",
        EN_DASH if p_value is None else number(p_value, 4),
    )


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 30, name)


def rates_table(inputs: StudyInputs) -> PageTable:
    """False-negative rates with the verified share and the deferral rates beside them."""
    cascade, alpha = inputs.metrics["cascade"], inputs.contract["alpha"]
    entries = (
        ("Missed, of SLN-positive axillae", "fnr_sln", promise(alpha["sln"])),
        (f"Missed, of NSLN-positive axillae {inputs.known_nsln}", "fnr_nsln", promise(alpha["nsln"])),
        ("NSLN status known, of SLN-positive axillae (verified share)", "verified_share", EN_DASH),
        ("Deferred, of all axillae", "defer_rate", EN_DASH),
        ("Deferred, of SLN-positive axillae", "defer_rate_sln_positive", EN_DASH),
        (f"Deferred, of NSLN-positive axillae {inputs.known_nsln}", "defer_rate_nsln_positive", EN_DASH),
    )
    return PageTable(
        inputs.marks.title("False-negative and deferral rates of the cascade, out-of-fold"),
        ("", "Rate (95 % interval)", "Axillae", "Tolerated (alpha)"),
        tuple((label, rate_text(cascade[key]), events_text(cascade[key]), target) for label, key, target in entries),
        (
            f"Rates: {'; '.join(methods_of(cascade[key] for _, key, _ in entries))}.",
            words.NEVER_MISSES,
        ),
    )


def groups_table(inputs: StudyInputs) -> PageTable:
    """The make-up of every risk group."""
    groups = inputs.metrics["cascade"]["groups"]
    total = sum(int(groups[group]["n"]) for group in RiskGroup)
    rows = []
    for group in RiskGroup:
        entry = groups[group]
        share = percent(entry["n"] / total) if total else EN_DASH
        keys = ("sln_positive", "sln_unknown", "nsln_positive", "nsln_unknown")
        rows.append((str(group), count(entry["n"]), share, *(count(entry[key]) for key in keys)))
    return PageTable(
        inputs.marks.title(f"Risk groups of {count(total)} axillae, out-of-fold"),
        ("", "Axillae", "Share", "SLN positive", "SLN unknown", "NSLN positive", "NSLN unknown"),
        tuple(rows),
        (words.UNKNOWN_NSLN,),
    )


def cohort_table(inputs: StudyInputs) -> PageTable:
    """Node status of the cohort, and what counts as positive."""
    cohort = inputs.metrics["cohort"]
    rows = []
    for stage in Stage:
        told = inputs.metrics["endpoints"][stage]
        among = "" if stage is Stage.SLN else ", among SLN-positive axillae"
        rows.append(
            (
                f"{stage.upper()}{among}",
                *(count(cohort[stage][key]) for key in ("positive", "negative", "unknown")),
                f"{told['positive']} (column {told['column']})",
            )
        )
    return PageTable(
        inputs.marks.title(f"Status of {count(cohort['axillae'])} axillae"),
        ("", "Positive", "Negative", "Unknown", "What counts as positive"),
        tuple(rows),
        (words.NEVER_NEGATIVE, *_tumour_cells(inputs)),
        texts=(4,),
    )


def _tumour_cells(inputs: StudyInputs) -> Iterator[str]:
    """How small deposits are read; nothing of a proxy, or of a run that does not say it."""
    counted = inputs.metrics["cohort"].get("itc_positive")
    if counted is not None and Stage.SLN not in inputs.proxies:
        known = inputs.axillae.get("sln_deposit")
        yield tumour_cells_sentence(positive=bool(counted), n=None if known is None else int((known == "itc").sum()))


def needle_table(inputs: StudyInputs) -> PageTable | None:
    """Needle-proven axillae apart from the other SLN-positive ones; None where there is none."""
    found: Mapping[str, Any] | None = inputs.metrics["cascade"].get("needle")
    if found is None:
        return None
    labels = (
        ("needle", "Proven positive by needle"),
        ("others", "Other SLN-positive axillae"),
    )
    keys = ("fnr_sln", "fnr_nsln", "defer_rate")
    shown = [found["rates"][name][key] for name, _ in labels for key in keys]
    return PageTable(
        inputs.marks.title("SLN-positive axillae by how they were proven"),
        (
            "",
            "SLN positive missed (95 % interval)",
            f"NSLN positive missed, {inputs.known_nsln} (95 % interval)",
            "Deferred (95 % interval)",
        ),
        tuple((label, *(counted_rate(found["rates"][name][key]) for key in keys)) for name, label in labels),
        (needle_note("; ".join(methods_of(shown)) or "no estimate has a value"),),
    )


def exclusions_table(inputs: StudyInputs, names: Iterable[str]) -> PageTable:
    """Why rows of the centres' exports were not used, with one example sentence each, free of identifiers."""
    hidden, table = tuple(names), inputs.exclusions
    rows = []
    for (code, step), part in sorted(
        table.groupby(["code", "step"], sort=True), key=lambda item: (-len(item[1]), item[0])
    ):
        example = redact(str(part["sentence"].iloc[0]), hidden)
        if len(example) > _LONGEST_EXAMPLE:
            example = f"{example[: _LONGEST_EXAMPLE - 1]}…"
        rows.append((exclusion_words(str(code)).capitalize(), str(code), str(step), count(len(part)), example))
    return PageTable(
        inputs.marks.title(words.rows_title(len(table))),
        ("", "Code", "Step", "Rows", "Example"),
        tuple(rows),
        (words.HIDDEN,),
        texts=(1, 2, 4),
    )


def quality_table(inputs: StudyInputs) -> PageTable:
    """What a reader should know about image sets that were used: how the images came, and what was noted."""
    cohort = inputs.metrics["cohort"]
    quality: Mapping[str, Mapping[str, int]] = cohort.get("quality", {})
    total = int(cohort["image_sets"])
    rows = [
        (f"{title}: {name.replace('_', ' ')}", name, count(n), percent(n / total))
        for key, title in (
            ("spacing_source", "Pixel size from"),
            ("mask_source", "Contour by"),
            ("elasto_state", "Elastography"),
            ("crop", "Crop of the network"),
        )
        for name, n in quality.get(key, {}).items()
    ]
    flags = sorted(quality.get("flags", {}).items(), key=lambda item: (-item[1], item[0]))
    rows += [(f"Noted: {quality_words(flag)}", flag, count(n), percent(n / total)) for flag, n in flags]
    return PageTable(
        inputs.marks.title(f"How {count(total)} image sets came"),
        ("", "Code", "Image sets", "Share"),
        tuple(rows),
        (words.SEVERAL_NOTES,),
        texts=(1,),
    )


def provenance_table(inputs: StudyInputs, names: Iterable[str]) -> PageTable:
    """Where the numbers come from: command, seed, hashes, versions."""
    hidden = tuple(names)
    rows = [
        (redact_settings(key, hidden), redact_settings(value, hidden))
        for key, value in _flat(inputs.provenance)
        if not key.startswith("config.")
    ]
    return PageTable(inputs.marks.title("Provenance"), ("", "Value"), tuple(rows), texts=(1,))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
