"""What the choice of grey levels does to features: a sample of cases measured under many choices.

Grey levels come in two modes. A fixed count cuts the range between the darkest and the brightest pixel of the region
into as many levels; a fixed width cuts at multiples of a width in the image's unit. Only the second keeps a meaning of
its own, and only where the unit has one: B-mode grey levels move with gain and dynamic range, kilopascals do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from usdlr.core.errors import CaseError, DataError
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.store import CaseImages
from usdlr.radiomics.engines import Engine, build_engine
from usdlr.radiomics.extract import measure_images
from usdlr.radiomics.native.discretise import bin_edges
from usdlr.radiomics.settings import DEFAULT_BIN_COUNT, SHAPE, RadiomicsSettings

COUNTS = (8, 16, 32, 64, 128)
WIDTHS: dict[str, tuple[float, ...]] = {BMODE: (2.0, 4.0, 8.0, 16.0, 32.0)}
OTHER_WIDTHS = (1.0, 2.5, 5.0, 10.0, 20.0)
GAINS = (0.8, 1.25)
# A tenth of the modality's range, which is what a step of the gain button or of the time-gain curve adds.
OFFSET_SHARE = 0.1
COUNT, WIDTH = "count", "width"
LEVELS = "original.levels.Used"

# Doubling the number of levels leaves the order of cases as it is.
STEADY = 0.95
# First-order features of this kind read intensities, not levels, and are not shown.
LEVELLED_FIRSTORDER = ("Entropy", "Uniformity")
FEWEST_CASES = 5


@dataclass(frozen=True)
class BinningReport:
    """The report.

    Parameters
    ----------
    levels : DataFrame
        One row per modality, region, mode and setting: median, smallest and largest number of levels that occur.
    neighbours : DataFrame
        One row per modality, region, feature, mode and pair of neighbouring settings: rank correlation over cases.
    disturbances : DataFrame
        One row per modality, region, feature, mode and disturbance (gain, offset): median relative change over cases
        and rank correlation with the undisturbed values.
    cases : int
        Cases that were measured.
    """

    levels: pd.DataFrame
    neighbours: pd.DataFrame
    disturbances: pd.DataFrame
    cases: int


class _Levels:
    """An engine that adds the number of levels that occur to what another one measures."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.settings = engine.settings

    def measure(
        self, pixels: FloatArray, rois: Mapping[str, BoolArray], spacing: Spacing, *, shape: Collection[str] = ()
    ) -> dict[str, dict[str, float]]:
        found = self.engine.measure(pixels, rois, spacing)
        for name, roi in rois.items():
            values = pixels[roi].astype(np.float64)
            edges = bin_edges(values, count=self.settings.bin_count, width=self.settings.bin_width)
            found[name][LEVELS] = float(len(np.unique(np.digitize(values, edges))))
        return found


def binning_report(cases: Sequence[CaseImages], settings: RadiomicsSettings, *, engine: str) -> BinningReport:
    """Measure a sample of cases under many choices of grey levels.

    Parameters
    ----------
    cases : sequence of CaseImages
        The sample.
    settings : RadiomicsSettings
        Everything but the levels; image types other than the original are left out.
    engine : str
        What measures.

    Raises
    ------
    DataError
        If fewer than five cases can be measured.
    """
    classes = tuple(name for name in settings.classes if name != SHAPE) or ("glcm",)
    base = {
        **settings.as_dict(),
        "image_types": ("Original",),
        "classes": classes,
        "features": (),
        "bin_width_of": None,
    }
    tables: dict[tuple[str, str, float, str], pd.DataFrame] = {}
    measured = 0
    for modality in MODALITIES:
        usable = [case for case in cases if modality in case.images]
        for mode, setting, change in _variants(modality):
            chosen = RadiomicsSettings(**{**base, "bin_count": None, "bin_width": None, f"bin_{mode}": setting})
            measurer = _Levels(build_engine(engine, chosen))
            rows = {i: _row(case, modality, change, chosen, measurer) for i, case in enumerate(usable)}
            # The index is the case: what one choice cannot measure, another can.
            kept = {i: row for i, row in rows.items() if row is not None}
            tables[modality, mode, setting, change] = pd.DataFrame(list(kept.values()), index=list(kept))
            measured = max(measured, len(tables[modality, mode, setting, change]))
    if measured < FEWEST_CASES:
        raise DataError(
            f"found {measured} cases that can be measured out of {len(cases)}, expected at least {FEWEST_CASES}; "
            "name a larger table, or a larger --sample"
        )
    return BinningReport(_levels(tables), _neighbours(tables), _disturbances(tables), measured)


def widths_of(modality: str) -> tuple[float, ...]:
    """Widths that are tried, in the modality's unit."""
    return WIDTHS.get(modality, OTHER_WIDTHS)


def usual(modality: str, mode: str) -> float:
    """The setting under which gain and offset are tried."""
    return float(DEFAULT_BIN_COUNT) if mode == COUNT else widths_of(modality)[2]


def disturbances_of(modality: str) -> dict[str, tuple[float, float]]:
    """Factor and addend by name."""
    low, high = MODALITIES[modality].value_range
    offset = OFFSET_SHARE * (high - low)
    return {f"x{gain:g}": (gain, 0.0) for gain in GAINS} | {f"+{offset:g}": (1.0, offset)}


def _variants(modality: str) -> Iterator[tuple[str, float | int, str]]:
    for mode, settings in ((COUNT, COUNTS), (WIDTH, widths_of(modality))):
        for setting in settings:
            yield mode, setting, ""
        for change in disturbances_of(modality):
            yield mode, DEFAULT_BIN_COUNT if mode == COUNT else usual(modality, mode), change


def _row(
    case: CaseImages, modality: str, change: str, settings: RadiomicsSettings, engine: Engine
) -> dict[str, Any] | None:
    image = case.images[modality]
    factor, addend = disturbances_of(modality).get(change, (1.0, 0.0))
    moved = replace(image, pixels=(image.pixels * np.float32(factor) + np.float32(addend)).astype(np.float32))
    try:
        row = measure_images(CaseImages({modality: moved}, case.mask, case.fov), "sample", settings, engine)
    except CaseError:
        return None
    return {name: value for name, value in row.items() if name.startswith(f"{modality}.")}


Tables = Mapping[tuple[str, str, float, str], pd.DataFrame]


def _levels(tables: Tables) -> pd.DataFrame:
    rows = []
    for (modality, mode, setting, change), table in tables.items():
        for name in table.columns:
            if not change and name.endswith(LEVELS):
                used = table[name].dropna()
                rows.append(
                    {
                        "modality": modality,
                        "roi": name.split(".")[1],
                        "mode": mode,
                        "setting": float(setting),
                        "levels_median": used.median(),
                        "levels_low": used.min(),
                        "levels_high": used.max(),
                    }
                )
    return pd.DataFrame(rows)


def _neighbours(tables: Tables) -> pd.DataFrame:
    rows = []
    for modality in MODALITIES:
        for mode, settings in ((COUNT, COUNTS), (WIDTH, widths_of(modality))):
            for first, second in pairwise(settings):
                one, other = _same_cases(tables[modality, mode, first, ""], tables[modality, mode, second, ""])
                for name in _textures(one):
                    rows.append(
                        {
                            **_named(name),
                            "mode": mode,
                            "setting": float(first),
                            "against": float(second),
                            "rank_correlation": _ranks(one[name], other[name]),
                        }
                    )
    return pd.DataFrame(rows)


def _disturbances(tables: Tables) -> pd.DataFrame:
    rows = []
    for (modality, mode, setting, change), disturbed in tables.items():
        if not change:
            continue
        plain, table = _same_cases(tables[modality, mode, setting, ""], disturbed)
        for name in _textures(plain):
            before, after = plain[name].to_numpy(np.float64), table[name].to_numpy(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                moved = np.abs(after - before) / np.abs(before)
            rows.append(
                {
                    **_named(name),
                    "mode": mode,
                    "setting": float(setting),
                    "disturbance": change,
                    "relative_change": float(np.nanmedian(moved)) if np.isfinite(moved).any() else float("nan"),
                    "rank_correlation": _ranks(plain[name], table[name]),
                }
            )
    return pd.DataFrame(rows)


def _same_cases(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    both = one.index.intersection(other.index)
    return one.loc[both], other.loc[both]


def _textures(table: pd.DataFrame) -> list[str]:
    """Columns that read grey levels."""
    return [
        name
        for name in table.columns
        if not name.endswith(LEVELS) and (".firstorder." not in name or name.endswith(LEVELLED_FIRSTORDER))
    ]


def _named(column: str) -> dict[str, str]:
    modality, roi, _, cls, feature = column.split(".")
    return {"modality": modality, "roi": roi, "class": cls, "feature": feature}


def _ranks(one: pd.Series, other: pd.Series) -> float:
    """Spearman's correlation; not-a-number where a feature is the same in every case."""
    # Rounded, so that values which differ by floating-point noise share a rank.
    first, second = (np.array([float(f"{value:.9g}") for value in values]) for values in (one, other))
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 3 or len(set(first[known])) < 2 or len(set(second[known])) < 2:
        return float("nan")
    return float(spearmanr(first[known], second[known]).statistic)
