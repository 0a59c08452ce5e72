"""Verified files: a bundle's files are copied into a private folder while they are hashed, and only the copy is read.

Whoever changes the bundle after that changes nothing: what was verified is what is used.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from usdlr.core.errors import BundleError, DataError
from usdlr.core.untrusted import MOST_BYTES, strict_json
from usdlr.inference.bundle_files import FOLDS, MANIFEST, READABLE, SCHEMA, SIGNATURE
from usdlr.inference.signing import SIGNATURE_BYTES, Signature
from usdlr.inference.sources import Source, open_source, require_names
from usdlr.inference.tensor_files import tensor_header

JSON, TENSORS, ONNX = ".json", ".safetensors", ".onnx"
KINDS = (JSON, TENSORS, ONNX)
BLOCK = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Verified:
    """A bundle's verified files.

    Parameters
    ----------
    place : TemporaryDirectory
        Holds the copy; removed with this object.
    manifest : dict
        Content of the manifest, its list of files among it.
    content : bytes
        The manifest as it is in the file.
    digest : str
        SHA-256 of these bytes.
    sizes : dict of str to int
        Bytes of every file, the manifest and the signature included.
    signature : Signature or None
        Verified.
    """

    place: tempfile.TemporaryDirectory[str]
    manifest: dict[str, Any]
    content: bytes
    digest: str
    sizes: dict[str, int]
    signature: Signature | None

    @property
    def folder(self) -> Path:
        """The private copy."""
        return Path(self.place.name)

    @property
    def folds(self) -> list[str]:
        """Names of the fold members."""
        names = [name.split("/") for name in self.manifest["files"]]
        return sorted({parts[1] for parts in names if parts[0] == FOLDS and len(parts) > 2})


def verified(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Verified:
    """Verify every file of a bundle.

    Parameters
    ----------
    path : Path
        A folder, or a zip.
    wanted : callable
        Which files, by name, the copy is to hold; the others are hashed only.

    Raises
    ------
    DataError
        If there is no bundle.
    BundleError
        If a file is missing, altered, damaged, of a kind that no bundle holds, or not listed; or if the schema is
        another, or the signature does not hold.
    """
    with open_source(path) as source:
        if MANIFEST not in source.sizes:
            raise DataError(f"found no {MANIFEST} in {path}, expected a bundle that `usdlr run` wrote; check the path")
        content = _whole(source, MANIFEST, MOST_BYTES)
        manifest, files = _manifest(path, content)
        _require_listed(path, source, files)
        signature = None
        if SIGNATURE in source.sizes:
            signature = Signature.read(_whole(source, SIGNATURE, SIGNATURE_BYTES))
            signature.require_holds(content)
        place = tempfile.TemporaryDirectory(prefix="usdlr-bundle-")
        try:
            for name, digest in files.items():
                target = Path(place.name) / name if wanted(name) else None
                with source.open(name) as stream:
                    found = _taken(stream, target, source.sizes[name], name)
                if found != digest:
                    raise BundleError(f"found {name} altered (SHA-256 differs from {MANIFEST}); copy the bundle again")
                if target is not None:
                    _require_sound(target, name)
        except BaseException:
            place.cleanup()
            raise
    return Verified(place, manifest, content, hashlib.sha256(content).hexdigest(), dict(source.sizes), signature)


def _manifest(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest, and its list of files."""
    manifest = strict_json(content, MANIFEST)
    schema = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
    if not isinstance(manifest, dict) or type(schema) is not int or schema not in READABLE:
        newer = type(schema) is int and schema > SCHEMA
        remedy = "update usdlr" if newer else "export it again with this version"
        raise BundleError(
            f"found a bundle of schema {str(schema)[:20]}, expected {' or '.join(map(str, READABLE))}; {remedy}"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise BundleError(f"found no list of files in {path / MANIFEST}, expected one; export the bundle again")
    require_names(files, MANIFEST)
    for name, digest in files.items():
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise BundleError(f"found no SHA-256 of {name} in {MANIFEST}, expected one; export the bundle again")
        if Path(name).suffix not in KINDS or name in (MANIFEST, SIGNATURE):
            raise BundleError(
                f"found {name} in the list of {MANIFEST}, expected {', '.join(KINDS)} alone; nothing else is read from "
                "a bundle: export it again without that file"
            )
    return manifest, files


def _require_listed(path: Path, source: Source, files: dict[str, str]) -> None:
    for name in files:
        if name not in source.sizes:
            raise BundleError(f"found no regular file {name} in {path}, expected every listed file; copy it again")
    further = sorted(set(source.sizes) - set(files) - {MANIFEST, SIGNATURE})
    if further:
        raise BundleError(
            f"found {further[0]!r} in {path}, which {MANIFEST} does not list; remove it or copy the bundle again"
        )


def _whole(source: Source, name: str, most: int) -> bytes:
    """A small file in memory, read once."""
    if source.sizes[name] > most:
        raise BundleError(f"found {name} of {source.sizes[name]} bytes, expected at most {most}; copy the bundle again")
    with source.open(name) as stream:
        return stream.read(most)


def _taken(stream: BinaryIO, target: Path | None, size: int, name: str) -> str:
    """SHA-256 of a stream that is copied on the way; one that grows while it is read is refused."""
    digest, left = hashlib.sha256(), size
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    sink = None if target is None else target.open("xb")
    try:
        while block := stream.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise BundleError(f"found {name} altered (it is longer than its folder says); copy the bundle again")
            digest.update(block)
            if sink is not None:
                sink.write(block)
    finally:
        if sink is not None:
            sink.close()
    return digest.hexdigest()


def _require_sound(path: Path, name: str) -> None:
    """Refuse a file that is not what its name says."""
    if path.suffix == TENSORS:
        tensor_header(path, name)
    elif path.suffix == JSON:
        try:
            strict_json(path.read_bytes(), name)
        except DataError as error:
            raise BundleError(str(error)) from error
