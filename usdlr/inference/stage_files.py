"""The files of a fitted stage: safetensors and JSON; nothing in them is executed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import save
from torch import Tensor

from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.hashing import SHORT, bytes_hash
from usdlr.decision.calibration import Calibrator, calibrator_from_dict
from usdlr.decision.uncertainty import LogitInterval
from usdlr.inference.fitted_network import fitted_network
from usdlr.inference.scores import BlockScores
from usdlr.inference.signature import SignatureReadout
from usdlr.inference.stage import StageModel, network_columns, scored_blocks
from usdlr.inference.variants import Variant, distinct_crops
from usdlr.models.weights import named
from usdlr.radiomics.selection.selector import FeatureSelector

STAGE, SELECTOR, SCORES = "stage.json", "selector.json", "scores.json"
CALIBRATOR, INTERVAL, SIGNATURE = "calibrator.json", "interval.json", "signature.json"
WEIGHTS = ".safetensors"
MOST_NETWORKS = 1000


def weights_name(member: int) -> str:
    """Name of the file of one network of a stage."""
    return f"network_{member}{WEIGHTS}"


def save_stage(
    folder: Path,
    networks: Sequence[Mapping[str, Tensor]],
    selector: FeatureSelector,
    scores: BlockScores,
    *,
    target: int,
    variants: Sequence[Variant],
) -> None:
    """Write a stage.

    Parameters
    ----------
    folder : Path
        Where to.
    networks : sequence of mapping of str to Tensor
        Weights, in the order of :mod:`usdlr.inference.variants`.
    selector, scores
        Fitted.
    target : int
        Which target of the networks' head the stage reads.
    variants : sequence of Variant
        Of every network, in the same order.
    """
    for member, (weights, variant) in enumerate(zip(networks, variants, strict=True)):
        content = {name: value.contiguous() for name, value in weights.items()}
        write_bytes(folder / weights_name(member), save(content, metadata=named(variant.network.backbone)))
    write_json(folder / SELECTOR, selector.to_dict())
    write_json(folder / SCORES, scores.to_dict())
    names = [variant.name for variant in variants]
    stage: dict[str, object] = {"members": len(networks), "target": target}
    write_json(folder / STAGE, stage | ({"variants": names} if any(names) else {}))


def save_readout(folder: Path, readout: SignatureReadout) -> None:
    """Write the readout of a saved stage; the stage's logit is the readout's from now on."""
    write_json(folder / SIGNATURE, readout.to_dict())
    write_json(folder / STAGE, read_json(folder / STAGE) | {"readout": SIGNATURE})


def stage_files(folder: Path) -> list[Path]:
    """The files that :func:`save_stage` and :func:`save_readout` wrote into a folder, the networks' weights first.

    Raises
    ------
    BundleError
        If there is no readable stage.
    """
    try:
        stage = read_json(folder / STAGE)
        members, readout = int(stage["members"]), [SIGNATURE] if stage.get("readout") else []
        if not 1 <= members <= MOST_NETWORKS:
            raise ValueError(f"{members} networks, expected 1 to {MOST_NETWORKS}")
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"found no readable {STAGE} in {folder} ({error}), expected a fitted stage") from error
    return [
        *(folder / weights_name(member) for member in range(members)),
        *(folder / name for name in (SELECTOR, SCORES, *readout, STAGE)),
    ]


def load_stage(folder: Path, ensemble: Sequence[Variant]) -> StageModel:
    """Read a stage; nothing in the files is executed.

    Parameters
    ----------
    folder : Path
        What :func:`save_stage` wrote.
    ensemble : sequence of Variant
        What the networks are made of, each variant once; see :func:`usdlr.inference.variants.ensemble_of`. A network
        reads its variant's crop out of :func:`usdlr.inference.variants.distinct_crops` of this ensemble.

    Raises
    ------
    BundleError
        If a file is missing, damaged or does not fit the network.
    """
    files = stage_files(folder)
    weights = [path for path in files if path.suffix == WEIGHTS]
    try:
        digest = bytes_hash(*(path.read_bytes() for path in files))[:SHORT]
        selector = FeatureSelector.from_dict(read_json(folder / SELECTOR))
        scores = BlockScores.from_dict(read_json(folder / SCORES))
        stage = read_json(folder / STAGE)
        target = int(stage["target"])
        signed = folder / SIGNATURE in files
        readout = SignatureReadout.from_dict(read_json(folder / SIGNATURE)) if signed else None
    except (OSError, DataError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _damaged(folder, str(error)) from error
    _require_finite(folder, selector, scores)
    variants = _variants(folder, stage.get("variants", [""] * len(weights)), ensemble)
    if len(variants) != len(weights):
        raise BundleError(f"found {len(weights)} networks of {len(variants)} variants in {folder}, expected as many")
    networks = tuple(
        fitted_network(
            path,
            variant.network,
            network_columns(selector),
            variant.crop.size_px,
            scored=scored_blocks(scores, variant.network),
        )
        for path, variant in zip(weights, variants, strict=True)
    )
    if not 0 <= target < networks[0].head.targets or len({network.blocks for network in networks}) > 1:
        raise _damaged(folder, f"target {target} of {networks[0].head.targets}, or networks of unlike blocks")
    crops = distinct_crops(ensemble)
    return StageModel(
        networks,
        selector,
        scores,
        target,
        digest,
        readout,
        tuple(crops.index(variant.crop) for variant in variants),
    )


def _require_finite(folder: Path, selector: FeatureSelector, scores: BlockScores) -> None:
    """Refuse scalers and scores that would make every answer not-a-number, or that do not fit their columns."""
    fitted: list[tuple[list[str], tuple[npt.NDArray[np.float64], ...]]]
    fitted = [(selector.columns_, (selector.median_, selector.mean_, selector.scale_))]
    models = [model for each in scores.models.values() for model in each]
    fitted += [(model.columns_, (model.fill_, model.center_, model.scale_, model.coef_)) for model in models]
    for columns, arrays in fitted:
        if not all(array.shape == (len(columns),) and np.isfinite(array).all() for array in arrays):
            raise _damaged(folder, "numbers of the columns that are not finite, or not one for each")
    if not all(math.isfinite(model.intercept_) for model in models):
        raise _damaged(folder, "a score that is not finite")


def _damaged(folder: Path, why: str) -> BundleError:
    return BundleError(f"found a damaged stage in {folder} ({why}), expected weights and {SELECTOR}; export it again")


def _variants(folder: Path, names: object, ensemble: Sequence[Variant]) -> list[Variant]:
    """The variant of every network of a stage."""
    known = {variant.name: variant for variant in ensemble}
    if not isinstance(names, list) or not set(map(str, names)) <= set(known):
        raise BundleError(
            f"found networks of the variants {names} in {folder}, expected {sorted(known)}; use the bundle's own "
            "settings"
        )
    return [known[str(name)] for name in names]


def save_calibrator(folder: Path, calibrator: Calibrator) -> Path:
    """Write a stage's calibrator."""
    write_json(folder / CALIBRATOR, calibrator.to_dict())
    return folder / CALIBRATOR


def save_interval(folder: Path, interval: LogitInterval) -> Path:
    """Write how sure a stage's calibrated log-odds are."""
    write_json(folder / INTERVAL, interval.to_dict())
    return folder / INTERVAL


def load_interval(folder: Path) -> LogitInterval:
    """Read how sure a stage's calibrated log-odds are."""
    return LogitInterval.from_dict(read_json(folder / INTERVAL))


def load_calibrator(folder: Path) -> Calibrator:
    """Read a stage's calibrator."""
    return calibrator_from_dict(read_json(folder / CALIBRATOR))
