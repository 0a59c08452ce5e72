"""Scenarios by name or from a YAML file that states what differs from a named one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from usdlr.core.errors import ConfigError
from usdlr.simulate.axilla import AxillaModel
from usdlr.simulate.nodes import NodeModel
from usdlr.simulate.scenario import SCENARIOS, Logit, Scenario
from usdlr.simulate.survival import SurvivalModel

BASE = "base"
_PARTS: dict[str, Any] = {
    "sln": Logit,
    "nsln": Logit,
    "axilla": AxillaModel,
    "survival": SurvivalModel,
    "nodes": NodeModel,
}


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is stated twice: the last would win, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """One mapping of the file."""
        names = [key.value for key, _ in node.value]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise yaml.YAMLError(f"the key {twice[0]!r} is stated twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def find_scenario(name: str) -> Scenario:
    """The scenario called ``name``, or the one in the YAML file at that path.

    Raises
    ------
    ConfigError
        If there is neither, or the file holds a key or a value that a scenario does not have.

    Examples
    --------
    >>> find_scenario("rare").nsln.intercept
    -5.229
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_scenario(path)
    near = difflib.get_close_matches(name, SCENARIOS, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"found an unknown scenario {name!r}, expected one of {', '.join(SCENARIOS)} or a YAML file{hint}"
    )


def read_scenario(path: Path) -> Scenario:
    """The scenario in a YAML file: a ``base`` by name (``default`` where none is stated) and what differs from it.

    ``terms`` replace the base's as a whole; every other key is taken over from the base where it is not stated.

    Raises
    ------
    ConfigError
        Naming the file and the nearest valid key.
    """
    if not path.is_file():
        raise ConfigError(f"found no scenario file {path}, expected a YAML file or one of {', '.join(SCENARIOS)}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"found {path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"found {path} without keys, expected those of a scenario; begin with usdlr simulate --template"
        )
    base = content.pop(BASE, "default")
    if not isinstance(base, str) or base not in SCENARIOS:
        raise ConfigError(f"found base = {base!r} in {path}, expected one of {', '.join(SCENARIOS)}")
    try:
        found = _merged(SCENARIOS[base].as_dict(), content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    # A report names the scenario: two of one name would be taken for each other.
    if found.name in SCENARIOS and found.as_dict() != SCENARIOS[found.name].as_dict():
        raise ConfigError(
            f"{path}: found other coefficients under the name {found.name}, expected a name of its own; add name: and "
            "meaning:"
        )
    return found


def _merged(state: dict[str, Any], changes: dict[str, Any]) -> Scenario:
    _require_known(changes, state, "")
    for name, part in _PARTS.items():
        if name in changes:
            if not isinstance(changes[name], dict):
                raise ConfigError(f"found {name} = {changes[name]!r}, expected keys with values")
            _require_known(changes[name], state[name], f"{name}.")
            state[name] |= changes[name]
        state[name] = _built(part, name, state[name])
    whole: Scenario = _built(Scenario, "the scenario", state | {k: v for k, v in changes.items() if k not in _PARTS})
    return whole


def _built(part: Any, name: str, values: dict[str, Any]) -> Any:
    """One part of a scenario; a value of the wrong type is named."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return part(**plain)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"found a value of the wrong kind in {name} ({error}); correct it") from error


def _require_known(found: dict[str, Any], valid: Iterable[str], prefix: str) -> None:
    names = list(valid)
    for key in found:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; valid keys: {', '.join(names)}"
            raise ConfigError(f"found the unknown key {f'{prefix}{key}'!r}{hint}")


def scenario_yaml(scenario: Scenario) -> str:
    """The scenario as a file that :func:`read_scenario` takes, every coefficient stated."""
    return yaml.safe_dump(_plain(scenario.as_dict()), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
