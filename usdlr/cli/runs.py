"""``usdlr runs``: a table that compares runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.files import write_atomic
from usdlr.core.types import ContractStatus, Stage
from usdlr.decision.numbers import NBSP, interval, number, percent
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED, UNCERTIFIED, standing
from usdlr.experiment.runs import FINISHED, SETTING, STEP, runs_table, short_keys, sort_runs

_WIDEST = 36


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser(
        "runs", "Compare runs: usdlr runs FOLDER... [--against RUN] [--sort KEY] [--steps] [--csv FILE]"
    )
    parser.add_argument("folders", type=str, nargs="+", help="runs, or folders that hold runs at any depth")
    parser.add_argument(
        "--against", type=str, default=None, help="a run: adds every other run's paired difference of AUC to it"
    )
    parser.add_argument(
        "--sort", type=str, default=None, help="a column of the CSV, or a configuration key that differs"
    )
    parser.add_argument("--csv", type=str, default=None, help="write the whole table into this file")
    parser.add_argument("--steps", action="store_true", help="show how long every step of every run took")
    options = parse(parser, argv)
    table = runs_table([Path(folder) for folder in options.folders])
    if options.against is not None:
        # Reading outcomes needs the whole package; the table alone does not.
        from usdlr.experiment.paired import with_differences

        table = with_differences(table, Path(options.against))
    if options.sort is not None:
        table = sort_runs(table, options.sort)
    print(aligned(cells(table)))
    if options.steps:
        print(f"\n{aligned(step_cells(table))}\n")
    for line in notes(table):
        print(line)
    if options.csv is not None:
        target = Path(options.csv)
        write_atomic(target, lambda path: table.to_csv(path, index=False))
        print(f"table: {target}")


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as short texts, from :func:`usdlr.experiment.runs.runs_table`; empty columns are left out."""
    keys = [str(column) for column in table if str(column).startswith(SETTING)]
    names = short_keys([key.removeprefix(SETTING) for key in keys])
    out: dict[str, list[str]] = {"run": list(map(str, table["name"]))}
    if (table["state"] != FINISHED).any():
        out["state"] = list(map(str, table["state"]))
    for key in keys:
        out[names[key.removeprefix(SETTING)]] = [_cut(str(value)) for value in table[key]]
    for stage in Stage:
        area, word = f"{stage}_auc", str(stage).upper()
        out[f"{word} AUC (95 %)"] = _each(table, area, lambda row, area=area: _estimate(row, area))
        if f"{stage}_difference" in table:
            column = f"{stage}_difference"
            out[f"{word} difference (95 %)"] = _each(table, column, lambda row, c=column: _estimate(row, c))
        share = f"{stage}_share_of_limit"
        out[f"{word} of limit"] = _each(table, share, lambda row, share=share: percent(row[share], 0))
        best = f"{stage}_best_baseline"
        out[f"{word} best baseline"] = _each(
            table, f"{best}_auc", lambda row, best=best: f"{number(row[f'{best}_auc'], 3)} {row[best]}"
        )
    for stage in Stage:
        rate = f"fnr_{stage}"
        out[f"FNR {str(stage).upper()}"] = _each(table, rate, lambda row, rate=rate: _rate(row, rate))
    out["contract"] = [value if isinstance(value, str) else "" for value in table["contract"]]
    out["n"] = _each(table, "axillae", lambda row: f"{row['axillae']:.0f}")
    out["seed"] = ["" if pd.isna(seed) else f"{seed:.0f}" for seed in table["seed"]]
    out["wall"] = _each(table, "wall_s", lambda row: f"{row['wall_s']:.0f} s")
    out["folder"] = list(map(str, table["folder"]))
    kept = {name: values for name, values in out.items() if any(values)}
    return pd.DataFrame(kept)


def step_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds of every step as short texts, one row per step and one column per run."""
    steps = [str(column) for column in table if str(column).startswith(STEP)]
    out = {"seconds of": [step.removeprefix(STEP) for step in steps]}
    for (_, row), name in zip(table.iterrows(), _told_apart(table), strict=True):
        out[name] = ["" if pd.isna(row[step]) else f"{row[step]:.1f}" for step in steps]
    return pd.DataFrame(out)


def _told_apart(table: pd.DataFrame) -> list[str]:
    """Names of the runs, or their folders where names repeat."""
    return list(map(str, table["folder"] if table["name"].duplicated().any() else table["name"]))


def aligned(texts: pd.DataFrame) -> str:
    """Texts in columns, two spaces apart."""
    columns = [[str(name), *texts[name]] for name in texts]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ).replace(NBSP, " ")


def notes(table: pd.DataFrame) -> list[str]:
    """What has to be said under a table of runs."""
    lines = []
    if "not_compared" in table:
        own = table["not_compared"] == "the run itself"
        refused = table[table["not_compared"].notna() & ~own]
        lines += [f"not compared: {reason}" for reason in dict.fromkeys(map(str, refused["not_compared"]))]
        lines.append("differences: AUC of the run minus AUC of the run compared with, paired by axilla (DeLong).")
    if (table["contract"] == UNCERTIFIED).any():
        lines.append(
            f"{UNCERTIFIED}: the calibration patients do not support the promised false-negative rates; the rates are "
            "those of a zero-miss threshold."
        )
    marginal = standing(ContractStatus.MARGINAL)
    if (table["contract"] == marginal).any():
        lines.append(f"{marginal}: rates are promised on average over many calibrations, with no stated confidence.")
    if len(table) > 1:
        lines.append("Choosing a run by these AUCs is selection on the test patients.")
    if (table["cohort"] == "simulated").any():
        lines.append(SIMULATED)
    return [*lines, NOT_A_MEDICAL_DEVICE]


def _each(table: pd.DataFrame, column: str, text: Any) -> list[str]:
    return ["" if pd.isna(row[column]) else text(row) for _, row in table.iterrows()]


def _estimate(row: pd.Series, column: str) -> str:
    return f"{number(row[column], 3)} ({interval(_known(row[f'{column}_low']), _known(row[f'{column}_high']), 3)})"


def _rate(row: pd.Series, column: str) -> str:
    return f"{percent(row[column])} ({row[f'{column}_misses']:.0f} of {row[f'{column}_positives']:.0f})"


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
