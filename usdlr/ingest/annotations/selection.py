"""Which of a file's contours is meant.

Every shape is a lesion of its own, also where several carry one name: they become ``lesion#1``, ``lesion#2`` in the
order of the file. What the file itself declares to be one object (a value of a label mask, a DICOM segment, the parts
of one COCO annotation, shapes of one group in LabelMe and CVAT) is one lesion. A choice is never made silently: a
file with several contours needs the label, and one with several readers the reader, that is meant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from usdlr.ingest.annotations.contour import Candidate, ambiguous, empty, missing
from usdlr.ingest.source import DEFAULT_READER

MAX_WORDS = 10
MAX_WORD = 40


def numbered(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The same contours with a label of its own for each of one reader's.

    A repeated label stays an alias of each, so that asking for it names the numbered ones.
    """
    times = Counter((one.reader_id, one.label) for one in candidates)
    seen: Counter[tuple[str | None, str | None]] = Counter()
    result = []
    for one in candidates:
        key = (one.reader_id, one.label)
        if times[key] > 1:
            seen[key] += 1
            names = one.aliases if one.label is None else one.aliases | {one.label}
            one = replace(one, label=f"{one.label or ''}#{seen[key]}", aliases=names)
        result.append(one)
    return tuple(result)


def merged(candidates: Iterable[tuple[object, Candidate]]) -> list[Candidate]:
    """Contours that share a key become one; ``None`` is no key.

    Parameters
    ----------
    candidates : iterable of (key, Candidate)
        In the order of the file.
    """
    groups: dict[object, list[Candidate]] = defaultdict(list)
    for number, (key, one) in enumerate(candidates):
        groups[("alone", number) if key is None else ("group", key)].append(one)
    return [
        replace(
            members[0],
            parts=tuple(part for one in members for part in one.parts),
            aliases=frozenset().union(*(one.aliases for one in members)),
            # An outline and a box drawn together are no declared box.
            is_box=all(one.is_box for one in members),
        )
        for members in groups.values()
    ]


def choose(candidates: Sequence[Candidate], label: str | None, reader_id: str) -> Candidate:
    """The one contour that is meant.

    Parameters
    ----------
    candidates : sequence of Candidate
        What the file holds for the image, numbered.
    label : str or None
        A label, or an alias that only one contour has; ``None``: there is only one.
    reader_id : str
        Whose contour; counts only where the file names readers, and the default stands for the only one named.

    Raises
    ------
    CaseError
        ``mask_missing`` when there is none, ``mask_ambiguous`` when there are several, ``mask_empty`` when the file
        holds no contour of the image at all.
    """
    candidates = _of_reader(candidates, reader_id)
    if label is None:
        present = [one for one in candidates if not one.empty]
        if len(present) > 1:
            raise ambiguous(
                f"{len(present)} contours ({shown(one.label for one in present)})",
                "one, or the label of the one that is meant",
                "state its label in the export's table, or draw the parts of one lesion as one object",
            )
        if not present:
            raise empty("no contour of this image", "the lesion's outline", "draw it, or give the file that holds it")
        return present[0]
    chosen = [one for one in candidates if one.label == label] or [one for one in candidates if label in one.aliases]
    if len(chosen) > 1:
        raise ambiguous(
            f"{len(chosen)} contours that answer to {shown([label])} ({shown(one.label for one in chosen)})",
            "one",
            "state the one that is meant in the export's table",
        )
    if not chosen:
        raise missing(
            f"contours with the labels {shown(one.label for one in candidates) or '(none)'}",
            shown([label]),
            "correct the label in the export's table",
        )
    if chosen[0].empty:
        raise empty(
            f"no pixel of {shown([label])} on this image", "the lesion's outline", "draw it, or choose another frame"
        )
    return chosen[0]


def shown(words: Iterable[str | None]) -> str:
    """A few words of a file, made safe for a message.

    Examples
    --------
    >>> shown(["lesion#1", None, "node"])
    "'lesion#1', without a label, 'node'"
    """
    texts = ["without a label" if word is None else ascii_safe(word) for word in words]
    more = f" and {len(texts) - MAX_WORDS} more" if len(texts) > MAX_WORDS else ""
    return ", ".join(texts[:MAX_WORDS]) + more


def ascii_safe(word: str) -> str:
    """One word between quotes, short and printable."""
    clean = "".join(character if character.isprintable() else "?" for character in word)
    return repr(clean if len(clean) <= MAX_WORD else clean[:MAX_WORD] + "...")


def _of_reader(candidates: Sequence[Candidate], reader_id: str) -> Sequence[Candidate]:
    readers = sorted({one.reader_id for one in candidates}, key=lambda name: (name is not None, name or ""))
    if readers in ([], [None]):
        return candidates
    names = ", ".join("nobody named" if name is None else ascii_safe(name) for name in readers[:MAX_WORDS])
    if reader_id == DEFAULT_READER and reader_id not in readers:
        if len(readers) > 1:
            raise ambiguous(
                f"contours by {len(readers)} readers ({names})",
                "the reader whose contour is meant",
                "state the reader in the export's table",
            )
        return candidates
    if reader_id not in readers:
        raise missing(
            f"contours by {names}", f"one by {ascii_safe(reader_id)}", "correct the reader in the export's table"
        )
    return [one for one in candidates if one.reader_id == reader_id]
