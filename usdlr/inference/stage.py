"""One fitted stage: feature selector, network and calibrator, as plain files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from usdlr.core.columns import CONTRIBUTION_PREFIX
from usdlr.core.errors import BundleError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.hashing import SHORT, bytes_hash
from usdlr.data.batch import collate
from usdlr.data.dataset import BlockDataset
from usdlr.data.samples import SampleStore
from usdlr.decision.calibration import PlattCalibrator
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.selection.selector import FeatureSelector

WEIGHTS, SELECTOR, CALIBRATOR = "model.safetensors", "selector.json", "calibrator.json"
BASE = f"{CONTRIBUTION_PREFIX}base"


def prepare_torch(threads: int) -> None:
    """Fix what decides the last digit of a prediction: the number of threads and the choice of algorithms."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


@dataclass(frozen=True)
class StageModel:
    """A fitted network with its selector.

    Parameters
    ----------
    network : FusionNetwork
        In evaluation mode.
    selector : FeatureSelector
        Fitted.
    model_id : str
        First 12 digits of the hash of the stage's files.
    """

    network: FusionNetwork
    selector: FeatureSelector
    model_id: str

    def predict_images(self, store: SampleStore, design: pd.DataFrame, batch_size: int) -> pd.DataFrame:
        """Predict every image set.

        Parameters
        ----------
        store : SampleStore
            Crops.
        design : DataFrame
            Design table, indexed by image id, with a row for every sample.
        batch_size : int
            Samples per forward pass; the same size over the same samples gives the same bits.

        Returns
        -------
        DataFrame
            ``image_id``, ``logit`` before calibration, ``contribution.{block}`` (null: block absent) and
            ``contribution.base``, which add up to the logit.
        """
        blocks = self.network.settings.blocks
        table = self.selector.transform(design.loc[list(store.image_id)])
        dataset = BlockDataset(store, self.network.settings.image_blocks, table, np.full(len(store), np.nan))
        parts: list[dict[str, Any]] = []
        with torch.inference_mode():
            for start in range(0, len(dataset), batch_size):
                rows = range(start, min(start + batch_size, len(dataset)))
                batch = collate([dataset[row] for row in rows])
                fused = self.network(batch["images"], batch["table"], batch["present"])
                shares = torch.where(batch["present"], fused.contributions, float("nan")).double().numpy()
                part: dict[str, Any] = {"image_id": [store.image_id[row] for row in rows]}
                part |= {CONTRIBUTION_PREFIX + block: shares[:, i] for i, block in enumerate(blocks)}
                part[BASE] = np.full(len(rows), float(fused.base))
                parts.append(part)
        out = pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
        # Added up in double precision, so that the shares sum to the logit exactly as written.
        out.insert(1, "logit", out[[name for name in out if str(name).startswith(CONTRIBUTION_PREFIX)]].sum(axis=1))
        return out


def save_stage(folder: Path, weights: Mapping[str, Tensor], selector: FeatureSelector) -> list[Path]:
    """Write a stage's weights and selector; returns the files."""
    write_bytes(folder / WEIGHTS, save({name: value.contiguous() for name, value in weights.items()}))
    write_json(folder / SELECTOR, selector.to_dict())
    return [folder / WEIGHTS, folder / SELECTOR]


def load_stage(folder: Path, settings: NetworkSettings) -> StageModel:
    """Read a stage; nothing in the files is executed.

    Raises
    ------
    BundleError
        If a file is missing, damaged or does not fit the network.
    """
    try:
        content = (folder / WEIGHTS).read_bytes()
        selector = FeatureSelector.from_dict(read_json(folder / SELECTOR))
        weights = load(content)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"found a damaged stage in {folder} ({error}), expected {WEIGHTS} and {SELECTOR}") from error
    # Pretrained or local weights only start a fit; the fitted weights replace every one of them.
    network = FusionNetwork(settings.without_start(), len(selector.get_feature_names_out()))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(
            f"found weights in {folder} that do not fit {settings.backbone} ({str(error).splitlines()[0]}); "
            "use the bundle's own settings"
        ) from error
    model_id = bytes_hash(content, (folder / SELECTOR).read_bytes())[:SHORT]
    return StageModel(network.eval(), selector, model_id)


def save_calibrator(folder: Path, calibrator: PlattCalibrator) -> Path:
    """Write a stage's calibrator."""
    write_json(folder / CALIBRATOR, calibrator.to_dict())
    return folder / CALIBRATOR


def load_calibrator(folder: Path) -> PlattCalibrator:
    """Read a stage's calibrator."""
    return PlattCalibrator.from_dict(read_json(folder / CALIBRATOR))
