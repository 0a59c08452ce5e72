"""The simulated centres: each has its scanner, its way of drawing contours and its case mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing

# Tissue that an operator keeps in view beside and around a lesion.
FREE_WIDTH_MM, FREE_DEPTH_MM = 14.0, 8.0


@dataclass(frozen=True, slots=True)
class Centre:
    """Everything in which one centre differs from another.

    Parameters
    ----------
    name : str
        Value of ``centre_id`` and prefix of the patients' ids.
    vendor, device : str
        Maker and model of the invented scanner.
    frequency_mhz : float
        Centre frequency of the transducer; sets the resolution and the attenuation.
    spacing : Spacing
        Millimetres per pixel at the usual depth setting.
    rows, cols : int
        Size of the image in pixels.
    depth_settings : tuple of float
        Factors on ``spacing`` that the operator chooses from, ascending; the first under which the lesion fits is used.
    looks : int
        Statistically independent images that the scanner averages (spatial compounding); 1 shows raw speckle.
    dynamic_range_db : float
        Range of echo levels between black and white.
    gain_db : float
        Overall gain; raises or lowers every grey level.
    contour_bias_mm : float
        How far outside (positive) or inside (negative) the true outline this centre's readers draw.
    contour_noise_mm : float
        Standard deviation of the readers' smooth wavering about their own line.
    elasto_missing_rate : float
        Share of patients without elastography, from 0 to 1.
    elasto_scale : float
        Factor by which the scanner misreads stiffness; 1 is exact.
    prevalence_shift : float
        Added to the log-odds of a positive sentinel node.
    """

    name: str
    vendor: str
    device: str
    frequency_mhz: float
    spacing: Spacing
    rows: int
    cols: int
    depth_settings: tuple[float, ...]
    looks: int
    dynamic_range_db: float
    gain_db: float
    contour_bias_mm: float
    contour_noise_mm: float
    elasto_missing_rate: float
    elasto_scale: float
    prevalence_shift: float

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
            depth_settings=(1.0, 1.25, 1.5),
            looks=3,
            dynamic_range_db=68.0,
            gain_db=0.0,
            contour_bias_mm=0.3,
            contour_noise_mm=0.35,
            elasto_missing_rate=0.10,
            elasto_scale=1.0,
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
            depth_settings=(1.0, 1.2, 1.4),
            looks=2,
            dynamic_range_db=62.0,
            gain_db=2.0,
            contour_bias_mm=-0.4,
            contour_noise_mm=0.45,
            elasto_missing_rate=0.25,
            elasto_scale=0.92,
            prevalence_shift=0.2,
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
