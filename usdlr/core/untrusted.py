"""JSON that somebody else wrote: plain, of limited size and depth, and said once."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from usdlr.core.errors import DataError

# A fitted stage with thousands of columns stays far below both.
MOST_BYTES, DEEPEST = 64 << 20, 40
# Characters; a double is written with at most 25.
LONGEST_NUMBER = 64


def strict_json(content: bytes, what: str, *, most_bytes: int = MOST_BYTES) -> Any:
    """Parse JSON of unknown origin.

    Parameters
    ----------
    content : bytes
        UTF-8.
    what : str
        Name of the file, for the message.
    most_bytes : int
        Largest size that is parsed at all.

    Returns
    -------
    dict, list, str, float, int, bool or None
        Without not-a-number and infinities.

    Raises
    ------
    DataError
        If it is too large or nested too deeply, is not valid JSON, says a key twice (two readers could then read two
        things), or holds a number that no double can hold.

    References
    ----------
    RFC 8259, The JavaScript Object Notation data interchange format, doi 10.17487/RFC8259; RFC 7493, I-JSON, on
    unique keys and the range of numbers, doi 10.17487/RFC7493.

    Examples
    --------
    >>> strict_json(b'{"alpha": 0.1}', "contract.json")
    {'alpha': 0.1}
    >>> strict_json(b'{"alpha": 0.1, "alpha": 0.9}', "contract.json")
    Traceback (most recent call last):
    ...
    usdlr.core.errors.DataError: found the key 'alpha' twice in contract.json, expected each once; write it again
    """
    if len(content) > most_bytes:
        raise DataError(f"found {what} of {len(content)} bytes, expected at most {most_bytes}; write it again")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise DataError(f"found the key {twice[:80]!r} twice in {what}, expected each once; write it again")
        return found

    def number(text: str) -> float:
        value = float(text) if len(text) <= LONGEST_NUMBER else math.inf
        if not math.isfinite(value):
            raise DataError(f"found the number {text[:20]} in {what}, expected a finite one; write it again")
        return value

    def whole(text: str) -> int:
        number(text)
        return int(text)

    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=unique,
            parse_float=number,
            parse_int=whole,
            parse_constant=number,
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise DataError(f"found {what} is not valid JSON ({error}); restore the file or write it again") from error
    except RecursionError as error:
        raise DataError(_deep(what)) from error
    if _depth(value) > DEEPEST:
        raise DataError(_deep(what))
    return value


def _deep(what: str) -> str:
    return f"found {what} nested more than {DEEPEST} levels deep, expected plain data; write it again"


def _depth(value: Any) -> int:
    """Levels of lists and tables, at most one more than is allowed."""
    depth, level = 0, [value]
    while depth <= DEEPEST:
        level = [
            item
            for part in level
            if isinstance(part, dict | list)
            for item in (part.values() if isinstance(part, dict) else part)
            if isinstance(item, dict | list)
        ]
        depth += 1
        if not level:
            return depth
    return depth
