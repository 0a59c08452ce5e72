from __future__ import annotations

import pytest

from usdlr.core.errors import ConfigError
from usdlr.core.regions import Region, split_block
from usdlr.core.types import Roi


@pytest.mark.parametrize("name", [*map(str, Roi), "context"])
def test_a_plain_name_has_no_margin_of_its_own(name: str) -> None:
    assert Region.named(name) == Region(name, name, None)


@pytest.mark.parametrize(
    ("name", "kind", "margin"),
    [
        ("peritumoral-3mm", "peritumoral", 3.0),
        ("combined-2.5mm", "combined", 2.5),
        ("peritumoral-0.5mm", "peritumoral", 0.5),
        ("combined-200mm", "combined", 200.0),
    ],
)
def test_a_stated_margin_is_read_in_millimetres(name: str, kind: str, margin: float) -> None:
    assert Region.named(name) == Region(name, kind, margin)


@pytest.mark.parametrize(
    "name",
    [
        "peritumoral-0mm",
        "peritumoral-0.0mm",
        "peritumoral--3mm",
        "peritumoral-3",
        "peritumoral-3cm",
        "peritumoral-3 mm",
        "peritumoral-3mm\n",
        "peritumoral-.5mm",
        "peritumoral-1e1mm",
        "peritumoral-\u0663mm",  # a three in Arabic digits
        "peritumoral-201mm",
        f"peritumoral-{'9' * 400}mm",
        "intratumoral-3mm",
        "context-6mm",
        "Peritumoral",
        "ring",
        "",
    ],
)
def test_what_is_no_region_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one of intratumoral, .*context.*such as peritumoral-3mm"):
        Region.named(name)


@pytest.mark.parametrize("name", ["peritumorl", "peritumorl-3mm"])
def test_a_misspelt_region_is_offered_the_nearest(name: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'peritumoral'"):
        Region.named(name)


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ("bmode.intratumoral", ("bmode", "intratumoral")),
        ("elasto.peritumoral-2.5mm", ("elasto", "peritumoral-2.5mm")),
        ("bmode.context", ("bmode", "context")),
    ],
)
def test_a_block_is_a_modality_and_a_region_whose_margin_may_have_a_point(block: str, parts: tuple[str, str]) -> None:
    assert split_block(block) == parts
    Region.named(parts[1])
