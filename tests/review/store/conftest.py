"""A store of each kind; PostgreSQL is started once per file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.review.store.postgres import Server, binaries
from usdlr.review.store.engine import Store, open_store


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A running server. Without PostgreSQL the test is skipped; on CI, which has to have it, it fails."""
    programs = binaries()
    if programs is None:
        reason = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Not pytest's folder: the user that PostgreSQL runs as may not enter it.
    with tempfile.TemporaryDirectory(prefix="usdlr-pg-") as name:
        base = Path(name)
        base.chmod(0o755)
        folder = base / "data"
        folder.mkdir()
        server = Server(folder, programs)
        try:
            yield server
        finally:
            server.stop("immediate")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/review.db"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new store, once on each database."""
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[Store]:
    """A new store in a file, for what does not depend on the database."""
    opened = open_store(f"sqlite:///{tmp_path}/review.db")
    yield opened
    opened.close()
