"""Combinations that cannot work are refused before any data is read, in one sentence that says what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import DEMO
from usdlr.cli.run import read_config
from usdlr.core.errors import ConfigError
from usdlr.experiment.config import ExperimentConfig

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


def test_a_part_with_options_comes_back_from_its_own_file(tmp_path: Path) -> None:
    import yaml

    one = config("--model.fusion", "{cross_attention: {heads: 2}}", "--fit.loss", "{focal: {gamma: 1.5}}")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(one.as_dict(), sort_keys=False))
    assert read_config([str(path), "--out", "x"])[0].as_dict() == one.as_dict()
