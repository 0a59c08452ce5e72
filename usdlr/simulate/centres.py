"""The simulated centres: each has its scanner, its readers, its screen and its case mix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing

# Tissue that an operator keeps in view beside and around a lesion.
FREE_WIDTH_MM, FREE_DEPTH_MM = 14.0, 8.0
# Every name of a simulated centre, patient and image begins with it: no table can be taken for one of real patients.
SIMULATED_PREFIX = "simulated-"


class PaneLayout(StrEnum):
    """Where the elastography pane stands on the screen."""

    BESIDE = "beside"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class ReaderStyle:
    """How one reader draws.

    Parameters
    ----------
    name : str
        Pseudonym of the reader.
    bias_mm : float
        How far outside (positive) or inside (negative) the true outline the line lies on average.
    noise_mm : float
        Standard deviation of the smooth wavering about that line.
    """

    name: str
    bias_mm: float
    noise_mm: float


@dataclass(frozen=True, slots=True)
class ElastographyStyle:
    """The elastography of one centre.

    Parameters
    ----------
    missing_rate : float
        Share of patients without elastography, from 0 to 1.
    strain_rate : float
        Share of the patients with elastography who have strain elastography, which has no kPa.
    scale : float
        Factor by which the scanner misreads stiffness; 1 is exact.
    palette : str
        Colours on the screen, a name in :data:`usdlr.imaging.palettes.PALETTES`.
    opacity : float
        Share of the colour in what the screen shows; the rest is the grey image beneath.
    bar_kpa : float
        Stiffness at the upper end of the colour bar.
    layout : PaneLayout
        Where the pane stands.
    """

    missing_rate: float
    strain_rate: float
    scale: float
    palette: str
    opacity: float
    bar_kpa: float
    layout: PaneLayout


@dataclass(frozen=True, slots=True)
class ScreenStyle:
    """What the scanner writes around and over its pictures.

    Parameters
    ----------
    rows, cols : int
        Size of the whole screen in pixels, at least; panes that do not fit make it larger.
    caliper_rate : float
        Share of the images on which the operator left the calipers' crosses and dotted line.
    text_in_image_rate : float
        Share of the images with a burned-in annotation (side and plane) inside the tissue.
    preset : str
        Name of the examination's settings, as the screen says it.
    text : tuple of int
        Colour of the words around the pictures: red, green, blue, 0 to 255.
    ink : tuple of int
        Colour of calipers and of annotations inside the tissue.
    font_px : int
        Height of the letters in pixels.
    """

    rows: int
    cols: int
    caliper_rate: float
    text_in_image_rate: float
    preset: str = "Breast"
    text: tuple[int, int, int] = (200, 200, 200)
    ink: tuple[int, int, int] = (255, 230, 60)
    font_px: int = 13


@dataclass(frozen=True, slots=True)
class Centre:
    """Everything in which one centre differs from another.

    Parameters
    ----------
    name : str
        What ``--centres`` says; ``centre_id`` and the ids of patients put ``simulated-`` in front.
    vendor, device : str
        Maker and model of the invented scanner.
    frequency_mhz : float
        Centre frequency of the transducer; sets the resolution and the attenuation.
    spacing : Spacing
        Millimetres per pixel at the usual depth setting.
    rows, cols : int
        Size of the deepest image in pixels.
    shown_depth : tuple of float
        Smallest and largest share of ``rows`` that an examination shows: how deep the operator looks below the lesion.
    depth_settings : tuple of float
        Factors on ``spacing`` that the operator chooses from, ascending; the first under which the lesion fits is used.
    looks : int
        Statistically independent images that the scanner averages (spatial compounding); 1 shows raw speckle.
    dynamic_range_db : float
        Range of echo levels between black and white.
    gain_db : float
        Overall gain; raises or lowers every grey level.
    readers : tuple of ReaderStyle
        The first draws every contour that is used, the second a share of them again.
    second_reader_rate : float
        Share of the images that the second reader contours too.
    elastography : ElastographyStyle
        How stiffness is imaged.
    screen : ScreenStyle
        What stands around and on the pictures when they are exported as screens.
    second_view_rate : float
        Share of the lesions of which a second, perpendicular view is stored.
    second_lesion_rate : float
        Share of the patients with a second, smaller lesion on the same side.
    prevalence_shift : float
        Added to the log-odds of a positive sentinel node.
    case_mix : mapping of str to float
        Shift of a latent's score, in standard deviations; empty where the centre sees the average patient.
    """

    name: str
    vendor: str
    device: str
    frequency_mhz: float
    spacing: Spacing
    rows: int
    cols: int
    shown_depth: tuple[float, float]
    depth_settings: tuple[float, ...]
    looks: int
    dynamic_range_db: float
    gain_db: float
    readers: tuple[ReaderStyle, ReaderStyle]
    second_reader_rate: float
    elastography: ElastographyStyle
    screen: ScreenStyle
    second_view_rate: float
    second_lesion_rate: float
    prevalence_shift: float = 0.0
    case_mix: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def centre_id(self) -> str:
        """Value of ``centre_id`` in every table."""
        return SIMULATED_PREFIX + self.name

    def spacing_for(self, size_mm: float) -> Spacing:
        """Spacing at the depth setting that the operator chooses for a lesion of this size.

        Parameters
        ----------
        size_mm : float
            Longest diameter of the lesion.

        Examples
        --------
        >>> CENTRES["north"].spacing_for(18.0), CENTRES["north"].spacing_for(35.0)
        (Spacing(row_mm=0.1, col_mm=0.1), Spacing(row_mm=0.125, col_mm=0.125))
        """
        setting = next(
            (
                factor
                for factor in self.depth_settings
                if self.cols * self.spacing.col_mm * factor >= size_mm + FREE_WIDTH_MM
                and self.rows * self.spacing.row_mm * factor >= size_mm + FREE_DEPTH_MM
            ),
            self.depth_settings[-1],
        )
        # Six decimals, as the manifest states them: what is rendered is exactly what is told.
        return Spacing(round(self.spacing.row_mm * setting, 6), round(self.spacing.col_mm * setting, 6))

    def shape_for(self, size_mm: float, choice: float) -> tuple[int, int]:
        """(rows, cols) of an examination; ``choice`` from 0 to 1 says how deep the operator looks.

        Examples
        --------
        >>> [CENTRES["north"].shape_for(size, 0.0) for size in (10.0, 25.0)]
        [(228, 420), (330, 420)]
        """
        low, high = self.shown_depth
        least = math.ceil((size_mm + FREE_DEPTH_MM) / self.spacing_for(size_mm).row_mm)
        return min(max(round(self.rows * (low + (high - low) * choice)), least), self.rows), self.cols


CENTRES: dict[str, Centre] = {
    centre.name: centre
    for centre in (
        Centre(
            name="north",
            vendor="Borealis",
            device="Aurora 7",
            frequency_mhz=11.0,
            spacing=Spacing(0.1, 0.1),
            rows=380,
            cols=420,
            shown_depth=(0.60, 1.0),
            depth_settings=(1.0, 1.25, 1.5),
            looks=4,
            dynamic_range_db=70.0,
            gain_db=0.0,
            readers=(ReaderStyle("n1", 0.3, 0.35), ReaderStyle("n2", -0.2, 0.45)),
            second_reader_rate=0.2,
            elastography=ElastographyStyle(0.10, 0.0, 1.0, "blue_to_red", 0.6, 300.0, PaneLayout.BELOW),
            screen=ScreenStyle(
                rows=600,
                cols=800,
                caliper_rate=0.3,
                text_in_image_rate=0.2,
                preset="Breast",
                text=(190, 205, 220),
                ink=(90, 240, 90),
                font_px=13,
            ),
            second_view_rate=0.2,
            second_lesion_rate=0.05,
            prevalence_shift=-0.2,
        ),
        Centre(
            name="south",
            vendor="Meridian Imaging",
            device="Zenit S",
            frequency_mhz=9.0,
            spacing=Spacing(0.11, 0.09),
            rows=350,
            cols=460,
            shown_depth=(0.65, 1.0),
            depth_settings=(1.0, 1.2, 1.4),
            looks=3,
            dynamic_range_db=64.0,
            gain_db=2.0,
            readers=(ReaderStyle("s1", -0.4, 0.45), ReaderStyle("s2", 0.2, 0.35)),
            second_reader_rate=0.2,
            elastography=ElastographyStyle(0.25, 0.0, 0.92, "jet", 0.5, 300.0, PaneLayout.BESIDE),
            screen=ScreenStyle(
                rows=768,
                cols=1024,
                caliper_rate=0.2,
                text_in_image_rate=0.3,
                preset="Mamma",
                text=(215, 215, 215),
                ink=(255, 225, 60),
                font_px=14,
            ),
            second_view_rate=0.2,
            second_lesion_rate=0.05,
            prevalence_shift=0.2,
        ),
        Centre(
            name="west",
            vendor="Borealis",
            device="Aurora 9",
            frequency_mhz=13.0,
            spacing=Spacing(0.085, 0.085),
            rows=448,
            cols=496,
            shown_depth=(0.55, 1.0),
            depth_settings=(1.0, 1.2, 1.45),
            looks=4,
            dynamic_range_db=74.0,
            gain_db=-1.0,
            readers=(ReaderStyle("w1", 0.1, 0.30), ReaderStyle("w2", 0.4, 0.30)),
            second_reader_rate=0.2,
            elastography=ElastographyStyle(0.05, 0.0, 1.04, "blue_to_red", 0.5, 300.0, PaneLayout.BELOW),
            screen=ScreenStyle(
                rows=768,
                cols=1024,
                caliper_rate=0.1,
                text_in_image_rate=0.1,
                preset="Breast Gen",
                text=(190, 205, 220),
                ink=(70, 225, 255),
                font_px=14,
            ),
            second_view_rate=0.3,
            second_lesion_rate=0.08,
        ),
        Centre(
            name="east",
            vendor="Ostia Medical",
            device="E 400",
            frequency_mhz=10.0,
            spacing=Spacing(0.095, 0.105),
            rows=400,
            cols=400,
            shown_depth=(0.70, 1.0),
            depth_settings=(1.0, 1.2, 1.4),
            looks=3,
            dynamic_range_db=67.0,
            gain_db=1.0,
            readers=(ReaderStyle("e1", 0.0, 0.50), ReaderStyle("e2", -0.5, 0.40)),
            second_reader_rate=0.2,
            elastography=ElastographyStyle(0.15, 0.15, 0.97, "blue_green_red", 0.7, 300.0, PaneLayout.BESIDE),
            screen=ScreenStyle(
                rows=720,
                cols=960,
                caliper_rate=0.4,
                text_in_image_rate=0.3,
                preset="Small Parts",
                text=(230, 200, 140),
                ink=(245, 245, 245),
                font_px=13,
            ),
            second_view_rate=0.5,
            second_lesion_rate=0.05,
            prevalence_shift=0.1,
            case_mix={"size_mm": 0.2},
        ),
        # Far off: an older scanner with raw speckle, generous contours, little elastography, larger tumours.
        Centre(
            name="overseas",
            vendor="Antipode",
            device="Classic 2",
            frequency_mhz=7.5,
            spacing=Spacing(0.15, 0.15),
            rows=300,
            cols=340,
            shown_depth=(0.80, 1.0),
            depth_settings=(1.0, 1.3),
            looks=1,
            dynamic_range_db=52.0,
            gain_db=4.0,
            readers=(ReaderStyle("o1", 1.0, 0.70), ReaderStyle("o2", 0.3, 0.60)),
            second_reader_rate=0.1,
            elastography=ElastographyStyle(0.50, 0.30, 1.30, "red_to_blue", 0.45, 180.0, PaneLayout.BESIDE),
            screen=ScreenStyle(
                rows=480,
                cols=640,
                caliper_rate=0.6,
                text_in_image_rate=0.5,
                preset="BREAST",
                text=(180, 180, 180),
                ink=(255, 255, 255),
                font_px=12,
            ),
            second_view_rate=0.1,
            second_lesion_rate=0.10,
            prevalence_shift=0.7,
            case_mix={"size_mm": 0.7, "posterior_db_per_cm": -0.5},
        ),
    )
}


def find_centres(names: Sequence[str]) -> tuple[Centre, ...]:
    """The centres called ``names``, in that order.

    Raises
    ------
    ConfigError
        If there is no name, an unknown one or one twice.

    Examples
    --------
    >>> [centre.device for centre in find_centres(["south"])]
    ['Zenit S']
    """
    valid = ", ".join(CENTRES)
    if not names:
        raise ConfigError(f"found no centre, expected at least one of: {valid}")
    for name in names:
        if name not in CENTRES:
            raise ConfigError(f"found an unknown centre {name!r}, expected one of: {valid}")
    if len(set(names)) < len(names):
        raise ConfigError(f"found a centre twice in {' '.join(names)}, expected each once; remove the repetition")
    return tuple(CENTRES[name] for name in names)
