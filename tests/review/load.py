"""Many reviewers at once: ``python -m tests.review.load [--minutes 5] [--database sqlite postgresql]``.

The page runs in a process of its own as ``usdlr review`` runs it; its list has 5,000 axillae with pictures of 480 x
640 px and stored explanations. Twenty reviewers, in one more process of the same computer, each sign in, then go
through: the list (a third of the times filtered, sorted or turned over), a case with its two pictures, a record
(accept, opinion or comment), now and then the sheet of paper, with pauses between as people make them. Afterwards the
record is checked: as many acts in the log as were answered with yes, and a whole chain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from sqlalchemy import func, select

from tests.review.store.made import model_record
from tests.review.store.postgres import Server, binaries
from tests.review.web.made import PASSWORD, Oracle, explanation, pictures, records
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store import schema
from usdlr.review.store.accounts import create_account
from usdlr.review.store.checking import check
from usdlr.review.store.engine import open_store
from usdlr.review.store.reading import load_axillae, load_model, put_explanation
from usdlr.review.web.app import create_app

LIMITS_MS = {"list": 200.0, "case": 400.0}
"""What the 95th percentile of an answer may be."""
FOLDERS = 20
GROUPS = (RiskGroup.LR_SLN, RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN)


def say(words: str, end: str = "\n") -> None:
    """One line for whoever waits."""
    sys.stdout.write(words + end)
    sys.stdout.flush()


def prepare(url: str, folder: Path, count: int, reviewers: int) -> None:
    """A database with a list of cases, their explanations and the reviewers' accounts."""
    store = open_store(url)
    chance = np.random.default_rng(1)
    for number in range(FOLDERS):
        of = folder / str(number)
        pictures(of)
        for name in ("1.png", "e.png"):
            small = cv2.imread(str(of / "images" / name), cv2.IMREAD_UNCHANGED)
            assert small is not None
            grown = cv2.resize(small, (640, 480)).astype(float)
            grown *= chance.normal(1, 0.15, grown.shape)
            cv2.imwrite(
                str(of / "images" / name), np.clip(grown, 0, 255 if name == "1.png" else 65535).astype(small.dtype)
            )
    found = [
        replace(
            one,
            images=tuple(
                replace(image, rows=480, columns=640, root=str(folder / str(one.number % FOLDERS)))
                for image in one.images
            ),
        )
        for one in records(folder / "0", count)
    ]
    load_model(store, model_record())
    load_axillae(store, found)
    for record in found:
        put_explanation(store, record.token, *explanation(record))
    for number in range(reviewers):
        create_account(store, f"reader{number}", f"Dr Reader {number}", Role.REVIEWER, PASSWORD, by=None)
    store.close()


def serve(url: str, port: int) -> None:
    """The page, with the web server's settings of ``usdlr review``."""
    import uvicorn

    store = open_store(url)
    app = create_app(store, settings=ReviewSettings(port=port), live=Oracle())
    quiet: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
    }
    uvicorn.run(app, host="127.0.0.1", port=port, **quiet)
    store.close()


class Reviewer:
    """One person at one browser.

    Parameters
    ----------
    number : int
        Which account.
    port : int
        Where the page is.
    think_s : float
        Seconds between two steps, on average.
    """

    def __init__(self, number: int, port: int, think_s: float) -> None:
        self.number, self.think_s = number, think_s
        self.chance = random.Random(number)
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self.taken: dict[str, list[float]] = defaultdict(list)
        self.faults: Counter[str] = Counter()
        self.acts = self.conflicts = 0
        self.held: dict[str, str] = {}

    async def ask(self, kind: str, method: str, path: str, *, good: tuple[int, ...] = (200,), **more: Any) -> str:
        """One request, timed; anything but a good answer is counted as a fault."""
        headers = {"Origin": str(self.client.base_url).rstrip("/")} if method == "POST" else {}
        if path in self.held:
            headers["If-None-Match"] = self.held[path]
        begun = time.perf_counter()
        try:
            answer = await self.client.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            self.faults[f"{kind}: {type(error).__name__}"] += 1
            return ""
        self.taken[kind].append(1000 * (time.perf_counter() - begun))
        if answer.status_code not in good:
            self.faults[f"{kind}: {answer.status_code}"] += 1
        if "etag" in answer.headers:
            self.held[path] = answer.headers["etag"]
        if kind == "act":
            self.acts += answer.status_code == 303
            self.conflicts += answer.status_code == 409
        return answer.text

    async def pause(self) -> None:
        """As long as people look."""
        if self.think_s:
            await asyncio.sleep(min(self.chance.expovariate(1 / self.think_s), 5 * self.think_s))

    async def work(self, until: float) -> None:
        """Sign in and read until it is over."""
        csrf = _csrf(await self.ask("sign-in page", "GET", "/sign-in"))
        fields = {"csrf": csrf, "name": f"reader{self.number}", "password": PASSWORD}
        await self.ask("sign-in", "POST", "/sign-in", good=(303,), data=fields)
        while time.monotonic() < until:
            shown = await self.ask("list", "GET", "/")
            if self.chance.random() < 1 / 3:
                await self.pause()
                wanted: dict[str, object] = {"csrf": _csrf(shown)} | self.chance.choice(
                    [
                        {"turn": self.chance.randrange(1, 100)},
                        {"order": "p_sln"},
                        {"order": "patient", "turn": self.chance.randrange(1, 100)},
                        {"text": str(self.chance.randrange(1, 500))},
                        {"status": "unread"},
                        {"group": str(self.chance.choice(GROUPS)), "flagged": "1"},
                        {"clear": "1"},
                    ]
                )
                await self.ask("list filtered", "POST", "/worklist", good=(303,), data=wanted)
                shown = await self.ask("list", "GET", "/")
            await self.pause()
            tokens = re.findall(r'href="/axillae/([\w-]+)" aria-label="Case', shown)
            if tokens:
                await self.read(self.chance.choice(tokens))
            else:
                fields = {"csrf": _csrf(shown), "clear": "1"}
                await self.ask("list filtered", "POST", "/worklist", good=(303,), data=fields)

    async def read(self, token: str) -> None:
        """Look at a case and record something."""
        shown = await self.ask("case", "GET", f"/axillae/{token}")
        images = sorted(set(re.findall(r"/pictures/([\w-]+)/", shown)))
        for kind in ("bmode", "elasto"):
            for image in images[:1]:
                await self.ask("picture", "GET", f"/pictures/{image}/{kind}", good=(200, 304))
        await self.pause()
        if self.chance.random() < 0.1:
            await self.ask("sheet", "GET", f"/axillae/{token}/sheet.pdf")
        seen = re.search(r'name="seen" value="(\d+)"', shown)
        fields: dict[str, object] = {
            "csrf": _csrf(shown),
            "seen": seen[1] if seen else 0,
            "key": secrets.token_hex(8),
        } | self.chance.choice(
            [
                {"act": str(Act.ACCEPT)},
                {"act": str(Act.COMMENT), "reason": "Seen under load; größer als im Befund."},
                {"act": str(Act.OPINION), "group": str(self.chance.choice(GROUPS)), "p_sln": "40", "p_nsln": "10"},
            ]
        )
        await self.ask("act", "POST", f"/axillae/{token}/acts", good=(303, 409), data=fields)
        await self.ask("case", "GET", f"/axillae/{token}")
        await self.pause()


def _csrf(text: str) -> str:
    found = re.search(r'data-csrf="([0-9a-f]*)"', text)
    return found[1] if found else ""


async def _all(readers: list[Reviewer], seconds: float) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(one.work(until) for one in readers))
    for one in readers:
        await one.client.aclose()


def run(url: str, folder: Path, *, count: int, reviewers: int, seconds: float, think_s: float) -> bool:
    """Prepare, serve, read, and tell; whether everything holds."""
    begun = time.monotonic()
    prepare(url, folder, count, reviewers)
    say(f"{url.split(':')[0]}: {count} axillae prepared in {time.monotonic() - begun:.0f} s")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time()
    server = subprocess.Popen([sys.executable, "-m", "tests.review.load", "--serve", url, "--port", str(port)])
    try:
        _wait(port)
        readers = [Reviewer(number, port, think_s) for number in range(reviewers)]
        asyncio.run(_all(readers, seconds))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    own = time.process_time() - own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    say(f"{reviewers} reviewers, {seconds:.0f} s, pauses of {think_s} s; ", end="")
    say(f"processor time: page {spent:.0f} s, reviewers {own:.0f} s")
    return _tell(readers) & _kept(url, readers)


def _tell(readers: list[Reviewer]) -> bool:
    taken: dict[str, list[float]] = defaultdict(list)
    for reader in readers:
        for kind, values in reader.taken.items():
            taken[kind] += values
    faults = sum((reader.faults for reader in readers), Counter())
    say(f"  {'milliseconds':14s}{'answers':>9s}{'median':>9s}{'p95':>9s}{'p99':>9s}{'slowest':>9s}")
    good = not faults
    for kind, values in taken.items():
        middle, high, higher = np.percentile(values, [50, 95, 99])
        limit = LIMITS_MS.get(kind, np.inf)
        mark = "" if limit == np.inf else f"  (95 % may take {limit:.0f}: {'held' if high < limit else 'NOT held'})"
        say(f"  {kind:14s}{len(values):9d}{middle:9.1f}{high:9.1f}{higher:9.1f}{max(values):9.1f}{mark}")
        good &= bool(high < limit)
    say(f"  faults: {json.dumps(faults) if faults else 'none'}")
    return good


def _kept(url: str, readers: list[Reviewer]) -> bool:
    said, told = sum(one.acts for one in readers), sum(one.conflicts for one in readers)
    store = open_store(url)
    with store.reading() as connection:
        log = schema.event
        query = select(func.count()).where(log.c.kind.in_([str(act) for act in Act]))
        kept = int(connection.scalar(query) or 0)
    begun = time.monotonic()
    report = check(store)
    store.close()
    say(f"  acts: {said} answered with yes, {kept} in the log, {told} readers told that somebody was quicker")
    say(f"  record: {'whole' if report.whole else 'NOT whole'}, checked in {time.monotonic() - begun:.1f} s")
    return said == kept and report.whole


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/sign-in", timeout=5)
            return
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def main() -> int:
    """Read the command line; 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axillae", type=int, default=5000)
    parser.add_argument("--reviewers", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--think", type=float, default=2.0, help="seconds between two steps, on average")
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite"])
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return 0
    sizes = {"count": options.axillae, "reviewers": options.reviewers}
    pace = {"seconds": 60 * options.minutes, "think_s": options.think}
    good = True
    for database in options.database:
        with tempfile.TemporaryDirectory(prefix="usdlr-load-") as name:
            base = Path(name)
            base.chmod(0o755)
            if database == "sqlite":
                good &= run(f"sqlite:///{base}/review.db", base, **sizes, **pace)
                continue
            programs = binaries()
            if programs is None:
                say("error: found no PostgreSQL, expected its programs; install postgresql")
                return 2
            (base / "data").mkdir()
            server = Server(base / "data", programs)
            try:
                good &= run(server.database(), base, **sizes, **pace)
            finally:
                server.stop("immediate")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
