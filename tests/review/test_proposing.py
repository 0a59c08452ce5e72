"""What a reader points at becomes an outline of it, in the page's own pixels; lines are obeyed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.discs import Disc, disc_grey, disc_mask
from tests.review.store.made import axilla_record
from usdlr.core.errors import BundleError, DataError, InputError
from usdlr.core.types import Site
from usdlr.inference.segmentation import load_segmenter
from usdlr.review.outlines import mask_of
from usdlr.review.proposing import Ask, Outliner, Pointed, Proposing
from usdlr.review.records import ImageRecord

SHAPE = (96, 120)
DISCS: tuple[Disc, Disc] = ((40.0, 35.0, 14.0), (55.0, 90.0, 18.0))


@pytest.fixture(scope="module")
def proposing(disc_bundle: Path) -> Iterator[Proposing]:
    with Proposing(disc_bundle) as found:
        yield found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ImageRecord:
    """Two dark discs; pixels of 0.3 mm."""
    folder = tmp_path_factory.mktemp("pointed")
    cv2.imwrite(str(folder / "discs.png"), disc_grey(SHAPE, DISCS, 5))
    return _record(folder, "discs.png")


def _record(folder: Path, name: str, shape: tuple[int, int] = SHAPE) -> ImageRecord:
    (found, *_) = axilla_record(1).images
    return replace(found, root=str(folder), paths={"bmode": name}, rows=shape[0], columns=shape[1],
                   site=Site.TUMOUR, row_mm=0.3, col_mm=0.3)  # fmt: skip


def _dice(lines: tuple[tuple[tuple[float, float], ...], ...], disc: Disc) -> float:
    drawn, truth = mask_of(lines, SHAPE), disc_mask(SHAPE, disc)
    return 2 * float((drawn & truth).sum()) / float(drawn.sum() + truth.sum())


def _around(disc: Disc) -> tuple[tuple[float, float], tuple[float, float]]:
    """Corners of a box in page pixels: the middle of pixel k lies at k there, at k + 0.5 for a disc."""
    row, col, radius = disc[0] - 0.5, disc[1] - 0.5, disc[2]
    return (row - radius, col - radius), (row + radius, col + radius)


@pytest.mark.parametrize("disc", DISCS)
@pytest.mark.parametrize("turn", [False, True])
def test_a_box_gives_the_lesion_in_it(proposing: Proposing, image: ImageRecord, disc: Disc, turn: bool) -> None:
    """From whichever corner it was drawn."""
    first, second = _around(disc)
    if turn:
        first, second = (first[0], second[1]), (second[0], first[1])
    assert _dice(proposing.propose(image, Pointed((first, second))), disc) > 0.9


def test_the_page_and_the_picture_share_their_pixels(proposing: Proposing, image: ImageRecord) -> None:
    """Half a pixel lost between page and picture would move every outline: its middle is where the disc's is."""
    for disc in DISCS:
        drawn = mask_of(proposing.propose(image, Pointed(_around(disc))), SHAPE)
        middle = np.argwhere(drawn).mean(axis=0) + 0.5
        assert middle == pytest.approx(disc[:2], abs=0.35)


def test_a_line_inside_gives_the_lesion_under_it(proposing: Proposing, image: ImageRecord) -> None:
    for disc in DISCS:
        found = proposing.propose(image, Pointed(inside=(((disc[0] - 0.5, disc[1] - 0.5),),)))
        assert _dice(found, disc) > 0.85


def test_nothing_pointed_at_gives_the_likeliest(proposing: Proposing, image: ImageRecord) -> None:
    found = proposing.propose(image, Pointed())
    assert max(_dice(found, disc) for disc in DISCS) > 0.85


def test_who_asks_gets_the_likeliest_even_below_the_bundles_least_score(
    disc_bundle: Path, image: ImageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = load_segmenter(disc_bundle)
    strict = replace(lenient, rules=replace(lenient.rules, least_score=0.999))
    monkeypatch.setattr("usdlr.review.proposing.load_segmenter", lambda *_, **__: strict)
    found = Outliner(disc_bundle)(Ask(image))
    assert max(_dice(found, disc) for disc in DISCS) > 0.85


def test_lines_are_obeyed(proposing: Proposing, image: ImageRecord) -> None:
    """Even where they contradict the picture: tissue inside, a part of the lesion outside."""
    row, col, radius = DISCS[1]
    tissue, part = (row - 0.5, col + radius + 4.0), (row + radius - 5.0, col - 0.5)
    found = proposing.propose(image, Pointed(_around(DISCS[1]), (((row, col), tissue),), ((part,),)))
    drawn = mask_of(found, SHAPE)
    assert drawn[round(tissue[0]), round(tissue[1])]
    assert not drawn[round(part[0]), round(part[1])]


@pytest.mark.parametrize("seed", range(12))
def test_no_line_is_lost_between_mask_and_outline(proposing: Proposing, image: ImageRecord, seed: int) -> None:
    """An outline has no holes: a line outside in the midst of a lesion still counts, or is refused in words."""
    rng = np.random.default_rng([seed, 11])
    row, col, radius = DISCS[1]

    def drawn(spread: float) -> tuple[tuple[float, float], ...]:
        start = np.array([row, col]) + rng.normal(0, spread, 2)
        return tuple((float(r), float(c)) for r, c in (start, start + rng.normal(0, 3, 2)))

    inside, outside = (drawn(radius / 2), drawn(radius / 2)), (drawn(radius / 3),)
    try:
        found = mask_of(proposing.propose(image, Pointed(_around(DISCS[1]), inside, outside)), SHAPE)
    except DataError as error:
        if "no holes" in str(error):
            return
        raise
    for line in outside:
        for point in line:
            assert not found[round(point[0]), round(point[1])]


def test_what_cannot_be_outlined(proposing: Proposing, image: ImageRecord, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="picture of the axilla, expected one of the tumour"):
        proposing.propose(replace(image, site=Site.AXILLA), Pointed())
    with pytest.raises(InputError, match="without a box and without a point inside"):
        proposing.propose(image, Pointed(outside=(((3.0, 4.0),),)))
    with pytest.raises(InputError, match="box of"):
        proposing.propose(image, Pointed(((3.0, 4.0), (3.0, 40.0))))
    with pytest.raises(InputError, match="beside the image"):
        proposing.propose(image, Pointed(((300.0, 400.0), (330.0, 440.0))))
    cv2.imwrite(str(tmp_path / "blank.png"), np.full(SHAPE, 90, np.uint8))
    with pytest.raises(DataError, match="blank"):
        proposing.propose(_record(tmp_path, "blank.png"), Pointed())
    with pytest.raises(InputError, match=r"96 x 120"):
        proposing.propose(_record(tmp_path, "blank.png", (50, 60)), Pointed())
    with pytest.raises(InputError, match="bmode file"):
        proposing.propose(replace(image, paths={"bmode": "../discs.png"}), Pointed())
    # None of these costs the next reader anything.
    assert _dice(proposing.propose(image, Pointed(_around(DISCS[0]))), DISCS[0]) > 0.9


def test_a_wrong_bundle_is_refused_before_anything_starts(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(DataError, match="usdlr fit_segmenter"):
        Proposing(run_folder / "bundle")
    with pytest.raises(InputError, match="absent"):
        Proposing(tmp_path / "absent")


def test_an_altered_bundle_is_refused(tmp_path: Path, disc_bundle: Path) -> None:
    copy = shutil.copytree(disc_bundle, tmp_path / "copy")
    name = next((copy / "members").iterdir())
    content = bytearray(name.read_bytes())
    content[-1] ^= 1
    name.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name.name):
        Proposing(copy)
