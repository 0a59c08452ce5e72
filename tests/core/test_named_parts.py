"""Parts chosen by name: what is unknown is refused by name, with the nearest known word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import build_part, nearest, option_names, split_part


def gated(width: int, *, hidden: int = 4, dropout: float = 0.0) -> tuple[str, int, int, float]:
    return "gated", width, hidden, dropout


def plain(width: int) -> tuple[str, int]:
    return "plain", width


MAKERS: dict[str, Callable[..., Any]] = {"gated": gated, "plain": plain}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("gated", ("gated", {})),
        ({"gated": None}, ("gated", {})),
        ({"gated": {}}, ("gated", {})),
        ({"gated": {"hidden": 8}}, ("gated", {"hidden": 8})),
    ],
)
def test_a_name_or_one_name_with_its_options(part: Any, expected: tuple[str, dict[str, Any]]) -> None:
    assert split_part(part, "model.fusion", MAKERS) == expected


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("gatd", r"found model\.fusion = 'gatd', expected one of gated, plain; did you mean 'gated'\?"),
        ("xyz", r"expected one of gated, plain$"),
        ({"gatd": {"hidden": 2}}, "did you mean 'gated'"),
        (
            {"gated": {"hiden": 2}},
            r"option 'hiden' of model\.fusion = gated, expected some of hidden, dropout; did you",
        ),
        ({"plain": {"hidden": 2}}, r"option 'hidden' of model\.fusion = plain, expected none"),
        # What the code gives is no option, whatever its name.
        ({"gated": {"width": 2}}, "option 'width'"),
        ({"gated": 4}, "expected a table of its options"),
        ({"gated": ["hidden"]}, "expected a table of its options"),
        ({"gated": {}, "plain": {}}, "expected a name, or one name with a table of its options"),
        ({}, "expected a name, or one name"),
        (None, "found model.fusion = None, expected a name"),
        (["gated"], "expected a name"),
        ({1: {}}, "found model.fusion = 1, expected one of gated, plain"),
    ],
)
def test_what_is_no_part_is_refused(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_part(part, "model.fusion", MAKERS)


def test_options_given_are_not_changed() -> None:
    part = {"gated": {"hidden": 8}}
    _, options = split_part(part, "model.fusion", MAKERS)
    options["hidden"] = 9
    assert part == {"gated": {"hidden": 8}}


def test_a_part_is_built_from_the_codes_arguments_and_its_options() -> None:
    assert build_part({"gated": {"dropout": 0.5}}, "model.fusion", MAKERS, 7) == ("gated", 7, 4, 0.5)
    assert build_part("plain", "model.fusion", MAKERS, 7) == ("plain", 7)


def test_options_are_the_keyword_only_parameters() -> None:
    assert option_names(gated) == ["hidden", "dropout"]
    assert option_names(plain) == []


def test_a_word_near_nothing_is_offered_nothing() -> None:
    assert nearest("quadratic", ["gated", "film"]) == ""
    assert nearest("", ["gated"]) == ""
