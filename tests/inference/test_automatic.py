"""An answer that rests on a contour by software says so: beside it, in its reason, and with redrawn contours."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.errors import TableError
from usdlr.core.types import OnUncertified
from usdlr.decision.numbers import rate_interval
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.inference.automatic import COLUMNS, contour_sources, reason_of_contours
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.case_notes import axilla_warnings
from usdlr.inference.contour import automatic_disagreement
from usdlr.inference.predictor import Prediction
from usdlr.inference.service import Answer, Image, Predictor
from usdlr.inference.stream import AUTOMATIC_CONTOURS, StreamSettings, predict_stream
from usdlr.radiomics.stability.redraw import ReaderDisagreement

SENTENCE = (
    "The contour is software's (expected Dice with a reader's: 0.80; expected distance: 0.9 mm) and has to be "
    "confirmed by a reader."
)


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cases")
    cases = tables.CASES.read(run_folder / "cases.parquet").head(6)
    for column in (name for name in cases if str(name).endswith("_path")):
        for name in cases[column].dropna():
            (out / str(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run_folder / str(name), out / str(name))
    cases.to_parquet(out / "cases.parquet", index=False)
    return out


@pytest.fixture(scope="module")
def cases(folder: Path) -> pd.DataFrame:
    return tables.CASES.read(folder / "cases.parquet")


def by_software(
    cases: pd.DataFrame, places: list[int], dice: float | None = 0.8, mm: float | None = 0.9
) -> pd.DataFrame:
    changed = cases.copy()
    rows = changed.index[places]
    changed.loc[rows, "mask_source"] = "automatic"
    if dice is not None:
        changed.loc[rows, "mask_confidence"] = dice
    if mm is not None:
        changed.loc[rows, "mask_error_mm"] = mm
    return tables.CASES.conform(changed)


def predicted(bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path, **settings: Any) -> Prediction:
    return predict_stream(
        bundle,
        cases,
        folder,
        folder=tmp_path / "chunks",
        settings=StreamSettings(**settings),
        on_uncertified=OnUncertified.ZERO_MISS,
    )


def test_readers_contours_change_nothing(bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    found = predicted(bundle, cases, folder, tmp_path)
    assert (found.reliability["mask_source"] == "reader").all()
    assert found.reliability[["mask_confidence", "mask_error_mm", "contour_n"]].isna().all(axis=None)
    assert not found.decisions["reason"].str.contains("software").any()


def test_one_contour_by_software_is_told_of_its_axilla_alone(
    bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    before = predicted(bundle, cases, folder, tmp_path / "readers")
    found = predicted(bundle, by_software(cases, [0]), folder, tmp_path / "software", automatic_contours=3)
    key = list(cases[["patient_id", "side"]].iloc[0])
    told = found.reliability.set_index(["patient_id", "side"])
    own = told.loc[tuple(key)]
    assert own["mask_source"] == "automatic"
    assert (own["mask_confidence"], own["mask_error_mm"]) == (0.8, 0.9)
    assert own["contour_n"] == 3
    for stage in ("sln", "nsln"):
        assert own[f"contour_low_{stage}"] <= own[f"contour_median_{stage}"] <= own[f"contour_high_{stage}"]
    others = told.drop(index=tuple(key))
    assert (others["mask_source"] == "reader").all()
    assert others["contour_n"].isna().all()
    reasons = found.decisions.set_index(["patient_id", "side"])["reason"]
    row = found.decisions.set_index(["patient_id", "side"]).loc[tuple(key)]
    own_reason, told_of_it, added = str(row["reason"]).partition(f" {SENTENCE} ")
    before_reasons = before.decisions.set_index(["patient_id", "side"])["reason"]
    assert told_of_it
    assert own_reason == before_reasons.loc[tuple(key)]
    stage = str(row["stage_reached"])
    name = {"sln": "P(SLN positive | x)", "nsln": "P(NSLN positive | SLN positive, x)"}[stage]
    ends = rate_interval(own[f"contour_low_{stage}"], own[f"contour_high_{stage}"])
    assert added == (f"Redrawn 3 times, by 0.9 mm on average, it gives {name} of {ends} (5 % to 95 % quantile).")
    pd.testing.assert_series_equal(reasons.drop(index=tuple(key)), before_reasons.drop(index=tuple(key)))
    assert reasons.str.contains("software").sum() == 1
    # Who drew a contour is no input of the model.
    columns = ["patient_id", "side", "stage", "logit", "probability"]
    pd.testing.assert_frame_equal(before.predictions[columns], found.predictions[columns])


def test_twelve_contours_are_redrawn_unless_told_otherwise(
    bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    assert StreamSettings().automatic_contours == AUTOMATIC_CONTOURS == 12
    none = predicted(bundle, by_software(cases, [0]), folder, tmp_path, automatic_contours=0)
    assert none.reliability["contour_n"].isna().all()
    assert (none.reliability["mask_source"] == "automatic").sum() == 1


def test_a_model_without_millimetres_redraws_none(bundle: Bundle) -> None:
    relative = replace(bundle, preparation=replace(bundle.preparation, relative_diameter=20.0))
    row = {"patient_id": "p", "side": "left", "mask_source": "automatic", "mask_error_mm": 0.7}
    reliability = tables.RELIABILITY.conform(pd.DataFrame([row]))
    assert automatic_disagreement(reliability, relative, 12, ReaderDisagreement()) == {}
    found = automatic_disagreement(reliability, bundle, 12, ReaderDisagreement(2.0, seed=7))
    assert found == {("p", "left"): ReaderDisagreement(0.7, seed=7)}
    unknown = reliability.assign(mask_error_mm=None)
    assert automatic_disagreement(unknown, bundle, 12, ReaderDisagreement(2.0)) == {
        ("p", "left"): ReaderDisagreement(2.0)
    }


def test_one_contour_by_software_among_an_axillas_images_counts(
    run_folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    cases = tables.CASES.read(run_folder / "cases.parquet")
    sizes = cases.groupby(["patient_id", "side"])["image_id"].transform("size")
    pair = cases[sizes == 2].head(2).reset_index(drop=True)
    assert pair["patient_id"].nunique() == 1
    found = predicted(bundle, by_software(pair, [0]), run_folder, tmp_path, automatic_contours=2)
    (row,) = found.reliability.to_dict("records")
    assert [row[name] for name in (*COLUMNS, "contour_n")] == ["automatic", 0.8, 0.9, 2]
    # Asked for more of every contour, those by software are no fewer, nor moved by the readers' distance.
    more = predicted(bundle, by_software(pair, [0]), run_folder, tmp_path / "more", automatic_contours=2, contours=3)
    assert more.reliability["contour_n"].tolist() == [3]
    assert "Redrawn 3 times, by 0.9 mm on average" in more.decisions["reason"].iloc[0]


def test_the_worst_of_several_images_counts() -> None:
    rows = [
        {"patient_id": "p", "side": "left", "mask_source": source, "mask_confidence": dice, "mask_error_mm": mm}
        for source, dice, mm in (("reader", None, None), ("automatic", 0.9, 0.4), ("automatic", 0.7, 1.2))
    ]
    rows.append({"patient_id": "q", "side": "right", "mask_source": "reader"})
    found = contour_sources(pd.DataFrame(rows)).set_index("patient_id")
    worst = found.loc["p"].to_dict()
    assert [worst[name] for name in COLUMNS] == ["automatic", 0.7, 1.2]
    assert found.loc["q", "mask_source"] == "reader"
    assert found.loc["q", ["mask_confidence", "mask_error_mm"]].isna().all()


def test_a_reason_speaks_of_the_contours_by_software_that_remain() -> None:
    whole = f"Below the threshold. {SENTENCE} Redrawn 12 times, by 0.9 mm on average, it gives more."
    rows = pd.DataFrame(
        [
            {
                "patient_id": "p",
                "side": "left",
                "mask_source": "automatic",
                "mask_confidence": 0.9,
                "mask_error_mm": 0.4,
            },
            {"patient_id": "p", "side": "left", "mask_source": "reader"},
        ]
    )
    assert reason_of_contours(whole, rows) == (
        "Below the threshold. The contour is software's (expected Dice with a reader's: 0.90; expected distance: 0.4 "
        "mm) and has to be confirmed by a reader."
    )
    assert reason_of_contours(whole, rows.tail(1)) == "Below the threshold."
    assert reason_of_contours("Below the threshold.", rows) == "Below the threshold."


def test_warnings_of_one_axilla_name_the_software(
    bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    found = predicted(bundle, by_software(cases, [0]), folder, tmp_path, automatic_contours=0)
    keys = [(str(patient), str(side)) for patient, side in found.decisions[["patient_id", "side"]].to_numpy()]
    own = (str(cases["patient_id"].iloc[0]), str(cases["side"].iloc[0]))
    assert {key for key in keys if AUTOMATIC_CONTOUR in axilla_warnings(found, key, None)} == {own}


def test_one_axilla_in_python_is_redrawn_by_default(bundle: Bundle, cases: pd.DataFrame, folder: Path) -> None:
    def asked(**more: Any) -> Answer:
        row = cases.iloc[0]
        image = Image(
            folder / str(row["bmode_path"]),
            mask=folder / str(row["mask_path"]),
            spacing_mm=(float(row["row_mm"]), float(row["col_mm"])),
            **more,
        )
        clinical = {name: row[name] for name in bundle.preparation.clinical if not pd.isna(row[name])}
        return Predictor(bundle).axilla([image], clinical=clinical, **settings)

    settings: dict[str, Any] = {}
    drawn = {"mask_source": "automatic", "mask_confidence": 0.8, "mask_error_mm": 0.9}
    reader, software = asked(), asked(**drawn)
    assert reader.contours is None
    assert software.contours is not None
    assert software.contours.asked == AUTOMATIC_CONTOURS
    assert software.reliability["mask_source"] == "automatic"
    assert any(SENTENCE in one for one in software.sentences)
    assert any("by 0.9 mm on average" in one for one in software.sentences)
    assert {stage: one.probability for stage, one in reader.stages.items()} == {
        stage: one.probability for stage, one in software.stages.items()
    }
    settings["automatic_contours"] = 0
    assert asked(**drawn).contours is None
    with pytest.raises(TableError, match="only a contour by software has one"):
        asked(mask_error_mm=0.9)
