"""A shared result from another centre, read as untrusted input: every key, type, range and sum is checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from usdlr.core.errors import DataError
from usdlr.core.hashing import data_hash
from usdlr.core.types import Stage
from usdlr.core.untrusted import strict_json
from usdlr.validation.share import ESTIMATES, FORMAT, NAME, VERSION
from usdlr.validation.share_cells import AGGREGATES, RATES, bounds
from usdlr.validation.share_scores import GRID

MOST_BYTES = 256 << 10
MOST = 10_000_000  # axillae
_BUNDLE, _HASH, _RELEASE = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9A-Za-z.+-]{1,32}")
_KEYS = {
    "format",
    "version",
    "centre",
    "bundle",
    "plan",
    "software",
    "smallest",
    "alpha",
    "thresholds",
    "counts",
    "rates",
    "stages",
}
# Lowest and highest value that an estimate can have.
_RANGES = {"auc": (0.0, 1.0), "brier": (0.0, 1.0), "observed_expected": (0.0, math.inf)}


def read_share(path: Path) -> dict[str, Any]:
    """Read one file.

    Raises
    ------
    DataError
        Naming the file, what was found and what was expected.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_BYTES:
            raise DataError(f"found {path} of {size} bytes, expected a shared result of at most {MOST_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"found no readable file {path} ({error.strerror}), expected a shared result") from error
    found = strict_json(content, path.name, most_bytes=MOST_BYTES)
    try:
        _check(found)
    except (KeyError, TypeError, ValueError) as error:
        why = str(error) or repr(error)
        raise DataError(
            f"found {path.name}, which is no shared result ({why[:200]}), expected a file that `usdlr validate "
            "--share` wrote; ask the centre for it again"
        ) from error
    return dict(found)


def read_shares(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read results that may be pooled: of one model, one plan, and each centre once.

    Raises
    ------
    DataError
        If one is damaged, a centre is there twice, or they speak of different things.
    """
    if not paths:
        raise DataError("found no shared result to combine, expected at least one file")
    found = [read_share(path) for path in paths]
    seen: dict[str, str] = {}
    contents: dict[str, str] = {}
    for path, one in zip(paths, found, strict=True):
        name = str(one["centre"]).casefold().strip()
        if name in seen:
            raise DataError(
                f"found the centre {one['centre']!r} in {path.name} and in {seen[name]}, expected each centre once; "
                "its patients would count twice: leave one out"
            )
        seen[name] = path.name
        content = data_hash({key: value for key, value in one.items() if key not in ("centre", "software")})
        if content in contents:
            raise DataError(
                f"found the same numbers in {path.name} and {contents[content]} under two names, expected each "
                "centre's own; leave one out"
            )
        contents[content] = path.name
        for key, words in (
            ("bundle", "another model"),
            ("plan", "another plan"),
            ("alpha", "other targets"),
            ("thresholds", "other thresholds"),
        ):
            if one[key] != found[0][key]:
                raise DataError(
                    f"found {words} in {path.name} ({one[key]}) than in {paths[0].name} ({found[0][key]}), expected "
                    "results of one model by one plan; combine them apart"
                )
    return found


def _check(found: Any) -> None:
    _keys(found, _KEYS, "the file")
    if found["format"] != FORMAT or type(found["version"]) is not int or found["version"] != VERSION:
        raise ValueError(f"format {found['format']!r} version {found['version']!r}, not {FORMAT!r} version {VERSION}")
    _word(found["centre"], NAME, "centre")
    _word(found["bundle"], _BUNDLE, "bundle")
    if found["plan"] is not None:
        _word(found["plan"], _HASH, "plan")
    _keys(found["software"], {"usdlr"}, "software")
    _word(found["software"]["usdlr"], _RELEASE, "software.usdlr")
    smallest = _whole(found["smallest"], "smallest")
    if smallest < 1:
        raise ValueError("smallest below 1")
    stages = set(map(str, Stage))
    for name in ("alpha", "thresholds"):
        _keys(found[name], stages, name)
        for stage, value in found[name].items():
            _number(value, f"{name}.{stage}", 0.0, 1.0)
    _counts(found["counts"], smallest)
    _rates(found["rates"], found["counts"])
    _keys(found["stages"], stages, "stages")
    for stage, part in found["stages"].items():
        _stage(stage, part, found["counts"])


def _counts(counts: Any, smallest: int) -> None:
    _keys(counts, set(AGGREGATES), "counts")
    for name, value in counts.items():
        if value is not None:
            _whole(value, f"counts.{name}")
    if all(value is None for value in counts.values()):
        return
    for name, value in counts.items():
        # ValueError where no centre can have these counts together.
        low, high = bounds(name, {key: other for key, other in counts.items() if key != name})
        if value is not None and not (low <= value and (high is None or value <= high)):
            raise ValueError(f"counts.{name} = {value}, which contradicts the other counts")


def _rates(rates: Any, counts: Mapping[str, int | None]) -> None:
    _keys(rates, set(RATES), "rates")
    for name, rate in rates.items():
        events, among = RATES[name]
        hidden = counts[events] is None
        _keys(rate, {"events", "n", "effective", *(("least", "most") if hidden else ())}, f"rates.{name}")
        if rate["events"] != counts[events] or rate["n"] != counts[among]:
            raise ValueError(f"rates.{name}, which is not what counts says")
        if (rate["n"] is None) != (rate["effective"] is None):
            raise ValueError(f"rates.{name} with n or effective alone")
        if rate["n"] is not None:
            # Two axillae to a patient at most.
            _number(rate["effective"], f"rates.{name}.effective", rate["n"] / 2, float(rate["n"]))
        if hidden:
            _whole(rate["least"], f"rates.{name}.least")
            if rate["most"] is not None and _whole(rate["most"], f"rates.{name}.most") < rate["least"]:
                raise ValueError(f"rates.{name} with most below least")
        elif rate["n"] is not None and rate["events"] > rate["n"]:
            raise ValueError(f"rates.{name} with more events than axillae")


def _stage(stage: str, part: Any, counts: Mapping[str, int | None]) -> None:
    _keys(part, {"estimates", "scores"}, f"stages.{stage}")
    estimates, scores = part["estimates"], part["scores"]
    if estimates is None:
        if scores is not None:
            raise ValueError(f"stages.{stage} with scores alone")
        return
    totals = {"sln": ("sln_positive", "sln_negative"), "nsln": ("nsln_positive", "nsln_known")}[stage]
    first, second = (counts[name] for name in totals)
    if first is None or second is None:
        raise ValueError(f"stages.{stage}.estimates, where counts are withheld")
    positive, negative = first, second if stage == "sln" else second - first
    if scores is not None:
        _scores(stage, scores)
        if (sum(scores["positive"]), sum(scores["negative"])) != (positive, negative):
            raise ValueError(f"stages.{stage}.scores, whose sums are not what counts says")
    _keys(estimates, set(ESTIMATES), f"stages.{stage}.estimates")
    for name, one in estimates.items():
        what = f"stages.{stage}.estimates.{name}"
        _keys(one, {"value", "low", "high", "n"}, what)
        if _whole(one["n"], f"{what}.n") != positive + negative:
            raise ValueError(f"{what}.n, which is not the number of axillae")
        low, high = _RANGES.get(name, (-math.inf, math.inf))
        ends = [_number(one[key], what, low, high) for key in ("low", "value", "high") if one[key] is not None]
        if ends != sorted(ends) or (one["value"] is None and ends):
            raise ValueError(f"{what}, whose value is not between low and high")


def _scores(stage: str, scores: Any) -> None:
    what = f"stages.{stage}.scores"
    _keys(scores, {"edges", "positive", "negative", "predicted"}, what)
    edges = scores["edges"]
    if not isinstance(edges, list) or not 2 <= len(edges) <= len(GRID) or edges[0] != 0 or edges[-1] != 1:
        raise ValueError(f"{what}.edges, which do not go from 0 to 1")
    if not set(edges) <= set(GRID) or edges != sorted(set(edges)):
        raise ValueError(f"{what}.edges, which are not on the grid")
    for name in ("positive", "negative", "predicted"):
        if not isinstance(scores[name], list) or len(scores[name]) != len(edges) - 1:
            raise ValueError(f"{what}.{name}, which has not one value per bin")
    for place, (low, high) in enumerate(pairwise(edges)):
        total = sum(_whole(scores[name][place], f"{what}.{name}") for name in ("positive", "negative"))
        mean = scores["predicted"][place]
        if (mean is None) != (total == 0):
            raise ValueError(f"{what}.predicted, which is null but in an empty bin")
        if mean is not None:
            _number(mean, f"{what}.predicted", low - 0.001, high + 0.001)


def _keys(value: Any, expected: set[str], what: str) -> None:
    if not isinstance(value, dict) or set(value) != expected:
        found = sorted(set(value) ^ expected) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{what} with other keys than expected: {found}")


def _word(value: Any, pattern: re.Pattern[str], what: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{what} = {str(value)[:40]!r}")


def _whole(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(f"{what} = {str(value)[:40]!r}, not a count from 0 to {MOST}")
    return value


def _number(value: Any, what: str, low: float, high: float) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{what} = {str(value)[:40]!r}, not a number from {low:g} to {high:g}")
    return float(value)
