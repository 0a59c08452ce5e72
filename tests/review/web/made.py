"""A running review page with made-up axillae that have real pictures, and a model that can be foretold."""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.review.store.made import answered, axilla_record, model_record, people
from usdlr.core.types import RiskGroup
from usdlr.review.acts import Account, Role
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, Point
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.reading import load_axillae, load_model, put_explanation
from usdlr.review.web.app import create_app
from usdlr.review.web.site import Proposes

PASSWORD = "quiet green river 12"
BASE = "http://127.0.0.1"
SECRETS = ("71.3", "61.7", "0.713", "0.617", "HR-SLN/LR-NSLN is the answer", "Nomogram says", "contour-band", "map-sln")
"""What a hidden reading must not send: numbers, words and names that only the model's answer has."""

Outlines = Mapping[str, tuple[tuple[Point, ...], ...]]


@dataclass(frozen=True)
class Redrawn:
    """What the model says then."""

    answer: Answered
    images: tuple[ImageRecord, ...]


class Oracle:
    """A model whose answer tells how many points were drawn: no two contours look alike."""

    def __init__(self) -> None:
        self.asked: list[Outlines] = []

    def predict(self, record: AxillaRecord, *, outlines: Outlines, used: Sequence[str]) -> Redrawn:
        self.asked.append(outlines)
        points = sum(len(line) for lines in outlines.values() for line in lines)
        answer = told(p_sln=0.5 + points / 1000)
        images = tuple(replace(one, contour=outlines.get(one.token, one.contour)) for one in record.images)
        return Redrawn(answer, images)


def told(p_sln: float = 0.713) -> Answered:
    """The answer that a hidden reading hides."""
    found = answered(
        RiskGroup.HR_SLN_LR_NSLN,
        p_sln,
        0.617,
        reason="HR-SLN/LR-NSLN is the answer: research use only.",
        warnings=("Another centre than the model's: the contract is void here.",),
        flags=("calipers or text were painted over",),
    )
    first, second = found.stages
    return replace(found, stages=(replace(first, contour=(0.65, 0.78)), replace(second, reached=True)))


def pictures(folder: Path) -> None:
    """A grey lesion and a stiffness map of 200 rows and 300 columns."""
    (folder / "images").mkdir(parents=True)
    rows, columns = np.mgrid[:200, :300]
    noise = np.random.default_rng(3).normal(0, 14, (200, 300))
    away = np.hypot((rows - 95) / 0.8, columns - 150)
    grey = np.clip(np.where(away < 45, 45, 120) - rows / 4 + noise, 0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / "images" / "1.png"), grey)
    kilopascal = np.where(away < 90, 150 * np.exp(-((away / 55) ** 2)) + 12, 0)
    cv2.imwrite(str(folder / "images" / "e.png"), (kilopascal * 10).astype(np.uint16))


def records(folder: Path, count: int) -> list[AxillaRecord]:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)

    def oval(size: float) -> tuple[tuple[Point, ...], ...]:
        return (tuple((95 + 0.8 * size * float(np.sin(at)), 150 + size * float(np.cos(at))) for at in turn),)

    found = []
    for number in range(1, count + 1):
        record = axilla_record(number, answer=told(), images=2)
        images = tuple(
            replace(
                one,
                paths={"bmode": "images/1.png", "elasto": "images/e.png"},
                root=str(folder),
                contour=oval(45),
                ring=oval(90),
                calipers=(((95.0, 105.0), (95.0, 195.0)), ((59.0, 150.0), (131.0, 150.0))),
                row_mm=0.1 if one.number == 1 else None,
                col_mm=0.1 if one.number == 1 else None,
            )
            for one in record.images
        )
        more: dict[str, Any] = {"images": images, "comparators": (("Nomogram says", "61.7 %"),)}
        found.append(replace(record, **more))
    return found


def explanation(record: AxillaRecord) -> tuple[dict[str, Any], dict[str, bytes]]:
    blocks = [
        {"name": "bmode", "words": "B-mode, tumour", "adds": 0.81, "adds_text": "+0.81"},
        {"name": "clinical", "words": "Clinical", "adds": -0.4, "adds_text": "−0.40"},
        {"name": "elasto", "words": "Elastography", "adds": None, "adds_text": "absent"},
    ]
    stage = {
        "stage": "sln",
        "sentence": "P(SLN positive | x) 71.3 % is at or above its threshold.",
        "leading": "B-mode carries the answer.",
        "blocks": blocks,
        "base": {"words": "base value", "adds": -0.2, "adds_text": "−0.20"},
        "sum": {"words": "sum: calibrated log-odds", "adds": 0.21, "adds_text": "+0.21"},
        "features": [{"text": "Contrast in the ring: 12.1; +0.12"}],
        "changes": ["A size below 12 mm would take it below its threshold."],
        "notes": [],
    }
    maps = [{"picture": "map-sln-bmode-1", "stage": "sln", "modality": "bmode", "image": record.images[0].token}]
    heat = np.zeros((200, 300, 4), np.uint8)
    cv2.circle(heat, (150, 95), 40, (0, 94, 213, 200), -1)
    return {"stages": [stage], "maps": maps, "not_causes": "Shares are no causes."}, {
        "map-sln-bmode-1": cv2.imencode(".png", heat)[1].tobytes()
    }


@dataclass
class Made:
    """A page for tests."""

    store: Store
    app: FastAPI
    oracle: Oracle
    records: list[AxillaRecord]
    accounts: dict[str, Account]

    def client(self, name: str = "", *, password: str = PASSWORD) -> Browser:
        """A browser, signed in where a name is given."""
        found = Browser(self.app)
        if name:
            answer = found.sign_in(name, password)
            assert answer.status_code == 303, answer.text
        return found


class Browser(TestClient):
    """Does what a browser does by itself: says where a form comes from, keeps its token, follows nothing."""

    def __init__(self, app: FastAPI, client: tuple[str, int] = ("127.0.0.1", 50000)) -> None:
        super().__init__(app, base_url=BASE, follow_redirects=False, raise_server_exceptions=False, client=client)

    def token(self, path: str = "/") -> str:
        found = re.search(r'data-csrf="([0-9a-f]*)"', self.get(path).text)
        return found[1] if found else ""

    def submit(self, path: str, fields: Mapping[str, Any] | None = None, *, csrf: str | None = None) -> Any:
        given = self.token("/account") if csrf is None else csrf
        return self.post(path, data={"csrf": given, **(fields or {})}, headers={"Origin": BASE})

    def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> Any:
        return self.submit("/sign-in", {"name": name, "password": password, **more}, csrf=self.token("/sign-in"))

    def act(self, token: str, seen: int, kind: str, **fields: Any) -> Any:
        return self.submit(f"/axillae/{token}/acts", {"act": kind, "seen": seen, "key": secrets.token_hex(8), **fields})

    def redraw(self, token: str, image: str, seen: int, outlines: Any, key: str = "") -> Any:
        headers = {"Origin": BASE, "X-CSRF-Token": self.token("/account")}
        body = {"seen": seen, "key": key or secrets.token_hex(8), "outlines": outlines}
        return self.post(f"/axillae/{token}/contours/{image}", json=body, headers=headers)

    def scripted(self, path: str, body: Any) -> Any:
        """As the page's own scripts do."""
        return self.post(path, json=body, headers={"Origin": BASE, "X-CSRF-Token": self.token("/account")})


def made(
    folder: Path, *, count: int = 3, settings: ReviewSettings | None = None, proposing: Proposes | None = None
) -> Made:
    """A page with two reviewers, a viewer and an administrator; passwords only where a test signs in."""
    pictures(folder)
    store = open_store(f"sqlite:///{folder}/review.db")
    found = records(folder, count)
    load_model(store, model_record())
    load_axillae(store, found)
    for record in (*found[:2], *found[20:21]):
        put_explanation(store, record.token, *explanation(record))
    boss = create_account(store, "boss", "Dr Boss", Role.ADMINISTRATOR, PASSWORD, by=None)
    accounts = {"boss": boss}
    for name, role in (("vera", Role.VIEWER), ("anna", Role.REVIEWER), ("ben", Role.REVIEWER), ("cleo", Role.REVIEWER)):
        accounts[name] = create_account(store, name, f"Dr {name.title()}", role, PASSWORD, by=boss)
    (accounts["late"],) = people(store, "late")
    oracle = Oracle()
    app = create_app(store, settings=settings or ReviewSettings(), live=oracle, proposing=proposing)
    return Made(store, app, oracle, found, accounts)


@contextmanager
def served(app: FastAPI) -> Any:
    """The page on a free port of this computer, in a thread."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    limit = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < limit, "the page did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
