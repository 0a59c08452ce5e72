"""Look-up tables of DICOM headers: modality, VOI and palette tables, plain or segmented."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import value_of

Table = npt.NDArray[np.float64]
MAX_ENTRIES = 65_536


def look_up(values: Table, item: Any, little_endian: bool) -> tuple[Table, int]:
    """Values through a modality or VOI LUT, and the bits of its entries (8, or 10 to 16)."""
    count, first, bits = descriptor(item, "LUTDescriptor")
    if not 8 <= bits <= 16:
        raise RefusedFile(f"with a look-up table of {bits} bits", "8 to 16")
    entries = plain_entries(value_of(item, "LUTData"), count, little_endian)
    if entries.max() >= 2**bits:
        raise RefusedFile("with a look-up table whose entries exceed its bits", f"at most {2**bits - 1}")
    place = np.clip(np.rint(values) - first, 0, count - 1).astype(np.int64)
    return entries[place].astype(np.float64), bits


def descriptor(item: Any, keyword: str) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits per entry."""
    try:
        count, first, bits = (int(part) for part in value_of(item, keyword))
    except (TypeError, ValueError) as error:
        raise RefusedFile("with a damaged look-up table", "its number of entries, first value and bits") from error
    return (count % MAX_ENTRIES) or MAX_ENTRIES, first, bits


def plain_entries(data: Any, count: int, little_endian: bool) -> npt.NDArray[np.int64]:
    """Entries of a plain table, of 8 or 16 bits by its length."""
    raw = _little_endian_bytes(data, little_endian)
    if len(raw) >= 2 * count:
        return np.frombuffer(raw, "<u2", count).astype(np.int64)
    if len(raw) >= count:
        return np.frombuffer(raw, np.uint8, count).astype(np.int64)
    raise RefusedFile(f"with a look-up table of {len(raw)} bytes", f"{count} entries")


def _little_endian_bytes(data: Any, little_endian: bool) -> bytes:
    if data is None:
        raise RefusedFile("without the data of a look-up table", "one")
    if isinstance(data, bytes):
        # Bytes are words as the file orders them.
        return data if little_endian else np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    numbers = [data] if isinstance(data, int) else list(data)
    return np.asarray(numbers, dtype=np.int64).astype("<u2").tobytes()


def expand_segments(data: Any, bits: int, count: int, little_endian: bool) -> npt.NDArray[np.int64]:
    """Entries of a segmented table.

    Parameters
    ----------
    data : bytes
        Segments of words of ``bits`` bits: discrete (0), linear (1), indirect (2).
    bits : int
        8 or 16.
    count : int
        Number of entries to expect; expansion stops there, however the segments refer to each other.

    Raises
    ------
    RefusedFile
        If the segments are damaged or give another number of entries.

    References
    ----------
    DICOM PS3.3, C.7.9.2.
    """
    raw = _little_endian_bytes(data, little_endian)
    words = np.frombuffer(raw[: len(raw) // (bits // 8) * (bits // 8)], np.uint8 if bits == 8 else "<u2").astype(int)
    entries: list[int] = []
    damaged = RefusedFile("with a damaged segmented palette", f"{count} entries")

    def run(start: int, most: int, nested: bool) -> None:
        position, done = start, 0
        while position + 1 < len(words) and done < most and len(entries) < count:
            kind, length = int(words[position]), int(words[position + 1])
            position, done = position + 2, done + 1
            if length == 0:
                raise damaged
            if kind == 0:
                entries.extend(words[position : position + length].tolist())
                position += length
            elif kind == 1 and entries and position < len(words):
                steps = np.linspace(entries[-1], int(words[position]), length + 1)[1:]
                entries.extend(np.around(steps).astype(int).tolist())
                position += 1
            elif kind == 2 and not nested and entries:
                taken = 4 if bits == 8 else 2
                offset = sum(
                    int(word) << (bits * place) for place, word in enumerate(words[position : position + taken])
                )
                run(offset // (bits // 8), length, True)
                position += taken
            else:
                raise damaged

    run(0, len(words), False)
    if len(entries) != count:
        raise damaged
    return np.asarray(entries, dtype=np.int64)
