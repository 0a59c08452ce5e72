"""A part of a configuration that is chosen by name, with options checked against its constructor's signature."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from usdlr.core.errors import ConfigError

# A name, or one name to its options: ``gated`` or ``{cross_attention: {heads: 4}}``.
Part: TypeAlias = str | Mapping[str, Mapping[str, Any] | None]


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the known word nearest to a wrong one; empty where none is near.

    Examples
    --------
    >>> nearest("gatd", ["gated", "film"])
    "; did you mean 'gated'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def option_names(maker: Callable[..., Any]) -> list[str]:
    """The keyword-only parameters of a callable: what a configuration may set."""
    parameters = inspect.signature(maker).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def split_part(
    part: Part,
    what: str,
    makers: Mapping[str, Callable[..., Any]],
    *,
    names: Callable[[Callable[..., Any]], list[str]] = option_names,
) -> tuple[str, dict[str, Any]]:
    """Name and options of a part, both known to its registry.

    Parameters
    ----------
    part : str or mapping
        A name, or one name to its options.
    what : str
        The configuration's key, for messages.
    makers : mapping of str to callable
        The registry. Options are the keyword-only parameters of the callable; its other parameters are given by
        the code that builds it.
    names : callable, optional
        The options of a callable, where they are not its keyword-only parameters.

    Returns
    -------
    tuple of str and dict
        The name, and its options.

    Raises
    ------
    ConfigError
        Naming what is unknown and the nearest known word.

    Examples
    --------
    >>> def cut(pixels, *, margin=1): ...
    >>> split_part({"cut": {"margin": 2}}, "crop.policy", {"cut": cut})
    ('cut', {'margin': 2})
    >>> split_part({"cut": {"margn": 2}}, "crop.policy", {"cut": cut})
    Traceback (most recent call last):
    ...
    usdlr.core.errors.ConfigError: found the option 'margn' of crop.policy = cut, ...; did you mean 'margin'?
    """
    if isinstance(part, str):
        name, options = part, {}
    elif isinstance(part, Mapping) and len(part) == 1:
        name, given = next(iter(part.items()))
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"found {what} = {{{name}: {given!r}}}, expected a table of its options")
        options = dict(given or {})
    else:
        raise ConfigError(f"found {what} = {part!r}, expected a name, or one name with a table of its options")
    if name not in makers:
        raise ConfigError(f"found {what} = {name!r}, expected one of {', '.join(makers)}{nearest(str(name), makers)}")
    known = names(makers[name])
    for option in options:
        if option not in known:
            expected = f"some of {', '.join(known)}" if known else "none"
            raise ConfigError(
                f"found the option {option!r} of {what} = {name}, expected {expected}{nearest(str(option), known)}"
            )
    return name, options


def build_part(part: Part, what: str, makers: Mapping[str, Callable[..., Any]], *given: Any) -> Any:
    """What a part's callable makes of the given arguments and the part's options.

    Raises
    ------
    ConfigError
        As :func:`split_part`.
    """
    name, options = split_part(part, what, makers)
    return makers[name](*given, **options)
