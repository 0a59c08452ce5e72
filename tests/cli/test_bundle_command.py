"""``usdlr bundle``: what it says to a person, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.inference.made_bundle import made_bundle
from usdlr.cli.bundle import PASSPHRASE
from usdlr.cli.main import DONE, WRONG_INPUT, main
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, SIMULATED, contract_lines
from usdlr.inference.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("made") / "bundle", folds=1)


def test_inspect_says_what_it_is(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle)]) == DONE
    text = capsys.readouterr().out
    assert text.startswith(NOT_A_MEDICAL_DEVICE)
    for words in (
        SIMULATED,
        "not signed",
        "sln: positive sln (column sln_positive)",
        "Cohort: 8 patients, 8 axillae, 9 image sets from 1 centre (simulated-north); 0 excluded rows.",
        *contract_lines(load_bundle(bundle).member.contract),
        "crop: the lesion's box and 6 mm around it, 64 x 64 pixels",
        "ring of 5 mm, pixels of 0.1 mm, engine native",
        "test_resnet, 0.7",
        "Folds: 0",
        "contract.json",
    ):
        assert words in text, words


def test_inspect_for_programs(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert found["id"] == found["sha256"][:12]
    assert found["files"]["contract.json"]["bytes"] == (bundle / "contract.json").stat().st_size
    assert found["stages"]["sln"]["networks"][0]["parameters"] > 1e5


def test_a_key_a_signature_and_one_file(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "a secret of mine")
    key, packed = tmp_path / "key", tmp_path / "b.usdlr"
    assert main(["bundle", "keygen", "--out", str(key)]) == DONE
    assert main(["bundle", "export", str(bundle), "--out", str(packed), "--without_folds"]) == DONE
    assert main(["bundle", "verify", str(packed), "--public_key", f"{key}.pub"]) == WRONG_INPUT
    assert "nobody signed" in capsys.readouterr().err
    assert main(["bundle", "sign", str(packed), "--key", str(key)]) == DONE
    assert main(["bundle", "verify", str(packed), "--public_key", f"{key}.pub"]) == DONE
    assert "the signer you demand" in capsys.readouterr().out
    assert main(["bundle", "verify", str(packed)]) == DONE
    assert "give --public_key to demand a signer whom you know" in capsys.readouterr().out
    assert main(["bundle", "export", str(packed), "--out", str(tmp_path / "c.usdlr")]) == DONE
    assert (tmp_path / "c.usdlr").read_bytes() == packed.read_bytes()  # nothing to change: still signed
    monkeypatch.setenv(PASSPHRASE, "another")
    assert main(["bundle", "sign", str(packed), "--key", str(key)]) == WRONG_INPUT
    out, err = capsys.readouterr()
    assert "right passphrase" in err
    assert "a secret" not in out + err


def test_predict_demands_a_signer(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "keygen", "--out", str(tmp_path / "key")]) == DONE
    words = ["--bundle", str(bundle), "--cases", "none.parquet", "--out", str(tmp_path / "out")]
    assert main(["predict", *words, "--public_key", str(tmp_path / "key.pub")]) == WRONG_INPUT
    assert "nobody signed" in capsys.readouterr().err
    assert main(["predict", *words, "--runtime", "onnx"]) == WRONG_INPUT
    assert "a bundle without graphs" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["verfy"], ["verify"], ["sign", "x"], ["export", "x", "--out", "x.zip"]])
def test_wrong_words_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", *words]) == WRONG_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "--help"]) == DONE
    assert "inspect" in capsys.readouterr().out
