"""A small cohort and fitted-looking networks, made of random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from tests.axillae import random_sample
from usdlr.core.leak import Rows
from usdlr.data.dataset import Axillae
from usdlr.data.samples import SampleStore
from usdlr.imaging.crop import CropSettings
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage import StageModel, network_columns
from usdlr.inference.variants import Variant, ensemble_of
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.selection.selector import FeatureSelector

DIM, SIDE = 4, 64
NETWORK = NetworkSettings(
    backbone="test_resnet",
    modalities=["bmode", "elasto"],
    rois=["intratumoral"],
    embedding_dim=DIM,
    tabular_hidden=4,
    score=False,
    fusion="late",
)
IMAGE_BLOCKS = ["bmode.intratumoral", "elasto.intratumoral"]
COLUMNS = [
    "bmode.intratumoral.original.glcm.Contrast",
    "elasto.intratumoral.original.firstorder.Mean",
    "clinical.tumour_size_mm",
]


@dataclass(frozen=True)
class Cohort:
    """Axillae in the order of the cases; every third has two images, every fourth no elastography."""

    cases: pd.DataFrame
    store: SampleStore
    design: pd.DataFrame

    @property
    def axillae(self) -> Axillae:
        return Axillae.of(self.cases)

    @property
    def without_map(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Axillae without elastography."""
        return np.equal(np.arange(len(self.axillae)) % 4, 3)


def alone(settings: NetworkSettings, size_px: int) -> tuple[Variant, ...]:
    """The ensemble of an experiment without variants."""
    return ensemble_of(settings, CropSettings(size_px), {})


def made_cohort(size: int = 8, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(size), [2 if place % 3 == 0 else 1 for place in range(size)])
    names = [f"image-{position}" for position in range(len(owner))]
    samples = tuple(
        random_sample(seed + position, SIDE, elasto=place % 4 != 3) for position, place in enumerate(owner.tolist())
    )
    cases = pd.DataFrame({"patient_id": [f"p{place}" for place in owner], "side": "left", "image_id": names})
    design = pd.DataFrame(rng.normal(20, 5, (len(owner), 3)), columns=COLUMNS, index=pd.Index(names, name="image_id"))
    design.loc[[place % 4 == 3 for place in owner.tolist()], COLUMNS[1]] = np.nan
    return Cohort(cases, SampleStore(tuple(names), samples), design)


def made_selector(cohort: Cohort) -> FeatureSelector:
    label = np.arange(len(cohort.cases)) % 2
    rows = Rows.of(cohort.cases["patient_id"], ["train"] * len(cohort.cases))
    return FeatureSelector(3, 1.0, (COLUMNS[2],)).fit(cohort.design, label, rows=rows)


def made_network(settings: NetworkSettings, selector: FeatureSelector, seed: int) -> FusionNetwork:
    torch.manual_seed(seed)
    return FusionNetwork(settings, network_columns(selector), SIDE).eval()


def made_model(cohort: Cohort, settings: NetworkSettings = NETWORK, networks: int = 2) -> StageModel:
    selector = made_selector(cohort)
    made = tuple(made_network(settings, selector, seed) for seed in range(networks))
    return StageModel(made, selector, BlockScores({}, {}), 0, "0" * 12)
