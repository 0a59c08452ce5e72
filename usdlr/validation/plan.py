"""What a validation will ask, written down before anybody looks at an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.columns import PROXY_PREFIX
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import data_hash
from usdlr.core.named_parts import nearest
from usdlr.core.types import Stage
from usdlr.core.where import checked_conditions
from usdlr.evaluation.levels import VARIABLES
from usdlr.ingest.settings import IngestSettings

SCHEMA = 1
LONGEST_FILE = 1 << 20  # bytes: a plan is a page of text


@dataclass(frozen=True)
class Endpoint:
    """What one stage is judged on.

    Parameters
    ----------
    column : str
        Column of ``cases``, or of the file of outcomes.
    positive : str
        Words for the positive class.
    proxy : str or None
        A sentence where the column only stands in for node status.
    """

    column: str
    positive: str
    proxy: str | None = None


@dataclass(frozen=True)
class Hypotheses:
    """What is to be settled.

    Parameters
    ----------
    alpha : mapping of str to float
        Largest tolerated false-negative rate, ``sln`` and ``nsln``: the verdict is about these.
    auc : mapping of str to float or None
        Area under the ROC curve that the lower end of the interval should exceed; ``None``: described only.
    slope : list of float or None
        Range in which the whole interval of the calibration slope should lie; ``None``: described only.
    """

    alpha: Mapping[str, float]
    auc: Mapping[str, float | None] = field(default_factory=lambda: dict.fromkeys(map(str, Stage)))
    slope: list[float] | None = None

    def __post_init__(self) -> None:
        stages = set(map(str, Stage))
        for name, values in (("alpha", self.alpha), ("auc", self.auc)):
            if set(values) != stages:
                raise ConfigError(
                    f"found hypotheses.{name} for {', '.join(values) or 'nothing'}, expected sln and nsln; state both"
                )
            for stage, value in values.items():
                if value is None and name == "auc":
                    continue
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                    raise ConfigError(
                        f"found hypotheses.{name}.{stage} = {value!r}, expected a share between 0 and 1 such as 0.1"
                    )
        if self.slope is not None and not (len(self.slope) == 2 and self.slope[0] < self.slope[1]):
            raise ConfigError(f"found hypotheses.slope = {self.slope}, expected two ends such as [0.8, 1.2], or null")


@dataclass(frozen=True)
class Expected:
    """What the sample size rests on.

    Parameters
    ----------
    prevalence : float
        Share of axillae with a positive sentinel node.
    nsln_prevalence : float
        Share with involved non-sentinel nodes among those.
    dissected : float
        Share of SLN-positive axillae whose NSLN status becomes known.
    auc : float
        Anticipated area under the ROC curve, SLN stage.
    fnr : float
        Anticipated true false-negative rate, below the targets.
    assurance : float
        Wanted chance that the question about the false-negative rate is settled.
    """

    prevalence: float
    nsln_prevalence: float = 0.33
    dissected: float = 1.0
    auc: float = 0.8
    fnr: float = 0.05
    assurance: float = 0.8

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            low_allowed = name == "fnr"
            high_allowed = name == "dissected"
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (0 < value < 1 or (value == 0 and low_allowed) or (value == 1 and high_allowed))
            ):
                raise ConfigError(
                    f"found sample_size.{name} = {value!r}, expected a share between 0 and 1, not per cent"
                )


@dataclass(frozen=True)
class Plan:
    """A validation as it is planned.

    Parameters
    ----------
    title, question : str
        For the page.
    bundle : str
        Id of the frozen bundle: nothing else may be judged by this plan.
    registered_by, registered_on : str
        Who planned it and when, as they write it; neither is checked.
    endpoints : mapping of str to Endpoint
        ``sln`` and ``nsln``.
    hypotheses : Hypotheses
        What is to be settled.
    sample_size : Expected
        What the number of patients rests on.
    centres : list of str
        Centres that take part, as ``centre_id`` says; empty: all that the sources hold.
    development_centres : list of str
        Those of them at which the model was made, so that the contract speaks of their later patients.
    sources : mapping of str to str
        Adapter by the name under which a raw export is given (``--data.NAME FOLDER``); a name that is an adapter's own
        need not stand here.
    ingest : IngestSettings
        How raw exports are read.
    where : mapping
        Who belongs to it, by what is known before surgery, see :mod:`usdlr.core.where`; beside the bundle's own
        conditions.
    subgroups : list of str
        Variables by which figures are divided, no others.
    shift_rate : float
        Stated false-alarm rate of the comparison with the training patients.
    gallery : int
        Cases that the page shows, misses first.
    """

    title: str
    question: str
    bundle: str
    endpoints: Mapping[str, Endpoint]
    hypotheses: Hypotheses
    sample_size: Expected
    registered_by: str = ""
    registered_on: str = ""
    centres: list[str] = field(default_factory=list)
    development_centres: list[str] = field(default_factory=list)
    sources: Mapping[str, str] = field(default_factory=dict)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    where: Mapping[str, Any] = field(default_factory=dict)
    subgroups: list[str] = field(default_factory=lambda: [one.name for one in VARIABLES])
    shift_rate: float = 0.05
    gallery: int = 12

    def __post_init__(self) -> None:
        if set(self.endpoints) != set(map(str, Stage)):
            raise ConfigError(f"found endpoints {', '.join(self.endpoints)}, expected sln and nsln; state both")
        if self.column(Stage.SLN) == self.column(Stage.NSLN):
            raise ConfigError(
                f"found {self.column(Stage.SLN)!r} as the endpoint of both stages, expected two; correct the plan"
            )
        object.__setattr__(self, "where", checked_conditions(self.where))
        known = [one.name for one in VARIABLES]
        for name in self.subgroups:
            if name not in known:
                raise ConfigError(
                    f"found the subgroup {name!r}, expected some of {', '.join(known)}{nearest(name, known)}"
                )
            if any(self.column(stage).startswith(PROXY_PREFIX + name) for stage in Stage):
                raise ConfigError(f"found the subgroup {name!r}, of which an endpoint is made; leave one of them out")
        if not 0 < self.shift_rate < 1:
            raise ConfigError(f"found shift_rate = {self.shift_rate}, expected a share such as 0.05")
        if self.gallery < 0:
            raise ConfigError(f"found gallery = {self.gallery}, expected a number of cases of at least 0")
        strangers = [name for name in self.development_centres if self.centres and name not in self.centres]
        if strangers:
            raise ConfigError(
                f"found development_centres with {strangers[0]!r}, which is not among the centres of the plan; add it"
            )

    def column(self, stage: Stage) -> str:
        """The endpoint's column of a stage."""
        return self.endpoints[str(stage)].column

    @property
    def columns(self) -> dict[Stage, str]:
        """The endpoint's column by stage."""
        return {stage: self.column(stage) for stage in Stage}

    def as_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the file."""
        plain: dict[str, Any] = {"schema": SCHEMA, **asdict(self)}
        return plain

    @property
    def hash(self) -> str:
        """SHA-256 of what the plan says, whatever its layout and comments."""
        return data_hash(self.as_dict())


_NESTED: Mapping[str, Any] = {"hypotheses": Hypotheses, "sample_size": Expected, "ingest": IngestSettings}


def plan_from(content: object, name: str) -> Plan:
    """A plan from plain data; unknown keys are refused.

    Parameters
    ----------
    content : object
        What the file holds.
    name : str
        Of the file, for messages.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value cannot be.
    """
    values = _mapping(content, name)
    if values.pop("schema", None) != SCHEMA:
        raise ConfigError(f"found no schema {SCHEMA} in {name}, expected a plan that `usdlr validate plan` wrote")
    _only(values, Plan, name)
    try:
        ends = _mapping(values["endpoints"], f"endpoints of {name}")
        for key, part in ends.items():
            ends[key] = _built(Endpoint, part, f"endpoints.{key} of {name}")
        values["endpoints"] = ends
        for key, kind in _NESTED.items():
            if key in values:
                values[key] = _built(kind, values[key], f"{key} of {name}")
        for key in ("centres", "development_centres", "subgroups"):
            if key in values and not _texts(values[key]):
                raise ConfigError(f"found {key} = {values[key]!r} in {name}, expected a list of names")
        for key in ("title", "question", "bundle", "registered_by", "registered_on"):
            if key in values and not isinstance(values[key], str):
                raise ConfigError(f"found {key} = {values[key]!r} in {name}, expected text; put it in quotation marks")
        return Plan(**values)
    except KeyError as error:
        raise ConfigError(
            f"found no {error} in {name}, expected it; write a template with usdlr validate plan"
        ) from error
    except TypeError as error:
        raise ConfigError(f"found a value in {name} that cannot be used ({error}); correct it") from error


def read_plan(path: Path) -> Plan:
    """Read a plan, YAML or JSON.

    Raises
    ------
    DataError
        If the file is missing or no YAML.
    ConfigError
        If it is no plan.
    """
    if not path.is_file():
        raise DataError(
            f"found no plan {path}, expected a file; write one with `usdlr validate plan --bundle B --out F`"
        )
    if path.stat().st_size > LONGEST_FILE:
        raise DataError(f"found {path} longer than {LONGEST_FILE} bytes, expected a plan; check the path")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"found {path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    return plan_from(content, str(path))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two plans as plain data: ``key: old -> new``, one line each.

    Examples
    --------
    >>> differences({"gallery": 12, "where": {}}, {"gallery": 6, "where": {}})
    ['gallery: 12 -> 6']
    """
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before} -> {after}")
    return lines


def _mapping(content: object, name: str) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"found {type(content).__name__} in {name}, expected keys with values; see the template")
    return dict(content)


def _only(values: Mapping[str, Any], kind: Any, name: str) -> None:
    known = [one.name for one in fields(kind)]
    for key in values:
        if key not in known:
            raise ConfigError(
                f"found the unknown key {key!r} in {name}, expected one of {', '.join(known)}{nearest(key, known)}"
            )


def _built(kind: Any, part: object, name: str) -> Any:
    values = _mapping(part, name)
    _only(values, kind, name)
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"found {name} incomplete or of a wrong kind ({error}); see the template") from error


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
