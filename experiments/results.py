"""Write what finished runs came to into the table of experiments/README.md and each experiment's own README.

    python experiments/results.py [--runs DIR] [--check]

``DIR/NAME/metrics.json`` and ``config.yaml`` of every experiment whose README has a place for a result are read. Their
figures are kept in ``results.json``, from which all text is made: an experiment without a run keeps what is known of
it, as long as its settings are those that were run. A run of other settings, such as continuous integration's, is left
out and named. ``--check`` writes nothing, and fails where a file is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from usdlr.cli.run import read_config
from usdlr.core.errors import DataError, InputError
from usdlr.core.files import read_json, write_text
from usdlr.core.hashing import data_hash
from usdlr.core.types import Stage

HERE = Path(__file__).resolve().parent
TABLE, RESULT = "results", "result"
NOT_RUN = "Not run at full size yet."
COLUMNS = (
    *("experiment", "AUC, stage 1", "AUC, stage 2", "best baseline", "share of the limit"),
    *("false-negative rate", "n", "command"),
)
# Where a run lies and how it was computed, not what was asked of it.
FREE = (
    *("jobs", "threads", "gallery", "data.root", "splits.table"),
    *(f"fit.{name}" for name in ("accelerator", "devices", "precision", "compile", "workers", "wandb")),
)
SECTIONS = ("data", "splits", "radiomics", "selection", "crop", "model", "fit", "contract")


def main(argv: list[str]) -> int:
    """Write or check everything; 0, or 1 where ``--check`` found a difference, or 2 for damaged input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs", help="folder of the runs, by experiment")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something is not up to date")
    options = parser.parse_args(argv)
    try:
        texts, notes = rewritten(HERE, options.runs)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(note)
    old = [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in old:
        print(f"{'out of date' if options.check else 'written'}: {path.relative_to(HERE.parent)}")
        if not options.check:
            write_text(path, texts[path])
    return 1 if options.check and old else 0


def rewritten(folder: Path, runs: Path) -> tuple[dict[Path, str], list[str]]:
    """What every file should say.

    Parameters
    ----------
    folder : Path
        Of the experiments: ``README.md`` with a place for the table, ``results.json``, and one folder each.
    runs : Path
        Of the runs, by experiment.

    Returns
    -------
    dict of Path to str
        Content by file: the table's README, ``results.json``, each experiment's README.
    list of str
        A sentence about every run that was left out.

    Raises
    ------
    InputError
        If a README has no place for its part, or a run is damaged.
    """
    kept_file = folder / "results.json"
    before: dict[str, Any] = read_json(kept_file) if kept_file.is_file() else {}
    kept: dict[str, Any] = {}
    texts: dict[Path, str] = {}
    notes: list[str] = []
    rows: list[str] = []
    for name in published(folder):
        path = folder / name / "README.md"
        readme = path.read_text(encoding="utf-8")
        asked = settings(read_config([str(folder / name / "experiment.yaml"), "--out", "unused"])[0].as_dict())
        figures, note = run_figures(runs / name, name, asked)
        if note:
            notes.append(f"{name}: {note}")
        digest = data_hash(asked)
        if figures is not None:
            kept[name] = {"settings": digest, "figures": figures}
        elif name in before and before[name]["settings"] == digest:
            kept[name] = before[name]
        elif name in before:
            notes.append(f"{name}: its settings have changed since it was run; the old result is taken out")
        known = kept[name]["figures"] if name in kept else None
        texts[path] = placed(readme, RESULT, NOT_RUN if known is None else result_lines(known), path)
        rows.append(table_row(name, readme, known))
    table = folder / "README.md"
    lines = "\n".join([f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows])
    texts[table] = placed(table.read_text(encoding="utf-8"), TABLE, lines, table)
    texts[kept_file] = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return texts, notes


def published(folder: Path) -> list[str]:
    """Names of the experiments whose README has a place for a result, sorted."""
    readmes = sorted(folder.glob("*/README.md"))
    return [path.parent.name for path in readmes if f"<!-- {RESULT}:" in path.read_text(encoding="utf-8")]


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was asked for, by dotted key, as YAML gives it back."""
    plain = yaml.safe_load(yaml.safe_dump(dict(config)))
    out: dict[str, Any] = {}
    for key, value in plain.items():
        out |= {f"{key}.{name}": part for name, part in value.items()} if key in SECTIONS else {key: value}
    out["data.external"] = sorted(out.get("data.external") or {})  # without their folders
    return {key: value for key, value in sorted(out.items()) if key not in FREE}


def run_figures(run: Path, name: str, asked: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Figures of a finished run of these very settings, or ``None`` and why they are not taken, if there is a run.

    Raises
    ------
    DataError
        If the run's files are damaged.
    """
    if not (run / "metrics.json").is_file():
        return None, ""
    metrics = read_json(run / "metrics.json")
    try:
        done = settings(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
        other = sorted(key for key in done.keys() | asked.keys() if done.get(key) != asked.get(key))
        if other:
            more = f" and {len(other) - 3} more" if len(other) > 3 else ""
            return None, f"the run has other settings ({', '.join(other[:3])}{more}); left out"
        return figures_of(metrics), ""
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"found {run} without a whole config.yaml and metrics.json ({type(error).__name__}: {error}), expected a "
            f"finished run of {name}; give usdlr run the same command again"
        ) from error


def figures_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of ``metrics.json`` that are shown."""
    stages: dict[str, Any] = {}
    for stage in map(str, Stage):
        found = metrics["stages"][stage]
        baselines = {name: part["stages"][stage]["auc"] for name, part in metrics["baselines"].items()}
        known = sorted(name for name, auc in baselines.items() if auc["value"] is not None)
        best = max(known, key=lambda name: round(baselines[name]["value"], 9), default=None)
        stages[stage] = {
            "positive": metrics["endpoints"][stage]["positive"],
            "auc": _estimate(found["auc"]),
            "best": None if best is None else {"name": best, **_estimate(baselines[best])},
            "share": _estimate(found["share_of_limit"]) if "share_of_limit" in found else None,
            "fnr": _estimate(metrics["cascade"][f"fnr_{stage}"]),
        }
    contract = metrics["cascade"]["contract"]
    folds = [part["status"] for part in metrics["cascade"]["folds"].values()]
    return {
        "simulated": bool(metrics["simulated"]),
        "stages": stages,
        "alpha": contract["alpha"],
        "contract": contract["status"],
        "folds": len(folds),
        "folds_certified": folds.count("certified"),
    }


def _estimate(estimate: Mapping[str, Any]) -> dict[str, Any]:
    return {key: estimate[key] for key in ("value", "low", "high", "n", "events") if key in estimate}


def _command(readme: str) -> str:
    """The first ``usdlr run`` of a README as one line: over the ends of continued lines, without a comment."""
    found = re.search(r"^    (usdlr run (?:.*\\\n)*.*)$", readme, re.MULTILINE)
    if found is None:
        return ""
    lines = (line.split(" #")[0].removesuffix("\\").strip() for line in found[1].splitlines())
    return f"`{' '.join(lines)}`"


def table_row(name: str, readme: str, known: Mapping[str, Any] | None) -> str:
    """One line of the table."""
    command = _command(readme)
    if known is None:
        return f"| [{name}]({name}/README.md) | not run | not run | | | | | {command} |"
    first, second = (known["stages"][str(stage)] for stage in Stage)
    cells = [
        f"[{name}]({name}/README.md)" + (" (simulated)" if known["simulated"] else ""),
        _number(first["auc"]),
        _number(second["auc"]),
        f"{_baseline(first['best'])} / {_baseline(second['best'])}",
        f"{_number(first['share'], interval=False)} / {_number(second['share'], interval=False)}",
        f"{_rate(first['fnr'])} / {_rate(second['fnr'])}, {_contract(known)}",
        f"{first['auc']['n']} / {second['auc']['n']}",
        command,
    ]
    return f"| {' | '.join(cells)} |"


def result_lines(known: Mapping[str, Any]) -> str:
    """The result in an experiment's own README."""
    who = "simulated patients, " if known["simulated"] else ""
    lines = [
        f"| {who}out-of-fold, 95 % interval | AUC | best baseline | share of the limit | false-negative rate |",
        "|---|---|---|---|---|",
    ]
    for stage in map(str, Stage):
        part = known["stages"][stage]
        share = "–" if part["share"] is None else _number(part["share"])
        lines.append(
            f"| {part['positive']}, n = {part['auc']['n']} | {_number(part['auc'])} | {_baseline(part['best'])} | "
            f"{share} | {_rate(part['fnr'])} |"
        )
    lines += [
        "",
        f"The bundle's contract is **{_contract(known)}** at {_percent(known['alpha']['sln'])} and "
        f"{_percent(known['alpha']['nsln'])}; of the folds, on whose thresholds the rates above rest, "
        f"{known['folds_certified']} of {known['folds']} are. The best of several baselines is picked by the figure "
        "that it is judged on.",
    ]
    return "\n".join(lines)


def placed(text: str, name: str, content: str, path: Path) -> str:
    """The text with new content between the two comments of a name.

    Raises
    ------
    DataError
        If there is not exactly one such pair.
    """
    pattern = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(\n?<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise DataError(
            f"found no single pair of <!-- {name}: ... --> and <!-- /{name} --> in {path}, expected one; restore it"
        )
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2].lstrip()}", text)


def _number(estimate: Mapping[str, Any] | None, *, interval: bool = True) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    value = f"{estimate['value']:.2f}"
    if not interval or estimate["low"] is None:
        return value
    return f"{value} ({estimate['low']:.2f}–{estimate['high']:.2f})"


def _baseline(best: Mapping[str, Any] | None) -> str:
    return "–" if best is None else f"`{best['name']}` {_number(best)}"


def _rate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "–"
    return (
        f"{estimate['events']} of {estimate['n']}, {_percent(estimate['value'])} "
        f"({_percent(estimate['low'])} to {_percent(estimate['high'])})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _contract(known: Mapping[str, Any]) -> str:
    return str(known["contract"]).replace("_", " ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
