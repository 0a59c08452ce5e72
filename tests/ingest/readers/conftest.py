"""What the readers' tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame


@pytest.fixture
def read_bytes(tmp_path: Path) -> Callable[..., SourceFrame]:
    """Read a file that holds these bytes, under a name that says nothing about its format."""

    def read(content: bytes, frame: int | None = None) -> SourceFrame:
        path = tmp_path / "file"
        path.write_bytes(content)
        return read_frame(path, frame)

    return read
