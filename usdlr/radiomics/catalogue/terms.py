"""The words of the catalogue: what is said about a feature, a class of features and an image type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariances:
    """What a feature's value on the original image does not depend on.

    ``count`` means grey levels by a fixed ``bin_count``, ``width`` those by a fixed ``bin_width``; the two differ only
    where a feature reads grey levels. An offset by a whole number of bin widths leaves every feature of grey levels
    alone; ``offset_width`` is about any other. On filtered images less holds: a wavelet's details trade places when the
    image is turned.

    Parameters
    ----------
    rotation : bool
        Turning image and contour by 90 degrees, on square pixels.
    spacing : bool
        Reading the same pixels with other millimetres per pixel.
    resolution : bool
        Drawing the same picture on a grid twice as fine, each pixel split in four, to within 1 % of the value.
    gain_count, gain_width : bool
        Multiplying the intensities by a positive number.
    offset_count, offset_width : bool
        Adding a number to the intensities.
    """

    rotation: bool
    spacing: bool
    resolution: bool
    gain_count: bool
    gain_width: bool
    offset_count: bool
    offset_width: bool


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of PyRadiomics 3.0.1.

    Parameters
    ----------
    family : str
        Feature class, e.g. ``glcm``.
    name : str
        PyRadiomics' name within the class.
    title : str
        What it measures, in a few plain words that finish a sentence.
    meaning : str
        One sentence for a clinician: when the value is large.
    definition : str
        Formula in the symbols of its :class:`Family`.
    unit : str
        In terms of ``intensity`` (the image's unit), ``level`` (grey levels), ``pixel``, ``mm`` and ``bit``; ``1`` for
        a pure number.
    invariances : Invariances
        What leaves the value as it is.
    ibsi : str or None
        Code in the reference manual of the Image Biomarker Standardisation Initiative (doi 10.1148/radiol.2020191145);
        ``None`` where the manual does not define the feature.
    departure : str
        Where PyRadiomics departs from the manual; empty where it does not.
    note : str
        The manual's name where it is another one, and the value that stands where the formula has none; may be empty.
    """

    family: str
    name: str
    title: str
    meaning: str
    definition: str
    unit: str
    invariances: Invariances
    ibsi: str | None
    departure: str
    note: str

    @property
    def key(self) -> str:
        """``{class}.{feature}``, as in the settings and in the columns of ``features``."""
        return f"{self.family}.{self.name}"


@dataclass(frozen=True, slots=True)
class Family:
    """One class of features.

    Parameters
    ----------
    name : str
        PyRadiomics' name of the class.
    title : str
        What its features have in common, in plain words.
    symbols : str
        The symbols in which its features are defined.
    ibsi : str
        Name of the family in IBSI's manual; empty where there is none.
    departure : str
        What holds for all its features where PyRadiomics departs from the manual.
    """

    name: str
    title: str
    symbols: str
    ibsi: str
    departure: str


@dataclass(frozen=True, slots=True)
class ImageType:
    """One image type, as it stands in a column's name.

    Parameters
    ----------
    name : str
        PyRadiomics' name of the image, e.g. ``wavelet-LH``.
    setting : str
        Word of ``radiomics.image_types`` that measures it.
    title : str
        What is seen in it, in plain words; empty for the image itself.
    unit : str
        Unit of its pixels, in terms of ``intensity``.
    """

    name: str
    setting: str
    title: str
    unit: str


# Grey levels of a fixed number are IBSI's; those of a fixed width have other edges.
DISCRETISATION = (
    "a fixed bin width puts the edges at multiples of the width, counted from zero; IBSI counts them from the region's "
    "minimum"
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "shape2D",
            "size and outline of the region",
            "A: area inside the polygon through the midpoints between pixels inside and outside; U: its length; "
            "v1 >= v2: variances of the pixel centres along the two main axes, in mm^2; all in millimetres",
            "",
            "IBSI defines shape in three dimensions only",
        ),
        Family(
            "firstorder",
            "brightness of the region's pixels, wherever they lie",
            "x: the N intensities; m: their mean; p(i): share of the pixels in grey level i, over levels that occur",
            "Intensity-based statistics; intensity histogram",
            "",
        ),
        Family(
            "glcm",
            "grey levels of neighbouring pixels (co-occurrence)",
            "p(i,j): share of pairs of touching pixels with levels i and j, each pair counted both ways; q(k): share "
            "with |i - j| = k; r(k): share with i + j = k; m: mean of i; G: highest level; H: entropy of i; "
            "one matrix for each of four directions, and the mean of the four values",
            "Grey level co-occurrence matrix",
            DISCRETISATION,
        ),
        Family(
            "glrlm",
            "runs of equal grey level along a line",
            "n(i,j): runs of level i that are j pixels long; N: their number; p = n/N; one matrix for each of four "
            "directions, and the mean of the four values",
            "Grey level run length matrix",
            DISCRETISATION + "; a direction in which no line holds two pixels of the region is left out, where IBSI "
            "counts runs of length one",
        ),
        Family(
            "glszm",
            "patches of equal grey level",
            "n(i,j): patches of level i that are j pixels large, pixels touching by a side or a corner; N: their "
            "number; p = n/N",
            "Grey level size zone matrix",
            DISCRETISATION,
        ),
        Family(
            "gldm",
            "pixels by the number of equal neighbours",
            "n(i,j): pixels of level i of which j, the pixel itself included, are equal among it and its eight "
            "neighbours; N: number of pixels; p = n/N",
            "Neighbouring grey level dependence matrix, with coarseness (alpha) 0 and distance 1",
            DISCRETISATION,
        ),
        Family(
            "ngtdm",
            "difference of a pixel from the mean of its neighbours",
            "p(i): share of the pixels of level i; s(i): sum over them of |i - mean of the neighbours in the region|; "
            "N: number of pixels; L: levels that occur; sums over levels that occur",
            "Neighbourhood grey tone difference matrix",
            DISCRETISATION + "; pixels without a neighbour count too, where IBSI leaves them out",
        ),
    )
}
