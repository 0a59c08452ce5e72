"""A bundle made ready for others: signed, or as one zip whose bytes depend on nothing but the bundle."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from stat import S_IFREG
from typing import TYPE_CHECKING

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_atomic, write_json
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import FOLDS, MANIFEST, SCHEMA, SIGNATURE, write_manifest
from usdlr.inference.onnx_bundle import ONNX_FOLDER, Graph, write_graphs
from usdlr.inference.signing import Signature
from usdlr.inference.sources import ARCHIVE_SUFFIX
from usdlr.inference.verified import verified

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The first date that a zip can hold: files carry none of their own.
DATE = (1980, 1, 1, 0, 0, 0)
REGULAR, UNIX = (S_IFREG | 0o644) << 16, 3
LARGEST_ZIP = (4 << 30) - (1 << 20)


def sign_bundle(path: Path, key: Ed25519PrivateKey) -> Signature:
    """Sign a verified bundle's manifest; an older signature is replaced.

    Parameters
    ----------
    path : Path
        The bundle, a folder or a zip; the signature is written into it.
    key : Ed25519PrivateKey
        From :func:`usdlr.inference.signing.read_private_key`.

    Raises
    ------
    BundleError
        If it is not sound: nobody should vouch for that.
    """
    load_bundle(path)
    source = verified(path, lambda name: not path.is_dir())
    made = Signature.made(source.content, key)
    if path.is_dir():
        write_json(path / SIGNATURE, made.as_dict())
    else:
        (source.folder / MANIFEST).write_bytes(source.content)
        write_json(source.folder / SIGNATURE, made.as_dict())
        write_atomic(path, lambda target: _zip(source.folder, target))
    return made


def export_bundle(path: Path, out: Path, *, folds: bool = True, onnx: bool = False) -> list[Graph]:
    """Write a bundle as one zip; the same bundle gives the same bytes.

    Unchanged, it keeps its id and its signature. Without folds or with graphs it is another bundle, with an id of its
    own, which is to be signed anew.

    Parameters
    ----------
    path : Path
        The bundle, a folder or a zip; it is verified.
    out : Path
        The zip, ``.usdlr``; an older one is replaced.
    folds : bool
        Whether it holds the fold members.
    onnx : bool
        Whether every network of the member that ships is written as ONNX too.

    Returns
    -------
    list of Graph
        The graphs that were written.

    Raises
    ------
    ConfigError
        If the name does not end in ``.usdlr``, or a network has no form in ONNX.
    BundleError
        If the bundle is not sound, or a graph differs from torch.
    DataError
        If it is too large for one zip.
    """
    if out.suffix != ARCHIVE_SUFFIX:
        raise ConfigError(f"found --out {out}, expected a name that ends in {ARCHIVE_SUFFIX}")
    bundle = load_bundle(path)
    source = verified(path)
    written: list[Graph] = []
    with tempfile.TemporaryDirectory(prefix="usdlr-export-") as place:
        folder = Path(place) / "bundle"
        shutil.copytree(source.folder, folder)
        changed = onnx or (not folds and bool(source.folds))
        if not changed:
            (folder / MANIFEST).write_bytes(source.content)
            if source.signature is not None:
                write_json(folder / SIGNATURE, source.signature.as_dict())
        else:
            if not folds:
                shutil.rmtree(folder / FOLDS, ignore_errors=True)
            if onnx:
                shutil.rmtree(folder / ONNX_FOLDER, ignore_errors=True)
                written = write_graphs(folder / ONNX_FOLDER, bundle)
            kept = {name: value for name, value in source.manifest.items() if name != "files"}
            write_manifest(folder, kept | {"schema": SCHEMA})
        write_atomic(out, lambda target: _zip(folder, target))
    return written


def _zip(folder: Path, target: Path) -> None:
    """Every file of a folder, by name, the manifest first, stored as it is."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if sum(path.stat().st_size for path in files.values()) > LARGEST_ZIP:
        raise DataError(
            f"found a bundle of more than {LARGEST_ZIP >> 20} MiB, expected less for one zip; export it without folds, "
            "or share the folder"
        )
    # Not deflated: weights hardly shrink, and what a library makes of the rest changes from version to version.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(files, key=lambda one: (one != MANIFEST, one)):
            info = zipfile.ZipInfo(name, DATE)
            info.external_attr, info.create_system = REGULAR, UNIX
            info.file_size = files[name].stat().st_size
            with files[name].open("rb") as source, archive.open(info, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
