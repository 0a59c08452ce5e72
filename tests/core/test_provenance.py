from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy
import pandas
import pytest

import usdlr
from usdlr.core.provenance import Provenance, code_state, package_versions


def test_it_says_what_can_change_a_number() -> None:
    record = Provenance("usdlr features", {"cases": "ab" * 32}, {"bins": 32}, seed=7).as_dict()
    assert record["command"] == "usdlr features"
    assert record["inputs"] == {"cases": "ab" * 32}
    assert record["config"] == {"bins": 32}
    assert record["seed"] == 7
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["usdlr"] == usdlr.__version__
    assert record["versions"]["numpy"] == numpy.__version__
    assert record["versions"]["pandas"] == pandas.__version__
    written = datetime.fromisoformat(record["written_at"])
    assert timedelta(0) <= datetime.now(UTC) - written < timedelta(minutes=1)


def test_the_config_hash_follows_the_config() -> None:
    one, same, other = (
        Provenance("x", config=config).as_dict()["config_hash"]
        for config in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    )
    assert one == same != other


def test_it_names_neither_the_machine_nor_its_user() -> None:
    text = str(Provenance("usdlr features").as_dict())
    assert platform.node() not in text
    assert str(Path.home()) not in text


def test_absent_packages_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usdlr.core.provenance.PACKAGES", ("numpy", "no-such-package-of-usdlr"))
    assert "no-such-package-of-usdlr" not in package_versions.__wrapped__()


def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the code."""
    (folder / "usdlr").mkdir()
    (folder / "usdlr" / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(usdlr, "__file__", str(folder / "usdlr" / "__init__.py"))
    return folder


def test_the_state_of_a_git_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path, monkeypatch)
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    commit = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert code_state.__wrapped__() == {"commit": commit, "dirty": False}
    (root / "notes.txt").write_text("changes no number", encoding="utf-8")
    assert code_state.__wrapped__()["dirty"] is False
    (root / "usdlr" / "__init__.py").write_text("x = 1\n", encoding="utf-8")
    assert code_state.__wrapped__()["dirty"] is True


def test_no_checkout_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path, monkeypatch)
    assert code_state.__wrapped__() == {}
    (root / ".git").mkdir()  # not a repository
    assert code_state.__wrapped__() == {}


def test_no_git_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout(tmp_path, monkeypatch) / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state.__wrapped__() == {}
