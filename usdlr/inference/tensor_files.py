"""safetensors files of unknown origin: the header is held against the file before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from usdlr.core.errors import BundleError, DataError
from usdlr.core.untrusted import strict_json

# Bytes of one value.
DTYPES: Final[Mapping[str, int]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
LONGEST_HEADER, MOST_AXES = 16 << 20, 8
LENGTH_BYTES = 8
METADATA = "__metadata__"


class TensorEntry(NamedTuple):
    """What a header says of one tensor.

    Parameters
    ----------
    dtype : str
        A word of :data:`DTYPES`.
    shape : tuple of int
        Length of every axis.
    """

    dtype: str
    shape: tuple[int, ...]


def tensor_header(path: Path, what: str) -> dict[str, TensorEntry]:
    """The tensors that a safetensors file declares, each of which is there to its last byte; none of them is read.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Its name, for the message.

    Returns
    -------
    dict of str to TensorEntry
        By name.

    Raises
    ------
    BundleError
        If the file is no safetensors file, or its tensors do not fill it exactly, one after the other.

    References
    ----------
    The safetensors format, https://huggingface.co/docs/safetensors.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(LENGTH_BYTES)
        length = int.from_bytes(start, "little")
        if len(start) < LENGTH_BYTES or not 2 <= length <= min(size - LENGTH_BYTES, LONGEST_HEADER):
            raise _refused(what, f"a header of {length} bytes in a file of {size}")
        text = stream.read(length)
    try:
        header = strict_json(text, what)
    except DataError as error:
        raise _refused(what, "a header that is no plain JSON") from error
    if not isinstance(header, dict):
        raise _refused(what, "a header without tensors")
    meta = header.pop(METADATA, {})
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise _refused(what, "metadata that are not words")
    found = {name: _entry(what, name, entry) for name, entry in header.items()}
    end = 0
    for _, (first, last) in sorted(found.values(), key=lambda one: one[1]):
        if first != end:
            raise _refused(what, "tensors that overlap or leave a gap")
        end = last
    if end != size - LENGTH_BYTES - length:
        raise _refused(what, f"{size - LENGTH_BYTES - length} bytes of values where {end} are declared")
    return {name: entry for name, (entry, _) in found.items()}


def _entry(what: str, name: str, entry: Any) -> tuple[TensorEntry, tuple[int, int]]:
    """One tensor's entry and where its values lie."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refused(what, f"no dtype, shape and data_offsets of {name[:80]!r}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in list(DTYPES):
        raise _refused(what, f"values of the kind {str(dtype)[:20]!r} in {name[:80]!r}")
    if not _whole(shape) or len(shape) > MOST_AXES or not _whole(offsets) or len(offsets) != 2:
        raise _refused(what, f"an impossible shape or place of {name[:80]!r}")
    first, last = offsets
    if math.prod(shape) * DTYPES[dtype] != last - first:
        raise _refused(what, f"{name[:80]!r} of shape {str(shape)[:60]} in {last - first} bytes")
    return TensorEntry(dtype, tuple(shape)), (first, last)


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values
    )


def _refused(what: str, why: str) -> BundleError:
    return BundleError(f"found {why} in {what}, expected safetensors as their header says; copy the bundle again")
