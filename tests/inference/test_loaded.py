"""Cases in memory give what their files give, bit for bit; streams give what one piece gives, whatever the chunk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.columns import PATHS
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import OnUncertified
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.loaded import load_case, prepare_loaded
from usdlr.inference.predictor import Prediction, Prepared, predict, predict_prepared, prepare_cases
from usdlr.inference.stream import StreamSettings, _key, predict_stream

TABLES = ("predictions", "decisions", "reliability", "exclusions")


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a few cases, one of which is damaged and one a picture of a node."""
    out = tmp_path_factory.mktemp("cases")
    cases = tables.CASES.read(run_folder / "cases.parquet").head(14)
    for column in (name for name in cases if str(name).endswith("_path")):
        for name in cases[column].dropna():
            (out / str(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run_folder / str(name), out / str(name))
    (out / str(cases["bmode_path"].iloc[3])).write_bytes(b"no picture")
    cases.loc[5, "site"] = "axilla"
    cases.to_parquet(out / "cases.parquet", index=False)
    return out


@pytest.fixture(scope="module")
def cases(folder: Path) -> pd.DataFrame:
    return tables.CASES.read(folder / "cases.parquet")


def stream(bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path, **settings: Any) -> Prediction:
    answer = OnUncertified.ZERO_MISS
    chosen = StreamSettings(**settings)
    return predict_stream(bundle, cases, folder, folder=tmp_path / "chunks", settings=chosen, on_uncertified=answer)


def assert_same(one: Prediction, other: Prediction, *, atol: float) -> None:
    for name in TABLES:
        left, right = getattr(one, name), getattr(other, name)
        if name == "reliability":
            # A score is written to four digits, the last of which may be rounded either way; its rank among the tuning
            # patients' scores then jumps by one where the patient is one of them, as some are here.
            pd.testing.assert_series_equal(left["ood_score"], right["ood_score"], rtol=0, atol=1.1e-4)
            pd.testing.assert_series_equal(left["ood_p"], right["ood_p"], rtol=0, atol=0.1)
            left, right = (table.drop(columns=["ood_score", "ood_p"]) for table in (left, right))
        pd.testing.assert_frame_equal(left, right, rtol=0, atol=atol)
    assert (one.seen, one.foreign_centres) == (other.seen, other.foreign_centres)


@pytest.fixture(scope="module")
def whole(bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    ledger = tmp_path_factory.mktemp("ledger")
    return predict(bundle, cases, folder, jobs=1, ledger=ledger, on_uncertified=OnUncertified.ZERO_MISS)


def test_memory_gives_what_files_give(bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    good = cases.drop(index=3).reset_index(drop=True)
    files: Prepared = prepare_cases(bundle.preparation, good, folder, jobs=1, ledger=tmp_path)
    rows: list[dict[str, Any]] = [{str(name): value for name, value in row.items()} for row in good.to_dict("records")]
    memory = prepare_loaded(bundle.preparation, [load_case(row, folder) for row in rows])
    pd.testing.assert_frame_equal(memory.design, files.design, check_exact=True)
    pd.testing.assert_frame_equal(memory.cases, files.cases)
    pd.testing.assert_frame_equal(memory.exclusions, files.exclusions)
    assert list(memory.exclusions["code"]) == ["not_tumour"]
    assert memory.store.image_id == files.store.image_id
    for one, other in zip(memory.store.samples, files.store.samples, strict=True):
        assert one.images.keys() == other.images.keys()
        for name, pixels in one.images.items():
            np.testing.assert_array_equal(pixels, other.images[name])
        for name, roi in one.rois.items():
            np.testing.assert_array_equal(roi, other.rois[name])


@pytest.mark.parametrize(("chunk", "jobs"), [(1, 1), (5, 1), (100, 2)])
def test_chunks_change_nothing(
    bundle: Bundle, cases: pd.DataFrame, folder: Path, whole: Prediction, tmp_path: Path, chunk: int, jobs: int
) -> None:
    found = stream(bundle, cases, folder, tmp_path, chunk=chunk, jobs=jobs)
    assert_same(found, whole, atol=1e-6)
    assert sorted(found.exclusions["code"]) == ["image_unreadable", "not_tumour"]


def test_an_interrupted_stream_goes_on(
    bundle: Bundle,
    cases: pd.DataFrame,
    folder: Path,
    whole: Prediction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = predict_prepared
    calls: list[int] = []

    def counted(*args: object, **options: object) -> Prediction:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("usdlr.inference.stream.predict_prepared", counted)
    with pytest.raises(KeyboardInterrupt):
        stream(bundle, cases, folder, tmp_path, chunk=3)
    interrupted = len(calls)
    found = stream(bundle, cases, folder, tmp_path, chunk=3)
    chunks = -(-cases.loc[cases["site"] == "tumour", "patient_id"].nunique() // 3)
    assert len(calls) - interrupted == chunks - 2  # two were finished
    assert_same(found, whole, atol=1e-6)
    # The same files again: nothing is left to do. Another file: its chunk alone.
    before = len(calls)
    assert_same(stream(bundle, cases, folder, tmp_path, chunk=3), whole, atol=1e-6)
    assert len(calls) == before
    moved = cases.copy()
    moved.loc[0, "age_years"] = 91.0
    stream(bundle, moved, folder, tmp_path, chunk=3)
    assert len(calls) == before + 1


def test_nothing_usable_is_an_error_with_the_first_reason(
    bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    lost = cases.iloc[[3]].reset_index(drop=True)
    with pytest.raises(DataError, match="no usable case among 1; the first is image_unreadable"):
        stream(bundle, lost, folder, tmp_path)
    with pytest.raises(ConfigError, match="chunk = 0"):
        StreamSettings(chunk=0)


@pytest.mark.parametrize("column", [column.name for column in PATHS])
def test_every_file_of_a_case_is_in_the_key_of_its_chunk(
    column: str, bundle: Bundle, cases: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"one")
    chunk = cases.head(2).assign(**{column: "file"})
    before = _key(chunk, tmp_path, bundle.preparation)
    assert _key(chunk, tmp_path, bundle.preparation) == before
    (tmp_path / "file").write_bytes(b"two")
    assert _key(chunk, tmp_path, bundle.preparation) != before
