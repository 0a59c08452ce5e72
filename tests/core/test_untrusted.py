"""JSON of unknown origin is parsed as the standard library parses it, or refused in one line."""

from __future__ import annotations

import json

import pytest

from usdlr.core.errors import DataError
from usdlr.core.untrusted import DEEPEST, strict_json


@pytest.mark.parametrize("text", ["{}", "[1, -2.5e-3, null, true]", '{"a": {"b": ["ü", "\\u0007"]}}', " 7 ", '""'])
def test_plain_json_is_what_the_standard_library_reads(text: str) -> None:
    assert strict_json(text.encode(), "x.json") == json.loads(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "key 'a' twice"),
        (b'[{"deep": {"a": 1, "a": 1}}]', "twice"),
        (b'{"a": NaN}', "number NaN"),
        (b"[-Infinity]", "number -Infinity"),
        (b"[1e999]", "number 1e999"),
        (b"[" + b"9" * 5000 + b"]", "a finite one"),
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),  # a byte-order mark, RFC 8259 8.1
        (b"!!python/object/apply:os.system ['true']", "not valid JSON"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "nested"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        strict_json(content, "x.json")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_size_and_depth_have_limits() -> None:
    assert strict_json(b"[" * DEEPEST + b"]" * DEEPEST, "x.json") is not None
    with pytest.raises(DataError, match="of 11 bytes, expected at most 10"):
        strict_json(b"[1,2,3,4,5]", "x.json", most_bytes=10)
