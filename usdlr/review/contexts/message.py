"""Pages that say one thing: an error, a conflict, help."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Frame


@dataclass(frozen=True)
class MessagePage:
    """An error or a refusal, calmly.

    Parameters
    ----------
    frame : Frame
        Around the page.
    headline : str
        What happened, in a few words.
    sentence : str
        What it means and what to do.
    back : str
        Path that leads on.
    back_words : str
        What that path leads to.
    reference : str
        Number under which the server's log tells more; empty without one.
    typed : str
        What was typed and not recorded, so that it can be copied; empty without any.
    """

    frame: Frame
    headline: str
    sentence: str
    back: str
    back_words: str
    reference: str
    typed: str


@dataclass(frozen=True)
class ConflictPage:
    """Somebody else was quicker: nothing was recorded, nothing that was typed is lost.

    Parameters
    ----------
    frame : Frame
        Around the page.
    number : int
        Of the case.
    token : str
        Of the axilla.
    who, at, what : str
        Who did what when, in words.
    act_words : str
        What was asked for and not recorded.
    fields : tuple of (str, str)
        Everything that was sent, but the version and the request's key, to be sent again.
    shown : str
        The group or the colleague that was chosen; empty without one.
    typed : str
        The text that was typed, to be read and corrected; empty without one.
    version : int
        The axilla's version now.
    key : str
        Name of the next request.
    """

    frame: Frame
    number: int
    token: str
    who: str
    at: str
    what: str
    act_words: str
    fields: tuple[tuple[str, str], ...]
    shown: str
    typed: str
    version: int
    key: str


@dataclass(frozen=True)
class KeptPage:
    """Something was sent while the session was over or the database did not answer: nothing that was typed is lost.

    Parameters
    ----------
    frame : Frame
        Around the page.
    headline, sentence : str
        What happened, and what it means.
    signs_in : bool
        Whether one has to sign in first.
    signed_in : bool
        Whether somebody has signed in again, whose name it will have.
    button : str
        What the form's button says.
    path : str
        Where the form is sent.
    token : str
        Of the axilla.
    act_words : str
        What was asked for.
    shown : str
        The group or the colleague that was chosen; empty without one.
    fields : tuple of (str, str)
        Everything that was sent but the words, to be sent again: the version that was seen and the request's key too.
    typed : str
        The words, to be read and corrected.
    asks_words : bool
        Whether the form had a field for words.
    """

    frame: Frame
    headline: str
    sentence: str
    signs_in: bool
    signed_in: bool
    button: str
    path: str
    token: str
    act_words: str
    shown: str
    fields: tuple[tuple[str, str], ...]
    typed: str
    asks_words: bool


@dataclass(frozen=True)
class HelpPage:
    """What colours, numbers, states and keys mean.

    Parameters
    ----------
    frame : Frame
        Around the page.
    groups : tuple of (str, str, str)
        Class name, name and meaning of each risk group.
    p_sln, p_nsln : str
        How the two probabilities are labelled.
    about_interval : str
        What the interval of a probability is about.
    contract : tuple of str
        The contract in sentences.
    proxies : tuple of str
        Sentences about endpoints that stand in for node status.
    statuses : tuple of (str, str, str)
        Class name, words and meaning of every state.
    keys : tuple of (str, str)
        Key, and what it does.
    margin : str
        Width of the ring, with its unit.
    bundle : str
        Name and hash of the model.
    hidden : bool
        Whether readers give their own opinion first.
    """

    frame: Frame
    groups: tuple[tuple[str, str, str], ...]
    p_sln: str
    p_nsln: str
    about_interval: str
    contract: tuple[str, ...]
    proxies: tuple[str, ...]
    statuses: tuple[tuple[str, str, str], ...]
    keys: tuple[tuple[str, str], ...]
    margin: str
    bundle: str
    hidden: bool
