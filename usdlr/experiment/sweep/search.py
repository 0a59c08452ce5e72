"""Proposals of settings: the next one follows from the finished trials, the seed and its number, and nothing else.

An interrupted search therefore goes on as if it had never stopped: no state of a random generator has to survive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import derive_seed
from usdlr.experiment.sweep.settings import SweepSettings

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

STUDY = "sweep"


def trial_name(number: int) -> str:
    """Name of a trial's point."""
    return f"trial-{number:04d}"


class Study:
    """The finished trials of a search, in an Optuna study on disk that Optuna's own tools can read.

    Parameters
    ----------
    path : Path
        The study's file (SQLite).
    settings : SweepSettings
        The space and the seed.

    Raises
    ------
    ConfigError
        If Optuna is not installed.
    DataError
        If the file cannot be read.
    """

    def __init__(self, path: Path, settings: SweepSettings) -> None:
        self._optuna = _import_optuna()
        self.settings = settings
        self.distributions = {key: _distribution(space) for key, space in settings.search.items()}
        try:
            self._study = self._optuna.create_study(
                storage=f"sqlite:///{path.resolve()}", study_name=STUDY, direction="maximize", load_if_exists=True
            )
        except Exception as error:  # whatever SQLAlchemy raises about a file that is no study
            raise DataError(
                f"found {path} cannot be read as a study ({type(error).__name__}); remove it: the finished trials are "
                "kept in outcomes/ and are entered again"
            ) from error

    @property
    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Finished and failed trials, by number."""
        trials: list[optuna.trial.FrozenTrial] = self._study.get_trials(deepcopy=False)
        return trials

    def propose(self) -> dict[str, Any]:
        """Settings of the next trial, by dotted key."""
        optuna = self._optuna
        trials = self.finished
        # A study in memory: what is proposed but not finished leaves no trace on disk.
        sampler = optuna.samplers.TPESampler(seed=derive_seed(self.settings.seed, "trial", len(trials)))
        scratch = optuna.create_study(direction="maximize", sampler=sampler)
        scratch.add_trials(trials)
        return _settings(scratch.ask(self.distributions).params, self.settings.search)

    def add(self, settings: Mapping[str, Any], value: float | None) -> None:
        """Enter a finished trial; without a value it has failed, and guides no further proposal."""
        state = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=state.FAIL if value is None else state.COMPLETE,
                value=value,
                params=_params(settings, self.settings.search),
                distributions=self.distributions,
                user_attrs={"point": trial_name(len(self.finished))},
            )
        )


def extremes(settings: SweepSettings) -> list[dict[str, Any]]:
    """Settings that show whether the space can be built: every end and choice, in turn and beside the others' first."""
    values = {
        key: list(space["choices"]) if "choices" in space else [space["low"], space["high"]]
        for key, space in settings.search.items()
    }
    first = {key: part[0] for key, part in values.items()}
    turns = max(map(len, values.values()))
    together = [{key: part[turn % len(part)] for key, part in values.items()} for turn in range(turns)]
    return together + [first | {key: value} for key, part in values.items() for value in part[1:]]


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "found no Optuna, which method: optuna needs; pip install usdlr[search], or take method: grid"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(space: Mapping[str, Any]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if "choices" in space:  # as JSON, since a study on disk keeps no lists or tables
        return CategoricalDistribution([json.dumps(choice, sort_keys=True) for choice in space["choices"]])
    low, high, log, step = space["low"], space["high"], bool(space.get("log", False)), space.get("step")
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _settings(params: Mapping[str, Any], search: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: json.loads(params[key]) if "choices" in space else params[key] for key, space in search.items()}


def _params(settings: Mapping[str, Any], search: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        key: json.dumps(settings[key], sort_keys=True) if "choices" in space else settings[key]
        for key, space in search.items()
    }
