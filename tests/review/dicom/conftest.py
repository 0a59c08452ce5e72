"""A real archive on loopback: Orthanc with its DICOMweb plugin, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
NAME, PASSWORD = "usdlr", "only-for-this-test"


@dataclass(frozen=True)
class Orthanc:
    """Where it listens; its own REST interface is the outside view of what it stored."""

    http: int
    dicom: int

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def rest(self, method: str, path: str, **request: Any) -> Any:
        answer = httpx.request(
            method, f"http://127.0.0.1:{self.http}{path}", auth=(NAME, PASSWORD), trust_env=False, **request
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def clear(self) -> None:
        for study in self.rest("GET", "/studies"):
            self.rest("DELETE", f"/studies/{study}")

    def add(self, content: bytes) -> None:
        self.rest("POST", "/instances", content=content)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def need(program: str) -> str:
    """A program's path; without it the test is skipped, and fails on CI, which has to have it."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin:/sbin")
    if found is None:
        reason = f"no {program}: apt-get install orthanc orthanc-dicomweb dcmtk"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def running_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    program = need("Orthanc")
    if not PLUGIN.exists():
        reason = "no DICOMweb plugin of Orthanc: apt-get install orthanc-dicomweb"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("orthanc")
    found = Orthanc(free_port(), free_port())
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": found.http,
        "DicomPort": found.dicom,
        "DicomAet": "ARCHIVE",
        "DicomCheckCalledAet": True,
        # It cannot bind its DICOM port to loopback: it takes nothing but what comes from there.
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomModalities": {"usdlr": ["USDLR", "127.0.0.1", 1]},
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {NAME: PASSWORD},
        "OverwriteInstances": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(100):
            try:
                found.rest("GET", "/system")
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        else:
            pytest.fail("Orthanc did not start")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture
def orthanc(running_orthanc: Orthanc) -> Orthanc:
    """The archive, empty."""
    running_orthanc.clear()
    return running_orthanc
