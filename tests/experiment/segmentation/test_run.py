"""An experiment on outlines from end to end, on a few real images: folds, an external source, page, bundle, resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.tiny import ROOT
from usdlr.cli.fit_segmenter import read_config
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.files import read_json
from usdlr.core.hashing import file_hash
from usdlr.core.provenance import Provenance
from usdlr.data.segmentation import Frame
from usdlr.experiment.segmentation.folds import outline_splits
from usdlr.experiment.segmentation.jobs import BOX, CLOSER, LESION, OutlineFitJob
from usdlr.experiment.segmentation.results import _asked_for
from usdlr.experiment.segmentation.run import _drawn, _Run, run_segmentation
from usdlr.inference.segmentation import load_segmenter

FOLDER = ROOT / "experiments" / "segmentation_busbra"
PATIENTS, NORMALS, LESIONS = 14, 4, 5
FIT = ["--fit.epochs", "80", "--fit.learning_rate", "0.004"]


def _linked(source: Path, target: Path, names: list[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(source / name)


@pytest.fixture(scope="module")
def sources(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few patients of BUS-BRA and of BrEaST in their official layouts; all other rows point at nothing."""
    base = tmp_path_factory.mktemp("sources")
    bus = shared_data / "bus_bra"
    table = pd.read_csv(bus / "bus_data.csv")
    there = table[[(bus / "Images" / f"{name}.png").is_file() for name in table["ID"]]]
    chosen = there[there["Case"].isin(there["Case"].drop_duplicates().iloc[:: len(there) // PATIENTS // 2][:PATIENTS])]
    names = [path.name for path in bus.iterdir() if path.is_file()]
    names += [f"Images/{name}.png" for name in chosen["ID"]]
    names += [f"Masks/{name.replace('bus_', 'mask_')}.png" for name in chosen["ID"]]
    _linked(bus, base / "bus_bra", names)
    brest = shared_data / "breast_lesions_usg"
    workbook = next(brest.glob("*.xlsx"))
    rows = pd.read_excel(workbook)
    images = next(path for path in brest.iterdir() if path.is_dir()).name
    normal = rows[rows["Classification"] == "normal"]
    lesions = rows[(rows["Classification"] != "normal")]
    lesions = lesions[[(brest / images / name).is_file() for name in lesions["Image_filename"]]].head(LESIONS)
    files = [*normal["Image_filename"], *lesions["Image_filename"], *lesions["Mask_tumor_filename"]]
    _linked(brest, base / "brest", [workbook.name, *(f"{images}/{name}" for name in files)])
    return base / "bus_bra", base / "brest"


def words(sources: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    bus, brest = map(str, sources)
    files = [str(FOLDER / "outlines.yaml"), "--config", str(FOLDER / "outlines_ci.yaml")]
    return [*files, "--data.root", bus, "--data.external.breast_lesions_usg", brest, "--out", str(out), *more]


@pytest.fixture(scope="module")
def run(sources: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert main(["fit_segmenter", *words(sources, out, *FIT)]) == 0
    return out


def test_everything_is_there(run: Path) -> None:
    metrics = read_json(run / "metrics.json")
    assert set(metrics["sources"]) == {"development", "breast_lesions_usg"}
    for told in metrics["sources"].values():
        for way in ("whole", "closer", "likeliest", "box"):
            assert 0 <= told[way]["dice"]["value"] <= 1
            assert {"low", "high", "n", "method"} <= set(told[way]["dice"])
    home, abroad = (metrics["sources"][name]["closer"] for name in ("development", "breast_lesions_usg"))
    # BUS-BRA has no pixel size.
    assert home["hausdorff95_mm"]["value"] is None
    assert "strata" not in home
    assert abroad["without_a_lesion"]["lesion_free"]["n"] == NORMALS
    assert abroad["dice"]["n"] == LESIONS
    for name in ("report.html", "splits.csv", "exclusions.csv", "config.yaml", "provenance.json", "bundle/bundle.json"):
        assert (run / name).is_file()


def test_what_another_least_score_gives_is_told_and_agrees_at_the_bundles_own(run: Path) -> None:
    chosen = yaml.safe_load((run / "config.yaml").read_text())["lesions"]["least_score"]
    for name, told in read_json(run / "metrics.json")["sources"].items():
        images = pd.read_parquet(run / f"images_{name}.parquet")
        own = next(row for row in told["least_scores"] if row["least_score"] == chosen)
        found = images["found_lesions"] > 0
        assert own["kept"]["value"] == pytest.approx(found[images["lesions"] > 0].mean())
        for kind, share in own["without_a_lesion"].items():
            assert share["value"] == pytest.approx(found[images["kind"] == kind].mean())
        kept = [row["kept"]["value"] for row in told["least_scores"]]
        assert kept == sorted(kept, reverse=True)
        assert told["least_scores"][0]["dice"]["value"] == pytest.approx(told["likeliest"]["dice"]["value"])
        assert told["likeliest"]["without_a_lesion"] == {}


def test_every_image_is_outlined_once_by_a_network_that_has_not_seen_its_patient(run: Path) -> None:
    splits = tables.SPLITS.read(run / "splits.csv")
    images = pd.read_parquet(run / "images_development.parquet")
    shown = images[images["kind"] == "lesion"]
    assert not shown["image_id"].duplicated().any()
    cases = tables.CASES.read(run / "ingest" / "cases.parquet")
    assert set(shown["image_id"]) == set(cases["image_id"])
    for fold in ("0", "1"):
        own = pd.read_parquet(run / "work" / "outlines" / f"{fold}.parquet")
        test = splits[(splits["fold"] == fold) & (splits["split"] == "test")]["patient_id"]
        assert set(own.loc[own["kind"] == "lesion", "patient_id"]) == set(test)
    parts = splits.pivot_table(index="patient_id", columns="fold", values="split", aggfunc="first")
    assert (parts == "test").sum(axis=1).eq(1).all()


def test_what_is_not_used_has_a_row(run: Path, sources: tuple[Path, Path]) -> None:
    table = pd.read_csv(sources[0] / "bus_data.csv")
    cases = tables.CASES.read(run / "ingest" / "cases.parquet")
    excluded = tables.EXCLUSIONS.read(run / "exclusions.csv")
    assert len(cases) + len(excluded) == len(table)


def test_the_page_names_nobody_and_asks_no_network(run: Path) -> None:
    page = (run / "report.html").read_text()
    cases = tables.CASES.read(run / "ingest" / "cases.parquet")
    for name in [*cases["patient_id"], *cases["image_id"]]:
        assert str(name) not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "not a medical device" in page
    assert "Bland" not in page or "mm" in page


def test_a_finished_run_does_nothing_again(run: Path, sources: tuple[Path, Path]) -> None:
    before = {path: file_hash(path) for path in run.rglob("*") if path.is_file()}
    assert main(["fit_segmenter", *words(sources, run, *FIT)]) == 0
    after = {path: file_hash(path) for path in run.rglob("*") if path.is_file()}
    assert before == after


def test_other_rules_judge_again_and_fit_nothing(run: Path, sources: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    weights = {path: path.stat().st_mtime_ns for path in copy.glob("work/fits/*/network.safetensors")}
    more = [*FIT, "--lesions.least_score", "0.05"]
    assert main(["fit_segmenter", *words(sources, copy, *more)]) == 0
    assert weights == {path: path.stat().st_mtime_ns for path in copy.glob("work/fits/*/network.safetensors")}
    assert load_segmenter(copy / "bundle").rules.least_score == 0.05


def test_other_networks_want_another_folder(
    run: Path, sources: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit_segmenter", *words(sources, run, "--fit.epochs", "3")]) == 2
    assert "found a run with fit.epochs = 80" in capsys.readouterr().err


def test_a_wrong_key_and_a_missing_folder_are_one_line(
    sources: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit_segmenter", *words(sources, tmp_path / "x", "--fit.epoch", "3")]) == 2
    assert "epoch" in capsys.readouterr().err
    line = [str(FOLDER / "outlines.yaml"), "--data.root", str(sources[0]), "--out", str(tmp_path / "x")]
    assert main(["fit_segmenter", *line]) == 2
    told = capsys.readouterr().err
    assert "found no data.external.breast_lesions_usg, expected the folder of the export" in told
    assert not (tmp_path / "x").exists()


def test_patients_on_two_sides_are_refused(sources: tuple[Path, Path], tmp_path: Path) -> None:
    content = yaml.safe_load((FOLDER / "outlines.yaml").read_text())
    content["data"]["external"] = {"bus_bra": None}
    (tmp_path / "outlines.yaml").write_text(yaml.safe_dump(content))
    line = [str(tmp_path / "outlines.yaml"), "--config", str(FOLDER / "outlines_ci.yaml")]
    line += ["--data.root", str(sources[0]), "--data.external.bus_bra", str(sources[0]), "--out", str(tmp_path / "x")]
    config, out = read_config(line)
    with pytest.raises(LeakError):
        run_segmentation(config, out)


def test_a_scale_that_follows_from_the_outline_is_refused(sources: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a scale that follows from the outline"):
        read_config(words(sources, tmp_path, "--data.ingest.relative_diameter", "20"))


def test_the_bundle_outlines_cases_that_have_no_outline(run: Path, tmp_path: Path) -> None:
    """`usdlr segment`, as a centre without contours uses it."""
    cases = run / "external" / "breast_lesions_usg" / "ingest" / "cases.parquet"
    line = ["segment", "--bundle", str(run / "bundle"), "--cases", str(cases), "--out", str(tmp_path / "out")]
    assert main([*line, "--replace"]) == 0
    found = tables.CASES.read(tmp_path / "out" / "cases.parquet")
    left = tables.EXCLUSIONS.read(tmp_path / "out" / "exclusions.csv")
    outlined = {str(name).split("-lesion")[0] for name in found["image_id"]}
    missed = set(left.loc[left["step"] == "outline", "source_id"])
    assert outlined | missed == set(tables.CASES.read(cases)["image_id"])
    assert not outlined & missed
    assert (found["mask_source"] == "automatic").all()


class _StopError(Exception):
    pass


def test_an_interrupted_fit_does_not_go_on_with_other_patients(
    run: Path, sources: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fit left goes when its images change, and stays when they do not."""
    copy = Path(shutil.copytree(run, tmp_path / "run", symlinks=True))
    left = copy / "work" / "fits" / "0" / "fit" / "checkpoints" / "last.ckpt"
    config, _ = read_config(words(sources, copy, *FIT))

    def stop(*given: object, **named: object) -> None:
        raise _StopError

    monkeypatch.setattr("usdlr.experiment.segmentation.run.run_all", stop)
    steps = _Run(config, copy)
    (copy / "work" / "fits" / "0" / "network.safetensors").unlink()
    jobs = [OutlineFitJob(config, copy, "0")]
    with pytest.raises(_StopError):
        steps._all(jobs, "fits")  # interrupted at once
    for kept in (True, False):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(b"of these patients")
        if not kept:
            splits = tables.SPLITS.read(copy / "splits.csv")
            tables.SPLITS.write(splits.iloc[::-1], copy / "splits.csv", Provenance("test", {}, {}))
        with pytest.raises(_StopError):
            steps._all(jobs, "fits")
        assert left.exists() is kept


def test_images_without_an_outline_teach_and_judge_nothing_and_have_a_row() -> None:
    cases = pd.DataFrame({"image_id": ["a", "b"], "mask_path": ["a.png", None]})
    cases = cases.assign(centre_id="c", patient_id=["p", "q"], side="left")
    kept, excluded = _drawn(cases, "elsewhere")
    assert list(kept["image_id"]) == ["a"]
    (row,) = excluded.to_dict("records")
    assert (row["patient_id"], row["code"]) == ("q", "mask_missing")
    with pytest.raises(DataError, match="found no reader's outline in any of 1 images of elsewhere"):
        _drawn(cases.tail(1), "elsewhere")


def test_a_box_is_judged_by_the_lesion_that_it_is_around() -> None:
    lesions = np.zeros((60, 80), np.uint8)
    lesions[5:15, 5:15], lesions[30:50, 30:70] = 1, 2
    frame = Frame("i", "p", np.zeros((60, 80), np.uint8), lesions, None, 1.0, (0,))
    np.testing.assert_array_equal(_asked_for(frame, LESION, BOX), lesions == 2)
    np.testing.assert_array_equal(_asked_for(frame, LESION, CLOSER), lesions)


def test_patients_are_spread_over_folds_by_group() -> None:
    rng = np.random.default_rng(0)
    cases = pd.DataFrame(
        {
            "patient_id": [f"p{n // 2}" for n in range(400)],
            "image_id": [f"i{n:03d}" for n in range(400)],
            "centre_id": "one",
            "device": rng.choice(["A", "B", "rare"], 400, p=[0.6, 0.35, 0.05]).tolist(),
        }
    )
    splits = outline_splits(cases, ["device"], 5, seed=1)
    first = cases.drop_duplicates("patient_id").set_index("patient_id")["device"]
    test = splits[splits["split"] == "test"].assign(device=lambda rows: rows["patient_id"].map(first))
    counts = test.groupby(["device", "fold"]).size().unstack()
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert test["patient_id"].nunique() == len(test) == 200
    # The order of rows decides nothing.
    keys = ["fold", "patient_id"]
    again = outline_splits(cases.sample(frac=1, random_state=3), ["device"], 5, seed=1)
    pd.testing.assert_frame_equal(
        splits.sort_values(keys, ignore_index=True), again.sort_values(keys, ignore_index=True)
    )
