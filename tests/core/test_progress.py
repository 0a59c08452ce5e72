from __future__ import annotations

import io
import sys

import pytest

from usdlr.core.progress import Progress, say


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("features", 3) as bar:
        for _ in range(3):
            bar.advance()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "features: 3/3 after 0 s\n"


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0, 23.0])
    monkeypatch.setattr("usdlr.core.progress.time.monotonic", lambda: next(clock))
    with Progress("crops", 50) as bar:
        for _ in range(4):
            bar.advance()
        bar.advance(46)
    assert capsys.readouterr().err.splitlines() == [
        "crops: 2/50 after 11 s",
        "crops: 4/50 after 22 s",
        "crops: 50/50 after 23 s",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("fits", 2) as bar:
        bar.advance(2)
    assert "fits" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()
    assert "after" not in terminal.getvalue()


def test_say_writes_one_line_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("report written")
    assert capsys.readouterr() == ("", "report written\n")
