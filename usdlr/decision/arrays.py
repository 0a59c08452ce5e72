"""One check for every array of scores or labels that enters a fit or a statistic."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def scores(values: npt.ArrayLike, what: str, *, probability: bool = False) -> FloatArray:
    """A one-dimensional float array without gaps.

    Parameters
    ----------
    values : (n,) array_like
        One score per row.
    what : str
        Name in the message.
    probability : bool
        Whether values must lie in [0, 1].

    Returns
    -------
    (n,) float64 array

    Raises
    ------
    InputError
        If the array has another shape, or holds a missing, infinite or impossible value.

    Examples
    --------
    >>> scores([0, 1], "logit")
    array([0., 1.])
    """
    array = _vector(values, what)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise InputError(f"found {what} = {array[row]} in row {row}, expected a finite number; predict it again")
    if probability and ((array < 0) | (array > 1)).any():
        row = int(np.argmax((array < 0) | (array > 1)))
        raise InputError(f"found {what} = {array[row]} in row {row}, expected a probability; pass no log-odds")
    return array


def labels(values: npt.ArrayLike, what: str) -> FloatArray:
    """A one-dimensional label array: 1 positive, 0 negative, NaN unknown. Unknown is never read as negative.

    Raises
    ------
    InputError
        If the array has another shape, or holds another value.

    Examples
    --------
    >>> labels([True, False, None], "sln")
    array([ 1.,  0., nan])
    """
    array = _vector(values, what)
    wrong = ~(np.isnan(array) | (array == 0) | (array == 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"found label {what} = {array[row]} in row {row}, expected 1, 0 or NaN for unknown; recode it")
    return array


def same_length(length: int, **arrays: FloatArray) -> None:
    """Refuse arrays that do not have one value per row.

    Raises
    ------
    InputError
        If an array's length differs from ``length``.
    """
    for name, array in arrays.items():
        if len(array) != length:
            raise InputError(f"found {len(array)} values of {name} for {length} rows, expected one each; align them")


def _vector(values: npt.ArrayLike, what: str) -> FloatArray:
    # pandas' nullable dtypes spell "unknown" as pd.NA, which numpy alone cannot turn into a float.
    convert = getattr(values, "to_numpy", None)
    try:
        array = np.asarray(
            convert(dtype=np.float64, na_value=np.nan) if convert is not None else values, dtype=np.float64
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"found {what} holds something that is not a number ({error}); pass numbers") from error
    if array.ndim != 1:
        raise InputError(f"found {what} of shape {array.shape}, expected one value per row; pass one column")
    return array
