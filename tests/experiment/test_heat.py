"""Which axillae get heat maps, where maps of another crop come to lie, and what a run shows of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.report.conftest import make_inputs
from tests.report.test_figures_heatmap import heat_case
from tests.tiny import tiny_config
from usdlr.core.types import Stage
from usdlr.data.samples import Sample
from usdlr.experiment.heat import choose_spread
from usdlr.experiment.layout import Layout
from usdlr.experiment.media import log_run_media
from usdlr.report.heat_cases import on_crop
from usdlr.report.study import write_report


def tables(size: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Axillae with probabilities in no order; a third each tunes, trains and is not of the bundle."""
    order = np.random.default_rng(0).permutation(size)
    base = pd.DataFrame({"patient_id": [f"p{place:02d}" for place in range(size)], "side": "left"})
    predictions = base.assign(
        probability=(order + 0.5) / size,
        stage="sln",
        fold=np.where(np.arange(size) % 3 == 2, "0", "bundle"),
        split=np.where(np.arange(size) % 3 == 1, "train", "tuning"),
    )
    labels = base.assign(sln=(order % 2).astype(float), nsln=np.nan)
    labels.loc[0, "sln"] = np.nan
    return predictions, labels


def test_tuning_axillae_of_the_bundle_from_the_lowest_to_the_highest() -> None:
    predictions, labels = tables()
    chosen = choose_spread(predictions, labels, Stage.SLN, 4)
    able = predictions[(predictions["fold"] == "bundle") & (predictions["split"] == "tuning")].iloc[1:]  # p00: unknown
    assert set(chosen["patient_id"]) <= set(able["patient_id"])
    assert chosen["probability"].is_monotonic_increasing
    assert chosen["probability"].iloc[0] == able["probability"].min()
    assert chosen["probability"].iloc[-1] == able["probability"].max()
    assert len(chosen) == 4
    shuffled = predictions.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(choose_spread(shuffled, labels, Stage.SLN, 4), chosen)


def test_few_axillae_and_none() -> None:
    predictions, labels = tables()
    assert choose_spread(predictions, labels, Stage.NSLN, 4).empty
    assert choose_spread(predictions, labels, Stage.SLN, 0).empty
    few = predictions[predictions["patient_id"].isin(["p03", "p06"])]
    assert sorted(choose_spread(few, labels, Stage.SLN, 4)["patient_id"]) == ["p03", "p06"]


@pytest.mark.parametrize(("size", "pixel_mm"), [(64, 0.5), (96, 0.25), (48, 0.4)])
def test_a_map_of_another_crop_lies_at_the_same_millimetres(size: int, pixel_mm: float) -> None:
    def hill(size: int, pixel_mm: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        at = (np.arange(size) + 0.5 - size / 2) * pixel_mm
        return np.exp(-((at[:, None] - 3) ** 2 + (at[None, :] + 2) ** 2) / 8).astype(np.float32)

    nothing = np.zeros((size, size), dtype=bool)
    moved = on_crop(hill(80, 0.5), 0.5, Sample({}, {}, nothing, pixel_mm))
    np.testing.assert_allclose(moved, hill(size, pixel_mm), atol=0.03)
    same = on_crop(moved, pixel_mm, Sample({}, {}, nothing, pixel_mm))
    assert same is moved


def test_a_run_logs_what_stands_in_its_figures(tmp_path: Path) -> None:
    inputs = replace(make_inputs(patients=150, simulated=True, pictures=False), heat_maps=[heat_case()])
    write_report(inputs, tmp_path)
    layout = Layout(tmp_path)
    log_run_media(tiny_config(tmp_path, "--fit.wandb", "offline"), layout, inputs)
    (log,) = tmp_path.rglob("*.wandb")
    content = log.read_bytes()
    for word in (
        "roc",
        "calibration",
        "heat_maps",
        "roc_points",
        "heat_map_numbers",
        "Heat map 1, SLN stage (simulated",
    ):
        assert word.encode() in content, word
    logged = [path for path in (tmp_path / "work" / "media").rglob("*") if path.is_file()]
    for path in logged:
        assert not [name for name in inputs.labels["patient_id"] if name.encode() in path.read_bytes()], path
    (png,) = [path for path in logged if path.suffix == ".png"]
    assert png.stat().st_size > 1000


def test_a_finished_run_shows_heat_maps_of_both_stages(run_folder: Path) -> None:
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert "Where the networks looked" in page
    assert "Heat map 1, SLN stage (simulated" in page
    numbers = pd.read_csv(run_folder / "figures" / "heatmaps.csv")
    assert set(numbers["stage"]) == {"sln", "nsln"}
    for (stage, case), part in numbers.groupby(["stage", "case"]):
        assert (run_folder / "figures" / f"heatmap_{stage}_{case}.png").is_file()
        assert part["block"].str.startswith("bmode.").any()
    assert {"roc.csv", "calibration.csv"} <= {path.name for path in (run_folder / "figures").iterdir()}
    assert not (run_folder / "work" / "media").exists()  # it was told to log nothing
