"""What a coefficient has to be, whoever wrote it."""

from __future__ import annotations

import math

from usdlr.core.errors import ConfigError

LARGEST = 50.0  # of a log-odds or log-hazard ratio: the exponential of more is no rate of anything


def require_numbers(name: str, value: object, count: int | None = None, largest: float = math.inf) -> None:
    """Refuse anything but a finite number, or a pair of them where ``count`` says so.

    Raises
    ------
    ConfigError
        Naming the coefficient and its value.

    Examples
    --------
    >>> require_numbers("rate", 0.5), require_numbers("pair", (0.1, 2), 2)
    (None, None)
    """
    values = (value,) if count is None else value if isinstance(value, tuple | list) else ()
    plain = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= largest for x in values)
    if len(values) != (count or 1) or not plain or not all(map(math.isfinite, values)):
        what = "a finite number" if count is None else f"{count} finite numbers"
        limit = "" if math.isinf(largest) else f" of at most {largest:g} in size"
        raise ConfigError(f"found {name} = {value!r}, expected {what}{limit}")
