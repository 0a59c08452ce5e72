"""A new point starts from the finished steps of another one whose settings agree, as hard links: nothing twice.

What is linked is a proposal. The new run's own journal decides, by the hashes of a step's inputs and outputs, whether
the step is done; where it is not, the step is done again. Every file of a run is replaced as a whole when it is written
again (:func:`usdlr.core.files.write_atomic`), so that a linked file never changes under the other run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_text
from usdlr.experiment.dependence import BASELINES_FREE, COHORT_FREE, settings_but
from usdlr.experiment.layout import Layout


@dataclass(frozen=True)
class SharedStep:
    """A step whose output does not depend on the whole configuration.

    Parameters
    ----------
    name : str
        In the run's journal.
    settings : tuple of str
        Dotted keys that decide it, beside those of the steps before.
    outputs : tuple of str
        Its files and folders.
    free : tuple of str
        In place of ``settings``: every key but these decides it.
    """

    name: str
    settings: tuple[str, ...]
    outputs: tuple[str, ...]
    free: tuple[str, ...] = ()

    def same(self, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Whether two configurations agree in all that decides the step."""
        if self.free:
            return settings_but(mine, self.free) == settings_but(theirs, self.free)
        return all(_at(mine, key) == _at(theirs, key) for key in self.settings)


_ENDS = {"cases": "parquet", "exclusions": "csv", "splits": "csv"}
# Where the export lies decides nothing: the journal knows its files by their hashes.
_MACHINE = ("jobs", "data.root")

SHARED = (
    SharedStep("ingest", ("data.centre", "data.ingest"), ("ingest",)),
    SharedStep("fingerprints", ("data.sln", "data.nsln"), ("work/fingerprints.parquet",)),
    SharedStep("features", ("radiomics", "engine"), ("features.parquet", "features.provenance.json")),
    SharedStep(
        "cohort",
        (),
        (
            *(
                f"{table}.{end}"
                for table in ("cases", "exclusions", "splits")
                for end in (_ENDS[table], "provenance.json")
            ),
            "work/crops.npz",
            "work/design.parquet",
        ),
        free=(*COHORT_FREE, *_MACHINE),
    ),
    SharedStep("baselines", (), ("work/baselines.parquet",), free=(*BASELINES_FREE, *_MACHINE)),
)


def start_from_others(config: Mapping[str, Any], target: Path, others: Sequence[Path]) -> Path | None:
    """Create the folder of a new run with the finished steps of the one that has most of them in common.

    Parameters
    ----------
    config : mapping
        The new run's resolved configuration.
    target : Path
        Its folder, which must not exist; it appears whole or not at all.
    others : sequence of Path
        Folders of runs of the same sweep, finished or not.

    Returns
    -------
    Path or None
        The run whose steps were taken; ``None`` where no other run has a step to give, and no folder was made.
    """
    best, steps = None, list[SharedStep]()
    for other in others:
        found = _common_steps(config, other)
        if len(found) > len(steps):
            best, steps = other, found
    if best is None or target.exists():
        return None
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for step in steps:
        for name in step.outputs:
            _link(best / name, partial / name)
        _link(best / ".journal" / f"{step.name}.json", partial / ".journal" / f"{step.name}.json")
    write_text(Layout(partial).config, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    partial.rename(target)
    return best


def steps_in_common(config: Mapping[str, Any], other: Path) -> list[str]:
    """Names of the finished steps of a run that a new one of this configuration may start from, in their order."""
    return [step.name for step in _common_steps(config, other)]


def _common_steps(config: Mapping[str, Any], other: Path) -> list[SharedStep]:
    try:
        theirs = yaml.safe_load(Layout(other).config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    found: list[SharedStep] = []
    for step in SHARED:
        if not isinstance(theirs, Mapping) or not step.same(config, theirs) or not _is_done(other, step):
            break
        found.append(step)
    return found


def _is_done(folder: Path, step: SharedStep) -> bool:
    try:
        recorded = read_json(folder / ".journal" / f"{step.name}.json")["outputs"]
    except (DataError, KeyError, TypeError):
        return False
    return all((folder / name).exists() for name in (*recorded, *step.outputs))


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another device, or a file system without hard links
        shutil.copy2(source, target)
