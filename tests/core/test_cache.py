from __future__ import annotations

from pathlib import Path

import pytest

from usdlr.core.cache import ContentCache


@pytest.fixture
def filled(tmp_path: Path) -> ContentCache:
    (tmp_path / "a.png").write_bytes(b"pixels")
    (tmp_path / "b.png").write_bytes(b"mask")
    cache = ContentCache(tmp_path / ".cache", tmp_path)
    cache.put("ab12", {"size": 1.5, "name": None}, ["a.png", "b.png"])
    return cache


def test_what_was_put_comes_back(filled: ContentCache) -> None:
    assert filled.get("ab12") == {"size": 1.5, "name": None}
    assert filled.get("ab13") is None


def test_a_new_process_finds_it(filled: ContentCache) -> None:
    assert ContentCache(filled.records, filled.base).get("ab12") is not None


@pytest.mark.parametrize("damage", [b"", b"other!", b"pixels "])
def test_an_altered_file_counts_as_absent(filled: ContentCache, damage: bytes) -> None:
    (filled.base / "a.png").write_bytes(damage)
    assert filled.get("ab12") is None


def test_a_lost_file_counts_as_absent(filled: ContentCache) -> None:
    (filled.base / "b.png").unlink()
    assert filled.get("ab12") is None


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"files": 3, "result": 1}', '{"files": {}}', "null"])
def test_a_damaged_record_counts_as_absent(filled: ContentCache, record: str) -> None:
    path = next(filled.records.rglob("*.json"))
    path.write_text(record)
    assert filled.get("ab12") is None
    filled.put("ab12", 7, [])
    assert filled.get("ab12") == 7


def test_files_that_do_not_exist_cannot_be_promised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ContentCache(tmp_path / ".cache", tmp_path).put("k", 1, ["gone.png"])
