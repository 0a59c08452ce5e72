"""A signature in a run: who is kept from which network, in both stages, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json
from usdlr.core.types import Stage
from usdlr.data.dataset import AxillaDataset
from usdlr.experiment import fit
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.selections import readout_nomograms
from usdlr.inference.stage_files import load_stage
from usdlr.models.network import FusionNetwork


@pytest.fixture
def config(cohort: Path) -> ExperimentConfig:
    words = ["--readout", "{signature: {folds: 2}}", "--fit.members", "2", "--model.fusion", "late"]
    return tiny_config(cohort, *words)


class Unfitted:
    """Stands in for a fit: keeps what a network would have learned from, and gives random weights."""

    def __init__(self) -> None:
        self.learned: list[set[str]] = []
        self.starts: list[Any] = []

    def __call__(self, train: AxillaDataset, tuning: AxillaDataset, **rest: Any) -> dict[str, torch.Tensor]:
        self.learned.append({train.data.store.image_id[place] for images in train.data.images for place in images})
        self.starts.append(rest["start"])
        torch.manual_seed(len(self.learned))
        network = FusionNetwork(rest["network"], rest["columns"], rest["size_px"], scored=rest["scored"])
        return network.state_dict()


def test_networks_of_a_fold_learn_nothing_from_its_patients_in_either_stage(
    config: ExperimentConfig, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = tables.CASES.read(run_copy / "cases.parquet")
    patient = cases.set_index("image_id")["patient_id"]
    splits = tables.SPLITS.read(run_copy / "splits.csv").query("fold == 'bundle' and split == 'train'")
    train = set(splits["patient_id"])
    kept: dict[Stage, list[set[str]]] = {}
    for stage in Stage:
        unfitted = Unfitted()
        monkeypatch.setattr(fit, "fit_network", unfitted)
        job = fit.FitJob(config, run_copy, "bundle", stage)
        fit.run_fit(job)
        assert all(path.is_file() for path in job.outputs), "the journal counts on them"
        assert job.folder / "signature.json" in job.outputs
        learned = [set(patient.loc[list(images)]) for images in unfitted.learned]
        assert learned[::2] == learned[1::2], "two members per fold"
        assert not learned[0] & learned[2]
        assert learned[0] | learned[2] <= train
        if stage is Stage.SLN:
            assert learned[0] | learned[2] == train
            assert abs(len(learned[0]) - len(learned[2])) <= 1
        else:
            # The second stage's networks start from the first's, of the same patients.
            before = load_stage(run_copy / "work" / "fits" / "bundle" / "sln", config.ensemble)
            for start, network in zip(unfitted.starts, before.networks, strict=True):
                torch.testing.assert_close(start, dict(network.state_dict()))
            assert learned[0] <= kept[Stage.SLN][0]
            assert learned[2] <= kept[Stage.SLN][2]
        kept[stage] = learned
        text = (job.folder / "signature.json").read_text()
        assert not any(name in text for name in patient)
        raw = pd.read_parquet(job.folder / "axillae.parquet")
        np.testing.assert_allclose(raw.filter(like="contribution.").sum(axis=1), raw["logit"], atol=1e-12)
        assert read_json(job.folder / "stage.json")["readout"] == "signature.json"
    # The report draws what predicts.
    drawn = readout_nomograms(config, Layout(run_copy))
    for stage in Stage:
        readout = load_stage(run_copy / "work" / "fits" / "bundle" / str(stage), config.ensemble).readout
        assert readout is not None
        assert [one.name for one in drawn[stage].variables] == [one.name for one in readout.nomogram.variables]
        assert drawn[stage].probability_at(50.0) == readout.nomogram.probability_at(50.0)
        assert all(one.title == "Signature score" for one in drawn[stage].variables if one.name == "radiomics_score")
    assert readout_nomograms(replace(config, readout="network"), Layout(run_copy)) == {}


def test_a_joint_head_has_one_set_of_networks_and_a_signature_per_stage(
    cohort: Path, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = tiny_config(cohort, "--readout", "signature", "--model.head", "multitask", "--splits.folds", "2")
    unfitted = Unfitted()
    monkeypatch.setattr(fit, "fit_network", unfitted)
    jobs = [fit.FitJob(joint, run_copy, "bundle", stage) for stage in Stage]
    for job in jobs:
        fit.run_fit(job)
    assert len(unfitted.learned) == 2
    first, second = ((job.folder / "signature.json").read_text() for job in jobs)
    assert first != second
    assert read_json(jobs[1].folder / "stage.json") == {"members": 2, "target": 1, "readout": "signature.json"}
    assert (jobs[0].folder / "network_1.safetensors").read_bytes() == (
        jobs[1].folder / "network_1.safetensors"
    ).read_bytes()


def test_without_a_signature_every_network_learns_from_every_training_patient(
    cohort: Path, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfitted = Unfitted()
    monkeypatch.setattr(fit, "fit_network", unfitted)
    job = fit.FitJob(tiny_config(cohort), run_copy, "0", Stage.SLN)
    fit.run_fit(job)
    cases = tables.CASES.read(run_copy / "cases.parquet")
    splits = tables.SPLITS.read(run_copy / "splits.csv").query("fold == '0' and split == 'train'")
    assert unfitted.learned == [set(cases.loc[cases["patient_id"].isin(splits["patient_id"]), "image_id"])]
    assert "signature.json" not in {path.name for path in job.outputs}


def test_unknown_readout_is_refused_with_the_configuration(cohort: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'signature'"):
        tiny_config(cohort, "--readout", "signatur")
    assert tiny_config(cohort, "--readout", "{signature: {folds: 3}}", "--fit.members", "2").networks == 6
    assert tiny_config(cohort).networks == 1
