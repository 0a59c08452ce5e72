"""The administrator's pages: accounts, the audit log, exports."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Choice, Frame


@dataclass(frozen=True)
class AccountRow:
    """One account.

    Parameters
    ----------
    id : int
        Names it in forms.
    name, display : str
        What is typed to sign in, and what pages show.
    roles : tuple of Choice
        Roles, the present one chosen.
    role_words : str
        The present role in a word.
    disabled : bool
        Whether it can no longer sign in.
    own : bool
        Whether it is the administrator's own, which cannot be changed here.
    provider : str
        Who checks the password: empty for usdlr itself.
    sessions : int
        Open sessions of the account.
    locked : int
        Minutes until the name may be tried again wherever it was guessed at too often; 0 where it may be.
    """

    id: int
    name: str
    display: str
    roles: tuple[Choice, ...]
    role_words: str
    disabled: bool
    own: bool
    provider: str
    sessions: int
    locked: int


@dataclass(frozen=True)
class AccountsPage:
    """All accounts, and a new one.

    Parameters
    ----------
    frame : Frame
        Around the page.
    rows : tuple of AccountRow
        By name.
    roles : tuple of Choice
        For the new account.
    refused : str
        Why the last request was not done; empty otherwise.
    said : str
        What has just been done; empty otherwise.
    name, display : str
        What was typed for a new account that was refused.
    """

    frame: Frame
    rows: tuple[AccountRow, ...]
    roles: tuple[Choice, ...]
    refused: str
    said: str
    name: str
    display: str


@dataclass(frozen=True)
class AuditRow:
    """One entry of the log.

    Parameters
    ----------
    number : int
        Of the entry.
    at : str
        UTC.
    account : str
        Who.
    what : str
        What was done, in words.
    case : str
        Number of the case; empty where it is about none.
    token : str
        Of the axilla; empty where it is about none.
    hash : str
        First digits of the entry's SHA-256.
    """

    number: int
    at: str
    account: str
    what: str
    case: str
    token: str
    hash: str


@dataclass(frozen=True)
class AuditPage:
    """The audit log, the newest first.

    Parameters
    ----------
    frame : Frame
        Around the page.
    rows : tuple of AuditRow
        At most a page of them.
    total : int
        Entries of the log.
    newer, older : str
        Where to turn the page: the ``after`` of the address; empty at an end.
    verdict : str
        What the check of the chain found, in a sentence; empty before it is asked for.
    whole : bool
        Whether the check found the log as it was written.
    head : str
        Hash of the last entry, to be kept outside the database.
    """

    frame: Frame
    rows: tuple[AuditRow, ...]
    total: int
    newer: str
    older: str
    verdict: str
    whole: bool
    head: str


@dataclass(frozen=True)
class ExportsPage:
    """What can be taken out.

    Parameters
    ----------
    frame : Frame
        Around the page.
    tables : tuple of (str, str)
        Name of each table, and what it holds.
    hidden : bool
        Whether the tables tell what the reading hides.
    """

    frame: Frame
    tables: tuple[tuple[str, str], ...]
    hidden: bool
