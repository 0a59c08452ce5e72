"""Fixtures that every part of the tests shares."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data: without it, tests that need it are skipped; on CI, which has to have it, they fail."""
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("USDLR_SHARED_DATA", default))
    if not folder.is_dir():
        reason = f"no public data at {folder}: set USDLR_SHARED_DATA to its folder"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety simulated patients. Tests must not change them."""
    from usdlr.simulate.export import simulate

    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    simulate(folder, patients=90, seed=5, jobs=1)
    return folder


@pytest.fixture(scope="session")
def run_folder(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Tests must not change it; ``run_copy`` is theirs."""
    # Imported here: torch and Lightning take seconds, and most tests need neither.
    from tests.tiny import tiny_config
    from usdlr.experiment.run import run_experiment

    out = tmp_path_factory.mktemp("run") / "run"
    run_experiment(tiny_config(cohort), out)
    return out


@pytest.fixture
def run_copy(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def disc_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two small networks that outline dark discs. Tests must not change it."""
    from tests.discs import fit_discs

    return fit_discs(tmp_path_factory.mktemp("discs"))
