"""Ultrasound frames drawn from geometry alone: scan-converted speckle with a known field of view and known graphics."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Byte = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]

KINDS = ("linear", "curved", "trapezoid")
LAYOUTS = ("frame", "tight", "inside")
WORDS = (
    "RT BREAST 10 H",
    "AXILLA LT",
    "DIST 1.24 cm",
    "MI 1.1  TIS 0.2",
    "12 Hz",
    "Gn 62",
    "DR 70",
    "L12-5",
    "UIQ 3cm FN",
)
GREY, YELLOW, GREEN, CYAN = (255, 255, 255), (255, 235, 0), (0, 255, 0), (0, 235, 255)


@dataclass(frozen=True)
class Rendered:
    """One frame with its truth.

    ``pixels`` grey or red, green, blue; ``fov`` the scan sector; ``marks`` graphics drawn inside it; ``words`` pixels
    of letters and digits anywhere in the frame; ``box`` the smallest rectangle around the sector.
    """

    pixels: Byte
    fov: Bool
    marks: Bool
    words: Bool
    box: tuple[int, int, int, int]
    kind: str


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Float:
    coarse = rng.normal(size=cells)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float64)


def beam_image(rng: np.random.Generator, depth: int, lines: int, fade: bool, silent: bool) -> Float:
    """Log-compressed tissue over depth and lateral position: layers, a lesion, a cyst, shadows, attenuation, noise."""
    field = rng.normal(size=(2, depth, lines))
    # The lateral point spread is wider than the axial one, as in any array.
    field = np.stack([cv2.GaussianBlur(part, (0, 0), sigmaX=rng.uniform(1.3, 2.5), sigmaY=0.9) for part in field])
    amplitude = np.hypot(field[0], field[1])
    amplitude /= amplitude.mean()
    d, u = np.mgrid[0 : 1 : depth * 1j, 0 : 1 : lines * 1j]
    gain: Float = (
        rng.uniform(-8, 4)
        + 4 * smooth_noise(rng, (depth, lines), (7, 5))
        + 3 * smooth_noise(rng, (depth, lines), (20, 4))
    )
    gain += 12 * np.exp(-d / 0.02)  # skin
    gain -= rng.uniform(0, 10) * d
    for floor in (rng.uniform(10, 18), 60.0):  # a lesion and a cyst
        centre, radii = rng.uniform((0.15, 0.2), (0.6, 0.8)), rng.uniform(0.05, 0.16, 2)
        gain[((d - centre[0]) / radii[0]) ** 2 + ((u - centre[1]) / radii[1]) ** 2 < 1] -= floor
    for _ in range(rng.integers(0, 3)):  # posterior shadows down to black
        start, middle, width = rng.uniform(0.2, 0.7), rng.uniform(0.05, 0.95), rng.uniform(0.02, 0.09)
        gain -= rng.uniform(15, 60) / (1 + np.exp(-(d - start) * 40)) / (1 + np.exp((np.abs(u - middle) - width) * 150))
    if fade:
        gain -= rng.uniform(25, 45) * np.clip((d - rng.uniform(0.5, 0.75)) / 0.3, 0, 1)
    noise = np.hypot(*cv2.GaussianBlur(rng.normal(size=(depth, lines, 2)), (0, 0), sigmaX=0.8).transpose(2, 0, 1))
    span = rng.uniform(50, 65)
    # Where no echo returns, the receiver's noise is all there is: most of it below the lowest grey level, or all.
    floor = -80.0 if silent else -110 * span / 255 + rng.uniform(-6, 2)
    signal = amplitude * 10 ** (gain / 20) + noise * 10 ** (floor / 20)
    return np.asarray(np.clip(110 + 255 / span * 20 * np.log10(signal + 1e-6), 0, 255))


def geometry(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Bool, Float, Float]:
    """Field of view, depth 0-1 and lateral position 0-1 of every pixel."""
    rows, cols = shape
    y, x = np.indices(shape).astype(np.float64)
    top, height = rng.uniform(0.06, 0.16) * rows, rng.uniform(0.6, 0.8) * rows
    middle = cols * rng.uniform(0.44, 0.56)
    if kind == "linear":
        width = rng.uniform(0.4, 0.72) * cols
        depth, lateral = (y - top) / height, (x - middle) / width + 0.5
    elif kind == "curved":
        half = np.radians(rng.uniform(20, 38))
        # The sector's height is r1 - r0 cos(half), its width 2 r1 sin(half).
        ratio = rng.uniform(0.12, 0.4)
        outer = min(height / (1 - ratio * np.cos(half)), 0.43 * cols / np.sin(half))
        apex = top - ratio * outer * np.cos(half)
        radius, angle = np.hypot(y - apex, x - middle), np.arctan2(x - middle, y - apex)
        depth, lateral = (radius / outer - ratio) / (1 - ratio), angle / (2 * half) + 0.5
    else:
        half = np.radians(rng.uniform(8, 22))
        width = rng.uniform(0.3, 0.4) * cols
        height = min(height, (0.43 * cols - width / 2) / np.tan(half))
        apex = top - width / 2 / np.tan(half)
        angle = np.arctan2(x - middle, y - apex)
        lateral = angle / (2 * half) + 0.5
        bottom = y - top
        if rng.random() < 0.5:
            bottom = np.hypot(y - apex, x - middle) - (top - apex)
            bottom = np.where(y < top, -1.0, np.maximum(bottom, 0))
        depth = bottom / height
    return (depth >= 0) & (depth < 1) & (lateral >= 0) & (lateral < 1), depth, lateral


class Pen:
    """Draws graphics and remembers where."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.colour = np.zeros((*shape, 3))
        self.cover = np.zeros(shape)
        self.words = np.zeros(shape, dtype=bool)

    def paint(self, cover: Float, rgb: tuple[float, float, float]) -> None:
        self.colour[cover > 0] = rgb
        np.maximum(self.cover, cover, out=self.cover)

    def text(
        self, word: str, row: int, col: int, size: int, rgb: tuple[float, float, float], smooth: bool = True
    ) -> None:
        image = Image.new("L" if smooth else "1", (self.cover.shape[1], self.cover.shape[0]))
        ImageDraw.Draw(image).text((col, row), word, fill=255 if smooth else 1, font=ImageFont.load_default(size))
        cover = np.asarray(image, dtype=np.float64) / (255 if smooth else 1)
        self.words |= cover > 0.4
        self.paint(cover, rgb)

    def line(
        self, a: tuple[float, float], b: tuple[float, float], rgb: tuple[float, float, float], width: int = 1
    ) -> None:
        """From ``(row, col)`` to ``(row, col)``."""
        image = np.zeros(self.cover.shape, np.uint8)
        cv2.line(image, (round(a[1]), round(a[0])), (round(b[1]), round(b[0])), 255, width, cv2.LINE_8)
        self.paint(image / 255.0, rgb)

    def cross(self, row: int, col: int, arm: int, rgb: tuple[float, float, float], oblique: bool, width: int) -> None:
        for step in ((1, 1), (1, -1)) if oblique else ((1, 0), (0, 1)):
            ends = [(row + sign * arm * step[0], col + sign * arm * step[1]) for sign in (-1, 1)]
            self.line(ends[0], ends[1], rgb, width)

    def over(self, pixels: Byte) -> Byte:
        cover = self.cover[..., None]
        return np.asarray(np.rint(pixels * (1 - cover) + self.colour * cover), dtype=np.uint8)


def mark_up(pen: Pen, rng: np.random.Generator, area: tuple[int, int, int, int]) -> None:
    """Two calipers with a dotted line, an annotation, an arrow and a body mark inside ``area``, in one ink."""
    row, col, rows, cols = area
    level = float(rng.choice([255, 255, 230, 200]))
    rgb = [(level, level, level), YELLOW, GREEN, CYAN][rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])]
    arm, oblique, width = int(rng.integers(4, 9)), bool(rng.random() < 0.3), int(rng.integers(1, 3))
    a = np.array([row + rng.uniform(0.25, 0.5) * rows, col + rng.uniform(0.2, 0.4) * cols])
    b = np.array([row + rng.uniform(0.4, 0.6) * rows, col + rng.uniform(0.55, 0.8) * cols])
    for end in (a, b):
        pen.cross(int(end[0]), int(end[1]), arm, rgb, oblique, width)
    if rng.random() < 0.6:
        steps = int(np.hypot(*(b - a)) / rng.integers(4, 8))
        for t in np.linspace(0, 1, steps + 1)[2:-2]:
            dot = (a + t * (b - a)).round()
            pen.line((dot[0], dot[1]), (dot[0], dot[1] + 1), rgb)
    pen.text(
        str(rng.choice(WORDS)), int(row + rng.uniform(0.7, 0.85) * rows), int(col + rng.uniform(0.05, 0.4) * cols),
        int(rng.integers(12, 20)), rgb, bool(rng.random() < 0.6),
    )  # fmt: skip
    if rng.random() < 0.5:
        tip = (row + 0.65 * rows, col + rng.uniform(0.6, 0.9) * cols)
        pen.line(tip, (tip[0] + 18, tip[1] + 12), rgb, 2)
        pen.line(tip, (tip[0] + 8, tip[1]), rgb, 2)
        pen.line(tip, (tip[0] + 2, tip[1] + 9), rgb, 2)
    if rng.random() < 0.5:  # body mark: a breast's circle, its nipple and the probe
        centre, radius = (row + 0.14 * rows, col + 0.14 * cols), 17
        ring = np.zeros(pen.cover.shape, np.uint8)
        cv2.circle(ring, (round(centre[1]), round(centre[0])), radius, 255, 1)
        cv2.circle(ring, (round(centre[1]), round(centre[0])), 3, 255, 1)
        pen.paint(ring / 255.0, rgb)
        pen.line((centre[0] - 12, centre[1] + 4), (centre[0] - 4, centre[1] + 10), rgb, 2)


def decorate(pen: Pen, rng: np.random.Generator, box: tuple[int, int, int, int]) -> None:
    """What a scanner draws around the sector; the sector itself is pasted over it."""
    rows, cols = pen.cover.shape
    top, left, height, width = box
    ink = (float(rng.choice([255, 200, 160])),) * 3
    band = np.zeros((rows, cols))
    band[: int(top * 0.6)] = 1.0
    if rng.random() < 0.4:
        pen.paint(band, (40, 60, 100) if rng.random() < 0.5 else (50, 50, 50))
    pen.text("DOE^JANE 19600101  ID 4711-23", 2, 8, max(9, int(top * 0.35)), ink)
    pen.text("2024-05-01 12:31", 2, int(cols * 0.7), max(9, int(top * 0.35)), ink)
    for number in range(int(rng.integers(2, 7))):
        pen.text(str(rng.choice(WORDS)), top + 16 * number, 3, 11, ink)
    side = left + width + int(rng.integers(2, 14)) if rng.random() < 0.6 else left - int(rng.integers(4, 16))
    pitch = height / rng.integers(3, 9)
    for tick in range(int(height / pitch * 2) + 1):
        at = top + tick * pitch / 2
        pen.line((at, side), (at, side + (6 if tick % 2 == 0 else 3)), ink)
        if tick % 4 == 2:
            pen.text(str(tick // 2), int(at) - 6, side + 8, 11, ink)
    bar_left, bar_width = int(cols - rng.integers(20, 32)), int(rng.integers(8, 16))
    bar = np.zeros((rows, cols))
    bar[top : top + height // 3, bar_left : bar_left + bar_width] = 1.0
    ramp = np.linspace(255, 0, height // 3)
    pen.paint(bar, ink)
    pen.colour[top : top + height // 3, bar_left : bar_left + bar_width] = ramp[:, None, None]
    if rng.random() < 0.4:
        place = slice(top + height // 2, top + height // 2 + height // 4), slice(bar_left, bar_left + bar_width)
        hue = np.linspace(170, 0, height // 4).astype(np.uint8)
        colours = cv2.cvtColor(
            np.stack([hue, np.full_like(hue, 255), np.full_like(hue, 255)], -1)[:, None], cv2.COLOR_HSV2RGB
        )
        pen.cover[place] = 1.0
        pen.colour[place] = colours
    logo = np.zeros((rows, cols), np.uint8)
    cv2.circle(logo, (left + int(rng.integers(-14, 20)), max(8, top - 10)), 6, 255, -1)
    pen.paint(logo / 255.0, ink)
    pen.text("VENDOR", int(rows * 0.93), int(cols * rng.uniform(0.05, 0.6)), 14, ink)


def render(
    kind: str,
    rng: np.random.Generator,
    layout: str = "frame",
    shape: tuple[int, int] | None = None,
    background: int | None = None,
    jpeg: int | None = None,
    marked: bool = False,
    fade: bool | None = None,
    silent: bool = False,
) -> Rendered:
    """One frame.

    Parameters
    ----------
    kind : str
        ``linear``, ``curved`` or ``trapezoid``.
    rng : Generator
        Draws whatever is not given.
    layout : str
        ``frame``: a whole screen; ``tight``: cropped to the sector's bounding box; ``inside``: nothing but tissue.
    shape : tuple of int or None
        Rows and columns of the screen.
    background : int or None
        Grey level around the sector; 0 or 12 when not given.
    jpeg : int or None
        Quality of a JPEG round trip.
    marked : bool
        Whether graphics are drawn inside the sector.
    fade : bool or None
        Whether the depth fades into black.
    silent : bool
        Whether even the receiver's noise is below the lowest grey level, so that shadows and depth are as black as the
        screen.
    """
    if shape is None:
        rows = int(rng.integers(420, 720))
        shape = (rows, int(rows * rng.uniform(1.2, 1.45)))
    background = int(rng.choice([0, 0, 12])) if background is None else background
    fade = bool(rng.random() < 0.4) if fade is None else fade
    fov, depth, lateral = geometry(kind, rng, shape)
    beams = beam_image(rng, 500, 400, fade, silent)
    tissue = cv2.remap(
        beams.astype(np.float32), (lateral * 399).astype(np.float32), (depth * 499).astype(np.float32), cv2.INTER_LINEAR
    )
    hits = np.flatnonzero(fov.any(axis=1)), np.flatnonzero(fov.any(axis=0))
    box = (int(hits[0][0]), int(hits[1][0]), int(np.ptp(hits[0])) + 1, int(np.ptp(hits[1])) + 1)
    canvas = np.full((*shape, 3), background, np.uint8)
    words = np.zeros(shape, dtype=bool)
    if layout == "frame":
        screen = Pen(shape)
        decorate(screen, rng, box)
        canvas, words = screen.over(canvas), screen.words & ~fov
    pixels = np.where(fov[..., None], np.rint(tissue)[..., None], canvas).astype(np.uint8)
    ink = Pen(shape)
    if marked:
        mark_up(ink, rng, box)
        ink.cover *= fov
        pixels = ink.over(pixels)
    marks, words = ink.cover > 0.4, words | (ink.words & fov)
    if layout != "frame":
        row, col, height, width = box
        if layout == "inside":
            row, col = row + int(height * 0.22), col + int(width * 0.3)
            height, width = int(height * 0.6), int(width * 0.4)
        part = slice(row, row + height), slice(col, col + width)
        pixels, fov, marks, words = pixels[part], fov[part], marks[part], words[part]
        box = (0, 0, height, width)
    if jpeg is not None:
        _, code = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, jpeg])
        pixels = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1]
    if bool((pixels == pixels[..., :1]).all()) and rng.random() < 0.5:
        pixels = pixels[..., 0]
    return Rendered(np.ascontiguousarray(pixels), fov, marks, words, box, kind)
