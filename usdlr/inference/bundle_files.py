"""The files of a bundle: what lies where, and how a bundle is put together."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdlr.core.errors import BundleError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash
from usdlr.core.provenance import code_state, package_versions
from usdlr.core.types import OnUncertified, Stage
from usdlr.decision.contract import Contract
from usdlr.decision.wording import contract_lines, known_nsln, standing
from usdlr.inference.member import CONTRACT, SHIPPED, member_files, require_certified
from usdlr.inference.preparation import Preparation

# 5: further folders, such as what the training patients look like. 4: scores of one ridge model per pattern of
# modalities, told by block. A bundle of schema 4 is one of schema 5 without any further folder.
SCHEMA, READABLE = 5, (4, 5)
MANIFEST, FOLDS = "bundle.json", "folds"
# Ed25519 over the bytes of the manifest; the one file that the manifest cannot list.
SIGNATURE = "signature.json"
EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def write_bundle(
    folder: Path,
    *,
    members: Mapping[str, Path],
    preparation: Preparation,
    on_uncertified: OnUncertified,
    card: Mapping[str, Any],
    extras: Mapping[str, Path] | None = None,
) -> Path:
    """Assemble a bundle.

    Parameters
    ----------
    folder : Path
        Target; an older bundle there is replaced.
    members : mapping of str to Path
        Folder of each fitted member by name; ``bundle`` is the one that ships, the others are folds.
    preparation : Preparation
        From files to tensors.
    on_uncertified : OnUncertified
        Default answer without a certified contract.
    card : mapping
        What the bundle says about itself; no patient rows.
    extras : mapping of str to Path, optional
        Further folders by the name that they get in the bundle, see :meth:`usdlr.inference.bundle.Bundle.extra`: JSON,
        safetensors and ONNX, copied as they are and hashed like everything else.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    BundleError
        If a member's weights, calibrators or preparation are other than those that its contract was made for, or a
        further folder has no usable name.
    """
    further = dict(extras or {})
    for name in further:
        require_extra_name(name)
    for name, source in members.items():
        require_certified(source, name, preparation.as_dict())
    if folder.exists():
        shutil.rmtree(folder)
    for name, source in members.items():
        target = folder if name == SHIPPED else folder / FOLDS / name
        for path in member_files(source):
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(source))
    for name, source in further.items():
        shutil.copytree(source, folder / name)
    content = {
        "schema": SCHEMA,
        "card": dict(card) | {"contract": _contract_card(members[SHIPPED], card)},
        "preparation": preparation.as_dict(),
        "on_uncertified": str(on_uncertified),
        "versions": package_versions(),
        "code": code_state(),
    }
    return write_manifest(folder, content)


def write_manifest(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write the manifest of a folder's files as they are now.

    A signature of an older manifest is removed: it would no longer hold.

    Parameters
    ----------
    folder : Path
        With every file of the bundle.
    content : mapping
        Everything of the manifest but ``files``.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: file_hash(path) for name, path in found.items() if name != MANIFEST}
    write_json(folder / MANIFEST, {**content, "files": files})
    return folder / MANIFEST


def require_extra_name(name: str) -> None:
    """Refuse a name that a further folder of a bundle cannot have.

    Raises
    ------
    BundleError
        If it is no plain lower-case word, or belongs to a part of every bundle.

    Examples
    --------
    >>> require_extra_name("reference")
    """
    if not EXTRA_NAME.fullmatch(name) or name in (FOLDS, *map(str, Stage)):
        raise BundleError(
            f"found {name!r} as a further folder of a bundle, expected a lower-case word other than {FOLDS}, "
            f"{', '.join(map(str, Stage))}; rename it"
        )


def _contract_card(member: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Standing and sentences of a member's contract."""
    contract = Contract.from_dict(read_json(member / CONTRACT))
    known = known_nsln(proxy=bool(card.get("proxies", {}).get(Stage.NSLN)))
    return {
        "kind": contract.kind,
        "status": str(contract.status),
        "standing": standing(contract.status),
        "sentences": contract_lines(contract, known_nsln=known),
    }
