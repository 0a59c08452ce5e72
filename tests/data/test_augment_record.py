"""A record is plain data from which the same sample comes again, bit for bit; the test-time views are such records."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.data.test_augment import fingerprint, spots, textured
from usdlr.core.errors import ConfigError, DataError
from usdlr.data.augment import (
    Augmenter,
    AugmentSettings,
    Change,
    Geometry,
    Record,
    ViewSettings,
    apply,
    draw,
    views,
)
from usdlr.data.augment.settings import MOST_VIEWS
from usdlr.data.augment.views import VIEWS


def test_a_record_replays_bit_for_bit_after_a_trip_through_json() -> None:
    settings = AugmentSettings(intensity=2.0)
    sample = textured()
    sample.images["elasto"][:10] = np.nan
    seen = set()
    for i in range(100):
        record = draw(settings, 4, i, "a")
        stored = json.loads(json.dumps(record.to_dict(), allow_nan=False))
        again = Record.from_dict(stored)
        assert again == record
        replayed = fingerprint(apply(again, sample))
        assert replayed == fingerprint(Augmenter(settings, 4)(sample, i, "a"))
        seen |= {change.part for changes in record.intensity.values() for change in changes}
    assert seen == {"shadow", "tgc", "speckle", "depth", "gain", "dynamic_range", "gamma", "stiffness"}


def test_a_record_fits_any_sample() -> None:
    """The same change of another case: its neighbouring view, say."""
    record = Record(Geometry(flip=True), {"bmode": (Change("gain", {"db": 6.0}),)})
    found = apply(record, textured())
    expected = textured().images["bmode"][:, ::-1] + 25.5
    np.testing.assert_allclose(found.images["bmode"], np.minimum(expected, 255), rtol=1e-5)
    np.testing.assert_array_equal(found.images["elasto"], textured().images["elasto"][:, ::-1])


def test_a_record_names_nobody() -> None:
    assert "patient-7" not in json.dumps(draw(AugmentSettings(), 0, 1, "patient-7").to_dict())


def stored() -> dict[str, Any]:
    noise = {"db": 1.0, "axial_mm": 0.1, "lateral_mm": 0.2, "seed": 3}
    done = Change("gain", {"db": 6.0}), Change("tgc", {"db": [1.0] * 8}), Change("speckle", noise)
    record = Record(intensity={"bmode": done})
    kept: dict[str, Any] = json.loads(json.dumps(record.to_dict()))
    return kept


def test_a_damaged_record_is_refused() -> None:
    assert Record.from_dict(stored()).to_dict() == stored()
    damage: list[tuple[Any, str]] = [
        (lambda one: one.pop("geometry"), "found intensity in a record, expected geometry, intensity"),
        (lambda one: one["geometry"].pop("zoom"), "a record's geometry, expected flip, rotate_deg, zoom"),
        (lambda one: one["geometry"].update(shear=1.0), "shear in a record's geometry"),
        (lambda one: one["geometry"].update(flip=1), "found flip = 1 in a record's geometry"),
        (lambda one: one["geometry"].update(zoom=0.0), "found zoom = 0.0 in a record's geometry, expected above 0"),
        (lambda one: one["geometry"].update(rotate_deg="5"), "found rotate_deg = '5' in a record"),
        (lambda one: one["intensity"].update(ct=[]), "found the modality 'ct' in a record, expected one of bmode"),
        (lambda one: one["intensity"].update(elasto=one["intensity"]["bmode"]), "found the change 'gain' in a record"),
        (lambda one: one["intensity"].update(bmode=3), "found 3 as the changes of bmode in a record"),
        (lambda one: one.update(intensity=[]), "found \\[\\] as the intensity of a record"),
        (lambda one: one["intensity"]["bmode"][0].update(part="blur"), "found the change 'blur' in a record"),
        (lambda one: one["intensity"]["bmode"][0]["values"].clear(), "found nothing in a record's change 'gain'"),
        (lambda one: one["intensity"]["bmode"][0]["values"].update(db=float("nan")), "found db = nan in a record"),
        (lambda one: one["intensity"]["bmode"][0]["values"].update(db=[1.0]), "found db = \\[1.0\\] in a record"),
        (
            lambda one: one["intensity"]["bmode"][1]["values"].update(db=[1.0] * 7 + [None]),
            "found db = None in a record",
        ),
        (lambda one: one["intensity"]["bmode"][1]["values"].update(db=[1.0] * 7), "expected a list of 8 numbers"),
        (lambda one: one["intensity"]["bmode"][2]["values"].update(seed=1.5), "found seed = 1.5 in a record"),
        (lambda one: one["intensity"]["bmode"][2]["values"].update(seed=-1), "found seed = -1 in a record"),
        (lambda one: one["intensity"]["bmode"][1]["values"].update(db=2.0), "found db = 2.0 in a record"),
    ]
    for harm, words in damage:
        record = stored()
        harm(record)
        with pytest.raises(DataError, match=words):
            Record.from_dict(record)


def test_views_begin_with_the_sample_itself_and_its_mirror_image() -> None:
    sample = textured()
    first, second = views(ViewSettings(2))
    assert fingerprint(apply(first, sample)) == fingerprint(sample)
    mirrored = apply(second, sample)
    for name, pixels in sample.images.items():
        np.testing.assert_array_equal(mirrored.images[name], pixels[:, ::-1])
    np.testing.assert_array_equal(mirrored.lesion, sample.lesion[:, ::-1])
    assert mirrored.pixel_mm == sample.pixel_mm


def test_views_are_fixed_different_and_mild() -> None:
    assert len(VIEWS) == MOST_VIEWS
    every = views(MOST_VIEWS)
    for count in range(1, MOST_VIEWS + 1):
        assert views(count) == every[:count]
    sample = spots((40, 60))
    rows, cols = np.ogrid[:96, :96]
    sample = replace(sample, lesion=np.asarray((rows - 45) ** 2 + (cols - 55) ** 2 <= 20**2))
    assert len({fingerprint(apply(record, sample)) for record in every}) == MOST_VIEWS
    for record in every:
        assert not record.intensity
        found = apply(record, sample)
        # A lesion of usual size stays whole: same area in mm2.
        area = found.lesion.sum() * found.pixel_mm**2
        assert area == pytest.approx(sample.lesion.sum() * sample.pixel_mm**2, rel=0.02)


@pytest.mark.parametrize("count", [0, -1, MOST_VIEWS + 1])
def test_views_refuse(count: int) -> None:
    with pytest.raises(ConfigError, match=f"found views.count = {count}, expected 1 to {MOST_VIEWS}"):
        views(count)
    with pytest.raises(ConfigError, match=r"views\.count"):
        ViewSettings(count)
