"""Records as plain data that JSON can hold, and back.

How such data is spelt for storing and hashing is another matter: :mod:`usdlr.review.store.plain`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once per kind: it takes longer than its use."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_plain(value: Any) -> Any:
    """A record as plain data that JSON can hold.

    Examples
    --------
    >>> from usdlr.core.types import RiskGroup
    >>> from usdlr.review.acts import Opinion
    >>> to_plain(Opinion(RiskGroup.DEFER, 0.25))
    {'group': 'DEFER', 'p_sln': 0.25, 'p_nsln': None}
    """
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], plain: Any) -> T:
    """A record from plain data; see :func:`to_plain`.

    Examples
    --------
    >>> from usdlr.review.acts import Opinion
    >>> from_plain(Opinion, {"group": "DEFER", "p_sln": 0.25}).p_sln
    0.25
    """
    found: T = _adapter(kind).validate_python(plain)
    return found
