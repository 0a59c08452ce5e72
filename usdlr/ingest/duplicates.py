"""One picture under two patients: found, and kept from ending on both sides of a split.

A picture shows one person. Two patients who share one are the same person or one of them carries somebody else's
picture, and a model that trains on the one and is tested on the other is tested on what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError, DataError, LeakError
from usdlr.core.pool import run_all
from usdlr.core.types import ExclusionCode
from usdlr.imaging.fingerprint import (
    HASH_BITS,
    NEAR_BITS,
    SAME_PICTURE,
    detail,
    likeness,
    mirrored,
    perceptual_hash,
    pixel_hash,
)
from usdlr.imaging.image import FloatArray, require_same_grid
from usdlr.imaging.store import read_mask, read_png

PRINTS = ("image_id", "patient_id", "pixel_hash", "perceptual_hash")

# The verifier: are these two image sets the same picture, the second one mirrored or not?
Verify = Callable[[str, str, bool], bool]

_WORDS = HASH_BITS // 64
_BLOCK = 256
# Different tissue gives a candidate in a million pairs. This many per picture means that the pictures are mostly the
# scanner's own lines and letters, and comparing them all would take hours.
_MAX_CANDIDATES, _MAX_PER_PICTURE = 10_000, 10


class DuplicateKind(StrEnum):
    """How alike two pictures are."""

    EXACT = "exact"
    NEAR = "near"


@dataclass(frozen=True)
class DuplicatePair:
    """The same picture in two image sets of different patients.

    Parameters
    ----------
    first, second : str
        ``image_id``, in the order of the table.
    kind : DuplicateKind
        Equal pixels, or the same picture after compression, resizing, another brightness or border.
    distance : int
        Bits in which the perceptual hashes differ; 0 for equal pixels.
    mirrored : bool
        Whether the second shows the picture with left and right exchanged.
    """

    first: str
    second: str
    kind: DuplicateKind
    distance: int
    mirrored: bool = False


def fingerprint_table(cases: pd.DataFrame, root: Path, *, jobs: int = 1) -> pd.DataFrame:
    """Fingerprints of the canonical B-mode images.

    Parameters
    ----------
    cases : DataFrame
        ``image_id, patient_id, bmode_path, fov_path`` of the ``cases`` table.
    root : Path
        Folder that the paths are relative to.
    jobs : int
        Number of processes; the result does not depend on it.

    Returns
    -------
    DataFrame
        ``image_id, patient_id, pixel_hash, perceptual_hash`` (64 hexadecimal digits), in the order of ``cases``; the
        hashes are null where a file cannot be read, which whoever needs the image refuses.
    """
    items = list(zip(cases["bmode_path"], cases["fov_path"], strict=True))
    outcomes = run_all(partial(_prints_of, root=root), items, jobs=jobs, label="fingerprints")
    found = [outcome.result or (None, None) for outcome in outcomes]
    return pd.DataFrame(
        {
            "image_id": cases["image_id"].astype("str").to_numpy(),
            "patient_id": cases["patient_id"].astype("str").to_numpy(),
            "pixel_hash": pd.array([pixels for pixels, _ in found], dtype="str"),
            "perceptual_hash": pd.array([look for _, look in found], dtype="str"),
        }
    )


def same_picture(cases: pd.DataFrame, root: Path) -> Verify:
    """A verifier that compares the speckle of canonical B-mode images; it reads only what it is asked about.

    Parameters
    ----------
    cases : DataFrame
        ``image_id, bmode_path, fov_path``.
    root : Path
        Folder that the paths are relative to.
    """
    files = {
        str(image_id): (bmode, fov)
        for image_id, bmode, fov in zip(cases["image_id"], cases["bmode_path"], cases["fov_path"], strict=True)
    }

    @lru_cache(maxsize=1024)
    def picture(image_id: str) -> FloatArray:
        return detail(*_read(*files[image_id], root))

    def verify(first: str, second: str, flipped: bool) -> bool:
        other = picture(second)
        return likeness(picture(first), other[:, ::-1].copy() if flipped else other) >= SAME_PICTURE

    return verify


def find_duplicates(
    prints: pd.DataFrame, verify: Verify | None = None, *, near_bits: int = NEAR_BITS
) -> list[DuplicatePair]:
    """Pictures that appear under more than one patient.

    Of many copies of one picture, as many pairs are named as connect them all. Pairs within a patient are none of
    this function's business: a patient's images travel together.

    Parameters
    ----------
    prints : DataFrame
        From :func:`fingerprint_table`; several tables may be put below each other.
    verify : callable, optional
        ``(first, second, mirrored) -> bool`` decides about pictures that look alike, e.g. :func:`same_picture`;
        without it only equal pixels count, since a hash alone proves nothing.
    near_bits : int
        Perceptual hashes that differ in at most so many bits are compared by ``verify``.

    Raises
    ------
    DataError
        If so many pictures look alike that their frames must show more of the scanner's interface than of tissue.
    """
    table = prints[list(PRINTS)].reset_index(drop=True)
    links = _Links(len(table))
    patients = table["patient_id"].astype(str).to_numpy()
    ids = table["image_id"].astype(str).to_numpy()
    pairs: list[tuple[int, int, DuplicateKind, int, bool]] = []

    leaders: list[int] = []  # the first image set of every patient with a picture: copies add nothing to them
    for _, group in table[table["pixel_hash"].notna()].groupby("pixel_hash", sort=False):
        rows = group.drop_duplicates("patient_id").index.to_numpy()
        leaders.append(int(rows[0]))
        for row in rows[1:]:
            pairs.append((int(rows[0]), int(row), DuplicateKind.EXACT, 0, False))
            links.join(int(rows[0]), int(row))

    if verify is not None:
        looks = table["perceptual_hash"].iloc[sorted(leaders)]
        for first, second, distance, flipped in _candidates(looks, patients, near_bits):
            if links.joined(first, second) or not verify(ids[first], ids[second], flipped):
                continue
            links.join(first, second)
            pairs.append((first, second, DuplicateKind.NEAR, distance, flipped))
    return [DuplicatePair(ids[a], ids[b], kind, bits, flip) for a, b, kind, bits, flip in sorted(pairs)]


def require_disjoint_pictures(
    splits: pd.DataFrame, cases: pd.DataFrame, prints: pd.DataFrame, verify: Verify | None = None
) -> None:
    """Refuse splits in which one picture stands on both sides under different patients.

    Parameters
    ----------
    splits : DataFrame
        ``fold, patient_id, split``; an external centre's patients may stand there with the split ``external``.
    cases : DataFrame
        ``image_id, patient_id`` of everybody in ``splits``.
    prints : DataFrame
        From :func:`fingerprint_table`, of the same image sets or more.
    verify : callable, optional
        As for :func:`find_duplicates`.

    Raises
    ------
    LeakError
        Naming the fold, the two splits and the first two image sets.
    """
    patient_of = dict(zip(cases["image_id"].astype(str), cases["patient_id"].astype(str), strict=True))
    known = prints[prints["image_id"].astype(str).isin(patient_of)]
    # The table of cases decides who a patient is: patients may have been joined since the fingerprints were taken.
    known = known.assign(patient_id=known["image_id"].astype(str).map(patient_of))
    pairs = find_duplicates(known, verify)
    for fold, part in splits.groupby("fold", sort=False) if pairs else ():
        split = dict(zip(part["patient_id"].astype(str), part["split"].astype(str), strict=True))
        apart: list[tuple[DuplicatePair, str, str]] = []
        for pair in pairs:
            one, other = (split.get(patient_of[image_id]) for image_id in (pair.first, pair.second))
            if one is not None and other is not None and one != other:
                apart.append((pair, one, other))
        if apart:
            pair, first, second = apart[0]
            raise LeakError(
                f"found {len(apart)} pictures under different patients on both sides of fold {fold}, first "
                f"{pair.first} ({first}) and {pair.second} ({second}), expected each picture in one split; give them "
                "one patient_id, remove one, or ingest the source again with patients who share a picture joined"
            )


class _Links:
    """Disjoint sets of rows."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, row: int) -> int:
        while self.parent[row] != row:
            self.parent[row] = self.parent[self.parent[row]]
            row = self.parent[row]
        return row

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.root(first), self.root(second)))
        self.parent[high] = low

    def joined(self, first: int, second: int) -> bool:
        return self.root(first) == self.root(second)


def _candidates(
    looks: pd.Series, patients: npt.NDArray[np.object_], near_bits: int
) -> Iterator[tuple[int, int, int, bool]]:
    """Rows of different patients whose hashes are close, as (first, second, bits, mirrored), the closest first."""
    words, rows = _words(looks)
    turned, _ = _words(looks.map(lambda text: f"{mirrored(int(text, 16)):064x}", na_action="ignore"))
    owner = pd.factorize(patients[rows])[0]
    limit = max(_MAX_CANDIDATES, _MAX_PER_PICTURE * len(rows))
    found: list[tuple[int, int, int, bool]] = []
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        plain, flipped = (_distances(words[block], other[start:]) for other in (words, turned))
        bits = np.minimum(plain, flipped)
        later = np.arange(len(rows) - start)[None, :] > np.arange(bits.shape[0])[:, None]
        near = (bits <= near_bits) & later & (owner[block][:, None] != owner[start:][None, :])
        for one, other in zip(*np.nonzero(near), strict=True):
            mirror = bool(flipped[one, other] < plain[one, other])
            found.append((int(rows[start + one]), int(rows[start + other]), int(bits[one, other]), mirror))
        if len(found) > limit:
            raise DataError(
                f"found more than {limit} pairs of pictures of different patients that look alike, expected a few; "
                "the frames show mostly the scanner's interface: export the scan sector alone or state a field of view"
            )
    yield from sorted(found, key=lambda pair: (pair[2], pair[:2]))


def _words(looks: pd.Series) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.intp]]:
    """Hashes as (rows, 4) machine words and the rows they belong to; pictures without texture have none."""
    known = looks[looks.notna() & (looks != f"{0:064x}")]
    content = b"".join(bytes.fromhex(text) for text in known)
    return np.frombuffer(content, dtype=np.uint64).reshape(-1, _WORDS), known.index.to_numpy(np.intp)


def _distances(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """Differing bits of every pair, (first, second)."""
    bits = np.zeros((len(first), len(second)), dtype=np.uint16)
    for word in range(_WORDS):
        bits += np.bitwise_count(first[:, word, None] ^ second[None, :, word])
    return bits


def _prints_of(item: tuple[str, str | None], root: Path) -> tuple[str | None, str | None]:
    try:
        grey, fov = _read(*item, root)
    except CaseError:
        return None, None
    return pixel_hash(grey), f"{perceptual_hash(grey, fov):064x}"


def _read(bmode: str, fov: str | None, root: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    grey = read_png(root / bmode, ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found a B-mode image of {grey.dtype} with shape {grey.shape}, expected 8-bit grey; ingest it again",
        )
    inside = None if pd.isna(fov) else read_mask(root / str(fov))
    if inside is not None:
        require_same_grid((grey.shape[0], grey.shape[1]), (inside.shape[0], inside.shape[1]), "field of view")
    return grey, inside
