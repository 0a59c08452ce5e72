"""An ensemble over crops and networks as an experiment: what is refused, what is fitted, and what the bundle says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.tiny import tiny_config, tiny_words
from usdlr.cli.run import read_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json
from usdlr.core.hashing import file_hash
from usdlr.core.journal import forget_other_start
from usdlr.core.types import OnUncertified, Stage
from usdlr.data.dataset import AxillaDataset
from usdlr.data.samples import SampleStore
from usdlr.experiment import fit
from usdlr.experiment.config import ExperimentConfig, flat
from usdlr.experiment.run import run_experiment
from usdlr.experiment.sweep.share import start_from_others
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import predict_prepared, prepare_cases
from usdlr.models.network import FusionNetwork

TWO = "{follows: {}, square: {crop: {policy: fixed, side_mm: 30, size_px: 32}, model: {embedding_dim: 4, stem: rgb}}}"
WORDS = ("--variants", TWO, "--fit.epochs", "1", "--baselines", '["radiomics", "radiomics_forest@embedding"]')


@pytest.fixture(scope="module")
def config(cohort: Path) -> ExperimentConfig:
    return tiny_config(cohort, *WORDS)


@pytest.fixture(scope="module")
def finished(config: ExperimentConfig, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over two crops. Tests must not change it."""
    out = tmp_path_factory.mktemp("variants") / "run"
    start_from_others(config.as_dict(), out, [run_folder])
    run_experiment(config, out)
    return out


class Unfitted:
    """Stands in for a fit: gives random weights, and is interrupted after some networks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self.stop_after = stop_after

    def __call__(self, train: AxillaDataset, tuning: AxillaDataset, **rest: Any) -> dict[str, torch.Tensor]:
        if len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        images = {part: dataset.data.store.samples[0].lesion.shape for part, dataset in (("a", train), ("b", tuning))}
        self.seen.append(rest | {"images": set(images.values()), "form": train.form, "draw": train.seed})
        torch.manual_seed(rest["seed"])
        network = FusionNetwork(rest["network"], rest["columns"], rest["size_px"], scored=rest["scored"])
        return network.state_dict()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--variants", "{a: {model: {head: corn}}}"), r"variants\.a\.model\.head"),
        (("--variants", "{a: {crop: {context_mm: 2}}}"), r"variants\.a\.crop\.context_mm = 2.*at least 5"),
        (("--variants", "{a: {crop: {policy: fixd}}}"), "did you mean 'fixed'"),
        (("--variants", "{a: {modle: {}}}"), "did you mean 'model'"),
        (("--variants", "[a, b]"), "variants"),
        (("--variants", "{a: 3}"), "variants"),
    ],
)
def test_refused_before_data_is_read(cohort: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        tiny_config(cohort, *words)


def test_a_backbone_that_cannot_take_its_crop_is_refused_before_data_is_read(cohort: Path, tmp_path: Path) -> None:
    wrong = tiny_config(cohort, "--variants", "{a: {}, b: {crop: {size_px: 100}, model: {backbone: test_vit}}}")
    with pytest.raises(ConfigError, match="test_vit"):
        run_experiment(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    missing = tiny_config(cohort, "--variants", "{a: {}, b: {model: {weights_file: /nowhere.safetensors}}}")
    with pytest.raises(ConfigError, match="nowhere"):
        run_experiment(missing, tmp_path / "run")


def test_without_variants_an_experiment_is_what_it_was(cohort: Path) -> None:
    plain = tiny_config(cohort)
    assert "variants" not in plain.as_dict()
    assert "variants" not in plain.identity()
    assert tiny_config(cohort, "--variants", "{}").identity() == plain.identity()
    assert [variant.name for variant in plain.ensemble] == [""]
    assert plain.preparation.variants == ()
    assert [fit.network_seed(plain, 7, place) for place in (0, 0)] == [7, 7]


def test_variants_come_back_from_the_runs_own_file(cohort: Path, config: ExperimentConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.as_dict(), sort_keys=False))
    again = read_config([str(path), "--out", "x"])[0]
    assert again.as_dict() == config.as_dict()
    assert again.ensemble == config.ensemble
    assert flat(again.as_dict())["variants.square.crop.side_mm"] == 30
    with_own = {"variants": {"own": {}, "w": {"crop": {"size_px": 32}}}}
    assert flat(with_own) != flat({"variants": {"w": {"crop": {"size_px": 32}}}}), (
        "an empty variant is one more network"
    )
    placed = tiny_config(cohort, "--variants", "{a: {model: {weights_file: /here}}, b: {}}")
    elsewhere = tiny_config(cohort, "--variants", "{a: {model: {weights_file: /there}}, b: {}}")
    assert placed.identity() == elsewhere.identity(), "a path decides nothing; the file's hash is among the inputs"
    assert placed.variants["a"]["model"]["weights_file"] == "/here"
    assert config.identity() != tiny_config(cohort, *WORDS[2:]).identity()


def test_every_network_has_a_seed_of_its_own(cohort: Path) -> None:
    readout = ("--readout", "{signature: {folds: 2}}", "--fit.members", "2")
    many = tiny_config(cohort, "--variants", "{a: {}, b: {}, c: {crop: {size_px: 96}}}", *readout)
    assert many.networks == 12
    assert [variant.name for variant in many.network_variants] == ["a", "a", "b", "b", "c", "c"] * 2
    seeds = [fit.network_seed(many, 5, place) for place in range(12)]
    assert len(set(seeds)) == 12
    named = tiny_config(cohort, "--variants", "{a: {}, bb: {}, c: {crop: {size_px: 96}}}", *readout)
    other = [fit.network_seed(named, 5, place) for place in range(12)]
    same = [one == two for one, two in zip(seeds, other, strict=True)]
    assert same == [True, True, False, False, True, True] * 2, "a variant's name is part of its networks' seeds"


def test_a_run_averages_its_variants_in_every_stage_and_fold(config: ExperimentConfig, finished: Path) -> None:
    store = SampleStore.load(finished / "work" / "crops.npz")
    assert [samples[0].lesion.shape for samples in store.crops] == [(64, 64), (32, 32)]
    assert {sample.pixel_mm for sample in store.crops[1]} == {30 / 32}
    folder = finished / "bundle"
    assert read_json(folder / "bundle.json")["schema"] == 5
    for stage in map(str, Stage):
        assert read_json(folder / stage / "stage.json")["variants"] == ["follows", "square"]
    loaded = load_bundle(folder)
    assert [variant.name for variant in loaded.preparation.variants] == ["follows", "square"]
    first, second = loaded.member.models[Stage.SLN].networks
    assert (first.settings.embedding_dim, second.settings.embedding_dim) == (8, 4)
    # Each of the two alone, by its own crop: the stage's raw log-odds are their mean.
    cases = tables.CASES.read(finished / "cases.parquet")
    design = pd.read_parquet(finished / "work" / "design.parquet").loc[list(cases["image_id"])]
    model = loaded.member.models[Stage.SLN]
    alone = [
        replace(model, networks=(network,), crops=()).predict_axillae(
            cases, store.crop(place), design, config.fit.batch_size
        )
        for place, network in enumerate(model.networks)
    ]
    raw = pd.read_parquet(finished / "work" / "fits" / "bundle" / "sln" / "axillae.parquet")
    np.testing.assert_allclose(raw["logit"], (alone[0]["logit"] + alone[1]["logit"]) / 2, atol=1e-6)
    assert (alone[0]["logit"] - alone[1]["logit"]).abs().max() > 1e-3


def test_the_bundle_predicts_from_files_what_the_run_predicted(finished: Path, tmp_path: Path) -> None:
    cases = tables.CASES.read(finished / "cases.parquet")
    bundle = load_bundle(finished / "bundle")
    prepared = prepare_cases(bundle.preparation, cases, finished, jobs=1, ledger=tmp_path / "ledger")
    written = tables.PREDICTIONS.read(finished / "predictions.parquet")
    for member in ("bundle", "0"):
        used = bundle if member == "bundle" else load_bundle(finished / "bundle", member=member)
        found = predict_prepared(used, prepared, on_uncertified=OnUncertified.ZERO_MISS).predictions
        rows = written[written["fold"] == member]
        assert list(found["model_id"]) == list(rows["model_id"])
        numbers = [name for name in rows if str(name).startswith(("logit", "probability", "contribution"))]
        np.testing.assert_array_equal(found[numbers], rows[numbers])


def test_a_finished_run_is_not_done_again(
    config: ExperimentConfig, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path: file_hash(path) for path in again.rglob("*.parquet")}
    monkeypatch.setattr("usdlr.experiment.run.run_fit", None)
    run_experiment(config, again)
    assert {path: file_hash(path) for path in again.rglob("*.parquet")} == before
    other = tiny_config(Path(str(config.data.root)), "--variants", TWO.replace("30", "31"), *WORDS[2:])
    with pytest.raises(ConfigError, match=r"variants\.square\.crop\.side_mm"):
        run_experiment(other, again)


def test_an_interrupted_stage_goes_on_after_its_finished_networks(
    cohort: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    config = tiny_config(cohort, *WORDS, "--fit.members", "2")
    job = fit.FitJob(config, out, "bundle", Stage.SLN)
    forget_other_start(job.folder, "one key")
    first = Unfitted(stop_after=3)
    monkeypatch.setattr(fit, "fit_network", first)
    with pytest.raises(KeyboardInterrupt):
        fit.run_fit(job)
    assert [seen["images"] for seen in first.seen] == [{(64, 64)}, {(64, 64)}, {(32, 32)}]
    assert [seen["size_px"] for seen in first.seen] == [64, 64, 32]
    assert [seen["form"].stem for seen in first.seen] == ["grey", "grey", "rgb"]
    assert len({seen["draw"] for seen in first.seen}) == 1
    assert len({seen["name"] for seen in first.seen}) == 3
    assert "square" in first.seen[2]["name"]
    rest = Unfitted()
    monkeypatch.setattr(fit, "fit_network", rest)
    forget_other_start(job.folder, "one key")
    fit.run_fit(job)
    assert [seen["size_px"] for seen in rest.seen] == [32]
    assert all(path.is_file() for path in job.outputs)
    assert not list(job.folder.rglob(fit.DONE))
    whole = {path.name: path.read_bytes() for path in job.outputs}
    # Begun again from other patients, nothing of before is taken.
    forget_other_start(job.folder, "another key")
    again = Unfitted()
    monkeypatch.setattr(fit, "fit_network", again)
    fit.run_fit(job)
    assert len(again.seen) == 4
    assert {path.name: path.read_bytes() for path in job.outputs} == whole
    # Stage 2 starts every network from its own of stage 1.
    second = fit.FitJob(config, out, "bundle", Stage.NSLN)
    forget_other_start(second.folder, "one key")
    warm = Unfitted()
    monkeypatch.setattr(fit, "fit_network", warm)
    fit.run_fit(second)
    for mine, one in zip(again.seen, warm.seen, strict=True):
        torch.manual_seed(mine["seed"])
        built = FusionNetwork(mine["network"], mine["columns"], mine["size_px"], scored=mine["scored"])
        torch.testing.assert_close(one["start"], dict(built.state_dict()))


def test_the_command_line_and_a_file_over_another_lay_variants(cohort: Path, tmp_path: Path) -> None:
    """A file laid over another names the variants that it wants."""
    over = tmp_path / "over.yaml"
    over.write_text("variants:\n  small: {crop: {size_px: 48}}\n")
    words = tiny_words(cohort, tmp_path, "--variants", TWO, "--config", str(over))
    assert list(read_config(words)[0].variants) == ["small"]
