"""One file for a bundle: the same bytes every time, and the same predictions as the folder's."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.inference.made_bundle import made_bundle, rewrite
from tests.inference.made_stage import made_cohort
from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.core.files import write_json
from usdlr.core.types import Stage
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.bundle_files import MANIFEST, SCHEMA, write_bundle
from usdlr.inference.export import export_bundle


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_json(folder / "reference" / "summary.json", {"patients": 8})
    return made_bundle(folder / "bundle", folds=2, extras={"reference": folder / "reference"})


def answers(bundle: Bundle) -> pd.DataFrame:
    cohort = made_cohort()
    return bundle.member.models[Stage.SLN].predict_axillae(cohort.cases, cohort.store, cohort.design, 4)


def test_the_same_bundle_gives_the_same_bytes(sound: Path, tmp_path: Path) -> None:
    export_bundle(sound, tmp_path / "a.usdlr")
    moved = shutil.copytree(sound, tmp_path / "elsewhere")
    for path in moved.rglob("*"):
        os.utime(path, (time.time() - 9e6,) * 2)
        path.chmod(0o700 if path.is_dir() else 0o600)
    export_bundle(moved, tmp_path / "b.usdlr")
    export_bundle(tmp_path / "a.usdlr", tmp_path / "c.usdlr")
    content = [(tmp_path / f"{name}.usdlr").read_bytes() for name in "abc"]
    assert content[0] == content[1] == content[2]
    with zipfile.ZipFile(tmp_path / "a.usdlr") as archive:
        assert archive.namelist()[0] == MANIFEST
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


def test_the_zip_is_the_folder(sound: Path, tmp_path: Path) -> None:
    export_bundle(sound, tmp_path / "a.usdlr")
    for member in (None, "1"):
        folder, packed = load_bundle(sound, member=member), load_bundle(tmp_path / "a.usdlr", member=member)
        assert packed.digest == folder.digest
        pd.testing.assert_frame_equal(answers(packed), answers(folder), check_exact=True)
    assert not np.array_equal(answers(load_bundle(sound))["logit"], answers(packed)["logit"])


def test_without_folds_it_is_another_bundle_with_the_same_model(sound: Path, tmp_path: Path) -> None:
    export_bundle(sound, tmp_path / "a.usdlr", folds=False)
    whole, small = load_bundle(sound), load_bundle(tmp_path / "a.usdlr")
    assert small.bundle_id != whole.bundle_id
    pd.testing.assert_frame_equal(answers(small), answers(whole), check_exact=True)
    assert (tmp_path / "a.usdlr").stat().st_size < 0.5 * sum(p.stat().st_size for p in sound.rglob("*") if p.is_file())
    with pytest.raises(DataError, match="no member '0'"):
        load_bundle(tmp_path / "a.usdlr", member="0")


def test_a_further_folder_is_there_as_long_as_the_bundle(sound: Path, tmp_path: Path) -> None:
    export_bundle(sound, tmp_path / "a.usdlr")
    for path in (sound, tmp_path / "a.usdlr"):
        bundle = load_bundle(path)
        folder = bundle.extra("reference")
        assert folder is not None
        assert [name.name for name in folder.iterdir()] == ["summary.json"]
        assert folder.parent != sound  # a private copy
        assert bundle.extra("neighbours") is None
        private = folder.parent
        assert {one.name for one in private.iterdir()} == {"reference"}
        assert private.stat().st_mode & 0o077 == 0
        del bundle
        assert not private.exists()


def test_a_further_folder_is_hashed_like_everything_else(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "bundle"))
    (folder / "reference" / "summary.json").write_text('{"patients": 9}')
    with pytest.raises(BundleError, match=r"reference/summary\.json altered"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["sln", "folds", "..", "a/b", "Reference", "", "x" * 40])
def test_names_of_further_folders(sound: Path, tmp_path: Path, name: str) -> None:
    loaded = load_bundle(sound)
    with pytest.raises(BundleError, match="further folder"):
        write_bundle(
            tmp_path / "b",
            members={"bundle": sound},
            preparation=loaded.preparation,
            on_uncertified=loaded.on_uncertified,
            card=loaded.card,
            extras={name: tmp_path},
        )
    with pytest.raises(BundleError, match="further folder"):
        loaded.extra(name)


def test_a_bundle_of_schema_4_is_one_without_further_folders(tmp_path: Path) -> None:
    old = made_bundle(tmp_path / "bundle", folds=0)
    rewrite(old, lambda content: content.update(schema=4))
    bundle = load_bundle(old)
    assert bundle.extra("reference") is None
    export_bundle(old, tmp_path / "a.usdlr")
    assert load_bundle(tmp_path / "a.usdlr").bundle_id == bundle.bundle_id
    assert bundle.source is not None
    assert (bundle.source.manifest["schema"], SCHEMA) == (4, 5)


def test_a_read_only_bundle_from_another_folder(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "bundle"))
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_bundle(Path("../bundle"), member="1").member.name == "1"
    export_bundle(Path("../bundle"), Path("b.usdlr"))
    assert load_bundle(Path("b.usdlr")).digest == load_bundle(sound).digest


def test_the_name_must_say_what_it_is(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.usdlr"):
        export_bundle(sound, tmp_path / "a.zip")
