"""A model in a few lines: what it answers is what the command writes, from arrays and from DICOM files alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from usdlr.core import tables
from usdlr.core.errors import CaseError, ConfigError, DataError, TableError
from usdlr.core.types import ElastographyKind, ExclusionCode, OnUncertified, Stage
from usdlr.imaging.store import read_mask, read_png
from usdlr.inference.predictor import Prediction
from usdlr.inference.service import Answer, Image, Predictor
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.source import ElastographyLayout, ElastographyRef
from usdlr.simulate.export import simulate
from usdlr.simulate.plan import ExportFormat

CODES = ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE


@pytest.fixture(scope="module")
def predictor(run_folder: Path) -> Predictor:
    return Predictor.open(run_folder / "bundle", on_uncertified="zero_miss")


@pytest.fixture(scope="module")
def cases(run_folder: Path) -> pd.DataFrame:
    """Axillae with one image each, the first with a stiffness map."""
    table = tables.CASES.read(run_folder / "cases.parquet")
    single = table[~table.duplicated(["patient_id", "side"], keep=False)]
    return single[single["elasto_path"].notna()].head(2).reset_index(drop=True)


@pytest.fixture(scope="module")
def written(
    predictor: Predictor, cases: pd.DataFrame, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Prediction:
    return predictor.cohort(cases, run_folder, folder=tmp_path_factory.mktemp("chunks"))


def arrays(row: pd.Series, root: Path) -> Image:
    map_ = read_png(root / str(row["elasto_path"]), *CODES)
    return Image(
        read_png(root / str(row["bmode_path"]), *CODES),
        read_mask(root / str(row["mask_path"])),
        np.where(map_ == 65535, np.nan, map_ * 0.01),
        (float(row["row_mm"]), float(row["col_mm"])),
        fov=None if pd.isna(row["fov_path"]) else read_mask(root / str(row["fov_path"])),
    )


def assert_as_written(answer: Answer, written: Prediction, place: int) -> None:
    decision = written.decisions.iloc[place]
    for stage in Stage:
        assert answer.stages[stage].probability == pytest.approx(decision[f"p_{stage}"], abs=1e-6)
        assert answer.stages[stage].threshold == decision[f"t_{stage}"]


def test_arrays_are_answered_as_the_table_is(
    predictor: Predictor, cases: pd.DataFrame, written: Prediction, run_folder: Path
) -> None:
    for place, row in cases.iterrows():
        clinical = {name: float(row[name]) for name in ("tumour_size_mm", "age_years")}
        answer = predictor.axilla([arrays(row, run_folder)], clinical=clinical, centre=str(row["centre_id"]))
        assert_as_written(answer, written, int(str(place)))
        assert str(answer.group) == written.decisions["risk_group"].iloc[int(str(place))]
        for stage, told in answer.stages.items():
            assert sum(told.contributions.values()) == pytest.approx(logit(told.probability), abs=1e-6)
            assert told.low <= told.probability <= told.high
            assert told.conformal[0] <= told.probability <= told.conformal[1]
            assert [line for line in answer.sentences if line.startswith("P(NSLN" if stage is Stage.NSLN else "P(SLN")]
        assert "not a medical device" in answer.sentences[0]


def test_dicom_files_are_answered_as_their_ingest_is(predictor: Predictor, tmp_path: Path) -> None:
    simulate(tmp_path / "export", patients=2, seed=4, export=ExportFormat.DICOM)
    table = ingest(tmp_path / "export", "simulated", tmp_path / "tables").cases
    row = table[table["elasto_path"].notna()].iloc[0]
    alone = table[(table["patient_id"] == row["patient_id"]) & (table["image_id"] == row["image_id"])]
    found = predictor.cohort(alone.reset_index(drop=True), tmp_path / "tables", folder=tmp_path / "chunks")
    manifest = pd.read_csv(tmp_path / "export" / "manifest.csv", dtype=str)
    stated = manifest[[str(row["image_id"]).startswith(name) for name in manifest["image_id"]]].iloc[0]
    screen = tmp_path / "export" / stated["bmode_file"]
    scale = (float(stated["elasto_low"]), float(stated["elasto_high"]))
    kind = ElastographyKind(stated["elasto_kind"])
    ref = ElastographyRef(screen, ElastographyLayout.OVERLAY, kind, stated["elasto_unit"], scale=scale)
    image = Image(screen, tmp_path / "export" / stated["mask_file"], ref)
    clinical = {name: float(row[name]) for name in ("tumour_size_mm", "age_years")}
    answer = predictor.axilla([image], clinical=clinical, centre=str(row["centre_id"]), contours=2)
    assert_as_written(answer, found, 0)
    assert list(answer.flags) == ("" if pd.isna(row["quality_flags"]) else str(row["quality_flags"])).split()
    assert answer.contours is not None
    assert answer.reliability["contour_n"] == len(answer.contours.group) == 2
    assert [line for line in answer.sentences if line.startswith("With the contour redrawn 2 times")]
    # Nobody said where from: the contract is void, and the answer says so.
    elsewhere = predictor.axilla([image], clinical=clinical)
    assert [line for line in elsewhere.sentences if "void for unstated" in line]
    assert_as_written(elsewhere, found, 0)


def test_mistakes_are_named(predictor: Predictor, cases: pd.DataFrame, run_folder: Path, tmp_path: Path) -> None:
    good = arrays(cases.iloc[0], run_folder)
    with pytest.raises(DataError, match="no image, expected at least one"):
        predictor.axilla([])
    with pytest.raises(ConfigError, match="known only after surgery"):
        predictor.axilla([good], clinical={"grade_surgical": 3})
    with pytest.raises(TableError, match="age_years = -3"):
        predictor.axilla([good], clinical={"age_years": -3.0})
    with pytest.raises(DataError, match=r"no file .*gone"):
        predictor.axilla([Image(tmp_path / "gone.dcm", tmp_path / "gone.png")])
    with pytest.raises(DataError, match="files and arrays in one image"):
        predictor.axilla([Image(good.bmode, tmp_path / "mask.png")])
    with pytest.raises(CaseError, match="without spacing_mm"):
        predictor.axilla([Image(good.bmode, good.mask)])
    with pytest.raises(DataError, match="mask of shape"):
        predictor.axilla([Image(good.bmode, np.ones((3, 3), dtype=bool), spacing_mm=(0.1, 0.1))])
    with pytest.raises(DataError, match="expected uint8"):
        predictor.axilla([Image(np.ones((9, 9)), np.ones((9, 9), dtype=bool), spacing_mm=(0.1, 0.1))])
    with pytest.raises(DataError, match="without root"):
        predictor.cohort(cases, folder=tmp_path)
    with pytest.raises(DataError, match="on_uncertified"):
        Predictor.open(run_folder / "bundle", on_uncertified="guess")


def test_what_is_answered_without_a_certificate_can_be_chosen(run_folder: Path, cases: pd.DataFrame) -> None:
    own = Predictor.open(run_folder / "bundle", on_uncertified=OnUncertified.DEFER)
    answer = own.axilla([arrays(cases.iloc[0], run_folder)], clinical={"age_years": 50.0})
    assert str(answer.group) == "DEFER"
