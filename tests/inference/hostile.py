"""What tests of hostile bundles share: a refusal is exit code 2 and one line, and leaves nothing behind."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from usdlr.cli.main import WRONG_INPUT, main

HARMED = Path("/tmp/usdlr-was-harmed")


@contextmanager
def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is refused leaves no copy behind, runs nothing, and asks no network."""
    private = folder / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("asked for the network")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, no_network)
    yield
    assert not list(private.iterdir())
    assert not HARMED.exists()


def refused(path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """The command ends with exit code 2 and one line with these words."""
    assert main(["bundle", "verify", str(path)]) == WRONG_INPUT
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: found ")
    assert err.count("\n") == 1
    assert words in err
    assert "usdlr-bundle-" not in err  # the private copy's name would tell nobody anything
    assert all(sign.isprintable() for sign in err.rstrip("\n"))
