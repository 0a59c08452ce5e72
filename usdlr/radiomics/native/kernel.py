"""How kernels are compiled: at first use, kept on disk, on every machine alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from usdlr.core.errors import ConfigError

try:
    import numba
except ImportError as error:
    raise ConfigError(
        "found no Numba, expected it for radiomics.engine = native; pip install usdlr[radiomics]"
    ) from error

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """``function`` compiled by Numba, from the cache on disk where one can be kept.

    Floating-point operations keep the order in which they are written (no fast-math): two machines agree to the bit.
    Division by zero gives infinity or not-a-number as in NumPy.
    """
    try:
        return cast(Function, numba.njit(cache=True, error_model="numpy")(function))
    except RuntimeError:  # no folder to keep the cache in: read-only installation without a home
        return cast(Function, numba.njit(error_model="numpy")(function))
