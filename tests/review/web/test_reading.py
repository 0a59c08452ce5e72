"""What readers see and what is recorded."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from tests.review.store.made import model_record
from tests.review.web.made import PASSWORD, SECRETS, Browser, Made, made, pictures, records, told
from tests.review.web.test_list_page import printed
from usdlr.core.errors import DataError
from usdlr.core.types import RiskGroup
from usdlr.decision.wording import SIMULATED
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.review.acts import Act, Reading, Role, Status
from usdlr.review.settings import ReviewSettings
from usdlr.review.store.accounts import create_account
from usdlr.review.store.audit import events, verify
from usdlr.review.store.engine import Store, open_store
from usdlr.review.store.loading import load_axillae, load_model
from usdlr.review.store.reading import state
from usdlr.review.web.app import create_app
from usdlr.review.web.forms import probability_of

SQUARE = [[[40.0, 100.0], [40.0, 190.0], [140.0, 190.0], [140.0, 100.0]]]


def test_a_page_shows_the_words_and_numbers_of_the_record(site: Made) -> None:
    record = site.records[0]
    text = unescape(site.client("anna").get(f"/axillae/{record.token}").text)
    for wanted in (
        "USD-0001",
        "Köln",
        "71.3 %",
        "15.0 %",
        "66.3 to 76.3 %",
        "65.0 to 78.0 %",
        "P(NSLN positive | SLN positive, x)",
        told().reason,
        told().warnings[0],
        "18.3 mm",
        "not calibrated: no millimetres",
        "Nomogram says",
        "What the answer is made of",
        "not a medical device",
        "Cohort: 90.",
    ):
        assert wanted in text, wanted
    assert text.index(told().warnings[0]) < text.index("Contour</button>") < text.index("71.3 %")


def test_calipers_are_told_in_the_image_s_own_millimetres(site: Made) -> None:
    text = site.client("vera").get(f"/axillae/{site.records[0].token}").text
    found = json.loads(unescape(re.findall(r'data-viewer="([^"]*)"', text)[0]))
    first, second = found["images"]
    # 90 columns and 72 rows of 0.1 mm.
    assert first["caliper_words"] == ["9.0 mm", "7.2 mm"]
    assert second["caliper_words"] == ["", ""]
    assert second["row_mm"] is None


def test_verdicts_are_recorded_with_all_that_was_said(site: Made) -> None:
    anna, token = site.client("anna"), site.records[3].token
    assert anna.act(token, 1, "accept").headers["location"] == f"/axillae/{token}?said=accept"
    assert "Recorded: Accepted." in anna.get(f"/axillae/{token}?said=accept").text
    ben = site.client("ben")
    done = ben.act(token, 2, "modify", group="HR-SLN/HR-NSLN", reason="Thick <b>cortex</b>.", p_sln="", p_nsln="")
    assert done.status_code == 303
    found = state(site.store, token)
    assert found.status is Status.DISAGREED
    assert [(one.account, one.act, one.group) for one in found.verdicts] == [
        ("anna", Act.ACCEPT, RiskGroup.HR_SLN_LR_NSLN),
        ("ben", Act.MODIFY, RiskGroup.HR_SLN_HR_NSLN),
    ]
    text = anna.get(f"/axillae/{token}").text
    assert "Thick &lt;b&gt;cortex&lt;/b&gt;." in text
    assert "<b>cortex" not in text
    assert "adjudicate" not in text.lower().replace("adjudicated", ""), "who took sides does not decide"
    cleo = site.client("cleo")
    assert "Readers disagree: adjudicate" in cleo.get(f"/axillae/{token}").text
    assert cleo.act(token, 3, "adjudicate", group="HR-SLN/HR-NSLN", reason="I agree with Ben.").status_code == 303
    assert state(site.store, token).status is Status.ADJUDICATED
    assert verify(site.store).whole


def test_a_request_sent_twice_counts_once(site: Made) -> None:
    anna, token = site.client("anna"), site.records[4].token
    for _ in range(2):
        assert anna.act(token, 1, "comment", reason="Once.", key="the-same-key").status_code == 303
    assert [event.kind for event in events(site.store, token=token)] == ["loaded", "comment"]


def test_who_is_late_learns_who_was_quicker_and_loses_nothing(site: Made) -> None:
    anna, ben, token = site.client("anna"), site.client("ben"), site.records[5].token
    assert anna.act(token, 1, "reject", reason="Wrong side.").status_code == 303
    late = ben.act(token, 1, "modify", group="LR-SLN", reason='My "long" reason & more')
    assert late.status_code == 409
    text = unescape(late.text)
    assert "Dr Anna" in text
    assert "Rejected" in text
    assert 'My "long" reason & more' in text
    assert "LR-SLN" in text
    assert len(state(site.store, token).verdicts) == 1
    again = dict(re.findall(r'name="(seen|key|act|group)" value="([^"]*)"', late.text))
    assert ben.submit(f"/axillae/{token}/acts", {**again, "reason": "Still so."}).status_code == 303
    assert [one.reason for one in state(site.store, token).verdicts] == ["Wrong side.", "Still so."]


@pytest.mark.parametrize(
    ("kind", "fields", "wanted"),
    [
        ("reject", {"reason": "  "}, "found no reason"),
        ("modify", {"group": "HR-SLN/LR-NSLN", "reason": "r"}, "own group"),
        ("modify", {"group": "nonsense", "reason": "r"}, "no risk group"),
        ("opinion", {"group": "LR-SLN", "p_sln": "140"}, "from 0 to 100"),
        ("defer", {"reason": "r", "colleague": "vera"}, "no such colleague"),
        ("contour", {}, "expected one of the page"),
        ("adjudicate", {"group": "LR-SLN", "reason": "r"}, "no disagreement"),
    ],
)
def test_what_cannot_be_recorded_is_explained(site: Made, kind: str, fields: dict[str, str], wanted: str) -> None:
    token = site.records[6].token
    answer = site.client("anna").act(token, 1, kind, **fields)
    assert answer.status_code == 422
    assert wanted in unescape(answer.text)
    assert state(site.store, token).version == 1


def test_a_redrawn_contour_is_predicted_and_recorded(site: Made) -> None:
    record = site.records[7]
    anna = site.client("anna")
    answer = anna.redraw(record.token, record.images[0].token, 1, SQUARE, key="contour-key")
    assert answer.status_code == 200, answer.text
    sent = answer.json()
    assert sent["version"] == 2
    assert "50.4 %" in sent["side"], "four points: 0.5 + 4/1000"
    assert json.loads(sent["viewer"])["images"][0]["contour"] == SQUARE
    found = state(site.store, record.token)
    assert found.outlines[record.images[0].token] == tuple(tuple(map(tuple, line)) for line in SQUARE)
    assert found.answer.stages[0].probability == pytest.approx(0.504)
    assert "50.4 %" in anna.get(f"/axillae/{record.token}").text
    # The line broke after it was recorded: the browser sends the same again.
    assert anna.redraw(record.token, record.images[0].token, 1, SQUARE, key="contour-key").status_code == 200
    assert state(site.store, record.token).version == 2
    late = site.client("ben").redraw(record.token, record.images[1].token, 1, SQUARE)
    assert late.status_code == 409
    assert "Dr Anna was quicker" in late.json()["message"]
    assert late.json()["version"] == 2


@pytest.mark.parametrize(
    "outlines",
    [
        [[[1, 2], [3, float("nan")], [5, 6]]],
        [[[1, 2], [3, 1e300], [5, 6]]],
        [[["a", 2], [3, 4], [5, 6]]],
        [[[1, 2, 3]] * 4],
        "text",
        None,
        [[[0, 0]] * 5001],
    ],
)
def test_hostile_contours_reach_no_model(site: Made, outlines: object) -> None:
    record, asked = site.records[8], len(site.oracle.asked)
    browser = site.client("anna")
    body = json.dumps({"seen": 1, "key": "hostile-key", "outlines": outlines})
    headers = {
        "Origin": "http://127.0.0.1",
        "Content-Type": "application/json",
        "X-CSRF-Token": browser.token("/account"),
    }
    answer = browser.post(f"/axillae/{record.token}/contours/{record.images[0].token}", content=body, headers=headers)
    assert answer.status_code == 422
    assert "message" in answer.json()
    assert len(site.oracle.asked) == asked
    assert state(site.store, record.token).version == 1
    other = site.records[9].images[0].token
    assert browser.redraw(record.token, other, 1, SQUARE).status_code == 404


def test_what_a_contour_s_fault_is_reaches_the_reader(site: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DataError("found an empty contour, expected tissue inside; draw it again")

    monkeypatch.setattr(site.oracle, "predict", refuse)
    record = site.records[8]
    answer = site.client("anna").redraw(record.token, record.images[0].token, 1, SQUARE)
    assert answer.status_code == 422
    assert "draw it again" in answer.json()["message"]


def test_images_are_left_out_and_taken_in(site: Made) -> None:
    record, anna = site.records[10], site.client("anna")
    path = f"/axillae/{record.token}/images"
    form = {"seen": 1, "key": "images-key-1"}
    assert anna.submit(path, {**form, "used": [record.images[1].token]}).status_code == 303
    assert state(site.store, record.token).used == (record.images[1].token,)
    assert anna.submit(path, {**form, "key": "images-key-2", "seen": 2}).status_code == 422
    late = anna.submit(path, {**form, "key": "images-key-3", "used": [record.images[0].token]})
    assert late.status_code == 409
    assert "not recorded" in late.text


def test_pictures_are_sent_once(site: Made) -> None:
    browser, image = site.client("vera"), site.records[0].images[0].token
    for kind in ("bmode", "elasto", "thumbnail"):
        first = browser.get(f"/pictures/{image}/{kind}")
        assert first.content.startswith(b"\x89PNG")
        assert first.headers["content-type"] == "image/png"
        assert first.headers["cache-control"] == "private, no-cache"
        again = browser.get(f"/pictures/{image}/{kind}", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert not again.content
    assert browser.get(f"/pictures/{image}/mask").status_code == 422
    assert browser.get(f"/axillae/{site.records[0].token}/maps/map-sln-bmode-1").content.startswith(b"\x89PNG")


def test_the_list_filters_without_an_address(site: Made) -> None:
    anna = site.client("anna")
    token = site.records[11].token
    anna.act(token, 1, "comment", reason="x")
    assert anna.submit("/worklist", {"status": "started", "text": "usd-0012"}).headers["location"] == "/"
    rows = re.findall(r'aria-label="Case (\d+)"', anna.get("/").text)
    assert rows == ["12"]
    part = anna.post(
        "/worklist",
        data={"csrf": anna.token("/account"), "order": "patient"},
        headers={"Origin": "http://127.0.0.1", "HX-Request": "true"},
    )
    assert part.text.startswith('<div id="list">')
    assert 'aria-sort="ascending"' in part.text
    # Another session has its own view.
    assert len(re.findall(r'aria-label="Case (\d+)"', site.client("ben").get("/").text)) == 24


def test_administration(site: Made) -> None:
    boss = site.client("boss")
    made_now = {"name": "nina", "display": "Dr Nina", "role": "viewer", "password": "a long enough phrase"}
    assert boss.submit("/admin/accounts", made_now).headers["location"] == "/admin/accounts?said=made"
    assert boss.submit("/admin/accounts", made_now).status_code == 422
    nina = Browser(site.app)
    assert nina.sign_in("nina", "a long enough phrase").status_code == 303
    number = re.search(
        r"/admin/accounts/(\d+)/role\"[^>]*>.{0,400}?Role of Dr Nina", boss.get("/admin/accounts").text, re.S
    )
    assert number is not None
    assert boss.submit(f"/admin/accounts/{number[1]}/close").status_code == 303
    assert nina.get("/").status_code == 303, "its session ended with it"
    own = site.accounts["boss"].id
    assert boss.submit(f"/admin/accounts/{own}/close").status_code == 404
    checked = boss.submit("/admin/audit/verify")
    assert f"All {len(events(site.store, limit=10_000))} entries are as they were written" in checked.text
    taken = boss.submit("/admin/exports")
    with zipfile.ZipFile(io.BytesIO(taken.content)) as archive:
        assert {"reviews.csv", "reviews.parquet", "events.csv", "anchor.json"} <= set(archive.namelist())
        assert "USD-0001" in set(pd.read_csv(archive.open("reviews.csv"))["patient_id"])
    assert events(site.store, limit=10_000)[-1].kind == "export"


def test_a_sheet_of_paper(site: Made) -> None:
    answer = site.client("vera").get(f"/axillae/{site.records[0].token}/sheet.pdf")
    assert answer.content.startswith(b"%PDF")
    assert "USD" not in answer.headers["content-disposition"]


def test_a_hidden_reading_sends_nothing_before_the_own_opinion(hidden: Made) -> None:
    record = hidden.records[0]
    ben = hidden.client("ben")
    assert ben.act(record.token, 1, "opinion", group="LR-SLN", p_sln="12,5").status_code == 303
    assert ben.act(record.token, 2, "modify", group="HR-SLN/HR-NSLN", reason="Ben's secret reason").status_code == 303
    for name in ("anna", "vera", "boss"):
        browser = hidden.client(name)
        bodies = [
            browser.get(path)
            for path in ("/", f"/axillae/{record.token}", "/help", f"/axillae/{hidden.records[1].token}")
        ]
        if name == "anna":
            asked = len(hidden.oracle.asked)
            drawn = browser.redraw(hidden.records[1].token, hidden.records[1].images[0].token, 1, SQUARE)
            chosen = browser.submit(
                f"/axillae/{hidden.records[1].token}/images",
                {"seen": 1, "key": "request-images", "used": hidden.records[1].images[0].token},
            )
            # What the model makes of a contour, or of fewer images, is its answer.
            assert (drawn.status_code, chosen.status_code) == (422, 422)
            assert len(hidden.oracle.asked) == asked
            bodies += [drawn, chosen, browser.get(f"/axillae/{hidden.records[1].token}")]
            late = browser.act(record.token, 1, "opinion", group="LR-SLN")
            assert late.status_code == 409
            bodies.append(late)
        for body in bodies:
            for secret in (*SECRETS, "50.4", "Ben&#39;s secret", "Ben's secret", "Modified", "HR-NSLN\u2014"):
                if secret == "Modified" and body.url.path == "/help":
                    continue
                assert secret.encode() not in body.content, (name, body.url.path, secret)
        assert browser.get(f"/axillae/{record.token}/maps/map-sln-bmode-1").status_code == 404
        assert browser.get(f"/axillae/{record.token}/sheet.pdf").status_code == 404
    anna = hidden.client("anna")
    assert anna.act(record.token, 3, "accept").status_code == 422, "no verdict before the opinion"
    assert anna.act(record.token, 3, "opinion", group="LR-SLN", p_sln="20").status_code == 303
    text = anna.get(f"/axillae/{record.token}").text
    for wanted in ("71.3 %", "Ben&#39;s secret", "map-sln-bmode-1", "Nomogram says"):
        assert wanted in text, wanted
    assert anna.get(f"/axillae/{record.token}/maps/map-sln-bmode-1").status_code == 200


def test_a_hidden_reading_tells_what_the_picture_is_like_but_no_warning(tmp_path: Path) -> None:
    strange, kept, box = told().warnings[0], AUTOMATIC_CONTOUR, told().flags[0]
    answers = [
        replace(told(), warnings=(strange, kept), flags=(box,)),
        replace(told(), warnings=(strange,), flags=()),
        replace(told(), warnings=(), flags=(box,)),
    ]
    made_up = [replace(one, answer=answer) for one, answer in zip(records(tmp_path, 3), answers, strict=True)]
    pictures(tmp_path)
    store = open_store(f"sqlite:///{tmp_path}/review.db")
    load_model(store, model_record())
    load_axillae(store, made_up)
    for name in ("anna", "ben"):
        create_account(store, name, f"Dr {name.title()}", Role.REVIEWER, PASSWORD, by=None)
    app = create_app(store, settings=ReviewSettings(reading=Reading.HIDDEN), live=None)
    anna, ben = Browser(app), Browser(app)
    assert {anna.sign_in("anna").status_code, ben.sign_in("ben").status_code} == {303}
    token = made_up[0].token

    def seen(browser: Browser) -> tuple[str, str, list[str]]:
        browser.submit("/worklist", {"flagged": "1"})
        filtered = sorted(re.findall(r'aria-label="Case (\d+)"', browser.get("/").text))
        browser.submit("/worklist", {"clear": "1"})
        return unescape(browser.get(f"/axillae/{token}").text), browser.get("/").text, filtered

    case, rows, filtered = seen(anna)
    assert strange not in case
    assert kept in case
    assert box in case
    assert 'class="warned"' not in rows
    assert rows.count('class="flagged"') == 2
    assert filtered == ["1", "3"], "a filter that finds warnings tells them"
    assert "warning" not in printed(anna.get("/worklist.pdf").content).replace("a warning belongs", "")
    assert anna.act(token, 1, "opinion", group="LR-SLN").status_code == 303
    assert anna.act(made_up[1].token, 1, "opinion", group="LR-SLN").status_code == 303
    case, rows, filtered = seen(anna)
    assert strange in case
    assert rows.count('class="warned"') == 2
    assert filtered == ["1", "2", "3"]
    case, rows, filtered = seen(ben)
    assert strange not in case
    assert 'class="warned"' not in rows
    store.close()


def test_in_a_hidden_reading_nobody_sorts_by_the_answer(hidden: Made) -> None:
    cleo = hidden.client("cleo")
    order = re.findall(r'aria-label="Case (\d+)"', cleo.get("/").text)
    cleo.submit("/worklist", {"order": "p_sln"})
    assert re.findall(r'aria-label="Case (\d+)"', cleo.get("/").text) == order
    cleo.submit("/worklist", {"group": "HR-SLN/LR-NSLN"})
    assert len(re.findall(r'aria-label="Case (\d+)"', cleo.get("/").text)) == len(order)


@pytest.mark.parametrize("text", ["-1", "101", "1e2", "nan", "٣", "1.2.3", "0x1"])
def test_probabilities_that_are_none(text: str) -> None:
    with pytest.raises(Exception, match="from 0 to 100"):
        probability_of(text)


def test_a_store_that_does_not_answer_is_told_so(site: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = site.client("anna")

    def gone(self: Store) -> None:
        raise DataError("found the review database unable to answer, expected it to read and write; send it again")

    monkeypatch.setattr(Store, "reading", gone)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "unable to answer" in answer.text


def test_a_verdict_is_not_taken_over_to_an_answer_that_was_not_seen(site: Made) -> None:
    record = site.records[15]
    anna, ben = site.client("anna"), site.client("ben")
    assert ben.redraw(record.token, record.images[0].token, 1, SQUARE).status_code == 200
    answer = anna.act(record.token, 1, "reject", reason="What I typed")
    assert answer.status_code == 409
    assert "Record it all the same" not in answer.text
    assert "What I typed" in answer.text
    assert "(on an earlier answer)" not in anna.get(f"/axillae/{record.token}").text
    assert anna.act(record.token, 2, "accept").status_code == 303
    wider = [[point[0] + 1, point[1]] for point in SQUARE[0]]
    assert ben.redraw(record.token, record.images[0].token, 3, [[*wider, [30.0, 60.0]]]).status_code == 200
    assert "(on an earlier answer)" in anna.get(f"/axillae/{record.token}").text


def test_the_model_is_not_asked_of_a_case_that_has_changed(site: Made) -> None:
    record = site.records[17]
    anna, ben = site.client("anna"), site.client("ben")
    assert ben.redraw(record.token, record.images[0].token, 1, SQUARE, key="request-of-ben").status_code == 200
    asked = len(site.oracle.asked)
    assert anna.redraw(record.token, record.images[0].token, 1, SQUARE).status_code == 409
    # A request whose answer was lost on the way is answered as recorded.
    assert ben.redraw(record.token, record.images[0].token, 1, SQUARE, key="request-of-ben").status_code == 200
    assert len(site.oracle.asked) == asked
    assert len([one for one in events(site.store, token=record.token) if one.kind == "contour"]) == 1


def test_the_part_that_waits_does_not_belong_to_another_answer(site: Made) -> None:
    token = site.records[16].token
    anna = site.client("anna")
    assert "has changed since" not in anna.get(f"/axillae/{token}/below?seen=1").text
    anna.act(token, 1, "comment", reason="Look.")
    assert "has changed since" in anna.get(f"/axillae/{token}/below?seen=1").text


def test_a_page_that_asks_by_itself_keeps_no_session_awake(tmp_path: Path) -> None:
    found = made(tmp_path, count=1)
    start, moved = found.store.clock(), [0.0]
    found.store.clock = lambda: start + timedelta(minutes=moved[0])
    anna = found.client("anna")
    token = found.records[0].token
    asks = {"X-Usdlr-Background": "1"}
    for minute in (10, 20, 29):
        moved[0] = minute
        for part in ("below", "archive"):
            assert anna.get(f"/axillae/{token}/{part}?seen=1", headers=asks).status_code == 200
    moved[0] = 31
    over = anna.get(f"/axillae/{token}/below?seen=1", headers=asks)
    # In place of the part that asks, and of nothing else; it does not ask again.
    assert (over.status_code, over.headers["hx-retarget"], over.headers["hx-reswap"]) == (401, "this", "outerHTML")
    assert "Your session is over" in over.text
    assert "hx-" not in over.text
    assert "<form" not in over.text
    # What somebody does keeps it awake.
    again = found.client("anna")
    for minute in (50, 75, 100):
        moved[0] = minute
        assert again.get(f"/axillae/{token}/below?seen=1").status_code == 200
    found.store.close()


def test_a_page_asks_for_ten_minutes(site: Made) -> None:
    class Never:
        def first(self, token: str) -> None: ...

        def failed(self, token: str) -> bool:
            return False

    app = create_app(site.store, settings=ReviewSettings(), live=None, ahead=Never())
    browser, path = Browser(app), f"/axillae/{site.records[23].token}/below?seen=1"
    assert browser.sign_in("anna").status_code == 303
    asked = 0
    text = browser.get(f"/axillae/{site.records[23].token}").text
    while 'hx-trigger="every 4s"' in text:
        assert '"X-Usdlr-Background": "1"' in text
        asked += 1
        assert f"asked={asked}" in unescape(text)
        text = browser.get(f"{path}&asked={asked}").text
    assert asked * 4 == 600
    assert "has stopped asking" in text
    assert "Look again" in text
    assert 'hx-trigger="every 4s"' in browser.get(path).text
    assert browser.get(f"{path}&asked=-1").status_code == 422


def test_marks_are_those_of_the_cases_own_model(tmp_path: Path) -> None:
    found = made(tmp_path)
    try:
        real = replace(model_record("f" * 64), simulated=False, cohort="Cohort: REAL 400.")
        load_model(found.store, real)
        anna = found.client("anna")
        case = anna.get(f"/axillae/{found.records[0].token}").text
        assert SIMULATED in case
        assert "REAL 400" not in case
        assert SIMULATED in anna.get("/").text
    finally:
        found.store.close()
