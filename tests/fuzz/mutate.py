"""Small damages to a file: what a broken disk, a wrong export or an attacker does to it."""

from __future__ import annotations

import numpy as np

# Values at which counters, sizes and signs turn over.
EDGES = tuple(
    value.to_bytes(width, order)
    for width in (1, 2, 4, 8)
    for order in ("little", "big")
    for value in (0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1)
)
WORDS = (b"-1", b"0", b"99999999999", b"1e308", b"nan", b"\xff\xfe", b"\x00" * 16, b"[" * 64, b'"', b"<", b"&a;", b",;")


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy of ``content``; ``other`` is another file to splice with."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if not data:
            data = bytearray(other[:64])
        # Headers are near the start: half of all damage goes there.
        limit = len(data) if rng.random() < 0.5 else min(len(data), 512)
        at = int(rng.integers(0, max(1, limit)))
        kind = int(rng.integers(0, 8))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[at] = int(rng.integers(0, 256))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 65))]
        elif kind == 4:
            piece = data[at : at + int(rng.integers(1, 65))]
            data[at:at] = piece * int(rng.integers(1, 5))
        elif kind == 5:
            edge = EDGES[int(rng.integers(0, len(EDGES)))]
            data[at : at + len(edge)] = edge
        elif kind == 6:
            word = WORDS[int(rng.integers(0, len(WORDS)))]
            data[at : at + int(rng.integers(0, len(word) + 1))] = word
        else:
            start = int(rng.integers(0, max(1, len(other))))
            data[at : at + 32] = other[start : start + int(rng.integers(1, 129))]
    return bytes(data)
