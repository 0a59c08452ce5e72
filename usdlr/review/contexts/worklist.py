"""The reading list as a page."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.review.contexts.frame import Choice, Frame


@dataclass(frozen=True)
class Column:
    """A column of the list.

    Parameters
    ----------
    key : str
        What it is sorted by; empty where it cannot be sorted.
    words : str
        Its heading, with the unit; a line break where a narrow column breaks it.
    explained : str
        What it means, for the pointer that rests on it; empty where the heading says it.
    order : str
        ``ascending`` or ``descending`` where the list is sorted by it, else ``none``.
    numeric : bool
        Whether its values are aligned to the right.
    """

    key: str
    words: str
    explained: str
    order: str
    numeric: bool


@dataclass(frozen=True)
class ListRow:
    """One axilla of the list.

    Parameters
    ----------
    token : str
        Names it in the address.
    number : int
        Of the case.
    patient_id, side, centre_id : str
        Whose axilla it is.
    group : str
        The risk group that counts; empty while it is hidden from this reader.
    group_key : str
        The group as a class name: ``low``, ``middle``, ``high``, ``defer`` or ``hidden``.
    standing : str
        The word for a contract that is not certified for this axilla; empty where it is, and while the group is hidden.
    p_sln, p_nsln : str
        Printed probabilities; empty while hidden, a dash where the step was not reached.
    warned : bool
        Whether there is something that must not be overlooked.
    flags : str
        Quality flags in words, separated by semicolons; empty without any.
    status, status_words : str
        Where it stands: class name and words.
    assigned : str
        Name of the account that it was deferred to; empty: anybody's.
    verdicts : int
        Readers with a verdict.
    mine : bool
        Whether the reader of this page has a verdict or an opinion.
    """

    token: str
    number: int
    patient_id: str
    side: str
    centre_id: str
    group: str
    group_key: str
    standing: str
    p_sln: str
    p_nsln: str
    warned: bool
    flags: str
    status: str
    status_words: str
    assigned: str
    verdicts: int
    mine: bool


@dataclass(frozen=True)
class ListPage:
    """The list, filtered and sorted.

    Parameters
    ----------
    frame : Frame
        Around the page.
    text : str
        What is searched for: patient, case number or centre. Sent in the body of a request, never in an address.
    statuses : tuple of Choice
        States to choose from.
    groups : tuple of Choice
        Risk groups to choose from; empty in a hidden reading.
    flagged, assigned : bool
        Whether only axillae with flags or warnings, and only those deferred to this reader, are shown.
    filtered : bool
        Whether any filter is set.
    columns : tuple of Column
        Headings.
    rows : tuple of ListRow
        At most a page of them.
    total, page, pages : int
        Axillae that the filters let through, the present page and their number.
    first, last : int
        Position of the first and last row of this page.
    done, whole : int
        Axillae of the whole list that this reader has read, and all.
    next_token : str
        Of the next axilla that this reader has not read; empty when none is left.
    hidden : bool
        Whether readers give their own opinion first.
    """

    frame: Frame
    text: str
    statuses: tuple[Choice, ...]
    groups: tuple[Choice, ...]
    flagged: bool
    assigned: bool
    filtered: bool
    columns: tuple[Column, ...]
    rows: tuple[ListRow, ...]
    total: int
    page: int
    pages: int
    first: int
    last: int
    done: int
    whole: int
    next_token: str
    hidden: bool
