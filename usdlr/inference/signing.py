"""Who stands behind a bundle: Ed25519 signatures of its manifest, which holds the hash of every other file."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.core.untrusted import strict_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "Ed25519"
KEY_BYTES, SIGNED_BYTES = 32, 64
# Of the file.
SIGNATURE_BYTES, KEY_FILE_BYTES = 4096, 16384
FINGERPRINT = 32  # hexadecimal digits: 128 bit


@dataclass(frozen=True)
class Signature:
    """A signature with the public key that it is to be checked with.

    A signature that holds says that the owner of this key signed these bytes. Who that is, only a key that came by
    another way can say: see :meth:`require_signer`.

    Parameters
    ----------
    key : bytes, 32
        Raw public key.
    value : bytes, 64
        Signature of the manifest's bytes.

    References
    ----------
    RFC 8032, Edwards-curve digital signature algorithm, doi 10.17487/RFC8032.
    """

    key: bytes
    value: bytes

    @property
    def signer(self) -> str:
        """Fingerprint of the key."""
        return fingerprint(self.key)

    def as_dict(self) -> dict[str, str]:
        """Plain data."""
        return {
            "algorithm": ALGORITHM,
            "public_key": base64.b64encode(self.key).decode("ascii"),
            "signature": base64.b64encode(self.value).decode("ascii"),
        }

    @classmethod
    def read(cls, content: bytes) -> Signature:
        """Restore what :meth:`as_dict` gave, written as JSON.

        Raises
        ------
        BundleError
            If it is none.
        """
        try:
            state = strict_json(content, "signature.json")
            if set(state) != {"algorithm", "public_key", "signature"} or state["algorithm"] != ALGORITHM:
                raise ValueError("other keys, or another algorithm")
            found = cls(*(base64.b64decode(state[name], validate=True) for name in ("public_key", "signature")))
            if (len(found.key), len(found.value)) != (KEY_BYTES, SIGNED_BYTES):
                raise ValueError("another length")
        except (DataError, TypeError, ValueError) as error:  # binascii.Error is a ValueError
            raise BundleError(
                f"found a damaged signature ({str(error)[:80]}), expected an {ALGORITHM} signature; get the bundle "
                "again from its owner"
            ) from error
        return found

    def require_holds(self, content: bytes) -> None:
        """Refuse bytes that this signature was not made for.

        Raises
        ------
        BundleError
            If they are others.
        """
        ed25519, exceptions = _ed25519()
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.key).verify(self.value, content)
        except (exceptions.InvalidSignature, ValueError) as error:
            raise BundleError(
                f"found a signature by {self.signer} that does not hold for this bundle.json, expected one that does; "
                "get the bundle again from its owner"
            ) from error

    @classmethod
    def made(cls, content: bytes, key: Ed25519PrivateKey) -> Signature:
        """The signature of some bytes."""
        return cls(key.public_key().public_bytes_raw(), key.sign(content))


def require_signer(signature: Signature | None, key: Path) -> None:
    """Refuse a bundle that a certain person did not sign.

    Parameters
    ----------
    signature : Signature or None
        Verified; ``None``: the bundle is not signed.
    key : Path
        That person's public key, PEM, which came by another way than the bundle.

    Raises
    ------
    BundleError
        If somebody else signed it, or nobody.
    DataError
        If the file holds no Ed25519 public key.
    """
    expected = fingerprint(read_public_key(key).public_bytes_raw())
    if signature is None:
        raise BundleError(
            f"found a bundle that nobody signed, expected the signature of {expected} ({key.name}); get the signed one"
        )
    if signature.signer != expected:
        raise BundleError(
            f"found a bundle signed by {signature.signer}, expected the signature of {expected} ({key.name}); get the "
            "one of that signer, or check which key you were given"
        )


def fingerprint(key: bytes) -> str:
    """A short name of a raw public key: its SHA-256 to 128 bit.

    Examples
    --------
    >>> fingerprint(bytes(32))
    'ed25519:66687aadf862bd776c8fc18b8e9f8e20'
    """
    return f"ed25519:{hashlib.sha256(key).hexdigest()[:FINGERPRINT]}"


def write_key_pair(path: Path, passphrase: bytes | None) -> str:
    """Make a key pair: the private key at ``path``, for its owner's eyes alone, the public one beside it as ``.pub``.

    Parameters
    ----------
    path : Path
        PEM, PKCS #8; nothing may be there yet.
    passphrase : bytes or None
        Encrypts the private key.

    Returns
    -------
    str
        Fingerprint of the public key.

    Raises
    ------
    ConfigError
        If a file is there already.
    """
    ed25519, _ = _ed25519()
    from cryptography.hazmat.primitives import serialization as form

    public = path.with_name(f"{path.name}.pub")
    for taken in (path, public):
        if taken.exists() or taken.is_symlink():
            raise ConfigError(f"found {taken} already there, expected no file: a key is not replaced; choose another")
    key = ed25519.Ed25519PrivateKey.generate()
    lock = form.NoEncryption() if passphrase is None else form.BestAvailableEncryption(passphrase)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock))
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo),
    )
    return fingerprint(key.public_key().public_bytes_raw())


def is_encrypted(path: Path) -> bool:
    """Whether a private key needs a passphrase.

    Raises
    ------
    DataError
        If there is no such file.
    """
    return b"ENCRYPTED PRIVATE KEY" in _key_file(path)


def read_private_key(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    DataError
        If the file holds no Ed25519 private key in PEM, or the passphrase is wrong. The message holds neither.
    """
    ed25519, _ = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Ed25519PrivateKey = _key(
        path, ed25519.Ed25519PrivateKey, "private", lambda text: load_pem_private_key(text, passphrase)
    )
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises
    ------
    DataError
        If the file holds no Ed25519 public key in PEM.
    """
    ed25519, _ = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Ed25519PublicKey = _key(path, ed25519.Ed25519PublicKey, "public", load_pem_public_key)
    return key


def _key(path: Path, kind: Any, word: str, load: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    text = _key_file(path)
    try:
        key = load(text)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error) as error:
        hint = " with the right passphrase" if word == "private" else ""
        raise DataError(
            f"found no readable {word} key in {path}, expected {ALGORITHM} in PEM{hint}; "
            "`usdlr bundle keygen` makes a pair"
        ) from error
    if not isinstance(key, kind):
        raise DataError(
            f"found a {type(key).__name__} in {path}, expected an {ALGORITHM} {word} key; `usdlr bundle keygen` makes "
            "a pair"
        )
    return key


def _key_file(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > KEY_FILE_BYTES:
        raise DataError(f"found no key file {path}, expected one in PEM; `usdlr bundle keygen` makes a pair")
    return path.read_bytes()


def _ed25519() -> tuple[Any, Any]:
    """The library's module of the algorithm, and that of its exceptions."""
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise DataError(
            "found no package cryptography, expected it to make and check signatures; pip install 'usdlr[bundle]'"
        ) from error
    return ed25519, exceptions
