"""Limitations of groups and of images: groups that differ, centres that are scanners, images that hardly count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from usdlr.core.columns import CONTRIBUTION_PREFIX
from usdlr.core.types import Split, Stage
from usdlr.report import facts
from usdlr.report.figures_subgroups import level_text, p_words
from usdlr.report.inputs import StudyInputs
from usdlr.report.tables import count, estimate_text, finite, percent, plural

LEVEL = 0.05  # of P after Holm's correction
HARDLY = 0.05  # share of the log-odds' standard deviation below which images hardly count
_TESTED = {"fnr": "The false-negative rate", "auc": "The AUC", "calibration": "Calibration"}


def unlike(inputs: StudyInputs) -> Iterator[str]:
    """Subgroups that the tests found to differ, the false-negative rates first."""
    for key, what in _TESTED.items():
        for stage in Stage:
            part = facts.found(inputs.metrics, f"subgroups.{stage}.variables") or {}
            among = f" ({inputs.known_nsln})" if stage is Stage.NSLN else ""
            cascade = f"of the {inputs.marks.adjective}cascade " if key == "fnr" else ""
            for entry in part.values():
                test = (entry.get("tests") or {}).get(key) or {}
                p_holm = finite(test.get("p_holm"))
                if p_holm is None or p_holm >= LEVEL:
                    continue
                yield (
                    f"{what} {cascade}at the {stage.upper()} stage{among} is not the same by {_name(entry['title'])}: "
                    f"{_levels(entry['levels'], test['levels'], key)}; {p_words(p_holm)} after Holm's correction. The "
                    "number for all axillae does not hold in each of these groups."
                )


def _levels(levels: Iterable[Mapping[str, Any]], tested: Collection[str], key: str) -> str:
    """The tested levels with their numbers, the largest first; the largest and the smallest of many."""
    of = "calibration_slope" if key == "calibration" else key
    chosen = sorted(
        (level for level in levels if level["level"] in tested), key=lambda level: -(finite(level[of]["value"]) or 0.0)
    )
    told = [_level(level, key) for level in chosen]
    if len(told) > 4:
        return f"from {told[0]} to {told[-1]}, among {count(len(told))} groups"
    return " against ".join(told)


def _level(level: Mapping[str, Any], key: str) -> str:
    at = level_text(level["level"])
    if key == "fnr":
        return f"{percent(level['fnr']['value'])} ({count(level['missed'])} of {count(level['positives'])}) at {at}"
    if key == "auc":
        return f"{estimate_text(level['auc'])} (n = {count(level['n'])}) at {at}"
    slope, shift = estimate_text(level["calibration_slope"]), estimate_text(level["calibration_intercept"])
    return f"slope {slope}, intercept {shift} (n = {count(level['n'])}) at {at}"


def too_few(inputs: StudyInputs) -> Iterator[str]:
    """Subgroups too small to judge."""
    for stage in Stage:
        part = facts.found(inputs.metrics, f"subgroups.{stage}") or {}
        small = [
            f"{entry['title']} {row['level']} (n = {count(row['n'])}, {count(row['positives'])} positive)"
            for name, entry in (part.get("variables") or {}).items()
            if name != "all"
            for row in entry["levels"]
            if row.get("small")
        ]
        if small:
            more = f" and {count(len(small) - 6)} more" if len(small) > 6 else ""
            yield (
                f"At the {stage.upper()} stage, {plural(len(small), 'subgroup')} with too few axillae of either status "
                f"to judge: {'; '.join(small[:6])}{more}."
            )


def same_division(inputs: StudyInputs) -> Iterator[str]:
    """Where centre and scanner or maker divide the axillae alike, nobody can tell whose a difference is."""
    alike, n = [], 0
    for column, words in (("device", "scanner"), ("vendor", "maker")):
        if not {"centre_id", column} <= set(inputs.axillae):
            continue
        both = inputs.axillae[["centre_id", column]].dropna().astype(str)
        parts = len(both.drop_duplicates())
        if parts > 1 and parts == both["centre_id"].nunique() == both[column].nunique():
            alike.append(words)
            n = max(n, len(both))
    if alike:
        others = " and ".join(alike)
        names = f"Centre, {others}" if len(alike) > 1 else f"Centre and {others}"
        yield (
            f"{names} divide the {count(n)} axillae of which they are known in the same way: what is said "
            f"of a centre cannot be told from what is said of its {others}."
        )


def images(inputs: StudyInputs) -> Iterator[str]:
    """Stages whose log-odds the images hardly move."""
    rows = inputs.predictions
    blocks = [
        name
        for name in map(str, rows)
        if name.startswith(CONTRIBUTION_PREFIX) and "." in name[len(CONTRIBUTION_PREFIX) :]
    ]
    for stage in Stage if blocks else ():
        own = rows[(rows["split"].astype(str) == str(Split.TEST)) & (rows["stage"].astype(str) == str(stage))]
        # A block that is absent adds nothing.
        moved = float(own[blocks].fillna(0.0).sum(axis=1).astype(float).std())
        whole = float(own["logit"].astype(float).std())
        if whole > 0 and moved < HARDLY * whole:
            maps = " Heat maps of what they add show little." if inputs.heat_maps else ""
            yield (
                f"At the {stage.upper()} stage the images hardly count in this model: what all image blocks add "
                f"together has a standard deviation of {moved:.2g} among {count(len(own))} tested axillae, "
                f"{percent(moved / whole)} of that of the log-odds ({whole:.2g}).{maps}"
            )


def _name(title: str) -> str:
    """A variable's title within a sentence; ``BI-RADS`` stays as it is."""
    return title if title[1:2].isupper() else f"{title[0].lower()}{title[1:]}"
