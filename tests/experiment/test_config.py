"""Combinations that cannot work are refused before any data is read, in one sentence that says what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import DEMO
from usdlr.cli.run import read_config
from usdlr.core.errors import ConfigError
from usdlr.experiment.config import ExperimentConfig
from usdlr.inference.preparation import Preparation

IMAGES = ("--model.tabular", "none", "--model.score", "false")
BURDEN = ("--data.nsln.column", "burden_ge3", "--data.nsln.positive", "three or more positive nodes")


def config(*words: str) -> ExperimentConfig:
    return read_config([str(DEMO), *words, "--out", "x"])[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--calibrator", "temperature"), "no intercept to shift them back; expected the calibrator platt"),
        (("--calibrator", "temprature"), "did you mean 'temperature'"),
        (("--views", "99"), r"views.* 99, expected 1 to 8"),
        (("--model.head", "corn"), "a binary endpoint without ranks, expected burden_ge3"),
        (("--model.head", "cumulative", *BURDEN), "cumulative.*balanced"),
        (("--model.rois", "[intratumoral, peritumoral-10mm]"), "set crop.context_mm to at least 10"),
        (("--radiomics.margin_mm", "8"), "margin of 8 mm and crop.context_mm = 6"),
        (("--model.fusion", "gatd"), "did you mean 'gated'"),
        (("--model.fusion", "{concat: {hiden: 3}}"), "did you mean 'hidden'"),
        (("--model.pooling", "median"), "model.pooling = 'median', expected one of mean, max, attention"),
        (("--fit.loss", "{focal: {gama: 1}}"), "did you mean 'gamma'"),
        (("--fit.batch_size", "1"), "expected at least 2 for batch normalisation"),
        (("--fit.average", "1.0"), "fit.average = 1.0"),
        (("--fit.precision", "8"), "expected one of 32, bf16-mixed, 16-mixed"),
        (("--crop.policy", "fixd"), "did you mean 'fixed'"),
        (("--model.tabular", "none"), "model.score = true with model.tabular = none, expected false"),
        ((*IMAGES, "--model.fusion", "film"), "model.fusion = film with model.tabular = none, expected a table"),
        ((*IMAGES, "--model.fusion", "{film: {evidence: concat}}"), "expected a table, by which film scales"),
        ((*IMAGES, "--readout", "signature"), "readout = signature with model.tabular = none, expected a table with"),
        (("--model.tabular", "clinical", "--readout", "signature"), "signature with model.tabular = clinical"),
        (
            ("--model.tabular", "clinical", "--data.clinical", "[]", "--baselines", "[radiomics]"),
            "model.tabular = clinical without data.clinical, expected at least one variable there",
        ),
        (("--radiomics.modalities", "[bmode, mri]"), "radiomics.modalities = 'mri', expected some of bmode, elasto"),
        (("--radiomics.modalities", "[]"), "radiomics.modalities empty"),
        (
            ("--radiomics.modalities", "[bmode]", "--baselines", "[radiomics@elasto]"),
            "the baseline radiomics@elasto with radiomics.modalities = bmode, expected elasto among them",
        ),
        (("--data.where", "{sln_positive: [false]}"), "data.where.sln_positive, which is an outcome"),
        (("--data.where", "{cn_stage: cN0}"), r"expected a list of values.*\{cn_stage: \[cN0\]\}"),
        (
            ("--data.where", "{tumour_size_mm: {max: 20}}", "--data.ingest.relative_diameter", "20"),
            "data.(clinical|where) = tumour_size_mm with data.ingest.relative_diameter",
        ),
        (
            ("--data.clinical", "[tumour_size_mm, birads]", "--data.sln.column", "proxy_birads5"),
            "data.clinical with birads and data.sln.column = proxy_birads5, which is made of it",
        ),
        (
            ("--data.where", "{birads: ['5']}", "--data.sln.column", "proxy_birads5"),
            "data.where with birads and data.sln.column = proxy_birads5, which is made of it",
        ),
    ],
)
def test_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config(*words)


def test_what_belongs_together_is_accepted() -> None:
    assert config("--calibrator", "temperature", "--fit.loss", "bce").calibrator == "temperature"
    assert config("--model.head", "corn", *BURDEN).model.head == "corn"
    assert config("--model.head", "cumulative", "--fit.loss", "bce", *BURDEN).model.head == "cumulative"
    wide = config("--model.rois", "[peritumoral-10mm]", "--crop.context_mm", "10")
    assert wide.model.image_blocks == ("bmode.peritumoral-10mm", "elasto.peritumoral-10mm")
    # A fixed crop may be smaller than a ring of a large lesion: that depends on the lesion, and is counted.
    fixed = config("--crop.policy", "fixed", "--model.rois", "[peritumoral-10mm]")
    assert fixed.crop.policy == "fixed"


def test_radiomics_is_measured_only_where_something_reads_it() -> None:
    assert config().reads_radiomics
    assert config(*IMAGES, "--baselines", "[size, 'radiomics_forest@bmode.peritumoral']").reads_radiomics
    assert not config(*IMAGES, "--baselines", "[size]").reads_radiomics
    clinical = ("--model.tabular", "clinical")
    assert not config(*clinical, "--baselines", "[size, radiomics_svm@clinical]").reads_radiomics
    assert not config(*IMAGES, "--baselines", "[radiomics_lasso@embedding.bmode]").reads_radiomics


def test_the_bundle_is_told_whom_it_is_for() -> None:
    from usdlr.inference.preparation import Preparation

    one = config("--data.where", "{cn_stage: [cN0], age_years: {min: 18}}", "--radiomics.modalities", "[bmode]")
    assert one.preparation.where == {"cn_stage": ["cN0"], "age_years": {"min": 18.0}}
    assert Preparation.from_dict(one.preparation.as_dict()) == one.preparation
    assert one.identity() != config("--radiomics.modalities", "[bmode]").identity()
    # A bundle from before there were conditions is for everybody, and measured every modality.
    state = config().preparation.as_dict()
    del state["radiomics"]["modalities"]
    assert Preparation.from_dict(state) == config().preparation
    assert config().preparation.where == {}


def test_a_part_with_options_comes_back_from_its_own_file(tmp_path: Path) -> None:
    import yaml

    one = config("--model.fusion", "{cross_attention: {heads: 2}}", "--fit.loss", "{focal: {gamma: 1.5}}")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(one.as_dict(), sort_keys=False))
    assert read_config([str(path), "--out", "x"])[0].as_dict() == one.as_dict()


def test_lymph_nodes_get_branches_of_their_own() -> None:
    plain, both = config(), config("--data.sites", "[axilla, tumour]")
    assert plain.model.sites == plain.data.sites == ["tumour"]
    assert both.model.sites == both.preparation.network.sites == ["tumour", "axilla"]
    count = len(plain.model.image_blocks)
    assert both.model.image_blocks[:count] == plain.model.image_blocks
    assert [f"{block}@axilla" for block in plain.model.image_blocks] == list(both.model.image_blocks[count:])
    for words, sentence in (
        (("--data.sites", "[axilla]"), r"data.sites = \['axilla'\], expected \[tumour\], or \[tumour, axilla\]"),
        (("--model.sites", "[tumour, axilla]"), "expected one statement; leave model.sites out"),
        (("--baselines", "['radiomics_ridge@embedding.bmode.intratumoral@axilla']"), "found"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            config(*words)


def test_a_bundle_measures_what_its_run_measured() -> None:
    """An image that a baseline could not measure is left out of the run: the bundle must leave it out too."""
    for words, measured in (
        ((), True),
        ((*IMAGES, "--baselines", "[size]"), False),
        ((*IMAGES, "--baselines", "[size, radiomics_ridge]"), True),
    ):
        preparation = config(*words).preparation
        assert preparation.measures is measured
        assert Preparation.from_dict(preparation.as_dict()).measures is measured
