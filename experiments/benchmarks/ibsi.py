"""The native radiomics engine against the consensus values of IBSI's digital phantom, slice by slice.

    python experiments/benchmarks/ibsi.py --data DIR --out data_cards/ibsi.md

``DIR`` holds ``ibsi_reference_values.csv`` and ``ibsi_1_digital_phantom``. Writes the page of conformance and prints
one JSON line; ends with code 1 where a value differs without being a documented departure.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.radiomics.catalogue.features import FAMILIES, FEATURES, by_ibsi
from usdlr.radiomics.catalogue.terms import DISCRETISATION
from usdlr.radiomics.native import classes
from usdlr.radiomics.native.discretise import levels_of
from usdlr.radiomics.native.matrices import Matrices, matrices

PHANTOM = "dig. phantom"
TABLE = "ibsi_reference_values.csv"
IMAGE = "ibsi_1_digital_phantom/nifti/image/phantom.nii.gz"
MASK = "ibsi_1_digital_phantom/nifti/mask/mask.nii.gz"
DASH = "—"

WHOLE, AVERAGED, MERGED, SLICES = "", "2D, averaged", "2D, slice-merged", "2D"
AGGREGATIONS = (WHOLE, AVERAGED, MERGED, SLICES)

# Codes whose value is that of a feature with another code, so that PyRadiomics has them once.
SAME = {"8S9J": "glcm.DifferenceAverage", "OEEB": "glcm.ClusterTendency", "5SPA": "firstorder.Uniformity"}

# What turns PyRadiomics' value into the manual's; the catalogue says why it differs.
DEPARTURES: dict[str, tuple[str, Callable[[float], float]]] = {"IPH6": ("less 3", lambda value: value - 3)}

# Every code of the slice-wise aggregations that is not measured, by IBSI's family.
NOT_MEASURED: dict[str, tuple[str, str]] = {
    "Morphology": (
        "RNU0 YEKZ C0JK 2PR5 SKGS BQWJ KRCK QCFX 25C7 KLMA L0JK TDIC P9VJ 7J51 Q3CK N17B PBX1 R59B 6BDE RDD2 R3ER 7T7F "
        "99N0 N365 NPT7",
        "defined on a volume; the engine measures the outline in the plane, for which IBSI has no reference values",
    ),
    "Local intensity": ("VJGA 0F91", "not in PyRadiomics"),
    "Intensity-based statistics": ("N72L 7TET 9S40", "not in PyRadiomics"),
    "Intensity histogram": (
        "X6K6 CH89 88K1 C3I7 WIFQ 1PR8 GPMT 3NCY AMMC WR0O 5Z3W D2ZX WRZB 4RNL CWYJ SLWD 12CE 8E6O VQB3 RHQZ",
        "PyRadiomics takes entropy and uniformity alone from the grey levels, all else from the intensities",
    ),
    "Intensity-volume histogram": ("BC2M GBPN DDTU CNV2", "not in PyRadiomics"),
    "Grey level distance zone matrix": (
        "0GBI MB4I S1RA K26C RUVG DKNJ A7WM KLTH VFT7 7HP3 V294 IATH VIWW QK93 7WT1 GBDU",
        "not in PyRadiomics",
    ),
    "Neighbouring grey level dependence matrix": (
        "6XV8 CAS9",
        "not in PyRadiomics; the percentage (6XV8) is 1 by its definition",
    ),
}

HEAD = """\
# IBSI-1 digital phantom

<!-- written by experiments/benchmarks/ibsi.py: change that, not this -->

| | |
|---|---|
| **Origin** | Image Biomarker Standardisation Initiative: Zwanenburg et al. 2020, Radiology 295:328, \
doi 10.1148/radiol.2020191145; reference manual arXiv 1612.07003 |
| **Licence** | Creative Commons Attribution 4.0 |
| **Consent** | none needed: no patient |
| **Content** | 4 slices of 4 rows and 5 columns, 74 pixels in the mask; grey levels that occur, by slice: {levels} |
| **Used for** | whether the native radiomics engine computes what the standard defines, slice by slice |
| **Not in the repository** | the phantom and the table of reference values |

## Conformance of the native engine

Of {values} reference values **{agree} agree; documented departures of PyRadiomics: {departures}; others: {differ}.**

    python experiments/benchmarks/ibsi.py --data DIR --out data_cards/ibsi.md

- *2D, averaged*: a value per direction and slice, then the mean. *2D, slice-merged*: the four directions of a slice
  in one matrix, a value per slice, then the mean. *2D*: one matrix and one value per slice, then the mean. *Whole
  region*: all slices together.
- The manual states no tolerance for these values. They agree where they are equal to three significant digits, which
  are all that are printed.
- The normalised inverse differences (1QCO, NDRX) divide by the number of grey levels. The engine takes the region's
  highest level. Every slice of the phantom reaches level 6, so this is 6 whether a slice or the whole phantom is the
  region: the phantom cannot tell the two apart. The number of levels that occur, 3 or 4 in a slice, does not agree.
"""

UNSEEN = """
In regions unlike the phantom's slices PyRadiomics, and the native engine with it, departs further:

- **Pixels without a neighbour** in the region count in the shares and the number of pixels of the neighbourhood grey
  tone difference matrix; IBSI leaves them out.
- **Directions in which no line holds two pixels**, as in a region one pixel wide, are left out of the mean over run
  length matrices; IBSI counts runs of length one there.
"""

NOT_MEASURED_HEAD = """
## Not measured

{left} of the {references} reference values of the aggregations above have no feature in PyRadiomics' two-dimensional
classes, and none here. Codes are those of the table of reference values; it gives 1PR8 to two rows, the minimum and
the 10th percentile of the grey levels.

| family | codes | why |
|---|---|---|
"""

TAIL = """
The other way round, {number} features of the engine have no code in the manual: {ours}.

## Not covered by this page

- Aggregations over a volume: *2.5D* (direction-merged, merged) and *3D* (averaged, merged). The engine measures
  images.
- Configurations A to E, on a CT volume of a patient: interpolation, re-segmentation and discretisation. The phantom's
  grey levels are given, so bin widths and counts are not tested here.
- Filtered images (IBSI-2).

## Hashes

| file | SHA-256 |
|---|---|
"""

Slices = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One reference value and what was found.

    Parameters
    ----------
    code, name, aggregation : str
        As in the table of reference values.
    feature : str
        ``{class}.{feature}`` of PyRadiomics.
    reference, tolerance, found : float
        They agree where found is within the tolerance of the reference.
    """

    code: str
    name: str
    aggregation: str
    feature: str
    reference: float
    tolerance: float
    found: float

    @property
    def agrees(self) -> bool:
        """Whether the value is the manual's."""
        return self._near(self.found)

    @property
    def departs(self) -> bool:
        """Whether it differs in the way that is documented, and in no other."""
        if self.agrees or self.code not in DEPARTURES:
            return False
        return self._near(DEPARTURES[self.code][1](self.found))

    @property
    def verdict(self) -> str:
        """In words."""
        if self.agrees:
            return "agrees"
        if self.departs:
            how, convert = DEPARTURES[self.code]
            value = f"{convert(self.found):.5g}"
            return f"documented departure: {how} it is {value}, which agrees; {FEATURES[self.feature].departure}"
        return "**DIFFERS**"

    def _near(self, value: float) -> bool:
        # The product's own rounding must not push a value on the tolerance's edge over it.
        return bool(abs(value - self.reference) <= self.tolerance * (1 + 1e-9))


def read_references(folder: Path) -> list[dict[str, str]]:
    """The phantom's reference values of the slice-wise aggregations, as text."""
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        return [
            row | {"feature": row["feature"].replace("\\ :sup:`th`", "th")}
            for row in csv.DictReader(stream)
            if row["data"] == PHANTOM and row["aggregation"] in AGGREGATIONS and row["value"] not in ("", DASH)
        ]


def read_phantom(folder: Path) -> tuple[Slices, npt.NDArray[np.bool_]]:
    """Image and mask, (slices, rows, columns)."""
    import SimpleITK

    image, mask = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / name))) for name in (IMAGE, MASK))
    return image.astype(np.float64), mask > 0


def tolerance_of(value: str, stated: str) -> float:
    """The tolerance as it stands, else half a unit of the third significant digit, or of the last where more are given.

    The manual prints three digits; a table of numbers loses their trailing zeros.

    Examples
    --------
    >>> tolerance_of("0.46", "—"), tolerance_of("567", "—"), tolerance_of("147.25", "—"), tolerance_of("556", "4")
    (0.0005, 0.5, 0.005, 4.0)
    """
    if stated not in ("", DASH):
        return float(stated)
    mantissa, _, exponent = value.lower().partition("e")
    last = int(exponent or 0) - len(mantissa.partition(".")[2])
    number = abs(float(value))
    third = floor(log10(number)) - 2 if number else last
    return float(f"5e{min(third, last) - 1}")


def measure(pixels: Slices, inside: npt.NDArray[np.bool_]) -> dict[tuple[str, str], float]:
    """The native engine's values by ``{class}.{feature}`` and aggregation.

    Statistics of intensities are those of the whole region. Every other value is the mean over slices, each measured
    alone.
    """
    levels = np.where(inside, pixels, 0).astype(np.int32)
    found = [matrices(levels_of(np.pad(one, 1))) for one in levels if one.any()]
    out: dict[tuple[str, str], float] = {}

    def put(family: str, names: Iterable[str], aggregation: str, values: Iterable[float]) -> None:
        out.update({(f"{family}.{name}", aggregation): float(x) for name, x in zip(names, values, strict=True)})

    def mean(function: Callable[[Matrices], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        return np.asarray(np.mean([function(one) for one in found], axis=0))

    # The area of a pixel enters the total energy alone, which IBSI does not define.
    put("firstorder", classes.FIRSTORDER, WHOLE, classes.firstorder(pixels[inside], _counts(levels), 1.0))
    put(
        "firstorder",
        classes.FIRSTORDER,
        SLICES,
        np.mean(
            [
                classes.firstorder(part[within], one.counts, 1.0)
                for part, within, one in zip(pixels, inside, found, strict=True)
            ],
            axis=0,
        ),
    )
    for aggregation, merged in ((AVERAGED, False), (MERGED, True)):
        put("glcm", classes.GLCM, aggregation, mean(partial(classes.glcm, merged=merged)))
        put("glrlm", classes.GLRLM, aggregation, mean(partial(classes.glrlm, merged=merged)))
    put("glszm", classes.GLSZM, SLICES, mean(classes.glszm))
    put("gldm", classes.GLDM, SLICES, mean(classes.gldm))
    put("ngtdm", classes.NGTDM, SLICES, mean(classes.ngtdm))
    return out


def _counts(levels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    counts = np.bincount(levels[levels > 0])
    return counts[counts > 0]


def compare(references: Iterable[dict[str, str]], found: dict[tuple[str, str], float]) -> list[Row]:
    """One row per reference value that PyRadiomics has a feature for, in the manual's order.

    Raises
    ------
    DataError
        If a code is neither measured nor listed as not measured, or both.
    """
    left = {code for codes, _ in NOT_MEASURED.values() for code in codes.split()}
    known = {feature.ibsi for feature in FEATURES.values()} | set(SAME)
    out = []
    for row in references:
        code, aggregation = row["code"], row["aggregation"]
        if (code in known) == (code in left):
            raise DataError(
                f"found the code {code} ({row['feature']}) {'both' if code in left else 'neither'} among the features "
                f"{'and' if code in left else 'nor'} among those not measured, expected it in one of the two"
            )
        if code in left:
            continue
        key = SAME[code] if code in SAME else by_ibsi(code).key
        out.append(
            Row(
                code,
                row["feature"],
                aggregation,
                key,
                float(row["value"]),
                tolerance_of(row["value"], row["tolerance"]),
                found[key, aggregation],
            )
        )
    return out


def page(rows: list[Row], references: list[dict[str, str]], hashes: dict[str, str], levels: str) -> str:
    """The page of conformance in Markdown."""
    lines = HEAD.format(levels=levels, values=len(rows), **_count(rows)).splitlines()
    for title, group in _groups(rows):
        lines += [
            "",
            f"### {title}",
            "",
            "| code | IBSI's name | our feature | aggregation | reference | tolerance | found | verdict |",
            "|---|---|---|---|---:|---:|---:|---|",
        ]
        lines += [
            f"| {row.code} | {row.name} | `{row.feature}` | {row.aggregation or 'whole region'} | {row.reference:g} "
            f"| {row.tolerance:g} | {row.found:.5g} | {row.verdict} |"
            for row in group
        ]
    lines += ["", "## Departures of PyRadiomics that the catalogue documents", ""]
    lines += [f"- {line}." for line in _departures()]
    lines += UNSEEN.splitlines()
    lines += NOT_MEASURED_HEAD.format(left=len(references) - len(rows), references=len(references)).splitlines()
    lines += [f"| {family} | {codes} | {why} |" for family, (codes, why) in NOT_MEASURED.items()]
    ours = [f"`{key}`" for key, one in FEATURES.items() if one.ibsi is None]
    lines += TAIL.format(number=len(ours), ours=", ".join(ours)).splitlines()
    lines += [f"| `{name}` | `{digest}` |" for name, digest in hashes.items()]
    return "\n".join(lines) + "\n"


def _count(rows: list[Row]) -> dict[str, int]:
    number = Counter("agree" if row.agrees else "departures" if row.departs else "differ" for row in rows)
    return {name: number[name] for name in ("agree", "departures", "differ")}


def _groups(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by PyRadiomics' class, under IBSI's name of the family."""
    out: dict[str, list[Row]] = {}
    for row in rows:
        # The one first-order value of single slices belongs to the dependence matrix.
        family = "gldm" if row.aggregation == SLICES and row.feature.startswith("firstorder") else None
        out.setdefault(family or row.feature.partition(".")[0], []).append(row)
    return [(FAMILIES[family].ibsi, out[family]) for family in FAMILIES if family in out]


def _departures() -> list[str]:
    """What the catalogue says on the features that have a code."""
    said: dict[str, list[str]] = {}
    for key, one in FEATURES.items():
        if one.ibsi is None:
            continue
        for text in (DISCRETISATION, one.departure.replace(DISCRETISATION, "").strip("; ")):
            if text and text in one.departure:
                said.setdefault(text, []).append(key)
    return [
        f"{text} ({', '.join(f'`{key}`' for key in keys) if len(keys) < 5 else f'{len(keys)} features'})"
        for text, keys in said.items()
    ]


def run(folder: Path) -> tuple[str, dict[str, Any]]:
    """The page and its figures."""
    references = read_references(folder)
    pixels, inside = read_phantom(folder)
    rows = compare(references, measure(pixels, inside))
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (TABLE, IMAGE, MASK)}
    levels = "; ".join(
        " ".join(f"{level:g}" for level in np.unique(part[within])) for part, within in zip(pixels, inside, strict=True)
    )
    return page(rows, references, hashes, levels), {"values": len(rows)} | _count(rows)


def main() -> None:
    """Parse the command line, measure, write the page, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    text, figures = run(options.data)
    options.out.write_text(text, encoding="utf-8")
    print(json.dumps(figures))
    if figures["differ"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
