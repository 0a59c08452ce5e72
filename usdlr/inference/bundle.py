"""A bundle: one folder, or one zip, of safetensors and JSON with the SHA-256 of every file.

Loading executes nothing from it and asks no network for anything.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usdlr.core.errors import BundleError, DataError, InputError
from usdlr.core.hashing import SHORT
from usdlr.core.types import OnUncertified, Stage
from usdlr.inference.bundle_files import FOLDS, MANIFEST, require_extra_name
from usdlr.inference.member import CONTRACT, SHIPPED, USED, Member, load_member, require_certified
from usdlr.inference.preparation import Preparation
from usdlr.inference.signing import require_signer
from usdlr.inference.verified import Verified, verified

TORCH = "torch"
# What content that is sound JSON and yet makes no sense raises where it is read.
SENSELESS = (InputError, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Bundle:
    """A model that can be applied.

    Parameters
    ----------
    preparation : Preparation
        From files to tensors.
    member : Member
        The cascade in use.
    on_uncertified : OnUncertified
        What to answer when the contract is not certifiable.
    card : dict
        Name, endpoints, proxies, cohort, and what the contract of the member that ships says, for those who open the
        file; decisions and printed words always come from the contract itself.
    digest : str
        SHA-256 of the manifest, which holds that of every other file.
    signed_by : str or None
        Fingerprint of the key that signed the manifest.
    extras : mapping of str to Path
        Further folders by name; see :meth:`extra`.
    runtime : str
        What runs the networks where they are only to be read; see :func:`usdlr.inference.onnx_bundle.with_runtime`.
    source : Verified or None
        Holds the private copy of these folders for as long as the bundle is in use.
    """

    preparation: Preparation
    member: Member
    on_uncertified: OnUncertified
    card: dict[str, Any]
    digest: str = ""
    signed_by: str | None = None
    extras: Mapping[str, Path] = field(default_factory=dict)
    runtime: str = TORCH
    source: Verified | None = field(default=None, repr=False, compare=False)

    @property
    def bundle_id(self) -> str:
        """First 12 digits of ``digest``: two bundles with the same id are the same bundle."""
        return self.digest[:SHORT]

    def extra(self, name: str) -> Path | None:
        """A further folder of the bundle, such as ``reference``; ``None``: it has none.

        A private copy whose files were verified. It is there for as long as this object is: keep hold of the bundle.
        """
        require_extra_name(name)
        return self.extras.get(name)


def load_bundle(path: Path, *, member: str | None = None, public_key: Path | None = None) -> Bundle:
    """Read and verify a bundle.

    Parameters
    ----------
    path : Path
        The bundle: a folder, or a zip that `usdlr bundle export` wrote.
    member : str, optional
        Name of a fold to use instead of the model that ships.
    public_key : Path, optional
        PEM file of the key that must have signed the bundle.

    Raises
    ------
    DataError
        If there is no bundle or no such member.
    BundleError
        If a file is missing, altered, damaged, or of another schema; or the signature is missing or does not hold.
    """
    own = f"{FOLDS}/{member}/"
    parts = tuple(f"{stage}/" for stage in Stage)

    def wanted(name: str) -> bool:
        shipped = name in (CONTRACT, USED) or name.startswith(parts)
        return name.startswith(own) or not (name.startswith(f"{FOLDS}/") or (shipped and member is not None))

    files = verified(path, wanted)
    if public_key is not None:
        require_signer(files.signature, public_key)
    if member is not None and member not in files.folds:
        raise DataError(f"found no member {member!r} in {path}, expected one of {', '.join(files.folds)}")
    folder, manifest = files.folder, files.manifest
    if manifest.get("kind") == "outlines":
        raise DataError(
            f"found a bundle that outlines lesions in {path}, expected one that `usdlr run` wrote; give that one"
        )
    try:
        preparation = Preparation.from_dict(manifest["preparation"])
        on_uncertified, card = OnUncertified(manifest["on_uncertified"]), checked_card(manifest["card"])
    except SENSELESS as error:
        raise BundleError(f"found a damaged {MANIFEST} in {path} ({_line(error)}); export the bundle again") from error
    target = folder if member is None else folder / FOLDS / member
    try:
        loaded = load_member(target, member or SHIPPED, preparation)
        require_certified(target, loaded.name, manifest["preparation"])
    except SENSELESS as error:
        # The copy's name would tell nobody anything.
        why = (str(error) if isinstance(error, BundleError) else _line(error)).replace(str(folder), str(path))
        raise BundleError(why if isinstance(error, BundleError) else _damaged(path, why)) from error
    names = {name.split("/")[0] for name in manifest["files"] if "/" in name} - {FOLDS, *map(str, Stage)}
    for name in names:
        require_extra_name(name)
    for rest in folder.iterdir():  # what is loaded by now
        if rest.name not in names:
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    return Bundle(
        preparation,
        loaded,
        on_uncertified,
        card,
        files.digest,
        None if files.signature is None else files.signature.signer,
        {name: folder / name for name in sorted(names)},
        source=files,
    )


def checked_card(card: Any) -> dict[str, Any]:
    """What a bundle says about itself, with the parts that a prediction's notices are made of.

    Raises
    ------
    KeyError, TypeError, ValueError
        If one is missing or of another kind.
    """
    found = dict(card)
    if not isinstance(found["simulated"], bool):
        raise TypeError("simulated is no truth value")
    if not all(value is None or isinstance(value, str) for value in dict(found["proxies"]).values()):
        raise TypeError("proxies are no words")
    if set(found["proxies"]) - set(map(str, Stage)):
        raise ValueError("proxies of unknown stages")
    if not all(isinstance(centre, str) for centre in found["cohort"]["centres"]):
        raise TypeError("centres are no words")
    if not all(type(found["cohort"][name]) is int for name in ("patients", "axillae", "image_sets", "excluded")):
        raise TypeError("a count of the cohort is no whole number")
    words: list[Any] = [found]
    while words:  # what is shown on a terminal must not command it
        part = words.pop()
        if isinstance(part, str) and any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in part):
            raise ValueError("control signs in the card")
        words += [*part, *part.values()] if isinstance(part, dict) else part if isinstance(part, list) else []
    return found


def _damaged(path: Path, why: str) -> str:
    return f"found a bundle that cannot be read in {path} ({why}), expected one that `usdlr run` wrote; export it again"


def _line(error: BaseException) -> str:
    return (str(error) if isinstance(error, InputError) else repr(error)).splitlines()[0][:200]
