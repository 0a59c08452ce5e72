"""Passwords: what is good enough, Argon2id hashes, and the same work for a name that nobody has."""

from __future__ import annotations

import secrets
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from usdlr.core.errors import InputError
from usdlr.review.store.plain import text_hash

SHORTEST, LONGEST, DISTINCT = 12, 256, 5
_HASHER = PasswordHasher()
# Each takes 64 MiB: a flood of sign-ins must wait, not fill the memory.
_AT_ONCE = BoundedSemaphore(4)


def good_password(password: str, *names: str) -> None:
    """Refuse a password that is too easy.

    Parameters
    ----------
    password : str
        In plain.
    *names : str
        What must not be in it: the account's name and what pages show.

    Raises
    ------
    InputError
        Never holds the password.

    Examples
    --------
    >>> good_password("annemarie-2026", "annemarie")
    Traceback (most recent call last):
    ...
    usdlr.core.errors.InputError: found the account's name in the password, expected neither; choose another
    """
    if len(password) < SHORTEST:
        raise InputError(f"found a password of {len(password)} characters, expected at least {SHORTEST}; add words")
    if len(password) > LONGEST:
        raise InputError(f"found a password of {len(password)} characters, expected at most {LONGEST}; shorten it")
    if len(set(password)) < DISTINCT:
        raise InputError(
            f"found a password of fewer than {DISTINCT} different characters, expected more; choose another"
        )
    plain = password.casefold()
    if any(len(name) > 2 and name.casefold() in plain for name in names):
        raise InputError("found the account's name in the password, expected neither; choose another")


def hash_password(password: str) -> str:
    """Argon2id with a salt of its own, in the usual text form."""
    with _AT_ONCE:
        return _HASHER.hash(_encodable(password))


def right_password(stored: str | None, password: str) -> bool:
    """Whether the password is the one; without a stored hash the same work is done, and the answer is no."""
    with _AT_ONCE:
        try:
            _HASHER.verify(stored or _nobodys(), _encodable(password[: LONGEST + 1]))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def outdated(stored: str) -> bool:
    """Whether a hash was made with weaker settings than today's."""
    return _HASHER.check_needs_rehash(stored)


def fingerprint(stored: str) -> str:
    """What the log tells of a stored hash, so that another one put in its place is found; nobody can guess from it.

    The stored hash has a salt of its own, which this does not tell.

    Examples
    --------
    >>> len(fingerprint("$argon2id$..."))
    64
    """
    return text_hash(f"stored password\x1f{stored}")


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))


def _encodable(password: str) -> bytes:
    # A lone surrogate has no UTF-8; it must not be a way to tell accounts apart by an error.
    return password.encode("utf-8", "surrogatepass")
