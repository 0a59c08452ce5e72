from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.report.finished import finished_run, with_everything
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash
from usdlr.experiment.layout import Layout
from usdlr.report import kept
from usdlr.report.inputs import StudyInputs
from usdlr.report.kept import keep, read_kept


@pytest.fixture(scope="module")
def given_and_run(
    study: Callable[..., StudyInputs], tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyInputs, Path]:
    run = tmp_path_factory.mktemp("kept") / "run"
    inputs = with_everything(study(patients=60))
    return finished_run(inputs, run), run


@pytest.fixture
def copy(given_and_run: tuple[StudyInputs, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(given_and_run[1], tmp_path / "copy"))


def same(left: Any, right: Any) -> bool:
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left.reset_index(drop=True), right, check_dtype=False)
        return True
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    if isinstance(left, float):
        return (left == right) or (left != left and right != right)
    if hasattr(left, "__dataclass_fields__"):
        return type(left) is type(right) and all(
            same(getattr(left, one), getattr(right, one)) for one in left.__dataclass_fields__
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return bool(left == right)


def test_every_field_comes_back(given_and_run: tuple[StudyInputs, Path]) -> None:
    given, run = given_and_run
    found = read_kept(run)
    assert given.heat_maps
    assert given.gallery
    assert given.selection
    for field in fields(StudyInputs):
        assert same(getattr(given, field.name), getattr(found, field.name)), field.name
    assert found.gallery[0].p_nsln != found.gallery[0].p_nsln
    assert found.gallery[0].stiffness is None
    assert found.heat_maps[1].found is None


def test_a_study_without_extras_is_kept_too(certified: StudyInputs, tmp_path: Path) -> None:
    bare = replace(certified, axillae=pd.DataFrame())
    finished_run(bare, tmp_path / "run")
    found = read_kept(tmp_path / "run")
    assert found.axillae.empty
    assert not found.gallery
    assert not found.heat_maps


def test_what_is_kept_is_what_is_returned(given_and_run: tuple[StudyInputs, Path], copy: Path) -> None:
    returned = keep(given_and_run[0], copy)
    for field in fields(StudyInputs):
        assert same(getattr(returned, field.name), getattr(read_kept(copy), field.name)), field.name


def test_files_are_data_without_code_and_pictures_name_no_patient(given_and_run: tuple[StudyInputs, Path]) -> None:
    given, run = given_and_run
    names = sorted(path.name for path in (run / kept.FOLDER).iterdir())
    assert names == ["axillae.parquet", "kept.json", "labels.parquet", "losses.parquet", "pictures.npz", "study.json"]
    with zipfile.ZipFile(run / kept.PICTURES) as archive:
        for name in archive.namelist():
            head = archive.read(name)[:200]
            assert head.startswith(b"\x93NUMPY")
            assert b"'descr': '|O'" not in head
    text = (run / kept.STUDY).read_text(encoding="utf-8") + (run / kept.MANIFEST).read_text(encoding="utf-8")
    assert not any(name in text for name in given.labels["patient_id"])


def test_names_of_results_are_those_of_a_run() -> None:
    layout = Layout(Path("run"))
    paths = [layout.metrics, layout.predictions, layout.decisions, layout.exclusions, layout.baselines]
    assert [layout.out / name for name in kept.RESULTS] == paths


@pytest.mark.parametrize("name", kept.RESULTS + kept.KEPT)
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(DataError, match=f"{name} was changed after the report was written.*restore it"):
        read_kept(copy)


def test_a_table_that_was_written_anew_is_refused(copy: Path) -> None:
    """Even with a provenance of its own."""
    from usdlr.core import tables
    from usdlr.core.provenance import Provenance

    table = tables.DECISIONS.read(copy / "decisions.parquet")
    tables.DECISIONS.write(table.iloc[:-1], copy / "decisions.parquet", Provenance("by hand"))
    assert len(tables.DECISIONS.read(copy / "decisions.parquet")) == len(table) - 1
    with pytest.raises(DataError, match=r"decisions\.parquet was changed"):
        read_kept(copy)


@pytest.mark.parametrize("name", [kept.PREDICTIONS, kept.PICTURES])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DataError, match=f"found no file .*{name}"):
        read_kept(copy)


def test_an_earlier_run_is_told_what_to_do(copy: Path) -> None:
    shutil.rmtree(copy / kept.FOLDER)
    with pytest.raises(DataError, match=r"earlier version of usdlr.*delete .*report\.html.*usdlr run \.\.\. --out"):
        read_kept(copy)


def test_another_version_is_refused(copy: Path) -> None:
    manifest = read_json(copy / kept.MANIFEST)
    write_json(copy / kept.MANIFEST, manifest | {"schema": kept.SCHEMA + 1})
    with pytest.raises(DataError, match=f"of version {kept.SCHEMA + 1}, expected {kept.SCHEMA}"):
        read_kept(copy)


def test_a_record_of_another_form_is_refused(copy: Path) -> None:
    study = read_json(copy / kept.STUDY)
    del study["gallery"][0]["group"]
    (copy / kept.STUDY).write_text(json.dumps(study))
    manifest = read_json(copy / kept.MANIFEST)
    manifest["sha256"][kept.STUDY] = file_hash(copy / kept.STUDY)
    write_json(copy / kept.MANIFEST, manifest)
    with pytest.raises(DataError, match="cannot be read"):
        read_kept(copy)


def test_nothing_is_kept_of_a_run_without_results(given_and_run: tuple[StudyInputs, Path], copy: Path) -> None:
    (copy / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"found no metrics\.json"):
        keep(given_and_run[0], copy)
    assert not (copy / kept.MANIFEST).exists()


def test_only_nomograms_that_can_be_read_again_are_kept(given_and_run: tuple[StudyInputs, Path], copy: Path) -> None:
    class Other:
        pass

    foreign: Any = Other()
    with pytest.raises(ConfigError, match="of the kind Other"):
        keep(replace(given_and_run[0], nomograms={"sln": foreign}), copy)


def test_a_changed_configuration_is_refused(copy: Path) -> None:
    (copy / "config.yaml").write_text("name: other\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"config\.yaml was changed after the report was written.*other settings"):
        read_kept(copy)
    (copy / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml was changed"):
        read_kept(copy)


def test_what_another_machine_may_change_is_no_change(given_and_run: tuple[StudyInputs, Path], copy: Path) -> None:
    """A run that goes on elsewhere writes its configuration anew, with its own folders and number of processes."""
    text = (
        "name: made\njobs: 1\ndata: {root: /a, external: {b: /c}, centre: x}\nselection: {stability: /s, steps: []}\n"
    )
    (copy / "config.yaml").write_text(text, encoding="utf-8")
    keep(given_and_run[0], copy)
    moved = text.replace("jobs: 1", "jobs: 8").replace("/a", "/other").replace("/c", "/else").replace("/s", "/t")
    (copy / "config.yaml").write_text(f"# by hand\n{moved}", encoding="utf-8")
    read_kept(copy)
    (copy / "config.yaml").write_text(text.replace("centre: x", "centre: y"), encoding="utf-8")
    with pytest.raises(DataError, match="other settings"):
        read_kept(copy)


def test_a_changed_bundle_is_refused(given_and_run: tuple[StudyInputs, Path], copy: Path) -> None:
    (copy / "bundle").mkdir()
    weights = copy / "bundle" / "weights.bin"
    weights.write_bytes(b"1")
    write_json(copy / "bundle" / "bundle.json", {"files": {"weights.bin": file_hash(weights)}})
    with pytest.raises(DataError, match=r"bundle\.json was changed after the report was written.*another bundle"):
        read_kept(copy)  # there was none when the report was written
    keep(given_and_run[0], copy)
    read_kept(copy)
    weights.write_bytes(b"2")
    with pytest.raises(DataError, match=r"weights\.bin was changed after the report was written"):
        read_kept(copy)
    weights.unlink()
    with pytest.raises(DataError, match=r"weights\.bin was changed"):
        read_kept(copy)
