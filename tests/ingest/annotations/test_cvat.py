from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.ingest.annotations import text_writers as write
from tests.ingest.annotations.circles import CENTRE, RADIUS, SHAPE, disc, ref, square
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.raster import rectangle
from usdlr.ingest.annotations.reading import read_contour, read_contours
from usdlr.ingest.source import MaskRef

SQUARE = write.cvat_points(rectangle(40, 20, 90, 50))
ELLIPSE = f'<ellipse label="round" cx="{CENTRE[0]}" cy="{CENTRE[1]}" rx="{RADIUS}" ry="{RADIUS}"/>'


def refused(path: Path, code: ExclusionCode, image: str | None = None) -> str:
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, image=image), SHAPE)
    assert caught.value.code is code, caught.value.sentence
    return caught.value.sentence


def test_cvat_shapes(tmp_path: Path) -> None:
    path = write.cvat(
        tmp_path / "a.xml",
        f'<polygon label="polygon" points="{SQUARE}" z_order="0"/>'
        '<box label="box" xtl="40" ytl="20" xbr="90" ybr="50"/>'
        f"{ELLIPSE}{write.cvat_mask(disc())}"
        '<points label="seed" points="3,4"/><polyline label="caliper" points="3,4;9,9"/><tag label="cyst"/>',
    )
    found = {one.label: one for one in read_contours(ref(path), SHAPE)}
    assert set(found) == {"polygon", "box", "round", "lesion"}
    for name, expected in (("polygon", square()), ("box", square()), ("round", disc()), ("lesion", disc())):
        np.testing.assert_array_equal(found[name].pixels, expected, name)
    assert {name for name, one in found.items() if one.is_box} == {"box"}


def test_rotations_are_clockwise_degrees(tmp_path: Path) -> None:
    shapes = (
        '<box label="upright" xtl="40" ytl="20" xbr="90" ybr="50" rotation="90.0"/>'
        '<ellipse label="oval" cx="80" cy="60" rx="40" ry="10" rotation="30"/>'
    )
    path = write.cvat(tmp_path / "a.xml", shapes)
    np.testing.assert_array_equal(read_contour(ref(path, "upright"), SHAPE).pixels, square(10, 50, 50, 30))
    oval = read_contour(ref(path, "oval"), SHAPE).pixels
    turn = math.radians(30)
    assert oval[round(60 + 36 * math.sin(turn)), round(80 + 36 * math.cos(turn))]
    assert not oval[round(60 - 36 * math.sin(turn)), round(80 + 36 * math.cos(turn))]


def test_groups_are_parts_of_one_lesion_and_attributes_name_readers(tmp_path: Path) -> None:
    other = write.cvat_points(rectangle(5, 5, 15, 12))
    reader = '<attribute name="reader">{}</attribute>'
    path = write.cvat(
        tmp_path / "a.xml",
        f'<polygon label="lesion" group_id="2" points="{SQUARE}">{reader.format("A")}</polygon>'
        f'<polygon label="lesion" group_id="2" points="{other}">{reader.format("A")}</polygon>'
        f'<polygon label="lesion" points="{other}">{reader.format("B")}</polygon>',
    )
    assert read_contour(MaskRef(path, "A"), SHAPE).pixels.sum() == 1570
    assert read_contour(MaskRef(path, "B"), SHAPE).pixels.sum() == 70
    refused(path, ExclusionCode.MASK_AMBIGUOUS)


def test_the_image_of_a_cvat_file(tmp_path: Path) -> None:
    second = f'<image id="1" name="set/a1.png" width="{SHAPE[1]}" height="{SHAPE[0]}">{ELLIPSE}</image>'
    path = write.cvat(tmp_path / "a.xml", "", second)
    assert read_contour(ref(path, image="a1.png"), SHAPE).label == "round"
    refused(path, ExclusionCode.MASK_EMPTY, "set/a0.png")
    refused(path, ExclusionCode.MASK_MISSING, "a2.png")
    refused(path, ExclusionCode.MASK_AMBIGUOUS)
    wrong = ELLIPSE.join(('<image name="b.png" width="10" height="10">', "</image>"))
    assert "10 x 10" in refused(write.cvat(path, "", wrong), ExclusionCode.MASK_SIZE_MISMATCH, "b.png")


@pytest.mark.parametrize(
    "shape",
    [
        '<polygon label="a" points=""/>',
        '<polygon label="a" points="1,2;3,4"/>',
        '<polygon label="a" points="1,2;3,4;5"/>',
        '<polygon label="a" points="1,2;3,4;nan,6"/>',
        '<polygon label="a" points="1,2;3,4;5,1_0"/>',
        '<polygon label="a"/>',
        '<polyline label="a" points="1,2;30,4;50,60"/>',
        '<cuboid label="a"/>',
        '<skeleton label="a"><points points="1,2"/></skeleton>',
        '<box label="a" xtl="40" ytl="20" xbr="90"/>',
        '<box label="a" xtl="40" ytl="20" xbr="90" ybr="50" rotation="inf"/>',
        '<ellipse label="a" cx="5" cy="5" rx="-3" ry="3"/>',
        '<mask label="a" rle="1, 2" left="0" top="0" width="2" height="2"/>',
        '<mask label="a" rle="1, 2, 1" left="159" top="0" width="2" height="2"/>',
        '<mask label="a" rle="1, 2.5, 1" left="0" top="0" width="2" height="2"/>',
        '<mask label="a" rle="0, 4" left="0" top="0" width="99999" height="99999"/>',
    ],
)
def test_shapes_that_cannot_be_used(tmp_path: Path, shape: str) -> None:
    refused(write.cvat(tmp_path / "a.xml", shape), ExclusionCode.MASK_UNREADABLE)


def test_video_annotations_and_other_xml_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<annotations><track id="0" label="a"><box frame="0"/></track></annotations>')
    assert "video" in refused(path, ExclusionCode.MASK_UNREADABLE)
    path.write_text("<svg></svg>")
    assert "unknown structure" in refused(path, ExclusionCode.MASK_UNREADABLE)


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>
<annotations>&y;</annotations>"""
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotations>&x;</annotations>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, OUTSIDE.replace("DOCTYPE", "doctype")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-7"])
def test_entities_are_refused_in_every_disguise(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    refused(path, ExclusionCode.MASK_UNREADABLE)


@pytest.mark.parametrize(
    "text",
    [
        "<annotations>",
        "<annotations></annotations><annotations/>",
        "<annotations>&unknown;</annotations>",
        "<a>" * 400_000,
        "<a>" * 300_000 + "</a>" * 300_000,
        "<annotations>" + "<a/>" * 1_100_000 + "</annotations>",
        "<\ud800>".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    ],
)
def test_damaged_deep_and_huge_xml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    refused(path, ExclusionCode.MASK_UNREADABLE)
