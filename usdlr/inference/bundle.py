"""A bundle: one folder of safetensors and JSON with the SHA-256 of every file. Loading executes nothing from it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.provenance import code_state, package_versions
from usdlr.core.regions import Region
from usdlr.core.types import OnUncertified, Stage
from usdlr.core.where import Condition, checked_conditions
from usdlr.decision.calibration import Calibrator
from usdlr.decision.contract import Contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.decision.wording import contract_lines, known_nsln, standing
from usdlr.imaging.crop import CropSettings
from usdlr.inference.stage import StageModel
from usdlr.inference.stage_files import CALIBRATOR, INTERVAL, load_calibrator, load_interval, load_stage, stage_files
from usdlr.inference.variants import Variant, distinct_crops
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.settings import RadiomicsSettings

# 4: scores of one ridge model per pattern of modalities, told by block.
SCHEMA = 4
MANIFEST, CONTRACT, USED, FOLDS = "bundle.json", "contract.json", "used.json", "folds"
SHIPPED = "bundle"


@dataclass(frozen=True)
class Preparation:
    """How a case is prepared for the model, from files to tensors.

    Parameters
    ----------
    network : NetworkSettings
        Blocks and layers; of an ensemble over variants, what they have in common is read from here.
    crop : CropSettings
        Crop in mm and pixels; that of every network where there are no variants.
    radiomics : RadiomicsSettings
        What is measured; its margin is the ring's margin for the crops too.
    engine : str
        Radiomics engine.
    clinical : tuple of str
        Pre-operative variables.
    batch_size, threads : int
        Part of the model: another value may change a probability by up to 1e-6.
    views : int
        Views of every sample over which a prediction is averaged; 1 is the sample as it is.
    relative_diameter : float or None
        Units across every lesion where lengths are relative to it; ``None``: millimetres.
    variants : tuple of Variant
        What the networks of a stage are made of and which crop they read, where they differ in more than their seed.
    where : mapping of str to condition
        Whom the model is for, as :mod:`usdlr.core.where` says; nobody else gets an answer.
    measure : bool or None
        Whether radiomics is measured even if no network reads it, so that an image which cannot be measured is left out
        as it was in the run; ``None``: where a network reads it.
    """

    network: NetworkSettings
    crop: CropSettings
    radiomics: RadiomicsSettings
    engine: str
    clinical: tuple[str, ...]
    batch_size: int
    threads: int
    views: int = 1
    relative_diameter: float | None = None
    variants: tuple[Variant, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    measure: bool | None = None

    @property
    def measures(self) -> bool:
        """Whether radiomics is measured."""
        return self.network.reads_radiomics if self.measure is None else self.measure

    @property
    def ensemble(self) -> tuple[Variant, ...]:
        """Every variant, at least one."""
        return self.variants or (Variant("", self.network, self.crop),)

    @property
    def crops(self) -> tuple[CropSettings, ...]:
        """The crops of every image, each cut once: those that the networks read."""
        return distinct_crops(self.ensemble)

    @property
    def regions(self) -> list[Region]:
        """Regions that the crops are cut with."""
        return [Region.named(name) for name in self.network.rois]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        variants = [
            {"name": variant.name, "network": variant.network.as_dict(), "crop": asdict(variant.crop)}
            for variant in self.variants
        ]
        further: dict[str, Any] = {"variants": variants} if variants else {}
        further |= {"where": dict(self.where)} if self.where else {}
        return further | {
            "network": self.network.as_dict(),
            "crop": asdict(self.crop),
            "radiomics": self.radiomics.as_dict(),
            "engine": self.engine,
            "clinical": list(self.clinical),
            "batch_size": self.batch_size,
            "threads": self.threads,
            "views": self.views,
            "relative_diameter": self.relative_diameter,
            "measure": self.measure,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Preparation:
        """Restore what :meth:`as_dict` gave."""
        return cls(
            network=NetworkSettings(**state["network"]),
            crop=CropSettings(**state["crop"]),
            radiomics=RadiomicsSettings(**state["radiomics"]),
            engine=str(state["engine"]),
            clinical=tuple(state["clinical"]),
            batch_size=int(state["batch_size"]),
            threads=int(state["threads"]),
            views=int(state["views"]),
            # A bundle from before there was another scale is one in millimetres.
            relative_diameter=None if state.get("relative_diameter") is None else float(state["relative_diameter"]),
            variants=tuple(
                Variant(str(one["name"]), NetworkSettings(**one["network"]), CropSettings(**one["crop"]))
                for one in state.get("variants", [])
            ),
            where=checked_conditions(state.get("where", {})),
            measure=state.get("measure"),
        )


@dataclass(frozen=True)
class Member:
    """One complete cascade: both stages, their calibrators and the contract.

    Parameters
    ----------
    name : str
        ``bundle``, or the name of the fold.
    models, calibrators, intervals : mapping
        By stage.
    contract : Contract
        Thresholds and what they promise.
    used : mapping of str to str
        What each image set was used for, by :func:`image_key`.
    """

    name: str
    models: Mapping[Stage, StageModel]
    calibrators: Mapping[Stage, Calibrator]
    intervals: Mapping[Stage, LogitInterval]
    contract: Contract
    used: Mapping[str, str]


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
    """

    preparation: Preparation
    member: Member
    on_uncertified: OnUncertified
    card: dict[str, Any]


def write_bundle(
    folder: Path,
    *,
    members: Mapping[str, Path],
    preparation: Preparation,
    on_uncertified: OnUncertified,
    card: Mapping[str, Any],
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

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    BundleError
        If a member's weights, calibrators or preparation are other than those that its contract was made for.
    """
    for name, source in members.items():
        require_certified(source, name, preparation.as_dict())
    if folder.exists():
        shutil.rmtree(folder)
    for name, source in members.items():
        target = folder if name == SHIPPED else folder / FOLDS / name
        for path in member_files(source):
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(source))
    files = {str(path.relative_to(folder)): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    write_json(
        folder / MANIFEST,
        {
            "schema": SCHEMA,
            "card": dict(card) | {"contract": _contract_card(members[SHIPPED], card)},
            "preparation": preparation.as_dict(),
            "on_uncertified": str(on_uncertified),
            "versions": package_versions(),
            "code": code_state(),
            "files": files,
        },
    )
    return folder / MANIFEST


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


def member_files(folder: Path) -> list[Path]:
    """Every file of a fitted member."""
    stages = [folder / str(stage) for stage in Stage]
    parts = [path for stage in stages for path in (*stage_files(stage), stage / CALIBRATOR, stage / INTERVAL)]
    return [*parts, folder / CONTRACT, folder / USED]


def certified_hash(folder: Path, preparation: Mapping[str, Any]) -> str:
    """Changes when anything changes that a member's probabilities depend on: its fitted files, or the preparation."""
    named = {str(path.relative_to(folder)): path for path in member_files(folder)}
    files = {name: file_hash(path) for name, path in named.items() if name not in (CONTRACT, USED)}
    return data_hash({"files": files, "preparation": dict(preparation)})


def require_certified(folder: Path, name: str, preparation: Mapping[str, Any]) -> None:
    """Refuse a member that was refitted, or is prepared for in another way, after its contract was made.

    A contract from before contracts said what they were made for is not checked.

    Raises
    ------
    BundleError
        If anything differs, or the contract cannot be read.
    """
    try:
        certified_for = Contract.from_dict(read_json(folder / CONTRACT)).certified_for
        found = certified_for and certified_hash(folder, preparation)
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise BundleError(f"found no readable {missing} in {folder}, expected it; export the bundle again") from error
    if found != certified_for:
        raise BundleError(
            f"found weights, calibrators or a preparation of the member {name!r} other than those that its "
            "false-negative contract was made for; nothing may be refitted after certification: certify anew"
        )


def image_key(image_id: str) -> str:
    """A name for an image set that tells nobody whose it is: an image id ends in the hash of the image's content.

    Examples
    --------
    >>> image_key("case001-1362e890b738")[:8] == image_key("case001-1362e890b738")[:8] != image_key("case001-0")[:8]
    True
    """
    return data_hash(["image", image_id])


def load_member(folder: Path, name: str, preparation: Preparation) -> Member:
    """Read a member's files.

    Raises
    ------
    BundleError
        If one is missing or damaged.
    """
    stages = {stage: folder / str(stage) for stage in Stage}
    try:
        return Member(
            name=name,
            models={stage: load_stage(path, preparation.ensemble) for stage, path in stages.items()},
            calibrators={stage: load_calibrator(path) for stage, path in stages.items()},
            intervals={stage: load_interval(path) for stage, path in stages.items()},
            contract=Contract.from_dict(read_json(folder / CONTRACT)),
            used={str(key): str(split) for key, split in read_json(folder / USED).items()},
        )
    except OSError as error:
        missing = Path(str(error.filename)).name
        raise BundleError(f"found no readable {missing} in {folder}, expected it; export the bundle again") from error


def load_bundle(folder: Path, *, member: str | None = None) -> Bundle:
    """Read and verify a bundle.

    Parameters
    ----------
    folder : Path
        The bundle.
    member : str, optional
        Name of a fold to use instead of the model that ships.

    Raises
    ------
    DataError
        If there is no bundle or no such member.
    BundleError
        If a file is missing, altered, or of another schema.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(f"found no {MANIFEST} in {folder}, expected a bundle that `usdlr run` wrote; check the path")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(f"found a bundle of schema {found}, expected {SCHEMA}; export it again with this version")
    _verify(folder, manifest.get("files"))
    target = folder if member is None else folder / FOLDS / member
    known = sorted(path.name for path in (folder / FOLDS).glob("*"))
    if member is not None and member not in known:
        raise DataError(f"found no member {member!r} in {folder}, expected one of {', '.join(known)}")
    try:
        preparation = Preparation.from_dict(manifest["preparation"])
        on_uncertified, card = OnUncertified(manifest["on_uncertified"]), dict(manifest["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"found a damaged {MANIFEST} in {folder} ({error!r}); export the bundle again") from error
    loaded = load_member(target, member or SHIPPED, preparation)
    require_certified(target, loaded.name, manifest["preparation"])
    return Bundle(preparation, loaded, on_uncertified, card)


def _verify(folder: Path, files: object) -> None:
    if not isinstance(files, dict) or not files:
        raise BundleError(f"found no list of files in {folder / MANIFEST}, expected one; export the bundle again")
    for name, digest in files.items():
        parts = PurePosixPath(str(name))
        if parts.is_absolute() or ".." in parts.parts:
            raise BundleError(f"found the file name {name!r} in {MANIFEST}, expected a name inside the bundle")
        path = folder / parts
        if not path.is_file() or path.is_symlink():
            raise BundleError(f"found no regular file {name} in {folder}, expected every listed file; copy it again")
        if file_hash(path) != digest:
            raise BundleError(f"found {name} altered (SHA-256 differs from {MANIFEST}); copy the bundle again")
    listed = {folder / str(name) for name in files} | {folder / MANIFEST}
    extra = [path for path in folder.rglob("*") if path.is_file() and path not in listed]
    if extra:
        raise BundleError(
            f"found {extra[0].relative_to(folder)} in {folder}, which {MANIFEST} does not list; remove it or copy again"
        )
