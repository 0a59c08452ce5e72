"""A table of cases outlined by software: every picture without an outline gets one, or a row that says why not."""

from __future__ import annotations

import filecmp
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.cache import ContentCache
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import bytes_hash, data_hash
from usdlr.core.progress import Progress
from usdlr.core.provenance import Provenance, package_versions
from usdlr.core.types import ExclusionCode, MaskSource, QualityFlag, Site, SpacingSource
from usdlr.core.units import Spacing
from usdlr.data.segmentation import Frame, read_frames
from usdlr.decision.wording_outlines import another_not_found, not_found, outlined_by_software
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask, measure
from usdlr.imaging.relative import equivalent_diameter, relative_spacing
from usdlr.imaging.store import mask_to_png, read_mask, write_png
from usdlr.inference.member import image_key
from usdlr.inference.segmentation.readers import Readers, assigned, same_lesion, without_replaced_sizes
from usdlr.inference.segmentation.segmenter import Picture, Segmenter
from usdlr.ingest.sizes import largest_per_axilla

CACHE, CACHE_VERSION = Path(".cache") / "outlines", 1


@dataclass(frozen=True)
class OutlinedCases:
    """What became of a table of cases.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table, a row per lesion.
    exclusions : DataFrame
        Rows on whose pictures nothing was found, or that could not be read.
    notes : DataFrame
        Of every automatic outline, in words.
    automatic : int
        Outlines by software.
    reused : int
        Pictures outlined before by the same networks.
    learned : int
        Rows whose picture the networks have learned from: their outlines are better than those of new patients.
    """

    cases: pd.DataFrame
    exclusions: pd.DataFrame
    notes: pd.DataFrame
    automatic: int
    reused: int
    learned: int


def outline_cases(
    segmenter: Segmenter,
    cases: pd.DataFrame,
    root: Path,
    out: Path,
    *,
    instead: bool = False,
    most: int | None = None,
    relative_diameter: float | None = None,
) -> OutlinedCases:
    """Outline every picture of a table that has no outline, and copy what the table points at.

    Parameters
    ----------
    segmenter : Segmenter
        What outlines.
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder that its paths are relative to.
    out : Path
        Folder of the new table's files; what was outlined there before is not outlined again.
    instead : bool
        Whether readers' outlines are replaced too, to see what difference it makes.
    most : int, optional
        At most so many lesions of a picture; by default as the segmenter's rules say.
    relative_diameter : float, optional
        Equivalent diameter of every lesion in units, where lengths are relative to it; needed for rows without an
        outline alone.

    Returns
    -------
    OutlinedCases
        Sizes of lesions outlined by software are measured on that outline; a size that the source states stays where
        there was no reader's outline.

    Raises
    ------
    ConfigError
        If nothing is to be outlined.
    DataError
        If ``out`` is the folder of the table itself.
    """
    if out.resolve() == root.resolve():
        raise DataError(f"found --out {out}, the folder of the cases themselves; choose another --out")
    drawn = cases["mask_path"].notna() & (cases["mask_source"] == str(MaskSource.READER))
    # Who has learned tumours does not outline lymph nodes, nor the other way round: those rows stay as they are.
    chosen = (cases["site"] == str(segmenter.site)) & (~drawn | instead)
    todo, kept = (cases[rows].reset_index(drop=True) for rows in (chosen, ~chosen))
    if todo.empty:
        raise ConfigError(
            f"found an outline by a reader in each of {len(cases)} rows, or images of another site than the "
            f"{segmenter.site}, expected rows without one; --replace outlines them all the same"
        )
    if most is not None:
        segmenter = replace(segmenter, rules=replace(segmenter.rules, most=most))
    frames, failures = read_frames(todo, root, outlined=False)
    beside = kept[kept["patient_id"].isin(todo["patient_id"])]
    work = _Work(segmenter, todo, root, out, relative_diameter, Readers.of(beside, root))
    rows, excluded, notes = [], [], []
    for place, error in failures.items():
        excluded.append(work.excluded(place, str(error.code), error.sentence))
    with Progress("outlines", len(frames)) as progress:
        for frame in frames:
            made, missed, why = work.outline(frame)
            for row, note in made:
                rows.append(row)
                notes.append(note)
            # Of a picture with several lesions some may be found, and others not.
            sentence = another_not_found(len(made), len(frame.rows)) if made else not_found(why)
            excluded += [work.excluded(place, str(ExclusionCode.LESION_NOT_FOUND), sentence) for place in missed]
            progress.advance()
    for record in kept.to_dict("records"):
        work.copy({str(name): value for name, value in record.items()})
    kept = without_replaced_sizes(kept, todo)
    new = pd.concat([kept, pd.DataFrame(rows, columns=list(cases.columns))], ignore_index=True) if rows else kept
    new = tables.CASES.conform(largest_per_axilla(tables.CASES.conform(new))) if len(new) else tables.CASES.empty()
    return OutlinedCases(
        new,
        tables.EXCLUSIONS.conform(pd.DataFrame(excluded)) if excluded else tables.EXCLUSIONS.empty(),
        tables.NOTES.conform(pd.DataFrame(notes)) if notes else tables.NOTES.empty(),
        len(rows),
        work.reused,
        int(todo["image_id"].map(lambda name: image_key(str(name)) in segmenter.learned).sum()),
    )


def write_outlined(found: OutlinedCases, root: Path, out: Path, provenance: Provenance) -> None:
    """Write the tables, with what the ingest left out and noted before.

    Parameters
    ----------
    found : OutlinedCases
        From :func:`outline_cases`.
    root : Path
        Folder of the tables before.
    out : Path
        Folder of the new ones, where the images are already.
    provenance : Provenance
        Of the tables.
    """
    parts = {"exclusions": [found.exclusions], "notes": [found.notes]}
    for table in (tables.EXCLUSIONS, tables.NOTES):
        before = root / f"{table.name}.csv"
        if before.is_file():
            known = table.read(before)
            if table is tables.NOTES:  # of images that are still there
                known = known[known["image_id"].isin(set(found.cases["image_id"])) & (known["code"] != "mask_absent")]
            parts[table.name].insert(0, known)
    tables.CASES.write(found.cases, out / "cases.parquet", provenance)
    for table in (tables.EXCLUSIONS, tables.NOTES):
        filled = [part for part in parts[table.name] if len(part)]
        content = pd.concat(filled, ignore_index=True) if filled else table.empty()
        table.write(content, out / f"{table.name}.csv", provenance)


class _Work:
    """One table's outlining."""

    def __init__(
        self,
        segmenter: Segmenter,
        cases: pd.DataFrame,
        root: Path,
        out: Path,
        relative_diameter: float | None,
        readers: Readers,
    ) -> None:
        self.segmenter, self.root, self.out, self.relative_diameter = segmenter, root, out, relative_diameter
        self.readers = readers
        self.records: list[dict[str, Any]] = [
            {str(name): value for name, value in record.items()} for record in cases.to_dict("records")
        ]
        self.cache = ContentCache(out / CACHE, out)
        self.reused = 0

    def outline(self, frame: Frame) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], list[int], str]:
        """Rows and notes of a picture's lesions; positions of rows whose lesion was not found; if none was, why."""
        template = self.records[frame.rows[0]]
        relative = template["spacing_source"] == str(SpacingSource.LESION_RELATIVE)
        # A scale that follows from a reader's outline says how large that was: here it must not be known.
        spacing = None if relative else frame.spacing
        key = data_hash(
            [
                CACHE_VERSION,
                package_versions(),
                self.segmenter.segmenter_id,
                self.segmenter.rules.as_dict(),
                [self.segmenter.mirrored, list(self.segmenter.scales), self.segmenter.closer],
                bytes_hash(repr(frame.shape).encode(), frame.grey.tobytes()),
                None if spacing is None else spacing.as_tuple(),
                frame.aspect,
                frame.image_id,
            ]
        )
        # Networks without a name are nobody's: what others without one drew is not theirs.
        known = self.cache.get(key) if self.segmenter.segmenter_id else None
        if known is None:
            outlined = self.segmenter.find(Picture(frame.grey, spacing, frame.aspect))
            known = {"why": outlined.why, "lesions": []}
            for lesion in outlined.lesions:
                name = f"images/{_named(frame.image_id, lesion.number)}_automatic.png"
                write_png(self.out / name, mask_to_png(outlined.mask(lesion.number)))
                known["lesions"].append({"path": name, "number": lesion.number, "score": lesion.score})
            self.cache.put(key, known, [one["path"] for one in known["lesions"]])
        else:
            self.reused += 1
        found = [(one, read_mask(self.out / one["path"])) for one in known["lesions"]]
        drawn = self.readers.on(frame)
        found = [(one, pixels) for one, pixels in found if not same_lesion(pixels, drawn)]
        why = str(known["why"]) if found or not known["lesions"] else "what was found has a reader's outline already"
        rows = [self.records[place] for place in frame.rows]
        owners = assigned([pixels for _, pixels in found], [self._drawn(row) for row in rows])
        made, count = [], len(rows)
        for (one, pixels), owner in zip(found, owners, strict=True):
            if owner is None:
                count += 1
                row = {**template, **_another(template, count)}
            else:
                row = rows[owner]
            made.append(self._row(frame, row, one, pixels, relative))
            self.copy({**row, "mask_path": None})
        return made, [place for at, place in enumerate(frame.rows) if at not in owners], why

    def _drawn(self, record: Mapping[str, Any]) -> BoolArray | None:
        """The outline that is being replaced."""
        path = record["mask_path"]
        return None if path is None or pd.isna(path) else read_mask(self.root / str(path))

    def _row(
        self, frame: Frame, template: Mapping[str, Any], found: Mapping[str, Any], pixels: BoolArray, relative: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        dice, share = (float("nan"), float("nan"))
        if self.segmenter.expected is not None:
            dice, share = self.segmenter.expected.of(float(found["score"]))
        mm = None if relative else frame.spacing
        error_mm = (
            None if mm is None or not math.isfinite(share) else share * equivalent_diameter(LesionMask(pixels, mm))
        )
        row = {
            **template,
            "mask_path": found["path"],
            "mask_source": str(MaskSource.AUTOMATIC),
            "reader_id": None,
            "mask_confidence": dice if math.isfinite(dice) else None,
            "mask_error_mm": error_mm,
            "segmenter_id": self.segmenter.segmenter_id or None,
            "quality_flags": _flags(template["quality_flags"]),
        }
        row |= self._scale(frame, template, pixels)
        if mm is not None and template["site"] == str(Site.TUMOUR) and self._measured(template):
            row["tumour_size_mm"] = measure(LesionMask(pixels, mm)).longest_diameter_mm
        sentence = outlined_by_software(dice, error_mm)
        return row, {"image_id": row["image_id"], "code": str(QualityFlag.MASK_AUTOMATIC), "sentence": sentence}

    def _measured(self, template: Mapping[str, Any]) -> bool:
        """Whether the table's size came from a reader's outline, or from nobody: then this outline's counts."""
        stated = template["tumour_size_mm"]
        return not pd.isna(template["mask_path"]) or pd.isna(stated) or self.readers.measured(template, float(stated))

    def _scale(self, frame: Frame, template: Mapping[str, Any], pixels: BoolArray) -> dict[str, Any]:
        """The scale of a case whose lengths are relative to its lesion: to the one found, not to the reader's."""
        source = template["spacing_source"]
        if source != str(SpacingSource.LESION_RELATIVE) and self.relative_diameter is None:
            return {}
        diameter = self.relative_diameter
        if diameter is None:
            drawn = read_mask(self.root / str(template["mask_path"]))
            diameter = equivalent_diameter(LesionMask(drawn, frame.spacing))
        scale: Spacing = relative_spacing(LesionMask(pixels, frame.spacing), round(diameter, 9))
        return {
            "row_mm": scale.row_mm,
            "col_mm": scale.col_mm,
            "spacing_source": str(SpacingSource.LESION_RELATIVE),
            "tumour_size_mm": None,
        }

    def copy(self, record: Mapping[str, Any]) -> None:
        """Copy the files that a row points at."""
        for name, value in record.items():
            if not str(name).endswith("_path") or value is None or pd.isna(value):
                continue
            target = self.out / str(value)
            source = self.root / str(value)
            # What lies there may be of an earlier ingest: a picture and its outline must be of the same one.
            if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def excluded(self, place: int, code: str, sentence: str) -> dict[str, Any]:
        """An ``exclusions`` row."""
        record = self.records[place]
        return {
            "centre_id": record["centre_id"],
            "patient_id": record["patient_id"],
            "side": record["side"],
            "source_id": record["image_id"],
            "step": "outline",
            "code": code,
            "sentence": sentence,
        }


def _named(image_id: str, number: int) -> str:
    """The first lesion keeps the image's own name; names of files have no other signs."""
    return image_id if number == 1 else f"{image_id}-lesion{number}"


def _another(first: Mapping[str, Any], number: int) -> dict[str, str]:
    """Names of a lesion that the table did not know."""
    return {"image_id": _named(str(first["image_id"]), number), "lesion_id": f"{first['lesion_id']}-{number}"}


def _flags(known: Any) -> str:
    words = set() if known is None or pd.isna(known) else set(str(known).split())
    words -= {str(QualityFlag.MASK_ABSENT), str(QualityFlag.MASK_REPAIRED), str(QualityFlag.MASK_IS_BOX)}
    return " ".join(sorted({*words, str(QualityFlag.MASK_AUTOMATIC)}))
