"""What an answer is made of, from the plain data that :mod:`usdlr.review.explaining` kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from usdlr.core.types import Stage
from usdlr.review.contexts.panels import BarView, ExplanationView, StageExplained
from usdlr.review.web.showing import TITLES, percent_length


def explanation_view(plain: Mapping[str, Any]) -> ExplanationView:
    """An explanation, ready to be printed.

    Parameters
    ----------
    plain : mapping
        As kept; parts that a later version leaves out are left out.
    """
    told = plain.get("stages", ())
    widest = max((abs(bar["adds"]) for one in told for bar in one.get("blocks", ()) if bar.get("adds")), default=1.0)
    notes = (plain.get("maps_show"), plain.get("neighbours"), plain.get("not_causes"), plain.get("about"))
    return ExplanationView(tuple(_stage(one, widest) for one in told), tuple(str(note) for note in notes if note))


def _stage(plain: Mapping[str, Any], widest: float) -> StageExplained:
    return StageExplained(
        title=TITLES[Stage(plain["stage"])],
        lead=_texts(plain.get("sentence"), plain.get("leading"), plain.get("maps")),
        bars=(
            *(_bar(one, widest) for one in plain.get("blocks", ())),
            *(BarView(str(one["words"]), str(one["adds_text"]), "", "", False) for one in _ends(plain)),
        ),
        terms=_texts(*(one.get("text") for one in plain.get("features", ()))),
        changes=_texts(*plain.get("changes", ())),
        notes=_texts(plain.get("agreement"), *plain.get("notes", ())),
    )


def _ends(plain: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Where the addends start from and what they come to: no bars, since they are no shares."""
    return [plain[name] for name in ("base", "sum") if plain.get(name)]


def _bar(plain: Mapping[str, Any], widest: float) -> BarView:
    adds = plain.get("adds")
    words, text = str(plain["words"]), str(plain["adds_text"])
    if adds is None:
        return BarView(words, text, "", "", False)
    share = 0.48 * abs(float(adds)) / (widest or 1.0)
    start = 0.5 if adds > 0 else 0.5 - share
    return BarView(words, text, percent_length(start), percent_length(share), adds > 0)


def _texts(*found: Any) -> tuple[str, ...]:
    return tuple(str(text) for text in found if text)
