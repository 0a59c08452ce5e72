"""Figures on paper: shrunk a little to end a page, or moved behind what still fits on it."""

from __future__ import annotations

from typing import Any

from reportlab.platypus import (  # type: ignore[import-untyped]  # reportlab publishes no types
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    KeepTogether,
    Paragraph,
    Spacer,
)

from usdlr.report.pdf_text import height_of

LEAST_SCALE = 0.78  # letters of 8 points are then printed at 6.2
_LARGE = 1e6
_AROUND = 0.5  # points that rounding may cost


class Placeholder(Flowable):  # type: ignore[misc]  # reportlab publishes no types
    """Room for a figure, which is painted by other means into the form that is named here.

    Parameters
    ----------
    name : str
        Of the form.
    across, down : float
        The figure's own size in points.
    scale : float
        By which it is shrunk.
    """

    def __init__(self, name: str, across: float, down: float, scale: float) -> None:
        super().__init__()
        self.name, self.across, self.down = name, across, down
        self.resize(scale)

    def resize(self, scale: float) -> None:
        """Shrink the figure by another share of its own size."""
        self.scale = scale
        self.width, self.height = scale * self.across, scale * self.down

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """The shrunken figure's size."""
        return self.width, self.height

    def draw(self) -> None:
        """Refer to the form, which is empty so far."""
        if not self.canv.hasForm(self.name):
            self.canv.beginForm(self.name, 0, 0, self.across, self.down)
            self.canv.endForm()
        self.canv.saveState()
        self.canv.scale(self.scale, self.scale)
        self.canv.doForm(self.name)
        self.canv.restoreState()


class Floating(Flowable):  # type: ignore[misc]  # reportlab publishes no types
    """A figure with its legend on one page, shrunk down to :data:`LEAST_SCALE` where that fills the page's end.

    Parameters
    ----------
    place : Flowable
        What links and the outline lead to; without height.
    painted : Placeholder
        The figure at its full scale.
    legend : Paragraph
        What stands under it.
    """

    def __init__(self, place: Flowable, painted: Placeholder, legend: Any) -> None:
        super().__init__()
        self.place, self.painted, self.legend = place, painted, legend
        self.full = painted.scale

    def needed(self, width: float, share: float = 1.0) -> float:
        """Points that it takes at a share of its full scale."""
        under = height_of([self.legend], width) + float(self.legend.getSpaceBefore())
        return share * self.full * self.painted.down + under

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        """Its size at the largest scale that fits into ``height``; at full scale where none does."""
        own = self.needed(width, 0.0)
        share = (height - own - _AROUND) / (self.full * self.painted.down)
        self.painted.resize(self.full * (share if LEAST_SCALE <= share < 1 else 1.0))
        self.legend.wrap(width, _LARGE)
        self.width, self.height = width, self.painted.height + own
        return self.width, self.height

    def draw(self) -> None:
        """The mark, the figure in the middle of its width, and the legend."""
        self.canv.saveState()
        self.canv.translate(0, self.height)
        self.place.canv = self.canv
        self.place.draw()
        self.canv.restoreState()
        self.painted.drawOn(self.canv, 0, self.height - self.painted.height)
        self.legend.drawOn(self.canv, 0, 0)


class Whole(KeepTogether):  # type: ignore[misc]  # reportlab publishes no types
    """Flowables that stay on one page.

    Parameters
    ----------
    parts : list of Flowable
        In their order. Asked for its height, reportlab's own class answers with one that no page has.
    """

    def __init__(self, parts: list[Any]) -> None:
        super().__init__(parts)
        self.parts = parts


class Pages(BaseDocTemplate):  # type: ignore[misc]  # reportlab publishes no types
    """Sets flowables one under the other, but lets what follows a figure go before it where the figure does not fit.

    Only running text and whole tables of the same section pass, never a heading or another figure; the order of
    figures and the order of tables stay.
    """

    def handle_flowable(self, flowables: list[Any]) -> None:
        """Place the first flowable, or what may pass it."""
        if isinstance(flowables[0], Floating):
            _let_pass(flowables, *self._room())
        super().handle_flowable(flowables)

    def _room(self) -> tuple[float, float]:
        """Width of the page's text, and points that are left of its height."""
        frame = self.frame  # how far a frame is filled is no part of reportlab's own interface
        return frame._getAvailableWidth(), frame._y - frame._y1p


def _let_pass(flowables: list[Any], width: float, room: float) -> None:
    """Bring one block that fits before the figure at the head of the list, if the figure itself does not fit."""
    if flowables[0].needed(width, LEAST_SCALE) + _AROUND <= room:
        return
    at = 1
    while at < len(flowables) and type(flowables[at]) is Spacer:  # a conditional break is a kind of it
        at += 1
    block = _block(flowables, at)
    # A conditional break takes no room, but has a height: what it asks for.
    solid = [one for one in block if not isinstance(one, CondPageBreak)]
    inside = [part for one in solid for part in (one.parts if isinstance(one, Whole) else [one])]
    if block and height_of(inside, width) + _AROUND < room:
        del flowables[at : at + len(block)]
        flowables[0:0] = block


def _block(flowables: list[Any], at: int) -> list[Any]:
    """A paragraph, or a table that stays on one page with what stands around it; empty where there is none."""
    rest = flowables[at : at + 3]
    if rest and isinstance(rest[0], Paragraph):
        return rest[:1]
    if len(rest) > 1 and isinstance(rest[0], CondPageBreak) and isinstance(rest[1], Whole):
        return rest if len(rest) > 2 and isinstance(rest[2], Spacer) else rest[:2]
    return []
