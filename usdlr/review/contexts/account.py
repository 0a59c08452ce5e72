"""Pages about who somebody is: sign-in, the first administrator, one's own account."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Frame


@dataclass(frozen=True)
class SignInPage:
    """Where somebody says who they are.

    Parameters
    ----------
    frame : Frame
        Around the page.
    refused : str
        Why the last attempt did not work; empty at first.
    said : str
        What has just happened, such as a sign-out; empty otherwise.
    target : str
        Where to go afterwards: a path of this page, without anything about a patient.
    name : str
        What was typed as account name, to be corrected.
    first : bool
        Whether nobody can sign in yet, since there is no administrator.
    sign_on : str
        What the hospital's own sign-on is called; empty without one.
    anew : bool
        Whether it should ask who it is, for somebody has just signed out.
    """

    frame: Frame
    refused: str
    said: str
    target: str
    name: str
    first: bool
    sign_on: str
    anew: bool


@dataclass(frozen=True)
class SignedOnPage:
    """Where somebody arrives from the hospital's sign-on, and is led on.

    Parameters
    ----------
    frame : Frame
        Around the page.
    target : str
        Where to: a path of this page.
    """

    frame: Frame
    target: str


@dataclass(frozen=True)
class FirstPage:
    """Where the first administrator is made, with the code that the server printed.

    Parameters
    ----------
    frame : Frame
        Around the page.
    refused : str
        Why the last attempt did not work; empty at first.
    name, display : str
        What was typed, to be corrected.
    """

    frame: Frame
    refused: str
    name: str
    display: str


@dataclass(frozen=True)
class AccountPage:
    """One's own account.

    Parameters
    ----------
    frame : Frame
        Around the page.
    name : str
        What is typed to sign in.
    refused : str
        Why the password was not changed; empty otherwise.
    external : bool
        Whether the hospital's sign-on keeps the password, so that it cannot be changed here.
    others : int
        Open sessions of the account besides this one.
    said : str
        What has just happened, such as that they were ended; empty otherwise.
    """

    frame: Frame
    name: str
    refused: str
    external: bool
    others: int
    said: str
