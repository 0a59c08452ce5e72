from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_atomic, write_bytes, write_json, write_text, write_together


def half_then_fail(target: Path) -> None:
    target.write_text("half", encoding="utf-8")
    raise OSError("disk full")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        write_atomic(tmp_path / "out.csv", half_then_fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, half_then_fail)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_text(path, "old")

    def interrupted(target: Path) -> None:
        target.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, interrupted)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_has_the_final_suffix_and_folder(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(target: Path) -> None:
        seen.append(target)
        target.write_bytes(b"x")

    write_atomic(tmp_path / "new" / "table.parquet", write)
    assert seen[0].suffix == ".parquet"
    assert seen[0].parent == tmp_path / "new"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.parquet"]


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "größer")
    assert path.read_bytes() == "größer".encode()
    write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_result_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_json_round_trip_with_null_for_what_json_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "a" / "value.json"
    write_json(
        path,
        {
            "nan": float("nan"),
            "infinite": [float("inf"), -np.inf],
            "numpy": (np.float32(0.5), np.int64(3), np.bool_(True), np.float64("nan")),
            "text": "NaN",
            1: None,
        },
    )
    assert read_json(path) == {
        "nan": None,
        "infinite": [None, None],
        "numpy": [0.5, 3, True, None],
        "text": "NaN",
        "1": None,
    }
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no file .*expected a JSON file"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00"])
def test_json_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(path)


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path) -> None:
    written = write_together(tmp_path / "new", {"a.txt": b"1", "deep/b.txt": b"2"})
    assert [path.relative_to(tmp_path / "new").as_posix() for path in written] == ["a.txt", "deep/b.txt"]
    assert [path.read_bytes() for path in written] == [b"1", b"2"]
    (tmp_path / "new" / "c").mkdir()
    with pytest.raises(DataError, match=r"found the folder .*c, expected a file"):
        write_together(tmp_path / "new", {"a.txt": b"3", "c": b"4"})
    (tmp_path / "new" / "flat").write_bytes(b"a file")
    with pytest.raises(DataError, match="found no way to write into"):
        write_together(tmp_path / "new", {"a.txt": b"3", "flat/d.txt": b"4"})
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"1"
    assert not list((tmp_path / "new").glob(".writing-*"))


def test_a_full_disk_on_the_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together(tmp_path, {"a.txt": b"1", "b.txt": b"2"})
    written = []

    def second_fails(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("usdlr.core.files.write_bytes", second_fails)
    with pytest.raises(OSError, match="No space"):
        write_together(tmp_path, {"a.txt": b"3", "b.txt": b"4"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"1", "b.txt": b"2"}
