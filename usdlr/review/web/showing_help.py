"""What the help page explains; sentences about risk are those of :mod:`usdlr.decision.wording`."""

from __future__ import annotations

from collections.abc import Mapping

from usdlr.core.types import SpacingSource
from usdlr.decision.wording import GROUP_SENTENCES, P_NSLN, P_SLN
from usdlr.review.acts import Status
from usdlr.review.contexts.message import HelpPage
from usdlr.review.records import ModelRecord
from usdlr.review.store.reading import axilla
from usdlr.review.store.worklist import WorklistQuery, worklist
from usdlr.review.web.pages import frame
from usdlr.review.web.security import Visit
from usdlr.review.web.showing import ABOUT_INTERVAL, GROUP_KEYS
from usdlr.review.web.site import Site
from usdlr.review.words import mm_text, status_words

_STATES: Mapping[Status, str] = {
    Status.UNREAD: "Nobody has done anything with it.",
    Status.STARTED: "Somebody gave an opinion, a contour or a comment, but no verdict on the answer that stands now.",
    Status.DEFERRED: "A reader handed it to a colleague.",
    Status.REVIEWED: "There is a verdict, and no other differs.",
    Status.DISAGREED: "Two verdicts differ; a third reader adjudicates.",
    Status.ADJUDICATED: "A third reader has settled a disagreement.",
}
_KEYS = (
    ("j, k", "worklist: down and up; a case: next and previous"),
    ("Enter", "open the case"),
    ("n", "worklist: read the next case that waits for you"),
    ("/", "worklist: search"),
    ("u", "a case: back to the worklist"),
    ("1 to 9", "a case: this image"),
    ("c, r, d, h", "show or hide contour, ring, calipers, heat map"),
    ("p, w, m", "move the picture, brightness and contrast, ruler"),
    ("+, \N{MINUS SIGN}, 0", "larger, smaller, whole picture"),
    ("arrow keys", "move the picture, when it has the focus"),
    ("e", "redraw the contour"),
    ("[, ]", "editor: choose a point; arrow keys move it, with Shift by five pixels"),
    ("i, Delete", "editor: add a point, erase it"),
    ("Ctrl+Z, Ctrl+Shift+Z", "editor: undo, redo"),
    ("b, s, x, o", "editor, where software outlines: box, a line inside, a line outside, outline for me"),
    ("Ctrl+Enter, Esc", "editor: predict with this contour, cancel"),
    ("v", "a case: to your review"),
    ("?", "this page"),
)


def help_page(site: Site, visit: Visit) -> HelpPage:
    """The help page.

    Parameters
    ----------
    site : Site
        The running page.
    visit : Visit
        Who asks.
    """
    model = site.model()
    return HelpPage(
        frame=frame(site, visit, "Help", "help"),
        groups=tuple((GROUP_KEYS[one], str(one), sentence) for one, sentence in GROUP_SENTENCES.items()),
        p_sln=P_SLN,
        p_nsln=P_NSLN,
        about_interval=ABOUT_INTERVAL,
        contract=model.contract if model else (),
        proxies=model.proxies if model else (),
        statuses=tuple((str(one), status_words(one), meaning) for one, meaning in _STATES.items()),
        keys=_KEYS,
        margin=_margin(site, model),
        bundle=f"{model.bundle_id} ({model.digest[:12]})" if model else "not loaded yet",
        hidden=site.hidden,
    )


def _margin(site: Site, model: ModelRecord | None) -> str:
    """Width of the ring: millimetres are claimed only where the images have any, and that an axilla of the list tells.

    A model reads images in millimetres, or images whose lengths are shares of the lesion, never both.
    """
    first = next((axilla(site.store, row.token) for row in worklist(site.store, WorklistQuery(size=1)).rows), None)
    if model is None or first is None or first.digest != model.digest:
        return "the model's margin"
    if any(image.spacing_source is SpacingSource.LESION_RELATIVE for image in first.images):
        return "a fixed share of the lesion's diameter"
    return mm_text(model.margin_mm)
