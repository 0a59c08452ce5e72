"""Neighbours: distances that are known, nothing that names a patient, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import BundleError, DataError
from usdlr.inference.explain_neighbours import FEWEST, Neighbours, write_neighbours

COLUMNS = [f"embedding.{block}.{place:03d}" for block in ("bmode.intratumoral", "radiomics") for place in range(3)]


def made(size: int = 40, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    embeddings = pd.DataFrame(rng.normal(2.0, 3.0, (size, len(COLUMNS))), columns=COLUMNS)
    embeddings.insert(0, "patient_id", [f"secret-{place}" for place in range(size)])
    outcomes = pd.DataFrame({"sln": rng.integers(0, 2, size).astype(float), "nsln": np.nan})
    outcomes.loc[outcomes["sln"] == 0, "nsln"] = 0.0
    return embeddings, outcomes


def test_an_axilla_is_its_own_nearest_neighbour(tmp_path: Path) -> None:
    embeddings, outcomes = made()
    found = Neighbours(write_neighbours(tmp_path / "n", embeddings, outcomes))
    for place in range(len(embeddings)):
        near = found.nearest(embeddings.iloc[place], 3)
        assert near[0].distance == pytest.approx(0.0, abs=1e-6)
        assert near[0].sln is bool(outcomes["sln"][place])
        assert near[0].nsln is (None if outcomes["sln"][place] else False)
        assert [one.distance for one in near] == sorted(one.distance for one in near)


def test_independent_axillae_are_the_root_of_two_apart(tmp_path: Path) -> None:
    embeddings, outcomes = made(400)
    found = Neighbours(write_neighbours(tmp_path / "n", embeddings, outcomes))
    stranger = made(1, seed=7)[0].iloc[0]
    distances = [one.distance for one in found.nearest(stranger, 400)]
    every = [
        np.mean([one.distance**2 for one in found.nearest(made(1, seed=seed)[0].iloc[0], 400)]) for seed in range(40)
    ]
    assert len(distances) == 400
    assert np.sqrt(np.mean(every)) == pytest.approx(np.sqrt(2), abs=0.15)


def test_only_what_both_have_is_compared(tmp_path: Path) -> None:
    embeddings, outcomes = made()
    embeddings.loc[5, COLUMNS[:3]] = np.nan
    found = Neighbours(write_neighbours(tmp_path / "n", embeddings, outcomes))
    own = embeddings.iloc[5].copy()
    own[COLUMNS[0]] = 1e6  # of a block that the fifth lacks
    own[COLUMNS[1:3]] = 0.0
    assert found.nearest(own, 1)[0].distance == pytest.approx(0.0, abs=1e-6)
    own[COLUMNS] = np.nan
    assert found.nearest(own, 5) == ()


def test_no_id_and_no_order_of_patients(tmp_path: Path) -> None:
    embeddings, outcomes = made()
    folder = write_neighbours(tmp_path / "n", embeddings, outcomes)
    assert all(b"secret" not in path.read_bytes() for path in folder.rglob("*"))
    shuffled = np.random.default_rng(3).permutation(len(embeddings))
    again = write_neighbours(
        tmp_path / "m", embeddings.iloc[shuffled].reset_index(drop=True), outcomes.iloc[shuffled].reset_index(drop=True)
    )
    one, other = (json.loads((where / "summary.json").read_text()) for where in (folder, again))
    assert one == other
    assert np.array_equal(Neighbours(folder).values, Neighbours(again).values)
    assert np.array_equal(Neighbours(folder).sln, Neighbours(again).sln)


@pytest.mark.parametrize("size", [0, 1, 3, FEWEST - 1])
def test_too_few(tmp_path: Path, size: int) -> None:
    embeddings, outcomes = made(size)
    with pytest.raises(DataError, match="expected at least 20"):
        write_neighbours(tmp_path / "n", embeddings, outcomes)
    assert not (tmp_path / "n").exists()


def test_nothing_to_compare(tmp_path: Path) -> None:
    embeddings, outcomes = made()
    with pytest.raises(DataError, match="no embedding"):
        write_neighbours(tmp_path / "n", embeddings.assign(**dict.fromkeys(COLUMNS, np.nan)), outcomes)
    constant = embeddings.assign(**dict.fromkeys(COLUMNS, 1.0))
    found = Neighbours(write_neighbours(tmp_path / "c", constant, outcomes))
    assert found.nearest(constant.iloc[0], 2)[1].distance == 0.0


def test_damage_is_refused(tmp_path: Path) -> None:
    folder = write_neighbours(tmp_path / "n", *made())
    with pytest.raises(DataError, match="bundle's own networks"):
        Neighbours(folder).nearest(pd.Series({"embedding.other.000": 1.0}))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"columns": COLUMNS[:2]}))
    with pytest.raises(BundleError, match="do not fit"):
        Neighbours(folder)
    (folder / "embeddings.safetensors").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="damaged"):
        Neighbours(folder)
