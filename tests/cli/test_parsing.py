"""Every option has to be named in full; what stands there instead is told the nearest name."""

from __future__ import annotations

import pytest

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError
from usdlr.radiomics.settings import RadiomicsSettings


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["--agai", "a"], "against"),
        (["--agai=a"], "against"),
        (["--st"], "steps"),
        (["--s", "x"], "sort"),  # of several that it might begin, the shortest
        (["--stall-m", "3"], "stall-minutes"),
        (["--radiomics.marg", "3"], "radiomics.margin_mm"),
        (["--radiomics.pixel_m=0.3"], "radiomics.pixel_mm"),
        (["--radio.margin_mm", "3"], "radiomics.margin_mm"),
    ],
)
def test_an_abbreviation_is_refused(words: list[str], nearest: str) -> None:
    parser = new_parser("test", "Test.")
    parser.add_argument("--against", type=str, default=None)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--sort", type=str, default=None)
    parser.add_argument("--stall-minutes", type=float, default=None)
    parser.add_class_arguments(RadiomicsSettings, "radiomics")
    key = words[0].split("=")[0].lstrip("-")
    with pytest.raises(ConfigError, match=f"found the unknown key '{key}' .*the nearest is '{nearest}'$"):
        parse(parser, words)
    whole = [word.replace(f"--{key}", f"--{nearest}") for word in words]
    assert parse(parser, [word.replace("=0.3", "=0.5") for word in whole])
