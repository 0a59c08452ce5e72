"""The files of a fitted stage: safetensors and JSON; nothing in them is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.hashing import SHORT, bytes_hash
from usdlr.decision.calibration import Calibrator, calibrator_from_dict
from usdlr.decision.uncertainty import LogitInterval
from usdlr.inference.scores import BlockScores
from usdlr.inference.signature import SignatureReadout
from usdlr.inference.stage import StageModel, network_columns
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.models.weights import named
from usdlr.radiomics.selection.selector import FeatureSelector

STAGE, SELECTOR, SCORES = "stage.json", "selector.json", "scores.json"
CALIBRATOR, INTERVAL, SIGNATURE = "calibrator.json", "interval.json", "signature.json"
WEIGHTS = ".safetensors"


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
    backbone: str,
) -> None:
    """Write the weights of a stage's networks, its selector and scores, and which target of theirs it reads."""
    for member, weights in enumerate(networks):
        content = save({name: value.contiguous() for name, value in weights.items()}, metadata=named(backbone))
        write_bytes(folder / weights_name(member), content)
    write_json(folder / SELECTOR, selector.to_dict())
    write_json(folder / SCORES, scores.to_dict())
    write_json(folder / STAGE, {"members": len(networks), "target": target})


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
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"found no readable {STAGE} in {folder} ({error}), expected a fitted stage") from error
    return [
        *(folder / weights_name(member) for member in range(members)),
        *(folder / name for name in (SELECTOR, SCORES, *readout, STAGE)),
    ]


def load_stage(folder: Path, settings: NetworkSettings, size_px: int) -> StageModel:
    """Read a stage; nothing in the files is executed.

    Parameters
    ----------
    folder : Path
        What :func:`save_stage` wrote.
    settings : NetworkSettings
        The networks'.
    size_px : int
        Side of the crops in pixels.

    Raises
    ------
    BundleError
        If a file is missing, damaged or does not fit the network.
    """
    files = stage_files(folder)
    try:
        contents = [path.read_bytes() for path in files]
        selector = FeatureSelector.from_dict(read_json(folder / SELECTOR))
        scores = BlockScores.from_dict(read_json(folder / SCORES))
        target = int(read_json(folder / STAGE)["target"])
        signed = folder / SIGNATURE in files
        readout = SignatureReadout.from_dict(read_json(folder / SIGNATURE)) if signed else None
        states = [load(content) for content, path in zip(contents, files, strict=True) if path.suffix == WEIGHTS]
    except (OSError, SafetensorError, DataError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"found a damaged stage in {folder} ({error}), expected weights and {SELECTOR}") from error
    networks = []
    for weights in states:
        # Pretrained or local weights only start a fit; the fitted weights replace every one of them.
        network = FusionNetwork(settings.without_start(), network_columns(selector), size_px, scored=scores.blocks)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise BundleError(
                f"found weights in {folder} that do not fit {settings.backbone} ({str(error).splitlines()[0]}); "
                "use the bundle's own settings"
            ) from error
        networks.append(network.eval())
    return StageModel(tuple(networks), selector, scores, target, bytes_hash(*contents)[:SHORT], readout)


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
