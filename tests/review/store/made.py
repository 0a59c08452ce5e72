"""Axillae, models and accounts without a bundle or images: what the store needs to be tested."""

from __future__ import annotations

import hashlib
import random
import secrets
from dataclasses import replace
from typing import Any

from usdlr.core.types import MaskSource, RiskGroup, Side, Site, SpacingSource, Stage
from usdlr.review.acts import Account, Act, Action, Opinion, Role
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, ModelRecord, StageValue
from usdlr.review.store import schema
from usdlr.review.store.engine import Store
from usdlr.review.store.people import make

DIGEST = hashlib.sha256(b"first").hexdigest()
LATER = hashlib.sha256(b"second").hexdigest()
SQUARE = (((10.0, 10.0), (10.0, 20.0), (20.0, 20.0), (20.0, 10.0)),)
PASSWORD = "correct horse battery"
GROUPS = list(RiskGroup)


def answered(group: RiskGroup = RiskGroup.LR_SLN, p_sln: float = 0.123, p_nsln: float = 0.3, **more: Any) -> Answered:
    stages = (
        StageValue(Stage.SLN, p_sln, 0.15, max(0.0, p_sln - 0.05), min(1.0, p_sln + 0.05), True),
        StageValue(Stage.NSLN, p_nsln, 0.4, max(0.0, p_nsln - 0.1), min(1.0, p_nsln + 0.1), False, (0.1, 0.6)),
    )
    settings: dict[str, Any] = {"contract": "certified", "reason": "A reason.", "diameter_mm": 18.3} | more
    return Answered(group=group, stage_reached=Stage.SLN, stages=stages, **settings)


def axilla_record(number: int = 1, *, digest: str = DIGEST, images: int = 2, **more: Any) -> AxillaRecord:
    patient = str(more.pop("patient_id", f"USD-{number:04d}"))
    drawn_by = more.pop("mask_source", MaskSource.READER)
    shots = tuple(
        ImageRecord(
            token=secrets.token_urlsafe(16),
            image_id=f"{patient}-{index}",
            number=index,
            site=Site.TUMOUR,
            view="radial",
            rows=200,
            columns=300,
            row_mm=0.1,
            col_mm=0.12,
            spacing_source=SpacingSource.DICOM_REGION,
            mask_source=drawn_by,
            modalities=("bmode", "elasto"),
            unit="kPa",
            limit=180.0,
            paths={"bmode": f"images/{index}.png"},
            root="/data",
            contour=SQUARE,
        )
        for index in range(1, images + 1)
    )
    settings: dict[str, Any] = {
        "token": secrets.token_urlsafe(16),
        "number": number,
        "patient_id": patient,
        "side": Side.LEFT,
        "centre_id": "Köln",
        "answer": answered(),
        "images": shots,
        "clinical": (("Age", "57 years"),),
        "bundle_id": digest[:12],
        "digest": digest,
        "row": {"age_years": 57.0, "birads": float("nan"), "bmode_path": "images/1.png"},
    }
    return AxillaRecord(**settings | more)


def many(count: int, seed: int = 0) -> list[AxillaRecord]:
    """A list with every group, warning and centre in it."""
    chance = random.Random(seed)
    found = []
    for number in range(1, count + 1):
        group = chance.choice(GROUPS)
        answer = answered(
            group,
            chance.random(),
            chance.random(),
            warnings=("Another centre.",) if chance.random() < 0.2 else (),
            flags=("Contour repaired.",) if chance.random() < 0.3 else (),
            contract=chance.choice(["certified", "not_certifiable"]),
        )
        record = axilla_record(number, images=1, answer=answer, centre_id=chance.choice(["Köln", "A_Coruña", "100%"]))
        found.append(replace(record, side=chance.choice([Side.LEFT, Side.RIGHT])))
    return found


def model_record(digest: str = DIGEST) -> ModelRecord:
    return ModelRecord(
        digest[:12], digest, "demo", True, "Cohort: 90.", ("Sentence.",), "certified", (), 5.0, ("bmode", "elasto")
    )


def people(store: Store, *names: str, role: Role = Role.REVIEWER) -> list[Account]:
    """Accounts without passwords: hashing takes longer than the tests."""
    with store.writing() as connection:
        return [make(connection, store, "usdlr", name=name, display=f"Dr {name.title()}", role=role) for name in names]


def key() -> str:
    return secrets.token_urlsafe(16)


def wish(act: Act, token: str, seen: int, **more: Any) -> Action:
    """A complete request of this kind."""
    filled: dict[Act, dict[str, Any]] = {
        Act.OPINION: {"opinion": Opinion(RiskGroup.LR_SLN, 0.2, 0.1)},
        Act.ACCEPT: {},
        Act.REJECT: {"reason": "Wrong lesion."},
        Act.MODIFY: {"reason": "Thick cortex.", "opinion": Opinion(RiskGroup.HR_SLN_LR_NSLN, 0.7, 0.2)},
        Act.DEFER: {"reason": "Please look."},
        Act.COMMENT: {"reason": "Noted."},
        Act.CONTOUR: {"outlines": SQUARE, "answer": answered(p_sln=0.14)},
        Act.CONFIRM: {},
        Act.IMAGES: {"answer": answered(p_sln=0.13)},
        Act.ADJUDICATE: {"reason": "Agreed.", "opinion": Opinion(RiskGroup.HR_SLN_HR_NSLN, 0.8, 0.7)},
    }
    settings: dict[str, Any] = {"key": key()} | filled[act] | more
    return Action(act=act, token=token, seen=seen, **settings)


def emptied(store: Store) -> None:
    """Take the guards away, as somebody with the database in hand can."""
    if store.sqlite:
        with store.engine.connect() as connection:
            names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='trigger'").scalars().all()
            for name in names:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.commit()
    else:
        with store.engine.begin() as connection:
            for table in (schema.event.name, schema.head.name):
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
