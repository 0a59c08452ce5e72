"""One spelling of plain data, so that equal data has equal bytes and equal hashes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

from usdlr.core.errors import InputError


def canonical(value: Any) -> str:
    r"""Plain data as JSON in its one spelling: keys sorted, no blanks, ASCII, finite numbers.

    Parameters
    ----------
    value : dict, list, str, float, int, bool or None
        What JSON can hold.

    Raises
    ------
    InputError
        If a number is infinite or none, or something is not plain data.

    Examples
    --------
    >>> canonical({"b": 1.5, "a": "5 µm"})
    '{"a":"5 \\u00b5m","b":1.5}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise InputError(f"found data that cannot be stored ({error}), expected finite numbers and text") from error


def storable(text: str) -> bool:
    r"""Whether every database can hold a text: no U+0000, no half of a surrogate pair.

    Examples
    --------
    >>> storable("Größe 5 µm 🙂"), storable("a\x00b"), storable("\ud800")
    (True, False, False)
    """
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def all_storable(value: Any) -> bool:
    r"""Whether :func:`storable` holds for every text in plain data or a record, names of fields too.

    Examples
    --------
    >>> all_storable({"notes": [("fine", 1.5)]}), all_storable({"notes": [("\x00", 1.5)]})
    (True, False)
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return all(all_storable(name) and all_storable(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return all(all_storable(item) for item in value)
    if is_dataclass(value):
        return all(all_storable(getattr(value, one.name)) for one in fields(value))
    return True


def text_hash(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, 64 hexadecimal digits.

    Examples
    --------
    >>> text_hash("")[:8]
    'e3b0c442'
    """
    return sha256(text.encode()).hexdigest()


def finite(value: Any) -> Any:
    """The same plain data with null for numbers that JSON does not have.

    Examples
    --------
    >>> finite({"size": float("nan"), "sites": (1, 2)})
    {'size': None, 'sites': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def alike(first: Any, second: Any, *, within: float = 2e-6) -> bool:
    """Whether plain data is the same, numbers up to ``within``.

    The same bundle may answer with another number of threads or another batch: at most 1e-6 apart in a probability.

    Examples
    --------
    >>> alike({"p": 0.5}, {"p": 0.5000001}), alike({"p": 0.5}, {"p": 0.51}), alike([1], [1, 2])
    (True, False, False)
    """
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=within, abs_tol=within)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(alike(first[name], second[name], within=within) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(alike(a, b, within=within) for a, b in zip(first, second, strict=True))
    return type(first) is type(second) and bool(first == second)


def request_hash(account: str, plain: Mapping[str, Any]) -> str:
    """What names the content of a request: sent twice, it is recognised.

    Parameters
    ----------
    account : str
        Name of who asks.
    plain : mapping
        The :class:`~usdlr.review.acts.Action` as plain data, without the model's answer.

    Examples
    --------
    A field that older versions did not know leaves no trace while it is empty, so that their requests are still known.

    >>> request_hash("anna", {"act": "accept"}) == request_hash("anna", {"act": "accept", "proposed": ""})
    True
    """
    kept = {name: value for name, value in plain.items() if name not in _LATER or value}
    return text_hash(canonical([account, kept]))


_LATER = frozenset({"proposed"})
