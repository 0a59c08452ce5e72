"""A redrawn contour is predicted as if the table had held it; what cannot be measured is counted, not hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import OnUncertified, RiskGroup, Stage
from usdlr.imaging.mask import LesionMask
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.contour import ContourSpread, contour_spread, with_contours
from usdlr.inference.loaded import LoadedCase, load_case, prepare_loaded
from usdlr.inference.predictor import predict_prepared
from usdlr.inference.stream import StreamSettings, predict_stream
from usdlr.inference.watch import Watch
from usdlr.radiomics.stability.redraw import ReaderDisagreement, Redrawing

ANSWER = OnUncertified.ZERO_MISS


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def axilla(run_folder: Path) -> list[LoadedCase]:
    """All images of one axilla, more than one where anybody has several."""
    cases = tables.CASES.read(run_folder / "cases.parquet")
    counts = cases.groupby(["patient_id", "side"], sort=False).size()
    patient, side = counts.index[int(np.argmax(counts.to_numpy()))]
    chosen = cases[(cases["patient_id"] == patient) & (cases["side"] == side)]
    return [load_case(row, run_folder) for row in chosen.to_dict("records")]


def test_each_contour_is_predicted_as_if_it_had_been_drawn(bundle: Bundle, axilla: list[LoadedCase]) -> None:
    disagreement = ReaderDisagreement(0.6)
    found = contour_spread(bundle, axilla, count=3, disagreement=disagreement, on_uncertified=ANSWER)
    assert len(found.group) == found.asked == 3
    for number in range(3):
        given = []
        for case in axilla:
            mask = Redrawing(case.images.mask, disagreement, case.images.fov).draw(case.image_id, number)
            given.append(LoadedCase(case.row, replace(case.images, mask=mask)))
        alone = predict_prepared(bundle, prepare_loaded(bundle.preparation, given), on_uncertified=ANSWER).decisions
        for stage in Stage:
            assert found.probability[stage][number] == pytest.approx(alone[f"p_{stage}"].iloc[0], abs=1e-6)
        assert str(found.group[number]) == alone["risk_group"].iloc[0]


def test_more_disagreement_spreads_more(bundle: Bundle, axilla: list[LoadedCase]) -> None:
    widths = []
    for mean in (0.02, 1.0):
        found = contour_spread(
            bundle, axilla, count=8, disagreement=ReaderDisagreement(mean), on_uncertified=ANSWER
        ).columns()
        widths.append(found["contour_high_sln"] - found["contour_low_sln"])
    assert 0 <= widths[0] < widths[1]


def test_columns_of_known_answers() -> None:
    p = np.linspace(0.1, 0.9, 101)
    groups = (RiskGroup.LR_SLN,) * 25 + (RiskGroup.HR_SLN_HR_NSLN,) * 76
    found = ContourSpread({Stage.SLN: p, Stage.NSLN: 1 - p}, groups, 120).columns()
    assert found["contour_n"] == 101
    assert (found["contour_low_sln"], found["contour_median_sln"]) == pytest.approx((0.14, 0.5))
    assert found["contour_high_nsln"] == pytest.approx(0.86)
    assert found["contour_share_lr_sln"] == pytest.approx(25 / 101)
    assert found["contour_share_hr_sln_lr_nsln"] == 0.0
    none = ContourSpread({stage: np.empty(0) for stage in Stage}, (), 5).columns()
    assert none["contour_n"] == 0
    assert np.isnan(none["contour_low_sln"])
    assert np.isnan(none["contour_share_defer"])


def test_contours_that_leave_nothing_are_counted(bundle: Bundle, axilla: list[LoadedCase]) -> None:
    first = axilla[0]
    pixels = np.zeros_like(first.images.mask.pixels)
    row, col, rows, cols = first.images.mask.bounding_box()
    side = max(int(np.ceil(1.4 / first.images.mask.spacing.row_mm)), 5)  # type: ignore[union-attr]
    pixels[row + rows // 2 : row + rows // 2 + side, col + cols // 2 : col + cols // 2 + side] = True
    small = LoadedCase(first.row, replace(first.images, mask=LesionMask(pixels, first.images.mask.spacing)))
    shrinking = ReaderDisagreement(1.0, growth_share=1.0, shift_share=0.0)
    found = contour_spread(bundle, [small], count=12, disagreement=shrinking, on_uncertified=ANSWER)
    assert 0 < len(found.group) < found.asked == 12
    with pytest.raises(ConfigError, match="0 contours"):
        contour_spread(bundle, [small], count=0, disagreement=shrinking, on_uncertified=ANSWER)


def test_the_table_tells_of_every_axilla(bundle: Bundle, axilla: list[LoadedCase]) -> None:
    found = predict_prepared(bundle, prepare_loaded(bundle.preparation, axilla), on_uncertified=ANSWER)
    assert found.reliability["contour_n"].isna().all()
    told = with_contours(
        found.reliability, bundle, axilla, count=2, disagreement=ReaderDisagreement(), on_uncertified=ANSWER
    )
    assert told["contour_n"].tolist() == [2]
    assert (told["contour_low_sln"] <= told["contour_high_sln"]).all()
    shares = told[[name for name in told if str(name).startswith("contour_share_")]]
    assert shares.sum(axis=1).tolist() == pytest.approx([1.0])
    same = [name for name in found.reliability if not str(name).startswith("contour_")]
    pd.testing.assert_frame_equal(told[same], found.reliability[same])
    # A conformal interval of a model that has one holds the stated probability.
    for stage in Stage:
        p = found.decisions[f"p_{stage}"].iloc[0]
        assert told[f"conformal_low_{stage}"].iloc[0] <= p <= told[f"conformal_high_{stage}"].iloc[0]


def test_a_contour_that_cannot_be_redrawn_is_counted(bundle: Bundle, axilla: list[LoadedCase]) -> None:
    full = LesionMask(np.ones_like(axilla[0].images.mask.pixels), axilla[0].images.mask.spacing)
    everything = LoadedCase(axilla[0].row, replace(axilla[0].images, mask=full))
    with pytest.raises(CaseError):
        Redrawing(full, ReaderDisagreement(), everything.images.fov)
    found = contour_spread(bundle, [everything], count=4, disagreement=ReaderDisagreement(), on_uncertified=ANSWER)
    assert (found.asked, found.columns()["contour_n"]) == (4, 0)


def test_a_model_without_millimetres_redraws_nothing(bundle: Bundle, axilla: list[LoadedCase], tmp_path: Path) -> None:
    relative = replace(bundle, preparation=replace(bundle.preparation, relative_diameter=20.0))
    with pytest.raises(ConfigError, match="stated in mm"):
        contour_spread(relative, axilla, count=2, disagreement=ReaderDisagreement(), on_uncertified=ANSWER)
    with pytest.raises(ConfigError, match="stated in mm"):
        Watch(tmp_path, "simulated", tmp_path / "out", relative, StreamSettings(contours=2))
    cases = pd.DataFrame([case.row for case in axilla])
    with pytest.raises(ConfigError, match="stated in mm"):
        predict_stream(
            relative,
            cases,
            tmp_path,
            folder=tmp_path / "chunks",
            settings=StreamSettings(contours=2),
            on_uncertified=ANSWER,
        )
