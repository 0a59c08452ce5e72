"""A bundle that outlines: networks as safetensors, rules and expected quality as JSON, every file with its SHA-256.

It is written and verified like a bundle that predicts, may be a zip, may be signed, and executes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from usdlr.core.errors import BundleError, DataError, InputError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import SHORT
from usdlr.core.provenance import code_state, package_versions
from usdlr.core.types import Site
from usdlr.imaging.components import LesionRules
from usdlr.inference.bundle_files import SCHEMA, write_manifest
from usdlr.inference.member import image_key
from usdlr.inference.segmentation.expected import Expected
from usdlr.inference.segmentation.segmenter import Segmenter
from usdlr.inference.signing import require_signer
from usdlr.inference.tensor_files import tensor_header
from usdlr.inference.verified import Verified, verified
from usdlr.models.segmentation import OutlinerSettings, SegmentationNetwork

KIND, OUTLINES = "kind", "outlines"
SETTINGS, MEMBERS = "segmenter.json", "members"
# Larger windows and wider decoders than any that works would only take the memory.
LARGEST_PX, WIDEST = 1024, 2048
UNBUILDABLE = (InputError, RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError)


def write_segmenter(
    folder: Path,
    *,
    members: Mapping[str, Mapping[str, Tensor]],
    network: OutlinerSettings,
    rules: LesionRules,
    expected: Expected | None,
    card: Mapping[str, Any],
    site: Site = Site.TUMOUR,
    learned: Iterable[str] = (),
) -> Path:
    """Write a bundle that outlines.

    Parameters
    ----------
    folder : Path
        Target; an older bundle there is replaced.
    members : mapping of str to state
        Weights of every network by name.
    network : OutlinerSettings
        What they are made of.
    rules : LesionRules
        What counts as a lesion.
    expected : Expected or None
        How good outlines have been out of fold; ``None`` where nothing was outlined.
    card : mapping
        What the bundle says about itself; no patient rows.
    site : Site
        What they have learned to outline.
    learned : iterable of str
        Ids of the image sets that the networks learned from; their keys are kept, which name nobody.

    Returns
    -------
    Path
        The manifest.
    """
    if folder.exists():
        shutil.rmtree(folder)
    (folder / MEMBERS).mkdir(parents=True)
    for name, state in members.items():
        save_file(dict(state), folder / MEMBERS / f"{name}.safetensors")
    write_json(
        folder / SETTINGS,
        {
            "network": network.without_start().as_dict(),
            "rules": rules.as_dict(),
            "expected": None if expected is None else expected.as_dict(),
            "members": list(members),
            "site": str(site),
            "learned": sorted({image_key(name) for name in learned}),
        },
    )
    content = {
        "schema": SCHEMA,
        KIND: OUTLINES,
        "card": dict(card),
        "versions": package_versions(),
        "code": code_state(),
    }
    return write_manifest(folder, content)


def load_segmenter(path: Path, *, member: str | None = None, public_key: Path | None = None) -> Segmenter:
    """Read and verify a bundle that outlines.

    Parameters
    ----------
    path : Path
        A folder, or a zip.
    member : str, optional
        One network alone, by name.
    public_key : Path, optional
        PEM file of the key that must have signed the bundle.

    Raises
    ------
    DataError
        If there is no bundle, it is one that predicts, or has no such member.
    BundleError
        If a file is missing, altered, damaged, or the signature does not hold.
    """
    files = _verified(path, public_key)
    try:
        stored = read_json(files.folder / SETTINGS)
        network = OutlinerSettings(**stored["network"]).without_start()
        _require_moderate(network)
        rules = LesionRules(**stored["rules"])
        expected = None if stored["expected"] is None else Expected.from_dict(stored["expected"])
        names = [str(name) for name in stored["members"]]
        site = Site(stored.get("site", Site.TUMOUR))
        learned = frozenset(str(key) for key in stored.get("learned", []))
    except BundleError:
        raise
    except UNBUILDABLE as error:
        raise BundleError(
            f"found a damaged {SETTINGS} in {path} ({_line(error)}); copy the bundle again from its owner"
        ) from error
    if member is not None and member not in names:
        raise DataError(f"found no member {member!r} in {path}, expected one of {', '.join(names)}")
    chosen = names if member is None else [member]
    if not chosen:
        raise BundleError(f"found no network in {path}, expected one or more; copy the bundle again from its owner")
    networks = []
    for name in chosen:
        weights = files.folder / MEMBERS / f"{name}.safetensors"
        if not weights.is_file():
            raise BundleError(f"found no {MEMBERS}/{weights.name} in {path}, expected it; copy the bundle again")
        networks.append(read_network(weights, network))
    digest = files.digest[:SHORT]
    return Segmenter(networks, rules, expected, digest if member is None else f"{digest}-{member}", site, learned)


def identify_segmenter(path: Path, *, public_key: Path | None = None) -> str:
    """What a bundle that outlines is called in tables and logs, without loading its networks.

    Parameters
    ----------
    path, public_key : Path
        As for :func:`load_segmenter`.

    Returns
    -------
    str
        First 12 digits of its hash.

    Raises
    ------
    DataError, BundleError
        As :func:`load_segmenter`.
    """
    return _verified(path, public_key).digest[:SHORT]


def read_network(path: Path, settings: OutlinerSettings) -> SegmentationNetwork:
    """The network of a weights file, in evaluation mode.

    Raises
    ------
    BundleError
        If the file is damaged, of another network, or holds a number that is not finite.
    """
    file = path.name
    settings = settings.without_start()
    held = {key: entry.shape for key, entry in tensor_header(path, file).items()}
    try:
        network = SegmentationNetwork(settings)
        wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        if held != wanted:
            key = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))[0]
            raise BundleError(
                f"found {file} that does not fit {settings.encoder} ({key[:80]}: {held.get(key)}, expected "
                f"{wanted.get(key)}); copy the bundle again from its owner"
            )
        network.load_state_dict(load(path.read_bytes()))
    except BundleError:
        raise
    except (SafetensorError, *UNBUILDABLE) as error:
        raise BundleError(f"found {file} that cannot be used ({_line(error)}); copy the bundle again") from error
    for key, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BundleError(f"found a weight that is no finite number in {file} ({key}); copy the bundle again")
    return network.eval().to(memory_format=torch.channels_last)


def _verified(path: Path, public_key: Path | None) -> Verified:
    files = verified(path)
    if public_key is not None:
        require_signer(files.signature, public_key)
    if files.manifest.get(KIND) != OUTLINES or SETTINGS not in files.manifest["files"]:
        raise DataError(
            f"found a bundle that predicts in {path}, expected one that outlines lesions, which `usdlr fit_segmenter` "
            "writes; give that one"
        )
    return files


def _require_moderate(network: OutlinerSettings) -> None:
    """Refuse sizes that would exhaust the memory before any weight is looked at."""
    numbers: list[Any] = [network.size_px]
    options = next(iter(network.decoder.values())) if isinstance(network.decoder, dict) else {}
    for value in (options or {}).values():
        numbers += value if isinstance(value, list | tuple) else [value]
    if network.size_px > LARGEST_PX or any(isinstance(one, int | float) and one > WIDEST for one in numbers):
        raise BundleError(
            f"found a network of {max(one for one in numbers if isinstance(one, int | float))} pixels or channels, "
            f"expected at most {LARGEST_PX} pixels and {WIDEST} channels"
        )


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
