"""Checks of the options that a configuration gives to a part of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usdlr.core.errors import ConfigError


def whole(what: str, value: Any, least: int) -> int:
    """The value, a whole number of at least ``least``.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"found {what} = {value!r}, expected a whole number of at least {least}")
    return value


def share(what: str, value: Any) -> float:
    """The value, a share of at least 0 and below 1.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"found {what} = {value!r}, expected a share of at least 0 and below 1")
    return float(value)


def word(what: str, value: Any, words: Sequence[str]) -> str:
    """The value, one of some words.

    Raises
    ------
    ConfigError
        Naming the option.
    """
    if value not in words:
        raise ConfigError(f"found {what} = {value!r}, expected one of {', '.join(words)}")
    return str(value)
