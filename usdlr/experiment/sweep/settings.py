"""The file of a sweep: which experiment, which settings vary, and what a search may look at."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest

GRID, OPTUNA = "grid", "optuna"
METHODS = (GRID, OPTUNA)
TUNING = "tuning"
OBJECTIVES = ("tuning.sln.auc", "tuning.nsln.auc", "tuning.mean.auc")
# What metrics.json holds about test patients.
OF_TEST_ROWS = ("stages", "cascade", "baselines", "oracle", "limit", "test")
_RANGE = ("low", "high", "log", "step")
# Decided by the sweep itself, or by the machine.
_NOT_VARIED = {
    "data.root": "the folder of the data is the same for all points; give it as --data.root",
    "jobs": "the number of processes decides no result; give it as --jobs",
    "name": "every point keeps the experiment's name; its folder tells it apart",
    "question": "every point asks the experiment's question",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: ``1e-4`` is one."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class SweepSettings:
    """A sweep.

    Parameters
    ----------
    experiment : str
        The experiment's file, relative to the sweep's file.
    method : str
        ``grid``: every combination. ``optuna``: settings proposed by a tree-structured Parzen estimator.
    grid : mapping of str to list
        For ``grid``: values by dotted configuration key. A value is what the experiment's file could hold there: a
        number, a list, a part with options, or the path of a component's file relative to the sweep's file.
    search : mapping of str to mapping
        For ``optuna``: ``{low: a, high: b}`` with ``log: true`` or ``step: s``, whole numbers if both ends are; or
        ``{choices: [...]}``.
    objective : str
        What a search makes large, and by what a fold chooses in the nested estimate: ``tuning.sln.auc``,
        ``tuning.nsln.auc`` or ``tuning.mean.auc`` (of both stages), means over the folds on tuning axillae.
    trials : int
        Number of settings that a search tries; may be raised later.
    seed : int
        Seed of the search.
    seeds : list of int
        Seeds of the experiment: every point is run once with each, on splits of its own. Empty: the experiment's seed.

    Raises
    ------
    ConfigError
        If a word or number cannot work, or the objective would choose by test results.
    """

    experiment: str
    method: str = GRID
    grid: Mapping[str, list[Any]] = field(default_factory=dict)
    search: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: str = OBJECTIVES[0]
    trials: int = 20
    seed: int = 0
    seeds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key, kind, word in (
            ("experiment", str, "the path of a file"),
            ("method", str, f"one of {', '.join(METHODS)}"),
            ("grid", Mapping, "keys with lists of values"),
            ("search", Mapping, "keys with ranges or choices"),
            ("objective", str, f"one of {', '.join(OBJECTIVES)}"),
            ("seeds", list, "a list of whole numbers"),
        ):
            if not isinstance(getattr(self, key), kind):
                raise ConfigError(f"found {key} = {getattr(self, key)!r}, expected {word}")
        if self.method not in METHODS:
            raise ConfigError(
                f"found method = {self.method!r}, expected {' or '.join(METHODS)}{nearest(self.method, METHODS)}"
            )
        used, unused = (GRID, "search") if self.method == GRID else ("search", GRID)
        if not getattr(self, used) or getattr(self, unused):
            raise ConfigError(f"found method = {self.method} with {self._filled()}, expected {used} alone to be filled")
        for name, whole, least in (("trials", self.trials, 1), ("seed", self.seed, 0)):
            if not _is_whole(whole) or whole < least:
                raise ConfigError(f"found {name} = {whole!r}, expected a whole number of at least {least}")
        if not all(map(_is_whole, self.seeds)) or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"found seeds = {self.seeds}, expected different whole numbers")
        self._check_objective()
        for key in self.keys:
            if key in _NOT_VARIED:
                raise ConfigError(
                    f"found {key} in {used}, expected a setting that decides the result; {_NOT_VARIED[key]}"
                )
            below = [other for other in self.keys if other.startswith(f"{key}.")]
            if below:
                raise ConfigError(f"found both {key} and {below[0]} in {used}, expected one of them; they overlap")
        if self.seeds and "seed" in self.keys:
            raise ConfigError(f"found seed in {used} and seeds beside it, expected one of them")
        for key, values in self.grid.items():
            _check_values(f"grid.{key}", values)
        for key, space in self.search.items():
            _check_space(f"search.{key}", space)

    @property
    def files(self) -> list[Path]:
        """Components' files that stand among the values."""
        spaces = [space.get("choices", []) for space in self.search.values()]
        every = [value for values in (*self.grid.values(), *spaces) for value in values]
        return [Path(value) for value in every if is_component(value)]

    @property
    def keys(self) -> list[str]:
        """Dotted keys of the settings that vary, in the file's order."""
        return [str(key) for key in (self.grid if self.method == GRID else self.search)]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def _filled(self) -> str:
        filled = [key for key in (GRID, "search") if getattr(self, key)]
        return " and ".join(filled) or "neither grid nor search"

    def _check_objective(self) -> None:
        head = self.objective.split(".")[0]
        if head in OF_TEST_ROWS and self.method == OPTUNA:
            raise ConfigError(
                f"found objective = {self.objective}, expected one of {', '.join(OBJECTIVES)}: {head}.* counts test "
                "patients, and settings that were chosen by them make every later statement about them too good; "
                "search on tuning patients"
            )
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"found objective = {self.objective!r}, expected one of {', '.join(OBJECTIVES)}"
                f"{nearest(self.objective, OBJECTIVES)}; the test results of every point are in the table anyway"
            )


def read_sweep(path: Path) -> SweepSettings:
    """Read and check a sweep's file; paths inside it are made absolute, so that they hold wherever it is used.

    Raises
    ------
    ConfigError
        If it is missing, is no YAML, or holds an unknown key or an impossible value.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        raise ConfigError(f"found no file {path}, expected a sweep; check the path") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"found {path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"found no keys in {path}, expected experiment, method and grid or search")
    known = [item.name for item in fields(SweepSettings)]
    for key in content:
        if key not in known:
            raise ConfigError(
                f"found the unknown key {key!r} in {path}, expected some of {', '.join(known)}"
                f"{nearest(str(key), known)}"
            )
    if "experiment" not in content:
        raise ConfigError(f"found no experiment in {path}, expected the path of an experiment's file; add it")
    try:
        settings = SweepSettings(**content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    folder = path.resolve().parent
    experiment = (folder / settings.experiment).resolve()
    if not experiment.is_file():
        raise ConfigError(
            f"found experiment = {settings.experiment} in {path}, but no file {experiment}; paths are relative to the "
            "sweep's file"
        )
    content["experiment"] = str(experiment)
    content["grid"] = {str(key): [_found(value, folder) for value in values] for key, values in settings.grid.items()}
    content["search"] = {
        str(key): {
            name: [_found(choice, folder) for choice in value] if name == "choices" else value
            for name, value in space.items()
        }
        for key, space in settings.search.items()
    }
    return SweepSettings(**content)


def is_component(value: Any) -> bool:
    """Whether a value is the path of a component's file."""
    return isinstance(value, str) and value.endswith((".yaml", ".yml"))


def _found(value: Any, folder: Path) -> Any:
    """A component's file, relative to the sweep's, as an absolute path; everything else as it is."""
    return str((folder / value).resolve()) if is_component(value) else value


def _check_values(what: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"found {what} = {values!r}, expected a list of one or more values")
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ConfigError(f"found {value!r} twice in {what}, expected different values")


def _check_space(what: str, space: Any) -> None:
    if not isinstance(space, Mapping):
        raise ConfigError(f"found {what} = {space!r}, expected {{low: a, high: b}} or {{choices: [...]}}")
    if set(space) == {"choices"}:
        return _check_values(f"{what}.choices", space["choices"])
    unknown = [name for name in space if name not in _RANGE]
    if unknown or not {"low", "high"} <= set(space):
        wrong = f"the key {unknown[0]!r}" if unknown else f"{', '.join(map(str, space)) or 'nothing'}"
        raise ConfigError(
            f"found {wrong} in {what}, expected low and high, with log or step if wanted, or choices alone"
        )
    given: dict[str, Any] = {name: space.get(name) for name in _RANGE}
    low, high, log, step = given.values()
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ConfigError(f"found {what} from {low!r} to {high!r}, expected two numbers, the smaller first")
    if log not in (None, True, False) or (step is not None and not (_is_number(step) and step > 0)):
        raise ConfigError(f"found log = {log!r} and step = {step!r} in {what}, expected true or false, and above 0")
    if log and (low <= 0 or step is not None):
        raise ConfigError(
            f"found {what} with log: true, low = {low} and step = {step}, expected low above 0 and no step"
        )
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
