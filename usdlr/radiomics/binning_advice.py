"""The choice of grey levels that a bin-sensitivity report supports, in sentences with its numbers."""

from __future__ import annotations

import pandas as pd

from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.radiomics.binning_report import COUNT, COUNTS, STEADY, WIDTH, BinningReport, disturbances_of, usual
from usdlr.radiomics.settings import DEFAULT_BIN_COUNT

_UNITS = {BMODE: "grey levels"}
_OTHER_UNIT = "kPa"


def unit_of(modality: str) -> str:
    """The unit of a width."""
    return _UNITS.get(modality, _OTHER_UNIT)


def steady_count(report: BinningReport, modality: str) -> int | None:
    """The smallest number of levels whose doubling keeps the order of cases in the median feature, if any does."""
    medians = _median_by_setting(report.neighbours, modality)
    return next((count for count in COUNTS[:-1] if medians.get(float(count), 0.0) >= STEADY), None)


def advice(report: BinningReport) -> str:
    """A short text: the recommended setting for each modality of the sample, and why."""
    parts = [
        f"Grey levels of radiomics: what {report.cases} cases say",
        "",
        "Texture features count grey levels. A fixed count (radiomics.bin_count) cuts the range of each region into as "
        "many levels; a fixed width (radiomics.bin_width) cuts at multiples of a width in the image's unit.",
    ]
    for modality in dict.fromkeys(report.levels["modality"]):
        parts += ["", *(_bmode(report) if modality == BMODE else _physical(report, str(modality)))]
    parts += [
        "",
        "Rank correlations are Spearman's over the cases of the sample, one per region and feature. Changes are the "
        "median over cases of |after - before| / |before|, one per region and feature. A small sample says little "
        "about single features: repeat this on your own images.",
    ]
    return "\n".join(parts) + "\n"


def _bmode(report: BinningReport) -> list[str]:
    steady = steady_count(report, BMODE)
    found = (
        f"On this sample {steady} levels are the fewest whose doubling keeps the order of cases (median rank "
        f"correlation at least {STEADY:g})."
        if steady is not None
        else f"On this sample no count keeps the order of cases under doubling (median rank correlation {STEADY:g})."
    )
    return [
        f"{MODALITIES[BMODE].title}: recommended radiomics.bin_count = {DEFAULT_BIN_COUNT}, bin_width = null.",
        "  1. The unit is arbitrary: gain, dynamic range and post-processing move B-mode grey levels. "
        f"{_moved(report, BMODE)}",
        f"  2. Matrices stay comparable: {_used(report, BMODE)}",
        f"  3. {found} {_doubling(report, BMODE, DEFAULT_BIN_COUNT)} {_weakest(report, BMODE)}",
        "  A fixed count pays for this: it also removes true differences of contrast between regions, which stay in "
        "the first-order features of the same table.",
    ]


def _physical(report: BinningReport, modality: str) -> list[str]:
    title, unit = MODALITIES[modality].title, unit_of(modality)
    width = usual(modality, WIDTH)
    return [
        f"{title[0].upper()}{title[1:]}: a fixed width, e.g. radiomics.bin_width = {width:g} ({unit}), may be right "
        "where every map is in the same unit.",
        f"  1. The unit is physical: {width:g} {unit} mean the same in every patient, and a change of scale is a "
        f"change of tissue, which features should show. {_moved(report, modality)}",
        f"  2. Look at the number of levels: {_used(report, modality)} Below about 8 a texture is coarse.",
        "  3. Maps in other units (m/s, relative strain), or of scanners that cut the scale at different values, "
        f"need a fixed count as in B-mode. {_doubling(report, modality, DEFAULT_BIN_COUNT)}",
        "  One table has one setting for all modalities: measure them into two tables to give each its own.",
    ]


def _moved(report: BinningReport, modality: str) -> str:
    table = report.disturbances[report.disturbances["modality"] == modality]
    texts = []
    for mode in (COUNT, WIDTH):
        moved = table.loc[table["mode"] == mode, "relative_change"].dropna()
        texts.append(
            f"{_setting(modality, mode, usual(modality, mode))} the median feature moves by "
            f"{_percent(float(moved.median()))} and nine of ten by at most {_percent(float(moved.quantile(0.9)))}"
        )
    names = ", ".join(disturbances_of(modality))
    return f"Under a disturbance ({names}), with {texts[0]}; with {texts[1]}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 1e-4 else "0.01 % (or less)"


def _used(report: BinningReport, modality: str) -> str:
    texts = []
    for mode in (COUNT, WIDTH):
        table = report.levels[(report.levels["modality"] == modality) & (report.levels["mode"] == mode)]
        rows = table[table["setting"] == usual(modality, mode)]
        low, high = rows["levels_low"].min(), rows["levels_high"].max()
        texts.append(f"{_setting(modality, mode, usual(modality, mode))} regions use {low:.0f} to {high:.0f} levels")
    return f"with {texts[0]}; with {texts[1]}."


def _setting(modality: str, mode: str, setting: float) -> str:
    return f"{setting:g} levels" if mode == COUNT else f"a width of {setting:g} {unit_of(modality)}"


def _doubling(report: BinningReport, modality: str, count: int) -> str:
    rows = _counts(report.neighbours, modality)
    values = rows.loc[rows["setting"] == count, "rank_correlation"].dropna()
    share = 100 * float((values >= STEADY).mean())
    return (
        f"From {count} to {2 * count} levels the median rank correlation is {values.median():.3f}, and {share:.0f} % "
        f"of features reach {STEADY:g}."
    )


def _weakest(report: BinningReport, modality: str) -> str:
    rows = _counts(report.neighbours, modality)
    rows = rows[rows["setting"] == DEFAULT_BIN_COUNT].dropna(subset=["rank_correlation"])
    weakest = rows.iloc[int(rows["rank_correlation"].round(9).to_numpy().argmin())]
    return (
        f"Least steady there: {weakest['class']}.{weakest['feature']} in the {weakest['roi']} region "
        f"({weakest['rank_correlation']:.2f})."
    )


def _counts(neighbours: pd.DataFrame, modality: str) -> pd.DataFrame:
    return neighbours[(neighbours["modality"] == modality) & (neighbours["mode"] == COUNT)]


def _median_by_setting(neighbours: pd.DataFrame, modality: str) -> dict[float, float]:
    medians = _counts(neighbours, modality).groupby("setting")["rank_correlation"].median()
    return {float(setting): float(value) for setting, value in medians.items()}  # type: ignore[arg-type]  # a float
