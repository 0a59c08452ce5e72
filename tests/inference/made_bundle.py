"""A whole bundle of a made network, small enough for every test to damage its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.inference.made_stage import NETWORK, SIDE, alone, made_cohort, made_network, made_selector
from usdlr.core.files import write_json
from usdlr.core.hashing import file_hash
from usdlr.core.leak import Rows
from usdlr.core.types import ContractStatus, OnUncertified, Stage
from usdlr.decision.calibration import PlattCalibrator
from usdlr.decision.contract import Contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.imaging.crop import CropSettings
from usdlr.inference.bundle_files import MANIFEST, write_bundle
from usdlr.inference.member import CONTRACT, SHIPPED, USED
from usdlr.inference.preparation import Preparation
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage_files import save_calibrator, save_interval, save_stage
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.settings import RadiomicsSettings

COUNTS = {"sln": 30, "nsln": 30}
CARD = {
    "experiment": "made",
    "question": "Does a bundle survive?",
    "simulated": True,
    "proxies": {"sln": None, "nsln": None},
    "endpoints": {str(stage): {"column": f"{stage}_positive", "positive": f"positive {stage}"} for stage in Stage},
    "cohort": {"centres": ["simulated-north"], "patients": 8, "axillae": 8, "image_sets": 9, "excluded": 0},
}


def made_bundle(
    folder: Path,
    *,
    settings: NetworkSettings = NETWORK,
    folds: int = 1,
    extras: Mapping[str, Path] | None = None,
    networks: int = 1,
) -> Path:
    """Write a bundle with the networks of :mod:`tests.inference.made_stage` beside its parts; its folder."""
    parts = folder.with_name(f"{folder.name}-parts")
    names = [SHIPPED, *map(str, range(folds))]
    for seed, name in enumerate(names):
        _member(parts / name, settings, seed, networks)
    preparation = Preparation(
        settings, CropSettings(SIDE), RadiomicsSettings(), "native", ("tumour_size_mm",), batch_size=4, threads=1
    )
    write_bundle(
        folder,
        members={name: parts / name for name in names},
        preparation=preparation,
        on_uncertified=OnUncertified.DEFER,
        card=CARD,
        extras=extras,
    )
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as somebody who means harm would."""
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def relist(folder: Path, *names: str) -> None:
    """Make the manifest agree with these files again."""
    rewrite(folder, lambda content: content["files"].update({name: file_hash(folder / name) for name in names}))


def _member(folder: Path, settings: NetworkSettings, seed: int, networks: int) -> None:
    cohort = made_cohort()
    selector = made_selector(cohort)
    rows = Rows.of([f"p{place}" for place in range(8)], ["tuning"] * 8)
    calibrator = PlattCalibrator().fit([-2, 1, -1, 2, 0, 1, -1, 3], [0, 0, 1, 1, 0, 1, 0, 1], rows=rows)
    for place, stage in enumerate(Stage):
        made = [made_network(settings, selector, 10 * seed + 5 * place + one) for one in range(networks)]
        save_stage(
            folder / stage,
            [network.state_dict() for network in made],
            selector,
            BlockScores({}, {}),
            target=0,
            variants=alone(settings, SIDE) * networks,
        )
        save_calibrator(folder / stage, calibrator)
        save_interval(folder / stage, LogitInterval(((0.1, 0.0), (0.0, 0.1)), {}, 0.95))
    contract = Contract(
        alpha={"sln": 0.1, "nsln": 0.1},
        delta=0.05,
        status=ContractStatus.CERTIFIED,
        required_positives=COUNTS,
        t_sln=0.1,
        t_nsln=0.2,
        positives=COUNTS,
        misses={"sln": 0, "nsln": 0},
        p_value=0.04,
    )
    write_json(folder / CONTRACT, contract.to_dict())
    write_json(folder / USED, {"0" * 64: "train"})
