"""Finished and unfinished runs side by side: what differs between them, and what each came to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json
from usdlr.core.journal import Journal, elapsed_s
from usdlr.core.named_parts import nearest
from usdlr.core.types import Stage
from usdlr.decision.wording import standing
from usdlr.experiment.layout import Layout

FINISHED = "finished"
# Settings that decide no number, or have a column of their own.
NOT_COMPARED = ("name", "question", "seed", "jobs", "data.root")
SETTING, STEP = "setting.", "step_s."
# Better is larger: sorted from the best down.
LARGER_FIRST = ("auc", "low", "high", "share_of_limit", "difference", "axillae", "patients")
_ABSENT = "–"


def runs_table(folders: Iterable[Path]) -> pd.DataFrame:
    """One row for every run at or below the folders, in the order of their paths.

    Parameters
    ----------
    folders : iterable of Path
        Runs, or folders that hold runs at any depth.

    Returns
    -------
    DataFrame
        ``name``, ``state`` (``finished``, or what is missing), ``cohort``; one column ``setting.KEY`` for every
        configuration key in which the runs differ; for both stages ``{stage}_auc``, its 95 % interval ``_low`` and
        ``_high`` and ``{stage}_n``, the ``{stage}_best_baseline`` by AUC with its AUC, ``{stage}_share_of_limit``
        (simulated cohorts), ``fnr_{stage}`` of the cascade with interval, misses and positives; ``contract``
        (``certified``, ``uncertified`` or ``marginal, uncertified``), ``axillae``, ``patients``, ``seed``, ``wall_s``
        (seconds in which any of its finished steps was at work, those taken over from another run included),
        ``folder``, and ``step_s.STEP`` from :func:`step_seconds`. Numbers that a run does not have are not-a-number.
        No column names a patient.

    Raises
    ------
    DataError
        If a folder does not exist, or no run lies in any of them.
    """
    found = find_runs(folders)
    configs = [_config(folder) for folder in found]
    settings = differing_settings(configs)
    rows = []
    for folder, config, own in zip(found, configs, settings, strict=True):
        state, metrics = run_state(folder)
        row: dict[str, Any] = {"name": str(config.get("name", folder.name)), "state": state}
        row |= {"cohort": _cohort(metrics)}
        row |= {SETTING + key: value for key, value in own.items()}
        row |= result_columns(metrics)
        times = Journal(folder).times()
        wall_s = round(elapsed_s(times.values()), 2) if times else None
        row |= {"seed": config.get("seed"), "wall_s": wall_s, "folder": str(folder)} | step_seconds(times)
        rows.append(row)
    return pd.DataFrame(rows)


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """The folders of runs at or below the given ones, each once, sorted by path; a run is not searched further.

    Raises
    ------
    DataError
        If a folder does not exist, or none holds a run.
    """
    given = list(folders)
    found: dict[Path, Path] = {}
    for folder in given:
        if not folder.is_dir():
            raise DataError(f"found no folder {folder}, expected a run or a folder of runs; check the path")
        for run in _runs_below(folder):
            found.setdefault(run.resolve(), run)
    if not found:
        named = ", ".join(map(str, given)) or "no folder at all"
        raise DataError(f"found no run in {named}, expected folders that `usdlr run --out` wrote; check the path")
    return sorted(found.values(), key=str)


def _runs_below(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        path = Path(place)
        if "config.yaml" in files and (".journal" in below or "metrics.json" in files):
            below.clear()
            yield path
        else:
            below[:] = sorted(name for name in below if not name.startswith("."))


def run_state(folder: Path) -> tuple[str, dict[str, Any]]:
    """``finished`` with the metrics, or what the run lacks, without them."""
    layout = Layout(folder)
    if layout.metrics.is_file() and layout.provenance.is_file():  # the provenance is written last
        try:
            metrics = read_json(layout.metrics)
        except DataError:
            metrics = None
        return (FINISHED, metrics) if isinstance(metrics, dict) else ("damaged metrics.json", {})
    steps = len(list((folder / ".journal").glob("*.json")))
    return f"unfinished, {steps} step{'' if steps == 1 else 's'} done", {}


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every configuration, the settings that are not the same in all of them, by dotted key.

    Parameters
    ----------
    configs : sequence of mapping
        Resolved configurations, nested.

    Returns
    -------
    list of dict
        Every dict has the same keys; a part with options (``{cross_attention: {heads: 4}}``) stays in one piece, a
        setting that a configuration does not have is a dash.

    Examples
    --------
    >>> differing_settings([{"model": {"fusion": "gated", "dropout": 0}}, {"model": {"fusion": "late", "dropout": 0}}])
    [{'model.fusion': 'gated'}, {'model.fusion': 'late'}]
    """
    found: list[dict[str, Any]] = [{} for _ in configs]
    _differ(list(configs), "", found)
    return found


def _differ(values: list[Any], prefix: str, found: list[dict[str, Any]]) -> None:
    if all(value == values[0] for value in values) or prefix in NOT_COMPARED:
        return
    present = [value for value in values if value is not None]
    if not present or not all(isinstance(value, Mapping) for value in present) or (prefix and _are_parts(present)):
        for row, value in zip(found, values, strict=True):
            row[prefix] = _ABSENT if value is None and present else setting_text(value)
        return
    for key in dict.fromkeys(name for value in present for name in value):
        parts = [value.get(key) if isinstance(value, Mapping) else None for value in values]
        _differ(parts, f"{prefix}.{key}".lstrip("."), found)


def _are_parts(values: Sequence[Mapping[str, Any]]) -> bool:
    """Parts chosen by name: one name each, and not the same one, or options under it."""
    return all(len(value) == 1 and isinstance(next(iter(value.values())), Mapping | None) for value in values)


def setting_text(value: Any) -> str:
    """A setting on one line, as short as it can be told apart.

    Examples
    --------
    >>> setting_text({"cross_attention": {"heads": 4}}), setting_text(["bmode", "elasto"]), setting_text(0.0005)
    ('cross_attention(heads=4)', 'bmode+elasto', '0.0005')
    """
    if isinstance(value, Mapping):
        return "+".join(_option_text(str(key), options) for key, options in value.items())
    if isinstance(value, list | tuple):
        return "+".join(map(setting_text, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _option_text(name: str, options: Any) -> str:
    if options is None or options == {}:
        return name
    if isinstance(options, Mapping):
        return f"{name}({', '.join(f'{key}={setting_text(item)}' for key, item in options.items())})"
    return f"{name}={setting_text(options)}"


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that still tell them apart.

    Examples
    --------
    >>> short_keys(["model.dropout", "data.sln.column", "data.nsln.column"])
    {'model.dropout': 'dropout', 'data.sln.column': 'sln.column', 'data.nsln.column': 'nsln.column'}
    """
    different = list(dict.fromkeys(keys))
    found = {}
    for key in different:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            end = parts[-length:]
            if sum(other.split(".")[-length:] == end for other in different) == 1:
                break
        found[key] = ".".join(end)
    return found


def sort_runs(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows by one column, with or without its ``setting.``; AUC, shares and differences from the best down.

    Raises
    ------
    ConfigError
        If there is no such column.
    """
    column = key if key in table else SETTING + key
    if column not in table:
        raise ConfigError(
            f"found --sort {key}, expected a column of the table: {', '.join(map(str, table.columns))}"
            f"{nearest(key, map(str, table.columns))}"
        )
    down = column.endswith(LARGER_FIRST)
    return table.sort_values(column, ascending=not down, kind="stable", na_position="last").reset_index(drop=True)


def _config(folder: Path) -> dict[str, Any]:
    path = Layout(folder).config
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"found {path} is not a readable configuration ({type(error).__name__}); restore it") from error
    if not isinstance(content, dict):
        raise DataError(f"found {path} is not a configuration, expected keys and values; restore it")
    return content


def result_columns(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of :func:`runs_table` that come from ``metrics.json``; empty metrics give empty columns."""
    row: dict[str, Any] = {}
    for stage in Stage:
        auc = _at(metrics, "stages", stage, "auc")
        name, baseline = _best_baseline(metrics, stage)
        row |= {f"{stage}_auc": _number(auc, "value")}
        row |= {f"{stage}_auc_{end}": _number(auc, end) for end in ("low", "high")}
        row |= {f"{stage}_n": _number(auc, "n")}
        row |= {f"{stage}_best_baseline": name, f"{stage}_best_baseline_auc": baseline}
        row[f"{stage}_share_of_limit"] = _number(_at(metrics, "stages", stage, "share_of_limit"), "value")
    for stage in Stage:
        rate = _at(metrics, "cascade", f"fnr_{stage}")
        row |= {f"fnr_{stage}": _number(rate, "value")}
        row |= {f"fnr_{stage}_{end}": _number(rate, end) for end in ("low", "high")}
        row |= {f"fnr_{stage}_misses": _number(rate, "events"), f"fnr_{stage}_positives": _number(rate, "n")}
    status = _at(metrics, "cascade", "contract").get("status")
    row["contract"] = None if status is None else standing(status)
    cohort = _at(metrics, "cohort")
    return row | {name: _number(cohort, name) for name in ("axillae", "patients")}


def _best_baseline(metrics: Mapping[str, Any], stage: Stage) -> tuple[str | None, float | None]:
    areas = {
        str(name): _number(_at(entry, "stages", stage, "auc"), "value")
        for name, entry in _at(metrics, "baselines").items()
    }
    known = {name: area for name, area in areas.items() if area is not None}
    best = max(known, key=lambda name: round(known[name], 9), default=None)
    return best, None if best is None else known[best]


def _cohort(metrics: Mapping[str, Any]) -> str | None:
    if not metrics:
        return None
    centres = "+".join(map(str, _at(metrics, "cohort").get("centres", [])))
    return "simulated" if metrics.get("simulated") else centres


def step_seconds(times: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Seconds of every step by ``step_s.{step}``, in order; the fits of all folds of a stage are one, added up.

    Examples
    --------
    >>> step_seconds({"ingest": (0.0, 2.0), "fit-0-sln": (2.0, 5.0), "fit-bundle-sln": (2.0, 4.0)})
    {'step_s.ingest': 2.0, 'step_s.fits-sln': 5.0}
    """
    found: dict[str, float] = {}
    for step, (began, ended) in times.items():
        name = STEP + (f"fits-{step.rpartition('-')[2]}" if step.startswith("fit-") else step)
        found[name] = round(found.get(name, 0.0) + ended - began, 2)
    return found


def _at(content: Mapping[str, Any], *keys: object) -> Mapping[str, Any]:
    """A nested table; empty where the path does not exist, as in the metrics of an earlier version."""
    found: Any = content
    for key in keys:
        found = found.get(str(key)) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(content: Mapping[str, Any], key: str) -> float | None:
    value = content.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
