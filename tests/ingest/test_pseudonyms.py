"""Keyed pseudonyms, unique identifiers and dates; the key file."""

from __future__ import annotations

import contextlib
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.ingest.pseudonyms import (
    default_key_path,
    load_key,
    pseudonym,
    pseudonym_uid,
    shift_date,
    shift_datetime,
    shift_days,
)

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CALENDAR = st.dates(min_value=datetime(1902, 1, 1).date(), max_value=datetime(2090, 1, 1).date())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_a_pseudonym_says_nothing_but_whether_two_values_are_equal(one: str, two: str) -> None:
    first, second = pseudonym(KEY, "patient", one), pseudonym(KEY, "patient", two)
    assert re.fullmatch("[a-z2-7]{16}", first)
    assert (first == second) == (one == two)
    assert pseudonym(KEY, "patient", one) == first
    assert len({first, pseudonym(OTHER, "patient", one), pseudonym(KEY, "image", one)}) == 3


def test_kind_and_value_are_kept_apart() -> None:
    assert pseudonym(KEY, "a", "bc") != pseudonym(KEY, "ab", "c")


def test_ten_thousand_patients_keep_ten_thousand_pseudonyms() -> None:
    names = {pseudonym(KEY, "patient", str(number)) for number in range(10_000)}
    assert len(names) == 10_000
    # No digit of an id shines through: every position takes every letter.
    assert all(len({name[place] for name in names}) == 32 for place in range(16))


@pytest.mark.parametrize("length", [0, 9, 53])
def test_too_short_or_impossible_a_pseudonym_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="expected 10 to 52"):
        pseudonym(KEY, "patient", "x", length=length)


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"[12](\.(0|[1-9]\d{0,8})){2,6}", fullmatch=True))
def test_an_identifier_becomes_a_valid_identifier(uid: str) -> None:
    replaced = pseudonym_uid(KEY, uid)
    assert UID(replaced).is_valid
    assert replaced.startswith("2.25.")
    assert len(replaced) <= 64
    assert replaced == pseudonym_uid(KEY, uid) != pseudonym_uid(OTHER, uid)


def test_shifts_use_the_whole_range_and_are_never_zero() -> None:
    days = [shift_days(KEY, str(patient)) for patient in range(20_000)]
    assert 0 not in days
    assert (min(days), max(days)) == (-365, 365)
    assert abs(sum(day > 0 for day in days) / len(days) - 0.5) < 0.02
    assert shift_days(KEY, "a") == shift_days(KEY, "a") != shift_days(OTHER, "a")


@settings(max_examples=100, deadline=None)
@given(CALENDAR, CALENDAR, st.text(max_size=10))
def test_intervals_of_a_patient_stay(one: datetime, two: datetime, patient: str) -> None:
    days = shift_days(KEY, patient)
    moved = [datetime.strptime(shift_date(day.strftime("%Y%m%d"), days), "%Y%m%d").date() for day in (one, two)]
    assert moved[1] - moved[0] == two - one
    assert abs((moved[0] - one).days) in range(1, 366)


@pytest.mark.parametrize(
    ("value", "days", "expected"),
    [
        ("20240228", 2, "20240301"),
        ("20230228", 1, "20230301"),
        (" 20231231 ", 1, "20240101"),
        ("1994.11.05", -5, "19941031"),
    ],
)
def test_dates_move_over_month_leap_day_and_year(value: str, days: int, expected: str) -> None:
    assert shift_date(value, days) == expected


@pytest.mark.parametrize("value", ["20190124114254", "20190124114254.123456", "20190124114254.5-0400", "20190124"])
def test_a_time_of_day_goes_with_the_shift(value: str) -> None:
    assert shift_datetime(value, 10) == "20190203"


@pytest.mark.parametrize(
    "value", ["", "2019", "20191301", "20190230", "Citizen^Jan", "20190124-20190125", "２０１９０１２４"]
)
def test_what_is_no_date_is_refused_without_being_quoted(value: str) -> None:
    for shift in (shift_date, shift_datetime):
        with pytest.raises(DataError) as refused:
            shift(value, 3)
        assert not value or value not in str(refused.value)


@pytest.mark.parametrize(("value", "days"), [("00010101", -1), ("99991231", 1)])
def test_the_calendar_ends(value: str, days: int) -> None:
    with pytest.raises(DataError):
        shift_date(value, days)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.integers(-365, 365))
def test_no_text_escapes_as_another_error(value: str, days: int) -> None:
    for shift in (shift_date, shift_datetime):
        with contextlib.suppress(InputError):
            shift(value, days)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("USDLR_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_the_users_own_key_is_made_once_and_for_the_user_alone(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    key = load_key()
    place = home / "config" / "usdlr" / "pseudonym.key"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert str(place) in capfd.readouterr().err
    assert len(key) >= 32
    assert load_key() == key
    assert capfd.readouterr().err == ""
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_another_place_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USDLR_KEY_FILE", str(home / "elsewhere" / "key"))
    assert default_key_path() == home / "elsewhere" / "key"
    assert load_key() == load_key(home / "elsewhere" / "key")
    assert not (home / "config").exists()


def test_the_home_folder_is_the_last_resort(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert default_key_path() == home / ".config" / "usdlr" / "pseudonym.key"


def test_processes_that_start_together_agree_on_one_key(home: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: load_key(), range(64)))) == 1


def test_a_key_that_appears_in_between_is_not_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_key()
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert load_key() == first
    assert [path.name for path in default_key_path().parent.iterdir()] == ["pseudonym.key"]


def test_a_named_key_that_is_missing_is_refused_and_not_created(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"umask 077.*secrets") as refused:
        load_key(home / "mistyped.key")
    assert str(home) not in str(refused.value)
    assert not (home / "mistyped.key").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    place = private(home / "open.key", b"0123456789abcdef" * 4)
    place.chmod(mode)
    with pytest.raises(DataError, match=r"chmod 600 open\.key"):
        load_key(place)


@pytest.mark.parametrize("content", [b"", b"short", b"0123456789abcdef" * 1 + b"\n", bytes(32), b"a" * 64, b"x" * 5000])
def test_what_is_no_random_key_is_refused(home: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="no random key") as refused:
        load_key(private(home / "weak.key", content))
    assert "0123456789abcdef" not in str(refused.value)


def test_a_folder_is_no_key(home: Path) -> None:
    with pytest.raises(DataError, match="not a file"):
        load_key(home)


def test_the_line_break_of_a_text_key_does_not_count_and_a_binary_key_is_taken_whole(home: Path) -> None:
    text = b"0123456789abcdef" * 4
    assert load_key(private(home / "a", text)) == load_key(private(home / "b", text + b"\r\n"))
    binary = bytes(range(31)) + b"\n"
    assert load_key(private(home / "c", binary)) == binary
