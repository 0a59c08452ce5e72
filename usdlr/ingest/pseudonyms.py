"""Pseudonyms, unique identifiers and dates that only the holder of a secret key can link back to a patient.

Everything is derived with HMAC-SHA256 from the original value and the key: the same value gives the same pseudonym in
every file and every run, another key gives other pseudonyms, and nothing has to be stored that could be lost or leaked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
import uuid
from datetime import date, datetime, timedelta
from pathlib import Path

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.progress import say

KEY_VARIABLE = "USDLR_KEY_FILE"
MIN_KEY_BYTES = 32
# A key file of a gigabyte is a wrong path, not a key.
MAX_KEY_BYTES = 4096
# Fewer distinct bytes than any random 32-byte key has: zeros, one letter repeated.
MIN_DISTINCT = 10
MAX_SHIFT_DAYS = 365
# 8 base32 digits are 40 bits, where two of a million patients would meet; 52 are the whole hash.
SHORTEST, LONGEST = 10, 52
# The second form is that of the standard's predecessor; some archives still hold it.
DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})", re.ASCII)
DATE_TIME = re.compile(r"(\d{8})[\d.]*([+-]\d{4})?", re.ASCII)


def default_key_path() -> Path:
    """Where the user's own key lies: ``$USDLR_KEY_FILE``, else ``usdlr/pseudonym.key`` in the configuration folder."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named)
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "usdlr" / "pseudonym.key"


def load_key(path: Path | None = None) -> bytes:
    """Return the secret key of the pseudonyms; the user's own key is created on its first use.

    Parameters
    ----------
    path : Path or None
        A key file, which has to exist: a mistyped name must not silently give a patient a second pseudonym.
        ``None``: the user's own key (:func:`default_key_path`), created with random content, readable by the user
        alone, when it is not there; one line on standard error then says where.

    Returns
    -------
    bytes
        At least 32 bytes.

    Raises
    ------
    ConfigError
        If a named key file does not exist.
    DataError
        If the key is too short, is no random key, or can be read by other users.
    """
    place = default_key_path() if path is None else path
    if not place.exists():
        if path is not None:
            raise ConfigError(
                f"found no key file {place.name}, expected the secret key of the pseudonyms; check the path, or create "
                f"one with: (umask 077; python -c 'import secrets; print(secrets.token_hex(32))' > {place.name})"
            )
        if _create_key(place):
            say(f"created the secret key of the pseudonyms: {place}; keep it safe, without it nobody is linked again")
    return _read_key(place)


def pseudonym(key: bytes, kind: str, value: str, prefix: str = "", length: int = 16) -> str:
    """A name that stands for ``value`` and does not tell it.

    Parameters
    ----------
    key : bytes
        Secret key.
    kind : str
        What the value is, e.g. ``"patient"``: equal values of two kinds get different pseudonyms.
    value : str
        The original.
    prefix : str
        Put in front as it is.
    length : int
        Digits after the prefix (``a`` to ``z``, ``2`` to ``7``), 5 bits each.

    Raises
    ------
    ValueError
        If ``length`` is not between 10 and 52.

    Examples
    --------
    >>> pseudonym(b"k" * 32, "patient", "4711", prefix="centre-")
    'centre-oizioutufyi4zi7j'
    """
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"found a pseudonym of {length} digits, expected {SHORTEST} to {LONGEST}")
    return prefix + base64.b32encode(_digest(key, kind, value)).decode("ascii").lower()[:length]


def pseudonym_uid(key: bytes, uid: str) -> str:
    """A valid DICOM unique identifier that stands for ``uid``.

    References
    ----------
    DICOM PS3.5, B.2: ``2.25.`` and a UUID as a decimal number.

    Examples
    --------
    >>> pseudonym_uid(b"k" * 32, "1.2.3").startswith("2.25.")
    True
    """
    return f"2.25.{uuid.UUID(bytes=_digest(key, 'uid', uid)[:16], version=5).int}"


def shift_days(key: bytes, patient: str) -> int:
    """Days by which every date of a patient moves: 1 to 365 forward or back, never 0."""
    number = int.from_bytes(_digest(key, "shift", patient), "big")
    magnitude, backward = 1 + (number >> 1) % MAX_SHIFT_DAYS, number & 1
    return -magnitude if backward else magnitude


def shift_date(value: str, days: int) -> str:
    """A DICOM date (DA), moved by ``days``.

    Parameters
    ----------
    value : str
        ``YYYYMMDD``, or ``YYYY.MM.DD`` as before DICOM 3.0.
    days : int
        From :func:`shift_days`.

    Raises
    ------
    DataError
        If it is not a date.

    Examples
    --------
    >>> shift_date("20240228", 2)
    '20240301'
    """
    return _written(parse_date(value), days)


def shift_datetime(value: str, days: int) -> str:
    """A DICOM date and time (DT), moved by ``days``; the time of day and the time zone are dropped.

    Raises
    ------
    DataError
        If it does not begin with a whole date.

    Examples
    --------
    >>> shift_datetime("20240228114254.5+0100", 2)
    '20240301'
    """
    found = DATE_TIME.fullmatch(value.strip())
    if found is None:
        raise DataError("found a date and time that does not begin with YYYYMMDD, expected a DICOM DT; correct it")
    return _written(parse_date(found[1]), days)


def parse_date(value: str) -> date:
    """The day that a DICOM date (DA) names.

    Raises
    ------
    DataError
        If it is not a date; the message does not hold it.
    """
    found = DATE.fullmatch(value.strip())
    try:
        if found is not None:
            return datetime.strptime("".join(part for part in found.groups() if part), "%Y%m%d").date()
    except ValueError:
        pass
    raise DataError("found a date that is not YYYYMMDD, expected a DICOM DA; correct it")


def _written(day: date, days: int) -> str:
    try:
        moved = day + timedelta(days=days)
    except OverflowError as error:
        raise DataError("found a date at the end of the calendar, expected one of our time; correct it") from error
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"


def _digest(key: bytes, kind: str, value: str) -> bytes:
    # The length in front keeps ("a", "bc") and ("ab", "c") apart.
    domain, text = (f"usdlr.{kind}".encode(), value.encode("utf-8", "surrogatepass"))
    return hmac.new(key, len(domain).to_bytes(4, "big") + domain + text, hashlib.sha256).digest()


def _create_key(place: Path) -> bool:
    """Create the key unless somebody else just did; never leaves half a key or one that others can read."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(MIN_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Unlike a rename, a link never replaces the key that another process created in between.
            os.link(beside, place)
        except FileExistsError:
            return False
        return True
    finally:
        beside.unlink(missing_ok=True)


def _read_key(place: Path) -> bytes:
    try:
        if not place.is_file():
            raise DataError(
                f"found {place.name} is not a file, expected the secret key of the pseudonyms; name its file"
            )
        state = place.stat()
        if os.name == "posix" and stat.S_IMODE(state.st_mode) & 0o077:
            raise DataError(
                f"found the secret key {place.name} open to other users, expected it to be the user's alone; "
                f"run: chmod 600 {place.name}"
            )
        content = place.read_bytes() if state.st_size <= MAX_KEY_BYTES else b""
    except OSError as error:
        raise DataError(f"found the secret key {place.name} cannot be read ({error.strerror}); check it") from error
    # A text key ends with a line break that is not part of it; a binary key may contain anything.
    key = content if len(content) == MIN_KEY_BYTES else content.strip()
    if len(key) < MIN_KEY_BYTES or len(set(key)) < MIN_DISTINCT:
        raise DataError(
            f"found no random key of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes in {place.name}, expected one; create it "
            "with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return key
