"""One dialect for every command, and one line for every mistake: what, where, and the nearest valid key."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace

from usdlr.core.errors import ConfigError

UNKNOWN = (
    re.compile(r"Group '(?P<group>[^']*)' does not accept option '(?P<key>[^']+)'"),
    re.compile(r"Key '(?P<key>[^']+)' is not expected"),
    re.compile(r"No action for key \"?(?P<key>[^\"\s]+)\"?"),
    re.compile(r"does not accept nested key '(?P<key>[^']+)'"),
    re.compile(r"Option '(?P<key>[^']+)' is not accepted"),
)
UNRECOGNISED = re.compile(r"unrecognized arguments: (?P<words>.*)")
GIVEN = re.compile(r"(?:Given|Got) value: (?P<value>.*)$")
TYPE = re.compile(r"<class '(\w+)'>")
TYPES = {
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "str": "text",
    "tuple": "a list such as [a, b]",
    "list": "a list such as [a, b]",
    "dict": "a mapping such as {a: 1}",
    "NoneType": "null",
}
WRONG_VALUE = re.compile(r"Parser key \"(?P<key>[^\"]+)\":\s*(?P<why>.*)", re.DOTALL)


def new_parser(prog: str, description: str) -> ArgumentParser:
    """A parser that raises instead of exiting, and takes whole option names alone.

    An abbreviation that works today would name another option, or none, as soon as one is added.
    """
    return ArgumentParser(prog=f"usdlr {prog}", description=description, exit_on_error=False, allow_abbrev=False)


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Parse and instantiate.

    Raises
    ------
    ConfigError
        One line that names the mistake, where it stands, and how to mend it.
    """
    try:
        parsed: Namespace = parser.instantiate(parser.parse_args(list(argv)))
    except ArgumentError as error:
        _explain(parser, argv, str(error))
    except yaml.YAMLError as error:
        raise ConfigError(
            f"found a configuration that is not valid YAML ({_one_line(str(error))}); correct it"
        ) from error
    return parsed


def _explain(parser: ArgumentParser, argv: Sequence[str], message: str) -> NoReturn:
    files = [Path(value) for word, value in pairwise(argv) if word == "--config"]
    if found := UNRECOGNISED.search(message):
        words = found["words"].split()
        options = [word.split("=")[0].lstrip("-") for word in words if word.startswith("--")]
        if options:
            raise ConfigError(f"found the unknown key {options[0]!r} on the command line{_nearest(parser, options[0])}")
        raise ConfigError(f"found {' '.join(words)!r} on the command line, expected an option; see --help")
    for pattern in UNKNOWN:
        if found := pattern.search(message):
            groups = found.groupdict()
            key = f"{groups['group']}.{groups['key']}" if groups.get("group") else groups["key"]
            raise ConfigError(f"found the unknown key {key!r} {_where(files, key)}{_nearest(parser, key)}")
    if found := WRONG_VALUE.search(message):
        why = _in_words(_one_line(found["why"]))
        raise ConfigError(f"found a wrong value of {found['key']!r} {_where(files, found['key'])}: {why}")
    raise ConfigError(f"found {_one_line(message)}; see --help")


def _in_words(why: str) -> str:
    """What was given and what is expected, where that can be told from the parser's own words."""
    given = GIVEN.search(why)
    types = list(dict.fromkeys(TYPE.findall(why.partition("Given value")[0].partition("Got value")[0])))
    if given is None or not types or not all(name in TYPES for name in types):
        return why
    return f"{given['value']}, expected {' or '.join(TYPES[name] for name in types)}"


def _nearest(parser: ArgumentParser, key: str) -> str:
    known = sorted(_keys(parser))
    # An abbreviation is nearest to what it begins, however much is left out.
    longer = [name for name in known if key and name.startswith(key)]
    near = difflib.get_close_matches(key, longer or known, 1, cutoff=0.0 if longer else 0.5)
    if not near:  # the right word under the wrong heading
        last = key.split(".")[-1]
        near = [name for name in known if name.split(".")[-1] == last][:1]
    return f", expected one of the documented keys; the nearest is {near[0]!r}" if near else "; see --help"


def _keys(parser: ArgumentParser) -> set[str]:
    keys: set[str] = set()
    for action in parser._actions:
        if action.dest and action.dest not in ("help", "config"):
            keys.add(next((word.lstrip("-") for word in action.option_strings if word.startswith("--")), action.dest))
    return keys


def _where(files: Sequence[Path], key: str) -> str:
    for path in reversed(files):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue
        if _holds(content, key.split(".")):
            return f"in {path}"
    return f"in {files[-1]}" if files else "on the command line"


def _holds(content: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
