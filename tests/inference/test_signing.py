"""Signatures against RFC 8032's own vectors, openssl's keys, and whoever tampers."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.inference.made_bundle import made_bundle, rewrite
from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST, SIGNATURE
from usdlr.inference.export import export_bundle, sign_bundle
from usdlr.inference.signing import (
    Signature,
    is_encrypted,
    read_private_key,
    read_public_key,
    require_signer,
    write_key_pair,
)

# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
        "5141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
        "0d291612bb0c00",
    ),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two key pairs, ``mine`` and ``other``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        write_key_pair(folder / name, None)
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("sound") / "bundle", folds=0)


@pytest.fixture
def signed(sound: Path, keys: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(sound, tmp_path / "bundle"))
    sign_bundle(folder, read_private_key(keys / "mine", None))
    return folder


@pytest.mark.parametrize(("secret", "public", "message", "expected"), RFC_8032)
def test_the_published_vectors(secret: str, public: str, message: str, expected: str) -> None:
    made = Signature.made(bytes.fromhex(message), Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    assert made.key.hex() == public
    assert made.value.hex() == expected
    made.require_holds(bytes.fromhex(message))
    with pytest.raises(BundleError, match="does not hold"):
        made.require_holds(bytes.fromhex(message) + b"\x00")


def test_the_signer_is_known_and_demanded(signed: Path, keys: Path) -> None:
    mine = keys / "mine.pub"
    bundle = load_bundle(signed, public_key=mine)
    assert bundle.signed_by == Signature.read((signed / SIGNATURE).read_bytes()).signer
    with pytest.raises(BundleError, match=r"signed by ed25519:\w{32}, expected the signature of ed25519:\w{32}"):
        load_bundle(signed, public_key=keys / "other.pub")
    (signed / SIGNATURE).unlink()
    assert load_bundle(signed).signed_by is None
    with pytest.raises(BundleError, match="nobody signed"):
        load_bundle(signed, public_key=mine)


def test_a_manifest_changed_after_it_was_signed(signed: Path) -> None:
    rewrite(signed, lambda content: content["card"].update(question="Is it changed?"))
    with pytest.raises(BundleError, match="does not hold for this"):
        load_bundle(signed)  # even if nobody demands a signer


def test_a_change_of_white_space_is_a_change(signed: Path) -> None:
    (signed / MANIFEST).write_bytes((signed / MANIFEST).read_bytes() + b"\n")
    with pytest.raises(BundleError, match="does not hold"):
        load_bundle(signed)


def test_another_signature_or_key_in_place(signed: Path, keys: Path) -> None:
    content = json.loads((signed / SIGNATURE).read_text())
    other = read_public_key(keys / "other.pub").public_bytes_raw()
    stolen = Signature(other, Signature.read((signed / SIGNATURE).read_bytes()).value)
    (signed / SIGNATURE).write_text(json.dumps(stolen.as_dict()))
    with pytest.raises(BundleError, match="does not hold"):
        load_bundle(signed, public_key=keys / "other.pub")
    for changed in (
        {"algorithm": "none"},
        {"signature": ""},
        {"public_key": content["public_key"][:-4]},
        {"signature": "?" * 88},
        {"further": 1},
        {"public_key": None},
    ):
        (signed / SIGNATURE).write_text(json.dumps(content | changed))
        with pytest.raises(BundleError, match="damaged signature"):
            load_bundle(signed)


def test_a_key_of_low_order_signs_nothing() -> None:
    """The all-zero point would "verify" messages in careless libraries."""
    with pytest.raises(BundleError, match="does not hold"):
        Signature(bytes(32), bytes(64)).require_holds(b"bundle")


def test_a_signed_zip_can_be_signed_anew(signed: Path, keys: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.usdlr"
    export_bundle(signed, out)
    assert load_bundle(out, public_key=keys / "mine.pub").bundle_id == load_bundle(signed).bundle_id
    sign_bundle(out, read_private_key(keys / "other", None))
    assert load_bundle(out, public_key=keys / "other.pub").bundle_id == load_bundle(signed).bundle_id


def test_nobody_signs_what_is_damaged(sound: Path, keys: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "bundle"))
    (folder / "contract.json").write_text("{}")
    with pytest.raises(BundleError, match="altered"):
        sign_bundle(folder, read_private_key(keys / "mine", None))
    assert not (folder / SIGNATURE).exists()


def test_a_private_key_is_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    name = write_key_pair(path, b"a secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_encrypted(path)
    assert b"a secret" not in path.read_bytes()
    assert Signature(read_public_key(tmp_path / "key.pub").public_bytes_raw(), bytes(64)).signer == name
    assert read_private_key(path, b"a secret").public_key() == read_public_key(tmp_path / "key.pub")
    for wrong in (None, b"another"):
        with pytest.raises(DataError, match="right passphrase") as raised:
            read_private_key(path, wrong)
        assert "another" not in str(raised.value)
    with pytest.raises(ConfigError, match="a key is not replaced"):
        write_key_pair(path, None)
    path.unlink()
    with pytest.raises(ConfigError, match=r"key\.pub already there"):
        write_key_pair(path, None)


def test_other_kinds_of_keys_are_refused(tmp_path: Path, keys: Path) -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)):
        text = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        (tmp_path / "other").write_bytes(text)
        with pytest.raises(DataError, match="expected an Ed25519 private key"):
            read_private_key(tmp_path / "other", None)
    for content in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"x" * 20_000):
        (tmp_path / "odd").write_bytes(content)
        with pytest.raises(DataError, match="found no"):
            read_public_key(tmp_path / "odd")
    with pytest.raises(DataError, match="no readable public key"):
        read_public_key(keys / "mine")  # a private key is not to be handed out
    with pytest.raises(DataError, match="no key file"):
        require_signer(None, tmp_path / "nowhere.pub")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_openssl_makes_keys_and_checks_signatures(signed: Path, keys: Path, tmp_path: Path) -> None:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k"], check=True)
    subprocess.run(["openssl", "pkey", "-in", tmp_path / "k", "-pubout", "-out", tmp_path / "k.pub"], check=True)
    assert read_private_key(tmp_path / "k", None).public_key() == read_public_key(tmp_path / "k.pub")
    (tmp_path / "raw").write_bytes(Signature.read((signed / SIGNATURE).read_bytes()).value)
    words: list[str | Path] = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", keys / "mine.pub"]
    done = subprocess.run([*words, "-in", signed / MANIFEST, "-sigfile", tmp_path / "raw"], capture_output=True)
    assert done.returncode == 0, done.stderr
