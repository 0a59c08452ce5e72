"""Which windows a network learns outlines from, and how they vary."""

from __future__ import annotations

from dataclasses import dataclass, field

from usdlr.core.errors import ConfigError
from usdlr.data.augment.settings import AugmentSettings


@dataclass(frozen=True)
class DrawSettings:
    """How windows are drawn. The rest of them show the whole image, or most of it, without a prompt.

    Parameters
    ----------
    close : float
        Share of windows close around a lesion, with a prompt: what a reader's box, or the first look at the whole
        image, leads to.
    pointed : float
        Share of windows on the whole image with points or strokes, but no box.
    empty : float
        Share of windows on tissue without a lesion, where the image has enough of it.
    zoom : float
        Windows on the whole image are at most so much larger or smaller, as a natural logarithm.
    shift : float
        Their largest shift, as a share of the image's longer side.
    rotate_deg : float
        Largest turn, in degrees; depth has a direction.
    stretch : float
        Largest change of width against height, as a natural logarithm.
    bend : float
        Largest smooth displacement, as a share of the window's side, in half of the windows.
    flip : float
        Chance of a left-right flip.
    box_error : float
        Standard deviation of every side of a simulated box, as a share of the lesion's.
    strokes : float
        Chance that a window with a prompt has strokes inside, and the same outside.
    marks : float
        Chance that crosses like those of a scanner's calipers are drawn anywhere. Readers measure lesions, and their
        marks stay on some images: a network that looks for crosses would find lesions that somebody has found already.
    echo : AugmentSettings
        How intensities vary; of its geometry nothing is used. Lengths in mm are those of a window that shows 40 mm.
    """

    close: float = 0.4
    pointed: float = 0.06
    empty: float = 0.1
    zoom: float = 0.4
    shift: float = 0.15
    rotate_deg: float = 15.0
    stretch: float = 0.15
    bend: float = 0.02
    flip: float = 0.5
    box_error: float = 0.05
    strokes: float = 0.4
    marks: float = 0.3
    echo: AugmentSettings = field(default_factory=lambda: AugmentSettings(intensity=1.5))

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("close", "pointed", "empty", "flip", "strokes", "marks")}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"found windows.{name} = {value}, expected a share from 0 to 1")
        if self.close + self.pointed + self.empty > 1:
            raise ConfigError(
                f"found windows.close, pointed and empty = {self.close}, {self.pointed} and {self.empty}, expected "
                "shares of at most 1 together"
            )
        for name, most in (
            ("zoom", 1.5),
            ("shift", 0.5),
            ("rotate_deg", 45.0),
            ("stretch", 0.7),
            ("bend", 0.1),
            ("box_error", 0.5),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"found windows.{name} = {getattr(self, name)}, expected 0 to {most:g}")
