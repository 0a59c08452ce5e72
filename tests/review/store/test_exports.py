"""Exports: complete, safe for spreadsheets, and what the reader study reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.review.store.made import answered, axilla_record, people, wish
from usdlr.core.types import RiskGroup
from usdlr.evaluation.readers import COLUMNS, reader_study
from usdlr.review.acts import Account, Act, Opinion, Reading
from usdlr.review.records import AxillaRecord
from usdlr.review.store.acting import Done, act
from usdlr.review.store.audit import Anchor, events, verify
from usdlr.review.store.engine import Store
from usdlr.review.store.exports import events_table, reader_scores, reviews_table, write_exports
from usdlr.review.store.loading import load_axillae
from usdlr.review.store.reading import state

HIGH = RiskGroup.HR_SLN_LR_NSLN


def _do(store: Store, record: AxillaRecord, account: Account, kind: Act, **more: Any) -> None:
    seen = state(store, record.token).version
    found = act(store, wish(kind, record.token, seen, **more), account, reading=Reading.HIDDEN)
    assert isinstance(found, Done)


def test_reader_scores_give_the_study_its_aucs(file_store: Store) -> None:
    random = np.random.default_rng(4)
    cases, readers = 24, people(file_store, "anna", "bert", "clara")
    truth = np.arange(cases) % 2
    model = np.clip(0.5 + 0.2 * (truth - 0.5) + random.normal(0, 0.2, cases), 0.01, 0.99)
    records = [axilla_record(n + 1, images=1, answer=answered(p_sln=float(p))) for n, p in enumerate(model)]
    load_axillae(file_store, records)
    alone, both = np.zeros((3, cases)), np.zeros((3, cases))
    for r, account in enumerate(readers):
        for c, record in enumerate(records):
            own = float(np.clip(0.5 + 0.1 * (truth[c] - 0.5) + random.normal(0, 0.25), 0.0, 1.0))
            _do(file_store, record, account, Act.OPINION, opinion=Opinion(HIGH, own))
            alone[r, c] = own
            how = (r + c) % 3
            if how == 0:
                _do(file_store, record, account, Act.ACCEPT)
                both[r, c] = model[c]
            elif how == 1:
                _do(file_store, record, account, Act.REJECT)
                both[r, c] = own
            else:
                both[r, c] = (own + model[c]) / 2
                _do(file_store, record, account, Act.MODIFY, opinion=Opinion(HIGH, float(both[r, c])))
    # One axilla more that only one reader has seen.
    extra = axilla_record(99)
    load_axillae(file_store, [extra])
    _do(file_store, extra, readers[0], Act.OPINION)
    scores = reader_scores(file_store)
    assert tuple(scores.columns) == COLUMNS
    assert len(scores) == 3 * 3 * cases
    assert scores.attrs["left_out"] == 1
    labels = pd.DataFrame({"patient_id": [r.patient_id for r in records], "side": "left", "sln": truth})
    study = reader_study(scores, labels, reference="reader")
    for r, name in enumerate(["anna", "bert", "clara"]):
        assert study.auc.loc[name, "reader"] == pytest.approx(roc_auc_score(truth, alone[r]))
        assert study.auc.loc[name, "reader with usdlr"] == pytest.approx(roc_auc_score(truth, both[r]))
        assert study.auc.loc[name, "usdlr"] == pytest.approx(roc_auc_score(truth, model))
    assert len(reader_scores(file_store, complete=False)) == 3 * 3 * cases + 1


def test_an_opinion_with_the_answer_on_the_screen_is_no_reading_alone(file_store: Store) -> None:
    record = axilla_record()
    load_axillae(file_store, [record])
    anna = people(file_store, "anna")[0]
    assert isinstance(act(file_store, wish(Act.OPINION, record.token, 1), anna), Done)
    assert isinstance(act(file_store, wish(Act.ACCEPT, record.token, 2), anna), Done)
    assert set(reader_scores(file_store, complete=False)["modality"]) == {"reader with usdlr", "usdlr"}
    assert set(reader_scores(file_store, any_reading=True)["modality"]) == {"reader", "reader with usdlr", "usdlr"}


def test_the_first_opinion_counts_and_the_last_verdict(file_store: Store) -> None:
    record = axilla_record()
    load_axillae(file_store, [record])
    anna = people(file_store, "anna")[0]
    _do(file_store, record, anna, Act.OPINION, opinion=Opinion(HIGH, 0.7))
    _do(file_store, record, anna, Act.OPINION, opinion=Opinion(HIGH, 0.6))
    _do(file_store, record, anna, Act.ACCEPT)
    _do(file_store, record, anna, Act.REJECT)
    scores = reader_scores(file_store).set_index("modality")["score"]
    assert scores.to_dict() == {"reader": 0.7, "reader with usdlr": 0.6, "usdlr": 0.123}
    _do(file_store, record, anna, Act.OPINION, opinion=Opinion(HIGH, 0.4))
    assert reader_scores(file_store).set_index("modality")["score"]["reader with usdlr"] == 0.4
    _do(file_store, record, anna, Act.MODIFY, opinion=Opinion(HIGH))
    assert "reader with usdlr" not in set(reader_scores(file_store, complete=False)["modality"])


def test_reviews_have_a_row_per_verdict_and_one_for_the_unread(store: Store) -> None:
    records = [axilla_record(number) for number in (1, 2, 3)]
    load_axillae(store, records)
    anna, bert = people(store, "anna", "bert")
    _do(store, records[0], anna, Act.OPINION)
    _do(store, records[0], anna, Act.ACCEPT)
    _do(store, records[0], bert, Act.OPINION)
    _do(store, records[0], bert, Act.MODIFY)
    _do(store, records[1], anna, Act.COMMENT)
    table = reviews_table(store)
    assert table["number"].tolist() == [1, 1, 2, 3]
    assert table["reader"].tolist() == ["anna", "bert", "", ""]
    assert table["verdict_group"].tolist() == ["LR-SLN", "HR-SLN/LR-NSLN", "", ""]
    assert table["status"].tolist() == ["disagreed", "disagreed", "started", "unread"]
    assert table["own_p_sln"].tolist()[:2] == [0.2, 0.7]
    assert table["event"].isna().tolist() == [False, False, True, True]
    assert reviews_table(store).dtypes.equals(table.dtypes)


def test_files_are_harmless_exact_and_tell_where_the_log_ended(store: Store, tmp_path: Path) -> None:
    record = axilla_record(1, centre_id="@SUM(A1)")
    load_axillae(store, [record])
    anna = people(store, "anna")[0]
    risky = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1"]
    for reason in risky:
        _do(store, record, anna, Act.OPINION)
        _do(store, record, anna, Act.REJECT, reason=reason)
    paths = write_exports(store, tmp_path / "out", account=anna)
    assert sorted(path.name for path in paths) == sorted(
        [f"{name}.{kind}" for name in ("reviews", "events", "reader_scores") for kind in ("csv", "parquet")]
        + ["anchor.json"]
    )
    exact = pd.read_parquet(tmp_path / "out" / "reviews.parquet")
    assert exact["reason"].tolist() == ["\t=1"]
    assert exact["centre_id"].tolist() == ["@SUM(A1)"]
    shown = pd.read_csv(tmp_path / "out" / "reviews.csv")
    assert shown["reason"].tolist() == ["'\t=1"]
    assert shown["centre_id"].tolist() == ["'@SUM(A1)"]
    assert shown["p_sln"].tolist() == [0.123]
    end = json.loads((tmp_path / "out" / "anchor.json").read_text())
    assert verify(store, anchor=Anchor(**end)).whole
    last = events(store, limit=1000)[-1]
    assert (last.kind, last.account, last.number) == ("export", "anna", end["number"] + 1)


def test_exported_events_can_be_checked_by_anybody(store: Store) -> None:
    load_axillae(store, [axilla_record()])
    table = events_table(store)
    for row in table.to_dict("records"):
        plain = {name: row[name] for name in ("number", "at", "account", "kind", "token", "digest", "previous")}
        plain |= {"before": json.loads(row["before"]), "after": json.loads(row["after"])}
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == row["hash"]
    assert table["axilla"].tolist() == [1]


def test_empty_store_exports_tables_without_rows(store: Store, tmp_path: Path) -> None:
    write_exports(store, tmp_path)
    assert len(pd.read_parquet(tmp_path / "reviews.parquet")) == 0
    assert len(pd.read_csv(tmp_path / "reader_scores.csv")) == 0
