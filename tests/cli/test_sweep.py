"""``usdlr sweep`` and its files, as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiment.sweep.made import made_run
from tests.tiny import DEMO, ROOT
from usdlr.cli import sweep as command
from usdlr.cli.main import main
from usdlr.cli.sweep import read_command
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.sweep.engine import require_buildable
from usdlr.experiment.sweep.points import grid_points
from usdlr.experiment.sweep.settings import GRID

SWEEPS = sorted((ROOT / "configs" / "sweep").glob("*.yaml"))


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a sweep that must be refused; returns its one line."""
    assert main(["sweep", *map(str, words)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A small sweep of the demo."""
    path = tmp_path / "sweep.yaml"
    path.write_text(f"experiment: {DEMO}\ngrid: {{model.dropout: [0.05, 0.3]}}\n")
    return path


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_point_of_every_file_is_built(path: Path) -> None:
    settings, build, _ = read_command([str(path), "--out", "x"])
    require_buildable(settings, build)
    if settings.method == GRID:
        configs = [build(point.overrides) for point in grid_points(settings)]
        assert len(configs) > 2
        assert all(one != other for number, one in enumerate(configs) for other in configs[:number])


def test_there_are_four() -> None:
    assert [path.stem for path in SWEEPS] == ["ablation_blocks", "ablation_margin", "fusion", "search"]


def test_a_sweep_from_its_command(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ExperimentConfig] = []

    def run(config: ExperimentConfig, out: Path) -> Path:
        seen.append(config)
        return made_run(config, out)

    monkeypatch.setattr(command, "run_experiment", run)
    words = ["sweep", str(written), "--fit.epochs", "3", "--out", str(tmp_path / "out"), "--data.root=nowhere"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert [config.model.dropout for config in seen] == [0.05, 0.3]
    assert {(config.fit.epochs, config.data.root) for config in seen} == {(3, "nowhere")}
    assert "dropout=0.05" in printed
    assert "selection on the test patients" in printed
    assert "Nested estimate" in printed
    assert main(words) == 0
    assert len(seen) == 2
    assert main(["runs", str(tmp_path / "out"), "--sort", "model.dropout"]) == 0
    assert "SLN AUC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ("model.dropuot: [0.1]", "found the unknown key 'model.dropuot' in {path}, expected"),
        ("model.dropuot: [0.1]", "the nearest is 'model.dropout'"),
        ("model.dropout: [high]", "found a wrong value of 'model.dropout' in {path}: high, expected a finite number"),
        ("model.fusion: [gatd]", "did you mean 'gated'?"),
    ],
)
def test_a_mistake_in_the_file_names_the_file(
    grid: str, sentence: str, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text(f"experiment: {DEMO}\ngrid: {{{grid}}}\n")
    assert sentence.format(path=written) in refused(capsys, written, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_on_the_command_line(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    line = refused(capsys, written, "--out", out, "--model.dropout", "0.2")
    assert f"found --model.dropout on the command line, which {written} varies" in line
    assert "'fit.epochs'" in refused(capsys, written, "--out", out, "--fit.epohcs", "2")
    assert "are required: out" in refused(capsys, written)
    assert "found no file" in refused(capsys, tmp_path / "none.yaml", "--out", out)
    assert "sweep" in refused(capsys, "--out", out)
    written.write_text(written.read_text() + "objective: stages.sln.auc\nmethod: optuna\nsearch: {}\n")
    assert "found method = optuna" in refused(capsys, written, "--out", out)
    assert not out.exists()


def test_a_sweep_without_data_says_so(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, written, "--out", tmp_path / "out")
    assert "found no point that could be finished; the first: found no data.root" in line
    assert (tmp_path / "out" / "sweep.csv").is_file()


def test_a_component_is_found_beside_the_sweep(written: Path, tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("epochs: 2\n")
    written.write_text(f"experiment: {DEMO}\ngrid: {{fit: [part.yaml]}}\n")
    settings, build, _ = read_command([str(written), "--out", "x"])
    (point,) = grid_points(settings)
    assert (point.name, build(point.overrides).fit.epochs) == ("fit=part", 2)
