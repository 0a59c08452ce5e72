"""A safetensors header is believed only where the file bears it out; what the library writes is read as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from usdlr.core.errors import BundleError
from usdlr.inference.tensor_files import tensor_header


def written(path: Path, header: Any, values: bytes = b"", length: int | None = None) -> Path:
    """A file with this header, in the format's own layout."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + values)
    return path


def entry(shape: list[Any], first: int, last: int, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.zeros((), np.int64),
        "c": np.zeros((4, 0), np.float16),
        "d": np.ones(5, bool),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"backbone": "resnet18"})
    found = tensor_header(tmp_path / "x.safetensors", "x")
    assert {name: one.shape for name, one in found.items()} == {name: one.shape for name, one in tensors.items()}
    assert [found[name].dtype for name in "abcd"] == ["F32", "I64", "F16", "BOOL"]


@pytest.mark.parametrize(
    ("header", "values", "message"),
    [
        ({"a": entry([1 << 40, 1 << 40], 0, 8)}, 8, "of shape"),
        ({"a": entry([1 << 62, 4], 0, 0)}, 0, "of shape"),  # wraps round to 0 in 64 bit
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12, "overlap"),
        ({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, 8, "overlap"),
        ({"a": entry([2], 8, 16)}, 16, "leave a gap"),
        ({"a": entry([2], 0, 8)}, 7, "bytes of values where 8"),
        ({"a": entry([2], 0, 8)}, 9, "bytes of values where 8"),
        ({"a": entry([-2], 0, -8)}, 0, "impossible shape"),
        ({"a": entry([True], 0, 4)}, 4, "impossible shape"),
        ({"a": entry([1.0], 0, 4)}, 4, "impossible shape"),
        ({"a": entry([1] * 9, 0, 4)}, 4, "impossible shape"),
        ({"a": entry([1], 0, 8, "C64")}, 8, "kind 'C64'"),
        ({"a": entry([1], 0, 4, ["F32"])}, 4, "values of the kind"),
        ({"a": {**entry([1], 0, 4), "file": "/etc/passwd"}}, 4, "no dtype, shape and data_offsets"),
        ({"a": "F32"}, 0, "no dtype, shape and data_offsets"),
        ({"__metadata__": {"x": 1}}, 0, "metadata"),
        ([1], 0, "without tensors"),
        (b'{"a": 1, "a": 1}', 0, "no plain JSON"),
        (b"cos\nsystem\n(S'true'\ntR.", 0, "no plain JSON"),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, header: Any, values: int, message: str) -> None:
    path = written(tmp_path / "x.safetensors", header, bytes(values))
    with pytest.raises(BundleError, match=message) as raised:
        tensor_header(path, "x.safetensors")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(BundleError, match="a header of"):
        tensor_header(written(tmp_path / "x.safetensors", b"{}", length=length), "x")


@pytest.mark.parametrize("size", [0, 1, 8, 9])
def test_files_of_a_few_bytes_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.safetensors").write_bytes(bytes(size))
    with pytest.raises(BundleError, match="a header of 0 bytes"):
        tensor_header(tmp_path / "x.safetensors", "x")
