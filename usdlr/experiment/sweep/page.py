"""One page for a sweep: what was chosen and how, every point with its interval, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten
from typing import Any

import pandas as pd

from usdlr.core.types import Stage
from usdlr.decision.numbers import estimate_text, interval, number, rate_text
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED
from usdlr.experiment.runs import SETTING, short_keys
from usdlr.experiment.sweep.figure import forest
from usdlr.experiment.sweep.settings import GRID, SweepSettings

SELECTION = (
    "This grid chose nothing. Picking its best row by the test AUC is selection on the test patients: the AUC of the "
    "row picked that way is too good, the more so the more rows there are."
)
NOT_NESTED = (
    "The settings were chosen by the AUC on tuning patients, averaged over the folds; no test row was read. In "
    "cross-validation the tuning patients of one fold are test patients of another, so the test AUC of the chosen "
    "point is not nested and somewhat too good. The nested estimate is."
)
NESTED = (
    "every fold took the settings that are best on its own tuning patients, and is judged on its own test patients."
)
PROPOSED = (
    "The choice is nested; which settings there were to choose from is not: the search proposed them by the mean over "
    "all folds."
)
_STYLE = (
    "body{font:14px/1.45 'Helvetica Neue',Helvetica,Arial,sans-serif;color:#1a1a1a;max-width:76rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse;font-size:12px}th,td{border-bottom:1px solid #c9ccd1;padding:.25rem "
    ".6rem;text-align:left;white-space:nowrap;font-variant-numeric:tabular-nums}"
    "td.reason{white-space:normal;min-width:18rem}.scroll{overflow-x:auto}"
    ".notice{border-left:4px solid #d55e00;padding:.4rem .8rem;"
    "background:#f3f4f6}svg{max-width:100%;height:auto}footer{color:#5a5a5a;margin-top:2rem;font-size:12px}"
)


def sweep_page(
    settings: SweepSettings,
    table: pd.DataFrame,
    *,
    title: str,
    question: str,
    simulated: bool,
    nested: Sequence[Mapping[str, Any]],
    chosen: str | None,
    seeds: pd.DataFrame | None = None,
) -> str:
    """A self-contained HTML page.

    Parameters
    ----------
    settings : SweepSettings
        The sweep.
    table : DataFrame
        From :func:`usdlr.experiment.sweep.table.sweep_table`.
    title, question : str
        Of the experiment.
    simulated : bool
        Whether the patients are simulated; the title says so.
    nested : sequence of mapping
        Nested estimates, one per seed.
    chosen : str or None
        The point that a search chose.
    seeds : DataFrame, optional
        From :func:`usdlr.experiment.sweep.table.over_seeds`.
    """
    mark = " (simulated)" if simulated else ""
    failed = int((table["state"] != "finished").sum())
    parts = [
        f"<h1>Sweep of {escape(title)}{mark}</h1>",
        f"<p>{escape(question)}</p>",
        f"<p>{len(table)} points, {len(table) - failed} finished, {failed} failed.</p>",
    ]
    notice = SELECTION if settings.method == GRID else NOT_NESTED
    parts.append(f'<p class="notice">{escape(notice)}</p>')
    if chosen is not None:
        parts.append(f"<p>Chosen by {escape(settings.objective)}: <b>{escape(chosen)}</b>.</p>")
    parts += [f"<p>{escape(line)}</p>" for line in nested_lines(settings, nested)]
    if table["sln_auc"].notna().any():
        figure = forest(table, chosen)
        parts.append(f"<figure>{figure.svg}<figcaption>{escape(figure.caption)}</figcaption></figure>")
    parts.append(_html(point_cells(table)))
    if seeds is not None:
        parts += ["<h2>Over seeds</h2>", f"<p>{escape(_SEEDS)}</p>", _html(_seed_cells(seeds))]
    notes = [SIMULATED] if simulated else []
    parts.append(f"<footer>{escape(' '.join([*notes, NOT_A_MEDICAL_DEVICE]))}</footer>")
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sweep of {escape(title)}{mark}</title>'
    return f"{head}<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"


_SEEDS = (
    "Mean and standard deviation over seeds; difference to the first point, paired by seed, with Student's 95 % "
    "interval: it speaks of other splits and starting weights on these patients, not of other patients."
)


def nested_lines(settings: SweepSettings, nested: Sequence[Mapping[str, Any]]) -> list[str]:
    """The nested estimates in words."""
    lines = []
    for entry in nested:
        seed = "" if entry.get("seed") is None else f" (seed {entry['seed']})"
        if "stages" not in entry:
            lines.append(f"No nested estimate{seed}: {entry['reason']}")
            continue
        areas = "; ".join(
            f"{str(stage).upper()} AUC {estimate_text(entry['stages'][stage]['auc'])}, n = "
            f"{entry['stages'][stage]['auc']['n']}"
            for stage in Stage
        )
        choice = ", ".join(f"fold {fold}: {name}" for fold, name in entry["chosen"].items())
        lines.append(
            f"Nested estimate{seed}: {areas}; {NESTED} By {entry['objective']} out of {entry['points']} points: "
            f"{choice}."
        )
    if settings.method != GRID and any("stages" in entry for entry in nested):
        lines.append(PROPOSED)
    return lines


def point_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as short texts."""
    keys = [str(column) for column in table if str(column).startswith(SETTING)]
    names = short_keys([key.removeprefix(SETTING) for key in keys])
    cells: dict[str, list[str]] = {"point": [str(name) for name in table["point"]]}
    cells |= {names[key.removeprefix(SETTING)]: [str(value) for value in table[key]] for key in keys}
    cells["objective (tuning)"] = [_text(value, 3) for value in table["objective"]]
    for stage in Stage:
        cells[f"{str(stage).upper()} AUC (test)"] = [
            estimate_text({key: _null(row[f"{stage}_auc{end}"]) for key, end in _ENDS}) if row[f"{stage}_auc"] else ""
            for _, row in table.fillna({f"{stage}_auc": 0}).iterrows()
        ]
    cells["FNR SLN"] = [
        "" if _null(row["fnr_sln"]) is None else rate_text({key: _null(row[f"fnr_sln{end}"]) for key, end in _ENDS})
        for _, row in table.iterrows()
    ]
    cells["contract"] = [value if isinstance(value, str) else "" for value in table["contract"]]
    cells["time"] = [_text(value, 0) + (" s" if _null(value) is not None else "") for value in table["wall_s"]]
    cells["state"] = [
        state if not isinstance(reason, str) else f"{state}: {shorten(reason, 300)}"
        for state, reason in zip(table["state"], table["reason"], strict=True)
    ]
    return pd.DataFrame(cells)


_ENDS = (("value", ""), ("low", "_low"), ("high", "_high"))


def _seed_cells(table: pd.DataFrame) -> pd.DataFrame:
    keys = [str(column) for column in table if str(column).startswith(SETTING)]
    names = short_keys([key.removeprefix(SETTING) for key in keys])
    cells: dict[str, list[str]] = {
        names[key.removeprefix(SETTING)]: [str(value) for value in table[key]] for key in keys
    }
    cells["seeds"] = [str(value) for value in table["seeds"]]
    for stage in Stage:
        area, word = f"{stage}_auc", str(stage).upper()
        rows = [row for _, row in table.iterrows()]
        cells[f"{word} AUC"] = [_spread(row, area) for row in rows]
        cells[f"{word} difference"] = [_difference(row, f"{area}_difference", first=row is rows[0]) for row in rows]
    return pd.DataFrame(cells)


def _spread(row: pd.Series, area: str) -> str:
    mean, sd = _text(row[f"{area}_mean"], 3), _text(row[f"{area}_sd"], 3)
    return f"{mean} ± {sd}" if sd else mean


def _difference(row: pd.Series, column: str, *, first: bool) -> str:
    if first:
        return "reference"
    value = _text(row[column], 3)
    return f"{value} ({interval(_null(row[f'{column}_low']), _null(row[f'{column}_high']), 3)})" if value else ""


def _html(cells: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in cells)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{"reason" if name == "state" else "cell"}">{escape(str(value))}</td>'
            for name, value in zip(cells.columns, row, strict=True)
        )
        + "</tr>"
        for row in cells.itertuples(index=False)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _null(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _text(value: Any, digits: int) -> str:
    known = _null(value)
    return "" if known is None else number(known, digits)
