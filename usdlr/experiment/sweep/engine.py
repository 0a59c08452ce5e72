"""``usdlr sweep``: point after point, each a run of its own; what is finished stays finished."""

from __future__ import annotations

import errno
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.files import write_json, write_text
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.progress import say
from usdlr.core.provenance import package_versions
from usdlr.experiment.config import ExperimentConfig, flat
from usdlr.experiment.sweep.nested import Candidate, nested_estimate
from usdlr.experiment.sweep.objective import TuningAucs, objective_value, tuning_aucs
from usdlr.experiment.sweep.outcomes import FAILED, FINISHED, Outcome, Outcomes
from usdlr.experiment.sweep.points import Point, grid_points, with_seeds
from usdlr.experiment.sweep.search import Study, extremes, trial_name
from usdlr.experiment.sweep.settings import GRID, SweepSettings
from usdlr.experiment.sweep.share import start_from_others

Build = Callable[[Mapping[str, Any]], ExperimentConfig]
Run = Callable[[ExperimentConfig, Path], object]
Measure = Callable[[ExperimentConfig, Path], TuningAucs]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Parameters
    ----------
    outcomes : list of Outcome
        In the order of the points.
    nested : list of dict
        One per seed: :func:`usdlr.experiment.sweep.nested.nested_estimate`, or ``reason``; with ``seed``.
    chosen : str or None
        For a search: the trial with the best mean objective.
    """

    outcomes: list[Outcome]
    nested: list[dict[str, Any]]
    chosen: str | None


def run_sweep(
    settings: SweepSettings, build: Build, out: Path, *, run: Run, measure: Measure = tuning_aucs
) -> SweepResult:
    """Run every point of a sweep, or go on with one.

    Parameters
    ----------
    settings : SweepSettings
        The sweep.
    build : callable
        From overrides by dotted key to a resolved configuration; raises :class:`ConfigError`.
    out : Path
        Folder of the sweep: ``points/NAME`` holds the runs, ``outcomes/NAME.json`` what became of them.
    run : callable
        Runs or continues one experiment in a folder, e.g. :func:`usdlr.experiment.run.run_experiment`.
    measure : callable
        AUC on tuning axillae of a finished run.

    Returns
    -------
    SweepResult
        Also written to ``nested.json``.

    Raises
    ------
    ConfigError
        If a key or value works in no point, or the folder holds another sweep.
    """
    base = build({})
    require_buildable(settings, build)
    _open(settings, base, out)
    sweep = _Sweep(settings, build, out, run, measure, Outcomes(out / "outcomes"))
    outcomes, chosen = sweep.grid() if settings.method == GRID else sweep.search()
    seeds: list[int | None] = [*settings.seeds] or [None]
    nested = [_nested(settings, out, outcomes, seed) for seed in seeds]
    write_json(out / "nested.json", nested)
    return SweepResult(outcomes, nested, chosen)


def require_buildable(settings: SweepSettings, build: Build) -> None:
    """Refuse a key or a value that works in no point; a combination that cannot work becomes a failed point.

    Raises
    ------
    ConfigError
        The first point's error, which names the key and the nearest valid one.
    """
    every = (
        [dict(point.settings) for point in grid_points(replace(settings, seeds=[]))]
        if (settings.method == GRID)
        else extremes(settings)
    )
    errors: dict[tuple[str, str], list[ConfigError | None]] = {}
    for own in every:
        try:
            build(own)
            error = None
        except ConfigError as found:
            error = found
        for key, value in own.items():
            errors.setdefault((key, json.dumps(value, sort_keys=True)), []).append(error)
    for found_errors in errors.values():
        if found_errors[0] is not None and all(error is not None for error in found_errors):
            raise found_errors[0]


def _open(settings: SweepSettings, base: ExperimentConfig, out: Path) -> None:
    """Begin a folder, or check that it holds this very sweep."""
    path = out / "sweep.yaml"
    content: dict[str, Any] = {"sweep": settings.as_dict(), "experiment": base.as_dict()}
    content["files"] = {name.stem: file_hash(name) for name in settings.files if name.is_file()}
    if out.exists() and not out.is_dir():
        raise ConfigError(f"found the file {out}, expected a folder for the sweep; choose another --out")
    if not path.exists() and out.exists() and any(out.iterdir()):
        raise ConfigError(f"found other files in {out}, expected an empty folder or a sweep; choose another --out")
    if path.exists():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        then, now = flat(before), flat(yaml.safe_load(yaml.safe_dump(content)))
        # The machine may differ, a search may go on for longer, and the experiment's file may have moved.
        free = {"experiment.jobs", "experiment.data.root", "sweep.trials", "sweep.experiment"}
        changed = sorted(key for key in then.keys() | now.keys() if key not in free and then.get(key) != now.get(key))
        if changed:
            key = changed[0]
            raise ConfigError(
                f"found a sweep with {key} = {then.get(key)!r} in {out}, asked for {now.get(key)!r} ({len(changed)} "
                "keys differ), expected the same sweep; choose another --out"
            )
        if now["sweep.trials"] < then["sweep.trials"]:
            raise ConfigError(
                f"found a sweep of {then['sweep.trials']} trials in {out}, asked for {now['sweep.trials']}, expected "
                "as many or more; choose another --out"
            )
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@dataclass
class _Sweep:
    settings: SweepSettings
    build: Build
    out: Path
    run: Run
    measure: Measure
    outcomes: Outcomes

    def grid(self) -> tuple[list[Outcome], None]:
        points = grid_points(self.settings)
        found = []
        for position, point in enumerate(points):
            say(f"point {position + 1} of {len(points)}: {point.name}")
            found.append(self._point(point, retry=True))
        return found, None

    def search(self) -> tuple[list[Outcome], str | None]:
        settings, study = self.settings, Study(self.out / "study.db", self.settings)
        found: list[Outcome] = []
        trials: list[list[Outcome]] = []
        for number in range(settings.trials):
            name = trial_name(number)
            points = with_seeds(name, self._trial_settings(study, number, name), settings.seeds)
            say(f"trial {number + 1} of {settings.trials}: {setting_line(points[0].settings)}")
            trials.append([self._trial_point(point, trials, first=number == 0) for point in points])
            found += trials[-1]
            if number == 0 and all(outcome.state == FAILED for outcome in trials[0]):
                raise DataError(
                    f"found that the first trial failed: {trials[0][0].reason}; mend it and give the same command "
                    "again, or take another seed in the sweep's file"
                )
            if number >= len(study.finished):
                study.add(points[0].settings, mean_objective(trials[-1]))
        values = [mean_objective(part) for part in trials]
        known = [position for position, value in enumerate(values) if value is not None]
        best = max(known, key=lambda position: (round(values[position] or 0.0, 9), -position), default=None)
        return found, None if best is None else trial_name(best)

    def _trial_settings(self, study: Study, number: int, name: str) -> dict[str, Any]:
        begun = self.outcomes.get(with_seeds(name, {}, self.settings.seeds)[0].name)
        return study.propose() if begun is None else begun.settings

    def _trial_point(self, point: Point, earlier: Sequence[Sequence[Outcome]], *, first: bool) -> Outcome:
        kept = self.outcomes.get(point.name)
        if kept is None or kept.state not in (FINISHED, FAILED):
            for same in (outcome for trial in earlier for outcome in trial):
                if same.settings == dict(point.settings) and same.seed == point.seed:
                    return self.outcomes.put(
                        replace(same, point=point.name, reason=f"the same settings as {same.point}", wall_s=0.0)
                    )
        # What was tried is a fact for the proposals after it: a failed trial is not tried again, save the first, which
        # fails when the command itself is wrong.
        return self._point(point, retry=first)

    def _point(self, point: Point, *, retry: bool) -> Outcome:
        kept, folder = self.outcomes.get(point.name), self.out / "points" / point.name
        if kept is not None and kept.state == FINISHED and (folder.is_dir() or kept.reason):
            return kept
        if kept is not None and kept.state == FAILED and not retry:
            return kept
        begun = replace(Outcomes.begun(point), versions=data_hash(package_versions()))
        try:
            config = self.build(point.overrides)
        except ConfigError as error:
            return self.outcomes.put(replace(begun, state=FAILED, reason=str(error)))
        continued = folder.exists()
        begun = replace(begun, shared_from=kept.shared_from if kept is not None else None)
        if not continued:
            source = start_from_others(config.as_dict(), folder, self._others(folder))
            begun = replace(begun, shared_from=None if source is None else source.name)
        self.outcomes.put(begun)
        started = time.monotonic()
        try:
            self.run(config, folder)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise  # every other point would fail of it too
            return self._failed(begun, error)
        wall_s = None if continued else round(time.monotonic() - started, 1)
        return self.outcomes.put(self._measured(replace(begun, state=FINISHED, wall_s=wall_s), config, folder))

    def _measured(self, outcome: Outcome, config: ExperimentConfig, folder: Path) -> Outcome:
        try:
            tuning = self.measure(config, folder)
            return replace(outcome, tuning=tuning, objective=objective_value(tuning, self.settings.objective))
        except InputError as error:
            return replace(outcome, reason=str(error))

    def _failed(self, begun: Outcome, error: Exception) -> Outcome:
        """A point that cannot be run is a row with its reason; a defect leaves its traceback beside."""
        reason = " ".join(str(error).split())
        if not isinstance(error, InputError):
            path = self.out / "failures" / f"{begun.point}.txt"
            write_text(path, "".join(traceback.format_exception(error)))
            reason = f"{type(error).__name__}: {reason}; the traceback is in {path.relative_to(self.out)}"
        say(f"failed: {reason}")
        return self.outcomes.put(replace(begun, state=FAILED, reason=reason))

    def _others(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.parent.glob("*") if path.is_dir() and not path.name.startswith("."))


def mean_objective(outcomes: Sequence[Outcome]) -> float | None:
    """The objective of one trial: the mean over its seeds, or ``None`` if one of them has none."""
    values = [outcome.objective for outcome in outcomes]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def setting_line(settings: Mapping[str, Any]) -> str:
    """Settings on one line."""
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())


def _nested(settings: SweepSettings, out: Path, outcomes: Sequence[Outcome], seed: int | None) -> dict[str, Any]:
    candidates = [
        Candidate(outcome.point, out / "points" / outcome.point, outcome.tuning)
        for outcome in outcomes
        if outcome.seed == seed and outcome.objective is not None and (out / "points" / outcome.point).is_dir()
    ]
    try:
        return {"seed": seed, **nested_estimate(candidates, settings.objective)}
    except InputError as error:
        return {"seed": seed, "objective": settings.objective, "reason": str(error)}
