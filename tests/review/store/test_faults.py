"""Writers that are killed, disks that are full, a database that goes down: nothing is lost, nothing is doubled."""

from __future__ import annotations

from pathlib import Path

from tests.review.store.faults import run
from tests.review.store.postgres import Server


def test_killed_writers_full_disks_and_jumping_clocks(tmp_path: Path) -> None:
    known = run(f"sqlite:///{tmp_path}/review.db", rounds=25, seed=1)
    assert known.kills > 20
    assert len(known.acknowledged) > 25


def test_killed_writers_on_postgresql(postgres: Server) -> None:
    known = run(postgres.database(), rounds=8, seed=2)
    assert known.kills > 5
    assert known.acknowledged


def test_a_database_that_goes_down_in_the_middle(postgres: Server) -> None:
    def crash() -> None:
        postgres.stop("immediate")
        postgres.start()

    known = run(postgres.database(), rounds=2, seed=3, crash=crash)
    assert known.acknowledged
