"""A bundle that answers while somebody waits: a worker process holds it, the threads of a web server ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from usdlr.core.types import OnUncertified
from usdlr.review.acts import AxillaState
from usdlr.review.anew import Redrawn, Request, What
from usdlr.review.desk import Desk
from usdlr.review.outlines import Outlines, checked_outlines
from usdlr.review.records import AxillaRecord
from usdlr.review.serving import Served

REDRAW_LIMIT_S: Final = 60.0
EXPLAIN_LIMIT_S: Final = 600.0


class Live:
    """A frozen bundle in a process of its own.

    Redrawn contours are asked of a process that is started, and warmed up, at once. Explanations take tens of times as
    long; they have a second one, which is started when the first is asked for, so that nobody who redraws a contour
    waits for them. Requests of several threads wait for one another. A process that dies is replaced, and what it had
    in hand is asked once more; one that takes too long is ended.

    Parameters
    ----------
    bundle : Path
        The folder or file that the reading list was loaded with.
    on_uncertified : OnUncertified, optional
        What to answer without a certified contract; as the list was loaded.
    public_key : Path, optional
        PEM file of the key that must have signed the bundle.
    redraw_limit_s, explain_limit_s : float
        Seconds that one request may take.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        on_uncertified: OnUncertified | None = None,
        public_key: Path | None = None,
        redraw_limit_s: float = REDRAW_LIMIT_S,
        explain_limit_s: float = EXPLAIN_LIMIT_S,
    ) -> None:
        served = Served(bundle, on_uncertified, public_key)
        warm = Request(What.WARM)
        self._redrawing = Desk(served, warm, redraw_limit_s)
        self._explaining = Desk(served, warm, explain_limit_s)
        self._redrawing.start()

    def warm(self) -> None:
        """Wait until the first answer can come at once.

        Raises
        ------
        InputError
            If the bundle cannot be read.
        """
        self._redrawing.warm()

    def predict(self, record: AxillaRecord, *, outlines: Mapping[str, Outlines], used: Sequence[str] = ()) -> Redrawn:
        """What the model says of an axilla with other contours or fewer images.

        The ring, the calipers, the features and the prediction are made anew, exactly as if the table had held these
        contours; the clinical variables stay, and with them the stated size. Where every contour is the loaded one and
        every image is used, the numbers are the loaded ones.

        Parameters
        ----------
        record : AxillaRecord
            As loaded.
        outlines : mapping of str to outlines
            Redrawn contours by the token of their image; the others stay as they are.
        used : sequence of str
            Tokens of the images that count; empty: all.

        Raises
        ------
        InputError
            If a contour or the choice of images leaves nothing to answer, with what to mend; if the files or the model
            are others than those that were loaded; or if there is no answer in time.
        """
        checked = {str(token): checked_outlines(of) for token, of in outlines.items()}
        found = self._redrawing.ask(Request(What.PREDICT, record, checked, tuple(used)))
        assert isinstance(found, Redrawn)
        return found

    def explain(
        self, record: AxillaRecord, state: AxillaState | None = None
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """What an axilla's answer is made of, see :func:`usdlr.review.explaining.explained`.

        Parameters
        ----------
        record : AxillaRecord
            As loaded.
        state : AxillaState, optional
            Whose contours and choice of images count; without it, those that were loaded.

        Raises
        ------
        InputError
            As :meth:`predict`.
        """
        outlines = {} if state is None else {str(token): checked_outlines(of) for token, of in state.outlines.items()}
        used = () if state is None else tuple(state.used)
        told, pictures = self._explaining.ask(Request(What.EXPLAIN, record, outlines, used))
        return told, pictures

    def close(self) -> None:
        """End the processes; what they have in hand is lost."""
        self._redrawing.close()
        self._explaining.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
