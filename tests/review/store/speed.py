"""How long the worklist and a check take with 5,000 axillae: ``python -m tests.review.store.speed [--url URL]``.

Without ``--url`` a SQLite file of its own is used, and a PostgreSQL server of its own where one is installed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.review.store.made import many, people, wish
from tests.review.store.postgres import Server, binaries
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Status
from usdlr.review.store.acting import Done, act
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.reading import state
from usdlr.review.store.worklist import WorklistQuery, neighbours, worklist

QUERIES: dict[str, WorklistQuery] = {
    "first page": WorklistQuery(),
    "last page": WorklistQuery(page=10_000),
    "unread": WorklistQuery(status=(Status.UNREAD,)),
    "two groups by probability": WorklistQuery(
        group=(RiskGroup.DEFER, RiskGroup.HR_SLN_LR_NSLN), sort="p_sln", descending=True
    ),
    "flagged, uncertified": WorklistQuery(flagged=True, contract="not_certifiable"),
    "search a patient": WorklistQuery(text="usd-012"),
    "search a centre": WorklistQuery(text="köln", sort="patient"),
    "search a number": WorklistQuery(text="4711"),
    "search nothing": WorklistQuery(text="nobody"),
    "mine": WorklistQuery(assigned="bert", reader="bert"),
    "hidden": WorklistQuery(hidden=True, seed=1),
    "hidden, unread": WorklistQuery(hidden=True, seed=1, status=(Status.UNREAD,), page=40),
}


def measure(store: Store, count: int = 5000, repeats: int = 40) -> dict[str, tuple[float, float, float]]:
    """Median and 95th percentile in milliseconds, and the median of this process's own work, by query."""
    records = many(count)
    start, before = time.perf_counter(), time.process_time()
    load_axillae(store, records)
    loading, working = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - before)
    readers, chance = people(store, "anna", "bert"), random.Random(1)
    times: dict[str, list[float]] = {"load all": [loading]}
    own: dict[str, list[float]] = {"load all": [working]}

    def timed(name: str, work: Callable[[], object]) -> None:
        begun, spent = time.perf_counter(), time.process_time()
        work()
        times.setdefault(name, []).append(1000 * (time.perf_counter() - begun))
        own.setdefault(name, []).append(1000 * (time.process_time() - spent))

    for record in chance.sample(records, 200):
        timed("act", lambda: act(store, wish(Act.OPINION, record.token, 1), readers[0]))  # noqa: B023 - called at once
        assert isinstance(act(store, wish(Act.DEFER, record.token, 2, colleague="bert"), readers[0]), Done)
    for _ in range(repeats):
        for name, query in QUERIES.items():
            asked = query if query.reader else WorklistQuery(**vars(query) | {"reader": "anna"})
            timed(name, partial(worklist, store, asked))
            token = chance.choice(records).token
            timed(f"neighbours: {name}", partial(neighbours, store, asked, token))
    # One more act each makes it 10,000 events.
    for record in records:
        act(store, wish(Act.COMMENT, record.token, state(store, record.token).version), readers[1])
    for _ in range(3):
        timed("check", lambda: check(store).whole or sys.exit("not whole"))
    return {
        name: (float(np.median(t)), float(np.percentile(t, 95)), float(np.median(own[name])))
        for name, t in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usdlr-speed-") as name:
        base = Path(name)
        base.chmod(0o755)
        if options.url:
            _tell(options.url)
            return
        _tell(f"sqlite:///{base}/review.db")
        programs = binaries()
        if programs is None:
            sys.stdout.write("PostgreSQL is not installed\n")
            return
        folder = base / "data"
        folder.mkdir()
        server = Server(folder, programs)
        try:
            _tell(server.database())
        finally:
            server.stop("immediate")


def _tell(url: str) -> None:
    store = open_store(url)
    found = measure(store)
    store.close()
    sys.stdout.write(f"{url.split(':')[0]}: milliseconds, median and 95th percentile, processor time\n")
    for name, (middle, high, work) in found.items():
        sys.stdout.write(f"  {name:45s} {middle:8.1f} {high:8.1f} {work:8.1f}\n")


if __name__ == "__main__":
    main()
