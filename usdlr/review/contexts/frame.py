"""What stands around every page: who is signed in, what must be said on all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The frame of a page.

    Parameters
    ----------
    title : str
        Of the page, without the product's name and without anything about a patient.
    section : str
        Which entry of the navigation is the present one: ``worklist``, ``help``, ``account``, ``admin`` or empty.
    name : str
        Shown name of who is signed in; empty for nobody.
    role : str
        What the account may do, in a word.
    administrator : bool
        Whether the administrator's pages are offered.
    account : int
        Number of who is signed in, by which a page knows the same person again; 0 for nobody.
    csrf : str
        Token that every form sends back.
    device : str
        That this is no medical device, in a sentence.
    cohort : str
        The cohort behind the numbers; empty before sign-in.
    marks : tuple of str
        What must be said of every number: simulated patients, proxy endpoints.
    hidden : bool
        Whether readers give their own opinion before they see the model's.
    demo : bool
        Whether this is a demonstration whose reviews are worth nothing.
    """

    title: str
    section: str
    name: str
    role: str
    administrator: bool
    account: int
    csrf: str
    device: str
    cohort: str
    marks: tuple[str, ...]
    hidden: bool
    demo: bool


@dataclass(frozen=True)
class Choice:
    """One entry of a selection.

    Parameters
    ----------
    value : str
        What is sent.
    words : str
        What is read.
    chosen : bool
        Whether it is the present one.
    """

    value: str
    words: str
    chosen: bool = False
