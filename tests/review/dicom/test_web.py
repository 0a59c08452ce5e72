"""Archives that answer wrongly: torn, endless, compressed, elsewhere, with other people's studies."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.review.dicom.test_network import scanner_image
from usdlr.core.errors import ConfigError, DataError
from usdlr.review.dicom.multipart import Bounds, decode, encode
from usdlr.review.dicom.web import DicomWeb, Login

MULTIPART = 'multipart/related; type="application/dicom"; boundary="b"'
JSON = "application/dicom+json"


@dataclass
class Archive:
    """A server that answers every request with the same bytes and remembers what it was asked."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in found.headers:
                self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        do_POST = do_GET  # noqa: N815 - what the server calls it

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


def answer(archive: Archive, body: bytes, kind: str, **headers: str) -> None:
    archive.body, archive.headers = body, {"Content-Type": kind, **headers}


def fetch(archive: Archive, bounds: Bounds | None = None) -> list[bytes]:
    with DicomWeb(archive.url, bounds=bounds, timeout_s=5) as web:
        return list(web.fetch("1.2.3"))


def test_a_study_comes_in_parts(archive: Archive) -> None:
    answer(
        archive, b"".join(encode([b"one\r\n--", b"", b"--b"], "b")).replace(b"\n--b\r\n--b", b"\n-b\r\n--b"), MULTIPART
    )
    assert fetch(archive)[:2] == [b"one\r\n--", b""]
    assert archive.asked[0][0] == "/dicom-web/studies/1.2.3"
    assert archive.asked[0][1]["Accept-Encoding"] == "identity"


WHOLE = b"".join(encode([b"x" * 100] * 3, "b"))


@pytest.mark.parametrize(
    ("body", "kind", "headers", "bounds", "message"),
    [
        (WHOLE[:-30], MULTIPART, {}, Bounds(), "ends in the middle"),
        (WHOLE[:-30], MULTIPART, {"Content-Length": str(len(WHOLE))}, Bounds(), "no connection"),
        (WHOLE, MULTIPART, {}, Bounds(total=200), "in an answer, expected less"),
        (WHOLE, MULTIPART, {}, Bounds(part=99), "an instance of more than"),
        (WHOLE, MULTIPART, {}, Bounds(parts=2), "more than 2 instances"),
        (b"--b" + b"x" * 20000, MULTIPART, {}, Bounds(part=10), "an instance of more than"),
        (b"--b\r\n" + b"x" * 9000 + b"\r\n--b--", MULTIPART, {}, Bounds(), "end of its headers"),
        (b"<html>", "text/html", {}, Bounds(), "multipart/related"),
        (gzip.compress(WHOLE), MULTIPART, {"Content-Encoding": "gzip"}, Bounds(), "compressed answer"),
    ],
)
def test_a_torn_or_endless_answer_is_refused(
    archive: Archive, body: bytes, kind: str, headers: dict[str, str], bounds: Bounds, message: str
) -> None:
    answer(archive, body, kind, **headers)
    with pytest.raises(DataError, match=message):
        fetch(archive, bounds)


@given(
    parts=st.lists(st.binary(max_size=60).filter(lambda part: b"\r\n--bo" not in b"\r\n" + part), max_size=4),
    cuts=st.lists(st.integers(1, 9), max_size=80),
)
def test_it_does_not_matter_how_an_answer_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(encode(parts, "bo"))
    pieces = []
    for cut in cuts:
        pieces.append(body[:cut])
        body = body[cut:]
    assert list(decode([*pieces, body], b"bo", Bounds())) == parts


def test_other_places_are_not_followed(archive: Archive) -> None:
    archive.status = 302
    answer(archive, b"", "text/plain", Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(DataError, match="answering 302"):
        fetch(archive)
    assert len(archive.asked) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{" * 100_000, "not valid JSON|nested"),
        (b"[{}]", "StudyInstanceUID"),
        (b'[{"0020000D": {"Value": ["../../etc"]}}]', "StudyInstanceUID"),
        (b'[{"0020000D": {"Value": ["1.2"]}, "00100020": {"Value": ["another"]}}]', "other patients"),
        (b'[{"0020000D": 5}]', "StudyInstanceUID"),
        (b"[" + b" " * (17 << 20) + b"]", "search more narrowly"),
    ],
)
def test_answers_to_a_search_that_cannot_be_believed(archive: Archive, body: bytes, message: str) -> None:
    answer(archive, body, JSON)
    with DicomWeb(archive.url) as web, pytest.raises(DataError, match=message):
        web.find(patient_id="wanted")


@pytest.mark.parametrize("search", [{}, {"patient_id": "*"}, {"patient_id": "a?"}, {"date": "2026"}, {"date": "x" * 8}])
def test_searches_that_would_find_others(archive: Archive, search: dict[str, Any]) -> None:
    with DicomWeb(archive.url) as web, pytest.raises(ConfigError, match="expected"):
        web.find(**search)
    assert archive.asked == []


def test_a_study_that_is_a_path_is_not_asked_for(archive: Archive) -> None:
    with DicomWeb(archive.url) as web, pytest.raises(ConfigError, match="StudyInstanceUID"):
        list(web.fetch("../instances"))
    assert archive.asked == []


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"{}",
        b"[]",
        b'{"00081199": {"Value": []}}',
        b'{"00081199": {"Value": [{"00081155": {"Value": ["1.2.3.4"]}}]}}',
        b'{"00081198": {"Value": [{"00081197": {"Value": [43264]}}]}}',
    ],
)
def test_what_is_not_confirmed_was_not_stored(archive: Archive, tmp_path: Path, report: bytes) -> None:
    answer(archive, report, JSON)
    with DicomWeb(archive.url) as web, pytest.raises(DataError, match="1 of 1 instances not confirmed"):
        web.store([scanner_image(tmp_path)])


def test_a_reason_is_passed_on(archive: Archive, tmp_path: Path) -> None:
    archive.status = 409
    answer(archive, json.dumps({"00081198": {"Value": [{"00081197": {"Value": [0xA900]}}]}}).encode(), JSON)
    with DicomWeb(archive.url) as web, pytest.raises(DataError, match="0xa900"):
        web.store([scanner_image(tmp_path)])


def test_an_error_never_tells_the_address_or_the_password(archive: Archive) -> None:
    def raised(act: Callable[[DicomWeb], object], url: str) -> str:
        with DicomWeb(url, Login("name", "secret-word"), timeout_s=2) as web, pytest.raises(DataError) as error:
            act(web)
        return f"{error.value} {Login('name', 'secret-word')!r} {error.value.__cause__}"

    archive.status = 500
    for url in (archive.url, "http://127.0.0.1:1"):
        text = raised(lambda web: web.find(patient_id="Jane-Doe"), url)
        assert "Jane-Doe" not in text
        assert "secret-word" not in text


def test_a_token_is_sent_as_one(archive: Archive) -> None:
    answer(archive, b"[]", JSON)
    with DicomWeb(archive.url, Login(token="abc")) as web:
        assert web.find(date="20260101-20260131") == []
    assert archive.asked[0][1]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://archive.example.org",
        "https://name:word@archive.example.org",
        "https://archive.example.org/?a=b",
        "archive.example.org",
        "http://archive.example.org/dicom-web",
        "https://",
        "http://[",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        DicomWeb(url, Login("name", "word"))
