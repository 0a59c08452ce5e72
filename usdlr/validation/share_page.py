"""Shared results of several centres as a page, with its figures and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usdlr.core.files import write_together
from usdlr.core.hashing import bytes_hash
from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, count, estimate_text, finite, number, rate_interval, rate_text
from usdlr.decision.wording import DISSECTED, NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.decision.wording_sharing import WITHOUT_PATIENTS, open_verdict_sentence, withheld_sentence
from usdlr.decision.wording_validation import Standing, centres_statement, verdict_sentence
from usdlr.report.document import Document, Figure, Notice, PageTable, Points, Prose, Section
from usdlr.report.figures_meta import Forest, ForestRow, forest_figure
from usdlr.report.html import render
from usdlr.report.pdf import pdf_or_say
from usdlr.report.style import Drawing
from usdlr.simulate.centres import SIMULATED_PREFIX
from usdlr.validation.share_cells import RATES
from usdlr.validation.share_combine import combine, rate_worth
from usdlr.validation.share_curves import curve_points, curves_figure

PAGE, PDF, RESULT = "combined.html", "combined.pdf", "combined.json"
_RATE_WORDS = {
    "fnr_sln": "Missed, of SLN-positive axillae",
    "fnr_nsln": f"Missed, of NSLN-positive axillae ({DISSECTED})",
    "spared_negative": "Spared sentinel biopsy (LR-SLN), of SLN-negative axillae",
    "defer_rate": "Deferred, of all axillae",
    "verified_share": "NSLN status known, of SLN-positive axillae",
    "prevalence": "SLN positive, of all axillae",
}


def write_combined(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Combine shared results, and write them as ``combined.json``, a page, its PDF and its figures.

    Parameters
    ----------
    paths : sequence of Path
        The centres' files.
    folder : Path
        Made if absent.

    Returns
    -------
    list of Path
        The page first.

    Raises
    ------
    DataError
        If a file is damaged, or results do not belong together.
    """
    found = combine(paths)
    figures = combined_figures(found)
    files = {path.name: bytes_hash(path.read_bytes())[:12] for path in paths}
    document = combined_page(found, figures, files)
    pdf = pdf_or_say(document)
    contents = {PAGE: render(document).encode(), **({PDF: pdf} if pdf is not None else {})}
    contents |= {RESULT: _json(found), "figures/curves.csv": curve_points(_scores(found)).encode()}
    contents |= {f"figures/{one.name}.svg": one.file_text.encode() for one in figures}
    return write_together(folder, contents)


def combined_figures(found: Mapping[str, Any]) -> list[Drawing]:
    """Forest plots of areas and of false-negative rates, and the curves."""
    marks = " (simulated)" if _simulated(found) else ""
    areas = [_area_forest(found, stage) for stage in Stage]
    rates = [forest for stage in Stage if (forest := _rate_forest(found, stage)) is not None]
    note = "Diamonds: pooled estimates; lowest line: where the estimate of a further centre like these would lie."
    drawings = [forest_figure("areas", f"Area under the ROC curve by centre{marks}", note, areas)]
    if rates:
        told = f"{note} Centres that withheld a count are not shown."
        drawings.append(forest_figure("false_negatives", f"False-negative rates by centre{marks}", told, rates))
    left = {str(stage): found["stages"][str(stage)]["left_out"] for stage in Stage}
    return [*drawings, curves_figure(_scores(found), left, simulated=bool(marks))]


def combined_page(found: Mapping[str, Any], figures: Sequence[Drawing], files: Mapping[str, str]) -> Document:
    """Everything that the page shows.

    Parameters
    ----------
    found : mapping
        From :func:`usdlr.validation.share_combine.combined`.
    figures : sequence of Drawing
        From :func:`combined_figures`.
    files : mapping of str to str
        First digits of the SHA-256 by file.
    """
    centres = found["centres"]
    verdicts = tuple(line for stage in Stage for line in _verdict_lines(found, stage))
    areas = tuple(filter(None, (_area_line(found, stage) for stage in Stage)))
    plan = f"plan {found['plan'][:12]}" if found["plan"] else "no plan that was locked beforehand"
    notices = [Notice("device", "Research software", NOT_A_MEDICAL_DEVICE)]
    if _simulated(found):
        notices.insert(0, Notice("simulated", "Simulated", SIMULATED))
    sections = (
        Section("verdict", "Targets", "The false-negative targets", (Points(verdicts), *_rates(found, figures))),
        Section("discrimination", "Areas", "Discrimination and calibration", (*_areas(found, figures),)),
        Section("curves", "Curves", "Curves of all centres together", (Figure(figures[-1]),)),
        Section("centres", "Centres", "The centres' own results", (_centres(found), _files(found, files))),
    )
    return Document(
        kind="Results of several centres",
        title=f"{len(centres)} centre{'' if len(centres) == 1 else 's'}, bundle {found['bundle']}",
        question=f"Does the model keep its targets over all centres? By {plan}.",
        summary=" ".join((*verdicts, *areas)),
        tiles=(),
        notices=tuple(notices),
        opening=(Prose((WITHOUT_PATIENTS,)),),
        sections=sections,
        footer=f"{NOT_A_MEDICAL_DEVICE} Results of {', '.join(centres)}.",
    )


def _json(found: Mapping[str, Any]) -> bytes:
    return (json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _simulated(found: Mapping[str, Any]) -> bool:
    return any(str(name).startswith(SIMULATED_PREFIX) for name in found["centres"])


def _scores(found: Mapping[str, Any]) -> dict[str, Any]:
    return {str(stage): found["stages"][str(stage)]["scores"] for stage in Stage}


def _verdict_lines(found: Mapping[str, Any], stage: Stage) -> list[str]:
    told = found["verdicts"][str(stage)]
    rate, alpha = found["rates"][f"fnr_{stage}"], float(found["alpha"][str(stage)])
    lines = []
    if not rate["withheld"] and told:
        one = told[0]
        own = one["rate"]
        lines.append(
            verdict_sentence(
                stage,
                Standing(one["standing"]),
                alpha=alpha,
                misses=int(own["events"] or 0),
                positives=int(own["n"]),
                low=own["low"],
                high=own["high"],
                further_clean=one["further_clean"],
                further_same=one["further_same"],
                towards=None if one["towards"] is None else Standing(one["towards"]),
            )
        )
        return lines
    if told:
        lines.append(open_verdict_sentence(str(stage), alpha, list(dict.fromkeys(one["standing"] for one in told))))
    ends = [None if rate[key] is None else rate[key]["fixed"]["value"] for key in ("least", "most")]
    return [*lines, withheld_sentence(_RATE_WORDS[f"fnr_{stage}"], rate["withheld"], ends[0], ends[1])]


def _area_line(found: Mapping[str, Any], stage: Stage) -> str:
    auc = found["stages"][str(stage)]["auc"]
    ends = (None, None, None) if auc is None else tuple(auc["random"][key] for key in ("value", "low", "high"))
    known = None if any(end is None for end in ends) else (float(ends[0]), float(ends[1]), float(ends[2]))
    return centres_statement(f"AUC, {stage.upper()} stage", 0 if auc is None else auc["centres"], known)


def _area_forest(found: Mapping[str, Any], stage: Stage) -> Forest:
    rows = [
        ForestRow(name, {**part["stages"][str(stage)]["estimates"]["auc"], "method": ""})
        for name, part in found["centres"].items()
        if part["stages"][str(stage)]["estimates"] is not None
    ]
    rows = rows or [ForestRow(EN_DASH, {"value": None, "low": None, "high": None, "n": 0, "method": "withheld"})]
    pooled = found["stages"][str(stage)]["auc"] or {}
    ends: dict[str, Any] = {key: pooled.get(key) for key in ("fixed", "random", "prediction")}
    return Forest(f"{stage.upper()} stage", "Area under the curve (0 to 1)", rows, **ends, reference=0.5)


def _rate_forest(found: Mapping[str, Any], stage: Stage) -> Forest | None:
    name = f"fnr_{stage}"
    rows = []
    for centre, part in found["centres"].items():
        rate = part["rates"][name]
        if rate["events"] is not None and rate["n"]:
            rows.append(ForestRow(centre, rate_worth(rate["events"], rate["n"], rate["effective"]).as_dict()))
    if not rows:
        return None
    pooled = found["rates"][name]["pooled"] or {}
    ends: dict[str, Any] = {key: pooled.get(key) for key in ("fixed", "random", "prediction")}
    target = float(found["alpha"][str(stage)])
    axis = f"{stage.upper()} positives missed (%)"
    return Forest(f"{stage.upper()} stage", axis, rows, **ends, reference=target, reference_words="target", rate=True)


def _rates(found: Mapping[str, Any], figures: Sequence[Drawing]) -> tuple[Any, ...]:
    rows = []
    for name in RATES:
        rate = found["rates"][name]
        pooled = rate["pooled"]
        if pooled is None:
            ends = [None if rate.get(key) is None else rate[key]["fixed"]["value"] for key in ("least", "most")]
            known = ends[0] is not None and ends[1] is not None
            span = rate_interval(*ends) if known else EN_DASH
            rows.append((_RATE_WORDS[name], EN_DASH, EN_DASH, f"{span}, withheld by {', '.join(rate['withheld'])}"))
            continue
        fixed = rate_text({**pooled["fixed"], "n": 1, "method": ""})
        random = EN_DASH if finite(pooled["random"]["value"]) is None else rate_text({**pooled["random"], "n": 1})
        rows.append((_RATE_WORDS[name], fixed, random, EN_DASH))
    table = PageTable(
        "Rates over all centres",
        ("", "All axillae together (95 % interval)", "Mean over centres (95 % interval)", "Range where withheld"),
        tuple(rows),
        (
            "All together: exact interval, both axillae of a patient taken as wholly alike. Mean over centres: "
            "binomial-normal model. "
            "Range: the rate if every withheld count were the smallest, and the largest, that its file allows.",
        ),
        texts=(3,),
    )
    return (*(Figure(one) for one in figures if one.name == "false_negatives"), table)


def _areas(found: Mapping[str, Any], figures: Sequence[Drawing]) -> tuple[Any, ...]:
    words = (
        ("auc", "AUC"),
        ("calibration_slope", "Calibration slope (1 is ideal)"),
        ("calibration_intercept", "Calibration in the large (0 is ideal)"),
    )
    rows: list[tuple[str, ...]] = []
    methods: list[str] = []
    for stage in Stage:
        for key, name in words:
            pooled = found["stages"][str(stage)][key]
            if pooled is None:
                rows.append((f"{stage.upper()}: {name}", "0", *(EN_DASH,) * 4))
                continue
            methods.append(pooled["method"])
            cells = [_pooled(pooled[part]) for part in ("fixed", "random")]
            prediction = pooled["prediction"]
            further = EN_DASH if finite(prediction["low"]) is None else _span(prediction)
            tau = EN_DASH if finite(pooled["tau2"]["value"]) is None else number(pooled["tau2"]["value"], 3)
            rows.append((f"{stage.upper()}: {name}", count(pooled["centres"]), *cells, further, tau))
    head = ("", "Centres", "Fixed effect", "Random effects", "A further centre", "Variance between centres")
    note = "; ".join(dict.fromkeys(methods))
    table = PageTable(
        "Estimates over all centres", head, tuple(rows), (f"{note[:1].upper()}{note[1:]}.",) if note else ()
    )
    return Figure(figures[0]), table


def _pooled(part: Mapping[str, Any]) -> str:
    return EN_DASH if finite(part["value"]) is None else estimate_text({**part, "n": 1, "method": ""})


def _span(part: Mapping[str, Any]) -> str:
    return f"{number(part['low'])} to {number(part['high'])}"


def _centres(found: Mapping[str, Any]) -> PageTable:
    rows = []
    for name, part in found["centres"].items():
        counts = part["counts"]
        cells = [
            _count(counts[key]) for key in ("axillae", "sln_positive", "missed_sln", "nsln_positive", "missed_nsln")
        ]
        aucs = [
            EN_DASH if (one := part["stages"][str(stage)]["estimates"]) is None else _pooled(one["auc"])
            for stage in Stage
        ]
        rows.append((name, *cells, *aucs))
    return PageTable(
        "What every centre shared",
        (
            "",
            "Axillae",
            "SLN positive",
            "of these missed",
            "NSLN positive",
            "of these missed",
            "AUC, SLN",
            "AUC, NSLN",
        ),
        tuple(rows),
        ("Withheld: a count of few patients, or one that would give such a count away.",),
    )


def _count(value: int | None) -> str:
    return "withheld" if value is None else count(value)


def _files(found: Mapping[str, Any], files: Mapping[str, str]) -> PageTable:
    rows = [
        (name, one["software"]["usdlr"], count(one["smallest"]), digest)
        for (name, one), digest in zip(found["centres"].items(), files.values(), strict=True)
    ]
    return PageTable(
        "The files", ("", "usdlr", "Smallest count of patients", "SHA-256, first digits"), tuple(rows), texts=(3,)
    )
