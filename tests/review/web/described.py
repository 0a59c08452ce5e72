"""Requests made from the page's own OpenAPI description: ``python -m tests.review.web.described [--minutes 60]``.

The page runs in a process of its own. Schemathesis makes requests for every operation, good ones and broken ones; most
name a case, an image or an account that exists and carry a valid token of their session, or nothing would get past the
door. Visitors change: administrator, reviewer, viewer, nobody. Told are: an answer of 500 and above or none at all; a
page given to whoever may not see it; an answer without the policy against foreign scripts; a record that is not whole.
"""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.review.web.made import Made, made
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Act, Role
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import SignedIn, accounts, start_session
from usdlr.review.store.checking import check
from usdlr.review.store.people import enable, is_disabled, set_role
from usdlr.review.web.security import LEAST, cookie_name

ROUND_S = 300.0
EXAMPLES = 25
RANKS = {"anybody": 0, str(Role.VIEWER): 1, str(Role.REVIEWER): 2, str(Role.ADMINISTRATOR): 3}
VISITORS = {"boss": 3, "anna": 2, "vera": 1, "": 0}


class Round:
    """One page, newly made, and what is asked of it.

    Parameters
    ----------
    folder : Path
        An empty one.
    chance : random.Random
        Chooses visitors and names.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.site: Made = made(folder, count=6)
        self.signed: dict[str, SignedIn] = {}
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.base = f"http://127.0.0.1:{self.port}"
        words = ["-m", "tests.review.load", "--serve", f"sqlite:///{folder}/review.db", "--port", str(self.port)]
        self.server = subprocess.Popen([sys.executable, *words])
        end = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{self.base}/sign-in", timeout=5)
                break
            except httpx.HTTPError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def sign_in(self) -> None:
        """New sessions for all: requests end some of them, close accounts and change roles."""
        store, now = self.site.store, {one.name: one for one in accounts(self.site.store)}
        for name in VISITORS:
            if not name:
                continue
            meant = self.site.accounts[name]
            if is_disabled(store, meant):
                enable(store, meant, by=None)
            if now[name].role is not meant.role:
                set_role(store, meant, meant.role, by=None)
            self.signed[name] = start_session(store, meant)

    def ask(self, case: Any) -> None:
        """Send one request as somebody, and look at the answer."""
        if case.operation.path.endswith("/role"):
            self.sign_in()  # the request before may have made an administrator of anybody
        name = self.chance.choice(list(VISITORS))
        signed = self.signed.get(name)
        cookies = {cookie_name(ReviewSettings()): signed.session} if signed else {}
        token = signed.csrf if signed else ""
        self._fit(case, token)
        headers = {"Origin": self.base, "X-CSRF-Token": token} if self.chance.random() < 0.9 else {}
        try:
            found = case.call(base_url=self.base, headers=headers, cookies=cookies, timeout=30, allow_redirects=False)
        except requests.RequestException as error:
            self._fault(case, f"no answer: {type(error).__name__}: {error}")
            return
        status, sent = found.status_code, {key.casefold(): value for key, value in found.headers.items()}
        self.answers[f"{case.operation.label} {status}"] += 1
        if status >= 500:
            self._fault(case, f"answered {status}")
        if status != 400 and "default-src 'none'" not in str(sent.get("content-security-policy", "")):
            self._fault(case, f"no policy with {status}")
        least = RANKS[case.operation.definition.raw.get(LEAST, str(Role.ADMINISTRATOR))]
        moved = "/sign-in" in str(sent.get("location", ""))
        if VISITORS[name] < least and status < 400 and not moved:
            self._fault(case, f"answered {status} to {name or 'nobody'}")

    def _fit(self, case: Any, token: str) -> None:
        """Mostly names that exist, a valid token and a version that may be the newest."""
        record = self.chance.choice(self.site.records)
        image = self.chance.choice(record.images)
        real = {"token": record.token, "image": image.token, "number": self.chance.randrange(1, 8)}
        path = case.path_parameters
        if path and self.chance.random() < 0.8:
            if "pictures" in case.operation.path:
                real["token"] = image.token
            path.update({key: value for key, value in real.items() if key in path})
        if isinstance(case.body, dict) and self.chance.random() < 0.9:
            if "csrf" in case.body or case.media_type != "application/json":
                case.body["csrf"] = token
            if "seen" in case.body and self.chance.random() < 0.7:
                case.body |= {"seen": self.chance.randrange(1, 4), "key": secrets.token_hex(8)}
            if "act" in case.body and self.chance.random() < 0.7:
                case.body |= {"act": str(self.chance.choice(list(Act))), "group": str(RiskGroup.LR_SLN), "reason": "–"}
                case.body |= {"p_sln": "", "p_nsln": "", "colleague": "", "image": image.token}
            if "used" in case.body and self.chance.random() < 0.7:
                case.body["used"] = [image.token]
            if "outlines" in case.body and self.chance.random() < 0.5:
                case.body["outlines"] = [[[10.0, 10.0], [10.0, 60.0], [60.0, 60.0], [60.0, 10.0]]]

    def _fault(self, case: Any, words: str) -> None:
        line = f"{case.operation.label}: {words}"
        if not any(one.startswith(line) for one in self.faults):
            self.faults.append(f"{line}\n    {case.as_curl_command()}")
            sys.stdout.write(f"FAULT {self.faults[-1]}\n")

    def fuzz(self, until: float) -> None:
        """Go through all operations again and again."""
        self.sign_in()
        boss = self.signed["boss"].session
        told = httpx.get(f"{self.base}/admin/openapi.json", cookies={cookie_name(ReviewSettings()): boss}, timeout=30)
        schema = schemathesis.openapi.from_dict(told.json())
        # Our own schema: each of its operations can be read, so each result is an `Ok`.
        operations: list[Any] = [one.ok() for one in schema.get_all_operations()]  # type: ignore[union-attr]
        while time.monotonic() < until:
            for operation in operations:
                self.sign_in()
                self._one(operation)
                if time.monotonic() > until:
                    break

    def _one(self, operation: Any) -> None:
        @seed(self.chance.randrange(2**32))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def asked(case: Any) -> None:
            self.ask(case)

        asked()

    def close(self) -> None:
        """Stop the page and check its record."""
        self.server.send_signal(signal.SIGTERM)
        self.server.wait(60)
        report = check(self.site.store)
        if not report.whole:
            self.faults.append(f"the record is not whole: {report}")
            sys.stdout.write(f"FAULT {self.faults[-1]}\n")
        self.site.store.close()


def main() -> int:
    """Read the command line; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, until = random.Random(options.seed), time.monotonic() + 60 * options.minutes
    answers: Counter[str] = Counter()
    faults: list[str] = []
    while time.monotonic() < until:
        with tempfile.TemporaryDirectory(prefix="usdlr-described-") as name:
            one = Round(Path(name), chance)
            try:
                one.fuzz(min(until, time.monotonic() + ROUND_S))
            finally:
                one.close()
            answers += one.answers
            faults += one.faults
        sys.stdout.write(f"{answers.total()} requests, {len(faults)} faults\n")
        sys.stdout.flush()
    for label, count in sorted(answers.items()):
        sys.stdout.write(f"  {label:60s}{count:7d}\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
