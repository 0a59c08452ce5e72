"""A review on paper: one A4 page per axilla, and the worklist for a tumour board."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from usdlr.core.types import ContractStatus, RiskGroup, Side, Stage
from usdlr.decision.explanation import Explanation
from usdlr.decision.wording import NOT_A_MEDICAL_DEVICE, P_NSLN, P_SLN, SIMULATED, standing_mark
from usdlr.decision.wording_explanation import NOT_REACHED
from usdlr.decision.wording_review import NO_VERDICT, ON_EARLIER, OTHER_EXPLANATION, OTHERS_CONTRACT
from usdlr.report.case import CaseInputs, case_page
from usdlr.report.document import Block, Document, Figure, Notice, PageTable, Points, Prose, Tile
from usdlr.report.pdf import pdf_bytes
from usdlr.report.tables import Marks
from usdlr.review.acts import AxillaState, ReaderVerdict, Status
from usdlr.review.explaining import words_of
from usdlr.review.paper_pictures import bmode_picture, first_image, gallery, map_pictures
from usdlr.review.plain import from_plain
from usdlr.review.records import Answered, AxillaRecord, ModelRecord, StageValue
from usdlr.review.words import (
    act_words,
    interval_text,
    mm_text,
    probability_text,
    status_words,
    threshold_text,
)

_LABELS: Final = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}
# An explanation of the same answer repeats its probability but for the last digits.
_SAME: Final = 1e-5
# Groups to which the second probability says nothing, as on the page of the list.
_WITHOUT_NSLN: Final = (RiskGroup.LR_SLN, RiskGroup.DEFER)


class RowLike(Protocol):
    """A row of the worklist; see ``usdlr.review.store.worklist.WorklistRow``."""

    @property
    def number(self) -> int:
        """Of the case within the list."""

    @property
    def patient_id(self) -> str:
        """Of the tables."""

    @property
    def side(self) -> Side:
        """Of the body."""

    @property
    def centre_id(self) -> str:
        """Of the tables."""

    @property
    def group(self) -> RiskGroup | None:
        """``None`` while it is hidden."""

    @property
    def p_sln(self) -> float | None:
        """``None`` while it is hidden."""

    @property
    def p_nsln(self) -> float | None:
        """``None`` while it is hidden."""

    @property
    def warnings(self) -> bool:
        """Whether the answer carries a warning."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Quality flags, in words."""

    @property
    def status(self) -> Status:
        """Where the axilla stands."""

    @property
    def assigned(self) -> str:
        """Who it was deferred to."""

    @property
    def verdicts(self) -> int:
        """Readers with a verdict."""

    @property
    def contract(self) -> str:
        """Standing of the contract behind the group; empty while the group is hidden."""


def axilla_pdf(
    model: ModelRecord,
    record: AxillaRecord,
    state: AxillaState,
    explanation: Mapping[str, Any] | None,
    *,
    verdicts: Sequence[ReaderVerdict] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> bytes:
    """One axilla on one A4 page: the answer that counts, how it comes about, and what readers say.

    Where a page cannot hold everything, the maps, then the figure of the blocks, then the finer points are left out;
    verdicts, notices and probabilities never are, and a long reason goes on to a second page.

    Parameters
    ----------
    model : ModelRecord
        The model.
    record : AxillaRecord
        As loaded.
    state : AxillaState
        As it stands.
    explanation : mapping or None
        Of the answer that counts, as :meth:`usdlr.review.live.Live.explain` gives it.
    verdicts : sequence of ReaderVerdict, optional
        By default those of ``state``.
    pictures : mapping of str to bytes, optional
        Maps by name, as they come with the explanation.

    Raises
    ------
    ConfigError
        If reportlab or pypdf is not installed.
    InputError
        If an image cannot be read.
    """
    answer = state.answer
    found = _explanation(explanation, answer)
    stale = explanation is not None and found is None
    shown = first_image(record, state)
    picture = [] if shown is None else [bmode_picture(model, record, state, shown)]
    maps = [] if found is None or shown is None else map_pictures(explanation or {}, found, shown, pictures or {})
    figure, told = _told(model, record, found)
    facts = _facts(record, answer, stale=stale)
    signed_off = _verdict_blocks(state.verdicts if verdicts is None else verdicts)
    every, one = gallery([*picture, *maps]), gallery(picture)
    tiles = tuple(_tiles(answer, state))
    # The figure tells what the tiles tell, and more; without one, there are tiles.
    choices: list[tuple[tuple[Tile, ...], tuple[Block, ...]]] = [
        ((), (*signed_off, *figure, *every, Points((*told, *facts)))),
        ((), (*signed_off, *figure, *every, Points(tuple(facts)))),
        ((), (*signed_off, *figure, *one, Points(tuple(facts)))),
    ]
    plainly = [
        (tiles, (*signed_off, *one, Points((*told, *facts)))),
        (tiles, (*signed_off, *one, Points(tuple(facts)))),
    ]
    for above, opening in [*(choices if figure else []), *plainly]:
        page = _page(model, record, state, above, opening)
        if _pages(page) == 1:
            break
    return pdf_bytes(page)


def worklist_pdf(
    rows: Iterable[RowLike],
    *,
    model: ModelRecord,
    note: str = "",
    lines: Sequence[str] = (),
    others: Sequence[ModelRecord] = (),
) -> bytes:
    """The worklist on paper, as its rows are shown to one reader.

    Parameters
    ----------
    rows : iterable of rows
        In their order; what is hidden from the reader stays hidden.
    model : ModelRecord
        The model.
    note : str
        What the list is, in a line without anything about a patient: the file's own description repeats it.
    lines : sequence of str
        What was filtered and searched, for whom, and what is missing; printed above the table.
    others : sequence of ModelRecord
        Earlier models whose answers may be among the rows: what has to be said of their numbers is said too.

    Raises
    ------
    ConfigError
        If reportlab or pypdf is not installed.
    """
    kept = list(rows)
    read = sum(row.status in (Status.REVIEWED, Status.ADJUDICATED) for row in kept)
    marks = _marks(model, model.contract_status)
    table = PageTable(
        marks.title("Axillae"),
        ("Case", "Patient", "Side", "Centre", "Group", P_SLN, P_NSLN, "Look out for", "Status", "Verdicts", "Deferred"),
        tuple(_line(row) for row in kept),
        ("Where a warning belongs to the answer, the page of the axilla says which.",),
        texts=(0, 1, 2, 3, 4, 7, 8, 10),
    )
    prose = (Prose(tuple(lines)),) if lines else ()
    document = Document(
        kind="Worklist",
        title=marks.title(f"{len(kept)} axillae to review" if len(kept) != 1 else "1 axilla to review"),
        question=note or "Every axilla of the list with the model's answer and where its review stands.",
        summary=f"{read} of {len(kept)} reviewed.",
        tiles=(),
        notices=tuple(dict.fromkeys(notice for one in (model, *others) for notice in _standing(one))),
        opening=(*prose, table) if kept else (*prose, Prose(("The list is empty.",))),
        sections=(),
        footer=" ".join(dict.fromkeys((_footer(model), *(f"Bundle {one.digest}. {one.cohort}" for one in others)))),
    )
    return pdf_bytes(document)


def _page(
    model: ModelRecord,
    record: AxillaRecord,
    state: AxillaState,
    tiles: tuple[Tile, ...],
    opening: tuple[Block, ...],
) -> Document:
    answer = state.answer
    where = "side unknown" if record.side is Side.UNKNOWN else f"{record.side} side"
    return Document(
        kind="One axilla",
        title=_marks(model, answer.contract).title(f"Case {record.number}: {answer.group}"),
        # Title and question are also the file's own words, which travel with it: the patient stands on the page alone.
        question=f"The model's answer and what readers say. {status_words(state.status)}.",
        summary=f"Patient {record.patient_id}, {where}, centre {record.centre_id}. {answer.reason}",
        tiles=tiles,
        notices=_notices(model, answer),
        opening=opening,
        sections=(),
        footer=_footer(model),
    )


def _marks(model: ModelRecord, contract: str) -> Marks:
    status = ContractStatus(contract)
    return Marks(model.simulated, bool(model.proxies), status is not ContractStatus.CERTIFIED, standing_mark(status))


def _tiles(answer: Answered, state: AxillaState) -> list[Tile]:
    out = [_stage_tile(one) for one in answer.stages]
    last = state.verdicts[-1] if state.verdicts else None
    group = "–" if last is None else str(last.group or act_words(last.act))
    name = f"Last verdict{f' ({ON_EARLIER})' if last is not None and last.earlier else ''}"
    out.append(Tile(name, group, NO_VERDICT if last is None else f"{last.display}, {_when(last.at)}"))
    return out


def _stage_tile(one: StageValue) -> Tile:
    if not one.reached:
        return Tile(_LABELS[one.stage], "–", NOT_REACHED)
    threshold = threshold_text(one.threshold, one.probability)
    detail = f"90 % interval {interval_text(one.low, one.high)}; threshold {threshold}"
    return Tile(_LABELS[one.stage], probability_text(one.probability), detail)


def _notices(model: ModelRecord, answer: Answered) -> tuple[Notice, ...]:
    found = [Notice("conflict", "Read this first", " ".join(answer.warnings))] if answer.warnings else []
    return (*found, *_standing(model, answer.contract))


def _standing(model: ModelRecord, contract: str | None = None) -> tuple[Notice, ...]:
    status = ContractStatus(contract or model.contract_status)
    certified = status is ContractStatus.CERTIFIED
    title, lines = "What the false-negative contract says of patients like these", model.contract
    if not certified and status is not ContractStatus(model.contract_status):
        # What the lines promise was not promised to this patient: that is read before them.
        title, lines = "The contract does not hold for this patient", (OTHERS_CONTRACT, *model.contract)
    found = [Notice("contract" if certified else "uncertified", title, " ".join(lines))]
    if model.proxies:
        found.append(Notice("proxy", "Proxy endpoint", " ".join(model.proxies)))
    return tuple(found)


def _footer(model: ModelRecord) -> str:
    simulated = f" {SIMULATED}" if model.simulated else ""
    return f"{NOT_A_MEDICAL_DEVICE} Bundle {model.digest}. {model.cohort}{simulated}"


def _verdict_blocks(verdicts: Sequence[ReaderVerdict]) -> tuple[Block, ...]:
    if not verdicts:
        return ()
    rows = tuple(
        (
            one.display,
            f"{act_words(one.act)}{f' ({ON_EARLIER})' if one.earlier else ''}",
            "–" if one.group is None else str(one.group),
            one.reason or "–",
            _when(one.at),
        )
        for one in verdicts
    )
    head = ("Reader", "Verdict", "Group", "Reason", "Time")
    return (PageTable("What readers say", head, rows, texts=(0, 1, 2, 3, 4)),)


def _told(
    model: ModelRecord, record: AxillaRecord, found: Explanation | None
) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """The figure of the answer's parts, and its points, as on the page of a single case."""
    if found is None:
        return (), ()
    inputs = CaseInputs(
        number=record.number,
        explanation=found,
        variables=words_of(found),
        marks=_marks(model, found.contract),
        contract=model.contract,
        cohort=model.cohort,
        bundle_id=model.bundle_id,
        images=len(record.images),
    )
    opening = case_page(inputs, full=False).opening
    figure = tuple(block for block in opening if isinstance(block, Figure))
    lines = [line for block in opening if isinstance(block, Points) for line in block.lines]
    # Quality flags are told among the facts, of the images that count.
    return figure, tuple(line for line in lines if "Quality flags:" not in line)


def _facts(record: AxillaRecord, answer: Answered, *, stale: bool) -> list[str]:
    out = [OTHER_EXPLANATION] if stale else []
    if record.clinical:
        out.append(f"Before surgery: {_pairs(record.clinical)}.")
    measured = list(answer.features)
    if answer.diameter_mm is not None:
        across = "" if answer.orthogonal_mm is None else f", {mm_text(answer.orthogonal_mm)} across"
        measured.insert(0, ("Longest diameter", f"{mm_text(answer.diameter_mm)}{across}"))
    if measured:
        out.append(f"Measured on the contour: {_pairs(measured)}.")
    out.append(f"Quality flags: {'; '.join(answer.flags) if answer.flags else 'none'}.")
    out += list(answer.left_out)
    return [*out, *(f"{name}: {value}." for name, value in record.comparators)]


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(
        f"{name[:1].lower() if name[1:2].islower() else name[:1]}{name[1:]} {value}" for name, value in pairs
    )


def _explanation(plain: Mapping[str, Any] | None, answer: Answered) -> Explanation | None:
    """The explanation, if it is of the answer that counts."""
    if plain is None or "explanation" not in plain:
        return None
    found = from_plain(Explanation, plain["explanation"])
    stated = {one.stage: one.probability for one in answer.stages}
    same = all(abs(one.probability - stated[one.stage]) <= _SAME for one in found.stages)
    return found if same and found.group is answer.group else None


def _line(row: RowLike) -> tuple[str, ...]:
    p_nsln = None if row.group in _WITHOUT_NSLN else row.p_nsln
    values = ("–" if value is None else probability_text(value) for value in (row.p_sln, p_nsln))
    group = "hidden"
    if row.group is not None:
        mark = standing_mark(row.contract) if row.contract else ""
        group = f"{row.group}{f', {mark}' if mark else ''}"
    side = "" if row.side is Side.UNKNOWN else str(row.side)
    told = "; ".join((*(("warning",) if row.warnings else ()), *row.flags))
    state = (status_words(row.status), str(row.verdicts), row.assigned or "–")
    return (str(row.number), row.patient_id, side, row.centre_id, group, *values, told, *state)


def _when(at: str) -> str:
    """An ISO time of UTC as it is printed.

    Examples
    --------
    >>> _when("2026-03-01T14:05:09.123456+00:00")
    '2026-03-01 14:05 UTC'
    """
    return f"{at[:10]} {at[11:16]} UTC"


def _pages(page: Document) -> int:
    """How many sheets it takes; figures stay empty for that."""
    try:
        from pypdf import PdfReader

        from usdlr.report.pdf_pages import lay_out
    except ImportError:  # said in words by whoever makes the file
        return 1
    return len(PdfReader(io.BytesIO(lay_out(page)[0])).pages)
