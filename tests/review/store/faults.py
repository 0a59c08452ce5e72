"""Break off writers at random moments, and count: whatever was acknowledged is recorded exactly once.

``python -m tests.review.store.faults --rounds 1000`` does it in a SQLite file of its own; ``--url`` names another,
empty database. In every round two reviewers work on the same axillae in processes of their own. They are killed
(SIGKILL), or their disk is full, or their clock jumps by years; then they come back and send what was not acknowledged
again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.review.store.made import axilla_record, people, wish
from usdlr.core.errors import DataError
from usdlr.review.acts import Account, Act
from usdlr.review.store.acting import Conflict, Done, act
from usdlr.review.store.audit import anchor, events, verify
from usdlr.review.store.checking import check
from usdlr.review.store.engine import Store, open_store, utc_now
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.people import accounts
from usdlr.review.store.reading import state

AXILLAE, READERS = 60, ("anna", "bert")
ACTS = (Act.COMMENT, Act.OPINION, Act.ACCEPT, Act.REJECT, Act.DEFER, Act.MODIFY)
Request = dict[str, Any]


@dataclass
class Counted:
    """What the readers know.

    Parameters
    ----------
    sent : dict of str to request
        Everything that was ever sent, by key.
    acknowledged : dict of str to int
        Numbers of events by key.
    refused : set of str
        Keys of conflicts.
    kills, full, repeats : int
        Writers that were killed, requests that met a full disk, requests that turned out to be recorded already.
    """

    sent: dict[str, Request] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    kills: int = 0
    full: int = 0
    repeats: int = 0

    def waiting(self, reader: str) -> list[Request]:
        """What a reader sent without hearing an answer."""
        return [
            request
            for key, request in self.sent.items()
            if request["reader"] == reader and key not in self.acknowledged and key not in self.refused
        ]

    def hear(self, line: str) -> None:
        """One line of a writer; the last one may be cut."""
        try:
            said = json.loads(line)
        except ValueError:
            return
        if "reader" in said:
            self.sent[said["key"]] = said
        elif "number" in said:
            if self.acknowledged.setdefault(said["key"], said["number"]) != said["number"]:
                raise AssertionError(f"{said['key']} was recorded twice")
            self.repeats += said["again"]
        elif "conflict" in said:
            self.refused.add(said["key"])
        else:
            self.full += 1


def run(
    url: str,
    rounds: int,
    seed: int = 0,
    *,
    crash: Callable[[], None] | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> Counted:
    """Inject faults and check the store afterwards.

    Parameters
    ----------
    url : str
        An empty database.
    rounds, seed : int
        How many, and which.
    crash : callable, optional
        Called in the middle of a round in place of killing the writers: stops and starts the database.
    say : callable
        Hears of progress.

    Returns
    -------
    Counted
        Raises an AssertionError where a review was lost or doubled.
    """
    store = open_store(url)
    records = [axilla_record(number, images=1) for number in range(1, AXILLAE + 1)]
    load_axillae(store, records)
    people(store, *READERS)
    store.close()
    chance, known = random.Random(seed), Counted()
    tokens = [record.token for record in records]
    # Few axillae at a time, so that the reviewers meet.
    for number in range(1, rounds + 1):
        _round(url, chance, known, chance.sample(tokens, 3), crash)
        if number % 100 == 0 or number == rounds:
            confirm(url, known)
            say(f"{number} rounds: {_words(known)}")
    for reader in READERS:
        store = open_store(url)
        _work(store, reader, known.waiting(reader), [], random.Random(seed), lambda line: known.hear(line))
        store.close()
    confirm(url, known, all_answered=True)
    return known


def confirm(url: str, known: Counted, *, all_answered: bool = False) -> None:
    """Compare what the readers know with what is recorded."""
    store = open_store(url)
    try:
        report = verify(store)
        assert report.whole, report.why
        log = events(store, limit=10**9)
        recorded: dict[str, list[int]] = {}
        for event in log:
            if "request" in event.after:
                recorded.setdefault(event.after["request"], []).append(event.number)
                sent = known.sent[event.after["request"]]
                assert (event.account, event.token, event.kind) == (sent["reader"], sent["token"], sent["act"])
        assert all(len(numbers) == 1 for numbers in recorded.values()), "a review was doubled"
        for key, number in known.acknowledged.items():
            assert recorded.get(key) == [number], "an acknowledged review was lost"
        assert not known.refused & set(recorded), "a refused review was recorded"
        if all_answered:
            assert set(recorded) == set(known.acknowledged)
        found = check(store, anchor=anchor(store))
        assert found.whole, found.wrong
    finally:
        store.close()


def _round(
    url: str, chance: random.Random, known: Counted, tokens: list[str], crash: Callable[[], None] | None
) -> None:
    fault = chance.choice(["kill", "kill", "kill", "full", "clock"]) if crash is None else "crash"
    children = {_spawn(url, reader, known.waiting(reader), tokens, chance.random(), fault) for reader in READERS}
    # Mostly from the first word on, so that a slow start leaves time for work; sometimes while they start.
    patience = chance.uniform(0.0, 0.4)
    ends = time.monotonic() + (patience if chance.random() < 0.15 else 20.0)
    if crash is not None:
        ends = time.monotonic() + 30.0
    pipes = {pipe: b"" for _, pipe in children}
    running = set(pipes)
    killed = False
    while running:
        ready, _, _ = select.select(sorted(running), [], [], max(0.0, ends - time.monotonic()))
        for pipe in ready:
            part = os.read(pipe, 1 << 16)
            if part and crash is not None:
                # While they write; then they get the time to hear an answer.
                crash()
                crash, ends = None, time.monotonic() + 5.0
            elif not any(pipes.values()):
                ends = min(ends, time.monotonic() + patience)
            pipes[pipe] += part
            if not part:
                running.discard(pipe)
        if not ready and not killed:
            killed = True
            for child, _ in children:
                os.kill(child, signal.SIGKILL)
                known.kills += 1
    for child, pipe in children:
        os.waitpid(child, 0)
        os.close(pipe)
        for line in pipes[pipe].decode().splitlines():
            known.hear(line)


def _spawn(
    url: str, reader: str, waiting: list[Request], tokens: list[str], seed: float, fault: str
) -> tuple[int, int]:
    """A writer in a process of its own; its words come out of the pipe."""
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return child, out
    try:
        os.close(out)
        chance = random.Random(seed)
        store = open_store(url)
        if fault == "clock":
            jump = timedelta(days=chance.uniform(-2000, 2000))
            store.clock = lambda: utc_now() + jump
        if fault == "full" and store.sqlite:
            _fill(store, chance.randrange(8))
        _work(store, reader, waiting, tokens, chance, lambda line: os.write(into, line.encode() + b"\n"))
    except DataError:
        pass
    finally:
        os._exit(0)


def _fill(store: Store, pages: int) -> None:
    """Leave room for so many more pages in this process's connections."""
    with store.engine.connect() as connection:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={used + pages}")


def _work(
    store: Store,
    reader: str,
    waiting: list[Request],
    tokens: list[str],
    chance: random.Random,
    tell: Callable[[str], object],
) -> None:
    """Send what was not answered again, then new requests; without tokens, only the former."""
    account = next(one for one in accounts(store) if one.name == reader)
    for request in waiting:
        _send(store, account, request, tell)
    while tokens:
        token = chance.choice(tokens)
        try:
            seen = state(store, token).version
        except DataError:
            time.sleep(0.05)
            continue
        # Sometimes from a page that was opened earlier.
        request = {
            "reader": reader,
            "key": f"{reader}-{random.SystemRandom().getrandbits(64):016x}",
            "act": str(chance.choice(ACTS)),
            "token": token,
            "seen": seen - (chance.random() < 0.1),
            "reason": "word " * chance.randrange(1, 300),
        }
        tell(json.dumps(request))
        _send(store, account, request, tell)
        if chance.random() < 0.1:
            # A double click.
            _send(store, account, request, tell)


def _send(store: Store, account: Account, request: Request, tell: Callable[[str], object]) -> None:
    wanted = wish(Act(request["act"]), request["token"], request["seen"], key=request["key"], reason=request["reason"])
    try:
        found = act(store, wanted, account)
    except DataError:
        tell(json.dumps({"key": request["key"], "failed": True}))
        time.sleep(0.01)
        return
    if isinstance(found, Conflict):
        tell(json.dumps({"key": request["key"], "conflict": True}))
    else:
        again = not isinstance(found, Done)
        tell(json.dumps({"key": request["key"], "number": found.number, "again": again}))


def _words(known: Counted) -> str:
    return (
        f"{len(known.sent)} requests, {len(known.acknowledged)} acknowledged, {len(known.refused)} conflicts, "
        f"{known.repeats} found recorded already, {known.kills} kills, {known.full} failed writes; 0 lost, 0 doubled"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{Path(folder) / 'review.db'}"
        known = run(url, options.rounds, options.seed, say=lambda text: sys.stdout.write(f"{text}\n"))
    sys.stdout.write(f"{options.rounds} rounds in {time.monotonic() - start:.0f} s: {_words(known)}\n")


if __name__ == "__main__":
    main()
