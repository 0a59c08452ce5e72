"""Named selection steps, one after the other, from a plain configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.named_parts import Part, split_part
from usdlr.core.types import Split
from usdlr.radiomics.selection.base import ColumnSelector
from usdlr.radiomics.selection.filter_methods import CorrelationSelector, UnivariateSelector, VarianceSelector
from usdlr.radiomics.selection.forest import BorutaSelector
from usdlr.radiomics.selection.mrmr import MRMRSelector
from usdlr.radiomics.selection.sparse import ElasticNetSelector, LassoSelector

Step: TypeAlias = Part
KEY = "selection.steps"  # for messages

STEPS: dict[str, type[ColumnSelector]] = {
    selector.step: selector
    for selector in (
        VarianceSelector,
        CorrelationSelector,
        UnivariateSelector,
        MRMRSelector,
        LassoSelector,
        ElasticNetSelector,
        BorutaSelector,
    )
}


def make_step(
    step: Step, *, always: Sequence[str] = (), stability: Mapping[str, float] | None = None
) -> ColumnSelector:
    """The unfitted selector that a configuration names, its options checked.

    Parameters
    ----------
    step : str or mapping
        A name of :data:`STEPS`, or one such name to its options.
    always : sequence of str
        Columns that it never drops.
    stability : mapping of str to float, optional
        For steps that can use it and were not given their own.

    Raises
    ------
    ConfigError
        Naming what is unknown and the nearest known word.

    Examples
    --------
    >>> make_step({"mrmr": {"max_features": 10}})
    MRMRSelector(max_features=10)
    >>> make_step("mrrm")
    Traceback (most recent call last):
    ...
    usdlr.core.errors.ConfigError: found selection.steps = 'mrrm', ...; did you mean 'mrmr'?
    """
    name, options = split_part(step, KEY, STEPS, names=_options)
    maker = STEPS[name]
    if stability is not None and "stability" in _options(maker):
        options.setdefault("stability", dict(stability))
    selector = maker(**options, always=tuple(always))
    selector.check()
    return selector


def step_name(step: Step) -> str:
    """The name of a configured step.

    Raises
    ------
    ConfigError
        As :func:`make_step`.
    """
    return split_part(step, KEY, STEPS, names=_options)[0]


def _options(maker: Callable[..., Any]) -> list[str]:
    """What a configuration may set of a step: everything but the columns that no step drops."""
    return [name for name in inspect.signature(maker).parameters if name != "always"]


def check_steps(steps: Sequence[Step]) -> None:
    """Refuse a list of steps that cannot work, before anything is read.

    Raises
    ------
    ConfigError
        If the list is empty, or a step, option or value is unknown.
    """
    if isinstance(steps, (str, Mapping)) or not steps:
        raise ConfigError(f"found the selection steps {steps!r}, expected a list of some of {', '.join(STEPS)}")
    for step in steps:
        make_step(step)


def plain_steps(steps: Sequence[Step]) -> list[Any]:
    """The configuration as JSON holds it: names, or one name to a table of options."""
    return [
        step if isinstance(step, str) else {name: dict(options or {}) for name, options in step.items()}
        for step in steps
    ]


class SelectionChain(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Run selection steps in order, each on what the one before left.

    Parameters
    ----------
    steps : sequence of str or mapping
        Names of :data:`STEPS`, alone or with options: ``["variance", {"mrmr": {"max_features": 10}}]``.
    always : tuple of str
        Columns that no step drops.
    stability : mapping of str to float, optional
        Column to intraclass correlation, for the step ``correlation``; measured on training cases.

    Attributes
    ----------
    steps_ : list of ColumnSelector
        The fitted steps.
    columns_ : list of str
        Kept columns in the order of the output.
    dropped_ : dict of str to str
        Which step each other column went at, and why: ``correlation: redundant``; empty after :meth:`from_dict`.
    fitted_patients_ : frozenset of str
        Who was seen; empty after :meth:`from_dict`.
    """

    def __init__(
        self, steps: Sequence[Step], always: tuple[str, ...] = (), stability: Mapping[str, float] | None = None
    ) -> None:
        self.steps = steps
        self.always = always
        self.stability = stability

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on training rows; arguments as of :meth:`ColumnSelector.fit`.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        ConfigError
            If a step or an option is unknown or out of range.
        DataError
            If the table cannot be used, or a step leaves no column.
        """
        require_split(rows, [Split.TRAIN], "selection chain")
        check_steps(self.steps)
        selectors = [make_step(step, always=self.always, stability=self.stability) for step in self.steps]
        left = X
        self.dropped_: dict[str, str] = {}
        for selector in selectors:
            selector.fit(left, y, rows=rows)
            self.dropped_ |= {name: f"{selector.step}: {reason}" for name, reason in selector.dropped_.items()}
            if not selector.columns_:
                went = ", ".join(f"{count} {reason}" for reason, count in selector.counts_.items())
                raise DataError(
                    f"found no column left after the selection step {selector.step!r} ({went}), expected some; "
                    "loosen its options or leave it out"
                )
            left = selector.transform(left)
        self.steps_ = selectors
        self.columns_ = list(selectors[-1].columns_)
        self.fitted_patients_ = rows.patients
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The kept columns of any rows, values as they are.

        Raises
        ------
        DataError
            If a kept column is missing.
        """
        return self.steps_[-1].transform(X)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the output columns."""
        return np.array(self.columns_, dtype=object)

    def summary(self) -> list[dict[str, Any]]:
        """Per step: ``step``, ``kept`` columns and ``dropped``, a count for each reason."""
        return [{"step": one.step, "kept": len(one.columns_), "dropped": dict(one.counts_)} for one in self.steps_]

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        return {
            "config": plain_steps(self.steps),
            "always": list(self.always),
            "steps": [one.to_dict() for one in self.steps_],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        ConfigError
            If a step is unknown.
        """
        chain = cls(list(state["config"]), tuple(state["always"]))
        chain.steps_ = []
        for one in state["steps"]:
            if one["step"] not in STEPS:
                raise ConfigError(
                    f"found the selection step {one['step']!r} in a stored model, expected some of {', '.join(STEPS)}; "
                    "read it with the version of usdlr that wrote it"
                )
            chain.steps_.append(STEPS[one["step"]].from_dict(one))
        chain.columns_ = list(chain.steps_[-1].columns_)
        chain.dropped_ = {}
        chain.fitted_patients_ = frozenset()
        return chain
