"""The review page from the command line: served for real, its record checked, exported, copied and brought back."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.tiny import AS_IN_A_TERMINAL
from usdlr.cli.main import main
from usdlr.review.settings import ReviewSettings
from usdlr.review.sign_on_settings import SignOnSettings

SERVE = ("review", "--bundle", "B", "--cases", "C")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(run_folder: Path, disc_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a review that was served, asked, and interrupted. Tests must not change it."""
    out, port = tmp_path_factory.mktemp("served") / "review", free_port()
    command = [
        *(sys.executable, "-c", AS_IN_A_TERMINAL, "review", "--bundle", str(run_folder / "bundle")),
        *("--cases", str(run_folder / "cases.parquet"), "--out", str(out), "--port", str(port)),
        *("--explain", "false", "--jobs", "1", "--segmenter", str(disc_bundle)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("review page:"):
                break
        said = "".join(lines)
        assert f"http://localhost:{port}" in said, said
        assert "not a medical device" in said
        assert re.search(r"/first and give the code [\w-]{20,} \(valid once\)", said)
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=5) as answer:
                    assert "not a medical device" in answer.read().decode()
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                break
            except OSError:
                assert time.monotonic() < end, "the page did not answer"
                time.sleep(0.2)
        with pytest.raises(OSError, match="refused"), socket.create_connection((own_address(), port), timeout=2):
            pass  # nobody but this machine is let in
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(180)  # its worker may still be loading the bundle
    assert process.returncode == 130
    return out


def own_address() -> str:
    """An address of this machine that is no loopback; another loopback where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.2"


def test_the_record_is_whole_private_and_goes_to_another_database(
    served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (served / "review.db").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("a-long-enough-secret\n"))
    account = ["review", "account", "--out", str(served), "--name", "ada", "--display", "Dr Ada"]
    assert main([*account, "--role", "reviewer"]) == 0
    assert main(["review", "check", "--out", str(served)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"whole: \d+ entries", told)
    assert "a-long-enough-secret" not in told
    assert main(["review", "backup", "--out", str(served), "--target", str(tmp_path / "copy")]) == 0
    assert main(["review", "restore", "--source", str(tmp_path / "copy"), "--out", str(tmp_path / "other")]) == 0
    assert main(["review", "check", "--out", str(tmp_path / "other")]) == 0
    assert main(["review", "export", "--out", str(tmp_path / "other"), "--target", str(tmp_path / "tables")]) == 0
    reviews = pd.read_parquet(next((tmp_path / "tables").glob("reviews*.parquet")))
    assert set(reviews["status"]) == {"unread"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["review", "--bundle", "B", "--cases", "C", "--reading", "blind"], "expected open or hidden"),
        (["review", "--bundle", "B", "--cases", "C", "--on_uncertified", "guess"], "expected defer or zero_miss"),
        (["review", "--bundle", "B", "--cases", "C", "--prot", "1"], "port"),
        ([*SERVE, "--oidc_issuer", "http://id.example"], "expected an https:// address"),
        ([*SERVE, "--oidc_issuer", "https://id.example", "--oidc_role", "chief"], "viewer, reviewer, administrator"),
        ([*SERVE, "--oidc_issuer", "https://id.example", "--oidc_role", "administrator"], "made by administrators"),
        ([*SERVE, "--oidc_issuer", "https://id.example", "--oidc_secret_file", "none"], "no readable secret in none"),
        ([*SERVE, "--oidc_secret_file", "none"], "--oidc_secret_file without --oidc_issuer"),
        ([*SERVE, "--oidc_issuer", "https://id.example", "--oidc_secret", "s3cret"], "oidc_secret"),
        ([*SERVE, "--segmenter_key", "key.pem"], "--segmenter_key without --segmenter"),
        ([*SERVE, "--segmenter", "none"], "found no bundle at none"),
        (["review", "account", "--name", "a", "--display", "A", "--role", "chief"], "viewer, reviewer, administrator"),
        (["review", "check", "--out", "nowhere"], "found no folder nowhere"),
        (["review", "check", "--database", "mysql://x/y"], "SQLite"),
        (["review", "restore", "--source", "nothing", "--out", "new"], "found no"),
    ],
)
def test_mistakes_are_one_line(
    argv: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize("way", ["file", "environment", "both", "neither"])
def test_the_secret_of_the_sign_on_comes_from_a_file_or_the_environment(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("USDLR_OIDC_SECRET", raising=False)
    argv = [*SERVE, "--oidc_issuer", "https://id.example"]
    if way in ("environment", "both"):
        monkeypatch.setenv("USDLR_OIDC_SECRET", " of-the-environment \n")
    if way in ("file", "both"):
        path = tmp_path / "secret"
        path.write_text("of-the-file\n")
        path.chmod(0o600)
        argv += ["--oidc_secret_file", str(path)]
    made: list[SignOnSettings] = []

    def noted(**values: Any) -> ReviewSettings:
        made.append(values["oidc"])
        return ReviewSettings(**values)

    monkeypatch.setattr("usdlr.cli.review.ReviewSettings", noted)
    assert main(argv) == 2  # there is no such bundle
    expected = {"file": "of-the-file", "both": "of-the-file", "environment": "of-the-environment", "neither": None}
    assert [one.secret for one in made] == [expected[way]]
    told = capsys.readouterr()
    assert "of-the" not in told.out + told.err
    assert "of-the" not in repr(made)
