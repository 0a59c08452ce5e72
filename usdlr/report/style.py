"""How every figure looks, and how it becomes the same SVG and PDF bytes each time.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/); every series also differs by line style or
marker, so that a figure reads the same in grey.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.errors import DataError
from usdlr.core.types import RiskGroup

INK = "#1A1A1A"
QUIET = "#5A5A5A"
RULE = "#C9CCD1"
GRID = "#ECEDEF"
PALE = "#F3F4F6"
BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

MODEL_COLOUR = BLUE
GROUP_COLOURS: dict[str, str] = {
    RiskGroup.LR_SLN: GREEN,
    RiskGroup.HR_SLN_LR_NSLN: ORANGE,
    RiskGroup.HR_SLN_HR_NSLN: VERMILLION,
    RiskGroup.DEFER: QUIET,
}


@dataclass(frozen=True)
class Series:
    """How one baseline is drawn: colour, dashes and marker together tell it apart."""

    colour: str
    dashes: Any
    marker: str


BASELINE_SERIES: tuple[Series, ...] = (
    Series(VERMILLION, (0, (5, 2)), "s"),
    Series(GREEN, (0, (1.5, 1.5)), "^"),
    Series(PURPLE, (0, (6, 2, 1.5, 2)), "D"),
    Series(ORANGE, (0, (3, 1, 1, 1, 1, 1)), "v"),
    Series(INK, (0, (8, 3)), "P"),
)


def baseline_series(position: int) -> Series:
    """The look of the baseline at ``position``; looks repeat after the fifth."""
    return BASELINE_SERIES[position % len(BASELINE_SERIES)]


WIDTH_IN = 7.4  # two journal columns; 8 pt text then prints as 8 pt

# DejaVu Sans travels with matplotlib, so the layout is measured alike on every machine. Text stays text: readers see
# it in one of SCREEN_FONTS, all of them no wider than the font it was measured in.
MEASURED_FONT = "DejaVu Sans"
SCREEN_FONTS = "'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"

_SETTINGS: Any = {
    "font.family": [MEASURED_FONT],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 8.0,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.fontsize": 7.2,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "butt",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "usdlr",
    "pdf.fonttype": 42,  # text stays text: it can be searched, and its letters travel with it
    "path.simplify": False,
    "text.parse_math": False,  # a dollar sign in a baseline's title is a dollar sign
}
_NO_METADATA: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_NO_PDF_METADATA: dict[str, Any] = dict.fromkeys(("Creator", "Producer", "CreationDate"))


@dataclass(frozen=True)
class Drawing:
    """One finished figure.

    Parameters
    ----------
    name : str
        File stem, e.g. ``"roc"``; also the prefix of every id inside the SVG.
    title : str
        What the figure shows, with the marks of the cohort (simulated, uncertified).
    caption : str
        How to read it: n, methods and intervals.
    svg : str
        One ``<svg>`` element, ready to stand inside a page.
    size_in : (float, float)
        Width and height in inches.
    paint : callable, optional
        What paints it into an empty figure, for :func:`drawings_pdf`. Drawings are equal when what they show is.
    """

    name: str
    title: str
    caption: str
    svg: str
    size_in: tuple[float, float] = (0.0, 0.0)
    paint: Callable[[Figure], None] | None = field(default=None, compare=False, repr=False)

    @property
    def file_text(self) -> str:
        """The content of the stand-alone file."""
        return f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg}\n'

    def pdf(self) -> bytes:
        """The same figure as a PDF of one page, see :func:`drawings_pdf`."""
        return drawings_pdf([self])


def draw(name: str, title: str, caption: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> Drawing:
    """Paint a figure in the house style.

    Parameters
    ----------
    name, title, caption : str
        See :class:`Drawing`.
    size : (float, float)
        Width and height in inches.
    paint : callable
        Receives the empty figure.

    Returns
    -------
    Drawing
        Equal input gives equal bytes.
    """
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=size)
        paint(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=_NO_METADATA)
    return Drawing(name, title, caption, _inline(stream.getvalue(), name, title), size, paint)


def drawings_pdf(drawings: Sequence[Drawing]) -> bytes:
    """Figures as one PDF, a page of their own size for each, painted anew: vectors, and text in embedded letters.

    Made together, they share their fonts, which takes most of the time.

    Parameters
    ----------
    drawings : sequence of Drawing
        At least one.

    Returns
    -------
    bytes
        Equal drawings give equal bytes; no date is in them.

    Raises
    ------
    DataError
        If nobody knows how to paint one of them.
    """
    from matplotlib.backends.backend_pdf import PdfPages  # with its font tools it takes longer than all the rest

    stream = io.BytesIO()
    with mpl.rc_context(_SETTINGS), PdfPages(stream, metadata=_NO_PDF_METADATA) as pages:
        for drawing in drawings:
            if drawing.paint is None:
                raise DataError(
                    f"found the figure {drawing.name} without its painter, expected one that `draw` made; draw it again"
                )
            figure = Figure(figsize=drawing.size_in)
            drawing.paint(figure)
            figure.savefig(pages, format="pdf")
    return stream.getvalue()


def _inline(svg: str, name: str, title: str) -> str:
    """The bare ``<svg>`` element: ids that no other figure of the page has, a title for screen readers."""
    element = svg[svg.index("<svg") :].strip()
    element = re.sub(r"<!--.*?-->\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    element = re.sub(r'href="#', f'href="#{name}-', element)
    element = element.replace(f"'{MEASURED_FONT}'", SCREEN_FONTS)
    # Inside a page a bare `*` would reach beyond this figure.
    element = element.replace('<style type="text/css">*{', f'<style type="text/css">#{name}-figure_1 *{{')
    head = element.index(">")
    label = f'<title id="{name}-title">{escape(title)}</title>'
    return f'{element[:head]} role="img" aria-labelledby="{name}-title">\n {label}{element[head + 1 :]}'


def panel_title(axes: Axes, letter: str, text: str) -> None:
    """A panel's title, led by its letter."""
    axes.set_title(f"{letter}\u2002{text}")


def note(axes: Axes, text: str) -> None:
    """One sentence in the middle of a panel that has nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET, wrap=True)


def heading(figure: Figure, text: str) -> None:
    """The figure's own title, at its upper left corner."""
    height = float(figure.get_size_inches()[1])
    figure.text(0.012, 1 - 0.10 / height, text, ha="left", va="top", fontsize=9.5, fontweight="bold")
