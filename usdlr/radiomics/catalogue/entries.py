"""Shape, first order, co-occurrence and neighbourhood difference: one entry per feature."""

from __future__ import annotations

from usdlr.radiomics.catalogue.terms import DISCRETISATION, FAMILIES, Feature, Invariances

_LENGTH = Invariances(True, False, True, True, True, True, True)
_OUTLINE = Invariances(True, False, False, True, True, True, True)
_FORM = Invariances(True, True, True, True, True, True, True)
_SMOOTH_FORM = Invariances(True, True, False, True, True, True, True)
_LEVEL = Invariances(True, True, True, False, False, False, False)
_SUM = Invariances(True, True, False, False, False, False, False)
_AREA_SUM = Invariances(True, False, True, False, False, False, False)
_SPREAD = Invariances(True, True, True, False, False, True, True)
_BINNED = Invariances(True, True, True, True, False, True, False)
TEXTURE = Invariances(True, True, False, True, False, True, False)
TEXTURE_OF_LEVELS = Invariances(True, True, True, True, False, True, False)


def entry(
    family: str,
    name: str,
    ibsi: str | None,
    unit: str,
    invariances: Invariances,
    title: str,
    meaning: str,
    definition: str,
    note: str = "",
    departure: str = "",
) -> Feature:
    """A feature; what holds for its whole family is said in its departure too."""
    departures = [text for text in (FAMILIES[family].departure, departure) if text]
    return Feature(family, name, title, meaning, definition, unit, invariances, ibsi, "; ".join(departures), note)


def _shape(
    name: str, unit: str, invariances: Invariances, title: str, meaning: str, definition: str, solid: str
) -> Feature:
    return entry("shape2D", name, None, unit, invariances, title, meaning, definition, solid)


SHAPE2D = (
    _shape("Elongation", "1", _FORM, "roundness of the region by its main axes",
           "1 where the lesion is as wide as it is long, towards 0 the more it is drawn out.",
           "sqrt(v2 / v1)", "counterpart in the plane of Elongation (Q3CK)"),
    _shape("MajorAxisLength", "mm", _LENGTH, "length along the long axis",
           "Length of the ellipse that is spread like the lesion.",
           "4 sqrt(v1)", "counterpart in the plane of Major axis length (TDIC)"),
    _shape("MaximumDiameter", "mm", _LENGTH, "largest diameter",
           "Largest distance between two points of the outline.",
           "max |a - b| over corners a, b of the polygon", "counterpart in the plane of Maximum 3D diameter (L0JK)"),
    _shape("MeshSurface", "mm^2", _LENGTH, "area inside the outline",
           "Large for a large lesion.",
           "A, as the signed sum of triangles between the polygon's edges and the origin",
           "counterpart in the plane of Volume (mesh) (RNU0)"),
    _shape("MinorAxisLength", "mm", _LENGTH, "length along the short axis",
           "Width of the ellipse that is spread like the lesion.",
           "4 sqrt(v2)", "counterpart in the plane of Minor axis length (P9VJ)"),
    _shape("Perimeter", "mm", _OUTLINE, "length of the outline",
           "Large for a large or a ragged lesion; it grows with the fineness of the grid.",
           "U", "counterpart in the plane of Surface area (mesh) (C0JK)"),
    _shape("PerimeterSurfaceRatio", "1/mm", _OUTLINE, "length of the outline per area",
           "Large for a small or a ragged lesion.",
           "U / A", "counterpart in the plane of Surface to volume ratio (2PR5)"),
    _shape("PixelSurface", "mm^2", _LENGTH, "area of the region's pixels",
           "Large for a large lesion.",
           "number of pixels * area of a pixel", "counterpart in the plane of Volume (voxel counting) (YEKZ)"),
    _shape("Sphericity", "1", _SMOOTH_FORM, "likeness of the outline to a circle",
           "1 for a circle, smaller the more the outline is drawn out or ragged.",
           "2 sqrt(pi A) / U", "counterpart in the plane of Sphericity (QCFX)"),
)  # fmt: skip


def _order(
    name: str, ibsi: str | None, unit: str, invariances: Invariances, title: str, meaning: str, definition: str,
    note: str = "", departure: str = "",
) -> Feature:  # fmt: skip
    return entry("firstorder", name, ibsi, unit, invariances, title, meaning, definition, note, departure)


_PERCENTILE = "between two pixels, percentiles are interpolated linearly"

FIRSTORDER = (
    _order("10Percentile", "QG58", "intensity", _LEVEL, "brightness of the dark parts (10th percentile)",
           "One pixel in ten is darker than this.", "10th percentile of x", _PERCENTILE),
    _order("90Percentile", "8DWT", "intensity", _LEVEL, "brightness of the bright parts (90th percentile)",
           "One pixel in ten is brighter than this.", "90th percentile of x", _PERCENTILE),
    _order("Energy", "N8CA", "intensity^2", _SUM, "brightness squared, summed over all pixels",
           "Large for a bright region and for one of many pixels.", "sum x^2",
           "a constant can be added to x first (voxelArrayShift, radiomics.energy_shift); none is by default"),
    _order("Entropy", "TLU2", "bit", _BINNED, "disorder of the brightness",
           "Large where many grey levels occur equally often.", "-sum p(i) log2 p(i)",
           "IBSI's name is Discretised intensity entropy", DISCRETISATION),
    _order("InterquartileRange", "SALO", "intensity", _SPREAD, "spread of the middle half of the brightness",
           "Large where dark and bright pixels are mixed, whatever the extremes.",
           "75th percentile of x - 25th percentile of x", _PERCENTILE),
    _order("Kurtosis", "IPH6", "1", _FORM, "weight of very dark and very bright pixels",
           "3 for a bell-shaped distribution, larger with more extreme pixels.",
           "mean (x - m)^4 / (mean (x - m)^2)^2",
           "0 where all pixels are equal", "3 is not subtracted: the value is IBSI's (excess) kurtosis + 3"),
    _order("Maximum", "84IY", "intensity", _LEVEL, "brightness of the brightest pixel",
           "Large with a single bright spot.", "max x"),
    _order("Mean", "Q4LE", "intensity", _LEVEL, "mean brightness",
           "Large in a bright, echogenic or stiff region.", "m = sum x / N"),
    _order("MeanAbsoluteDeviation", "4FUA", "intensity", _SPREAD, "mean distance from the mean brightness",
           "Large where brightness varies.", "mean |x - m|"),
    _order("Median", "Y12H", "intensity", _LEVEL, "middle brightness",
           "Half of the pixels are brighter than this.", "50th percentile of x"),
    _order("Minimum", "1GSF", "intensity", _LEVEL, "brightness of the darkest pixel",
           "0 where there is a shadow or a cyst.", "min x"),
    _order("Range", "2OJQ", "intensity", _SPREAD, "distance from the darkest to the brightest pixel",
           "Large with a single very dark and a single very bright pixel.", "max x - min x"),
    _order("RobustMeanAbsoluteDeviation", "1128", "intensity", _SPREAD,
           "mean distance from the mean brightness, extremes left out",
           "Large where brightness varies among the ordinary pixels.",
           "mean |y - mean y| over the y in x from the 10th to the 90th percentile, both included", _PERCENTILE),
    _order("RootMeanSquared", "5ZWQ", "intensity", _LEVEL, "brightness with more weight on bright pixels",
           "Large in a bright region.", "sqrt(mean x^2)",
           "a constant can be added to x first (voxelArrayShift, radiomics.energy_shift); none is by default"),
    _order("Skewness", "KE2A", "1", _FORM, "imbalance between dark and bright pixels",
           "Above 0 where a few pixels are much brighter than the rest, below 0 where a few are much darker.",
           "mean (x - m)^3 / (mean (x - m)^2)^1.5", "0 where all pixels are equal"),
    _order("TotalEnergy", None, "intensity^2 mm^2", _AREA_SUM, "brightness squared, summed over the area",
           "Large for a bright and for a large region.", "area of a pixel * sum x^2", "", "not defined by IBSI"),
    _order("Uniformity", "BJ5W", "1", _BINNED, "evenness of the brightness",
           "1 where all pixels share one grey level, towards 0 the more levels occur.", "sum p(i)^2",
           "IBSI's name is Discretised intensity uniformity", DISCRETISATION),
    _order("Variance", "ECT3", "intensity^2", _SPREAD, "variance of the brightness",
           "Large where brightness varies.", "mean (x - m)^2, divided by N and not by N - 1"),
)  # fmt: skip


def _pair(
    name: str, ibsi: str | None, unit: str, title: str, meaning: str, definition: str, note: str = "",
    departure: str = "",
) -> Feature:  # fmt: skip
    return entry("glcm", name, ibsi, unit, TEXTURE, title, meaning, definition, note, departure)


GLCM = (
    _pair("Autocorrelation", "QWB0", "level^2", "brightness shared by neighbouring pixels",
          "Large where bright pixels lie beside bright ones.", "sum p(i,j) i j"),
    _pair("ClusterProminence", "AE86", "level^4", "weight of neighbouring pixels that are both extreme",
          "Large where patches stand far out from the mean, dark or bright.", "sum p(i,j) (i + j - 2 m)^4"),
    _pair("ClusterShade", "7NFM", "level^3", "imbalance between dark and bright patches",
          "Above 0 where a few patches are much brighter than the rest, below 0 where a few are much darker.",
          "sum p(i,j) (i + j - 2 m)^3"),
    _pair("ClusterTendency", "DG8W", "level^2", "tendency to form dark and bright patches",
          "Large where neighbouring pixels are alike and patches differ.", "sum p(i,j) (i + j - 2 m)^2",
          "equal to IBSI's Sum variance (OEEB) too"),
    _pair("Contrast", "ACUI", "level^2", "contrast between neighbouring pixels",
          "Large where bright pixels lie beside dark ones.", "sum p(i,j) (i - j)^2"),
    _pair("Correlation", "NI2N", "1", "likeness of neighbouring pixels (correlation)",
          "1 where a pixel tells its neighbour's brightness, 0 where it tells nothing.",
          "sum p(i,j) (i - m) (j - m) / sum p(i,j) (i - m)^2", "1 in a direction in which all pairs share one level"),
    _pair("DifferenceAverage", "TF7R", "level", "mean difference between neighbouring pixels",
          "Large where neighbouring pixels differ.", "sum k q(k)", "equal to IBSI's Dissimilarity (8S9J) too"),
    _pair("DifferenceEntropy", "NTRS", "bit", "disorder of the differences between neighbouring pixels",
          "Large where small and large differences occur equally often.", "-sum q(k) log2 q(k)"),
    _pair("DifferenceVariance", "D3YU", "level^2", "variance of the differences between neighbouring pixels",
          "Large where some neighbours are alike and others differ much.", "sum q(k) (k - DifferenceAverage)^2"),
    _pair("Id", "IB1Z", "1", "likeness of neighbouring pixels (inverse difference)",
          "1 where neighbouring pixels are equal, smaller the more they differ.", "sum q(k) / (1 + k)"),
    _pair("Idm", "WF0Z", "1", "likeness of neighbouring pixels (inverse difference moment)",
          "1 where neighbouring pixels are equal; large differences count little.", "sum q(k) / (1 + k^2)"),
    _pair("Idmn", "1QCO", "1", "likeness of neighbouring pixels (moment, for the number of levels)",
          "1 where neighbouring pixels are equal, whatever the number of grey levels.", "sum q(k) / (1 + k^2 / G^2)"),
    _pair("Idn", "NDRX", "1", "likeness of neighbouring pixels (for the number of levels)",
          "1 where neighbouring pixels are equal, whatever the number of grey levels.", "sum q(k) / (1 + k / G)"),
    _pair("Imc1", "R8DG", "1", "dependence between neighbouring pixels (first information measure)",
          "0 where a pixel tells nothing about its neighbour, -1 where it tells all.",
          "(E - F) / H with E = -sum p(i,j) log2 p(i,j), F = -sum p(i,j) log2(p(i) p(j))",
          "0 in a direction in which all pairs share one level"),
    _pair("Imc2", "JN9H", "1", "dependence between neighbouring pixels (second information measure)",
          "0 where a pixel tells nothing about its neighbour, towards 1 the more it tells.",
          "sqrt(1 - exp(-2 (F - E))) with E and F as for Imc1, F over all products p(i) p(j)",
          "0 where rounding leaves E = F"),
    _pair("InverseVariance", "E8JP", "1/level^2", "share of neighbours that differ a little",
          "Large where most neighbouring pixels differ by one grey level.", "sum over k > 0 of q(k) / k^2"),
    _pair("JointAverage", "60VM", "level", "mean grey level of neighbouring pixels",
          "Large where most pixels are nearer to the region's brightest than to its darkest.", "m = sum p(i,j) i"),
    _pair("JointEnergy", "8ZQL", "1", "repetition of the same pairs of pixels",
          "Large where the same two grey levels lie beside each other again and again.", "sum p(i,j)^2",
          "IBSI's name is Angular second moment"),
    _pair("JointEntropy", "TU9B", "bit", "disorder of pairs of pixels",
          "Large where every pair of grey levels occurs equally often.", "-sum p(i,j) log2 p(i,j)"),
    _pair("MCC", None, "1", "dependence between neighbouring pixels (maximal correlation)",
          "0 where a pixel tells nothing about its neighbour, 1 where it tells all.",
          "sqrt of the second largest eigenvalue of Q(i,j) = sum over k of p(i,k) p(j,k) / (p(i) p(k))",
          "1 where all pixels share one level", "not defined by IBSI"),
    _pair("MaximumProbability", "GYBY", "1", "share of the commonest pair of pixels",
          "Large where one pair of grey levels prevails.", "max p(i,j)", "IBSI's name is Joint maximum"),
    _pair("SumAverage", "ZGXS", "level", "mean sum of two neighbouring pixels",
          "Twice the mean grey level of neighbouring pixels.", "sum k r(k) = 2 m"),
    _pair("SumEntropy", "P6QZ", "bit", "disorder of the sums of two neighbouring pixels",
          "Large where dark, middling and bright pairs occur equally often.", "-sum r(k) log2 r(k)"),
    _pair("SumSquares", "UR99", "level^2", "variance of the grey levels of neighbouring pixels",
          "Large where grey levels lie far from their mean.", "sum p(i,j) (i - m)^2", "IBSI's name is Joint variance"),
)  # fmt: skip


def _tone(name: str, ibsi: str, unit: str, title: str, meaning: str, definition: str, note: str) -> Feature:
    return entry("ngtdm", name, ibsi, unit, TEXTURE, title, meaning, definition, note)


NGTDM = (
    _tone("Busyness", "NQ30", "1", "rapid change from pixel to pixel",
          "Large where a pixel often differs from its surroundings, and grey levels lie close together.",
          "sum p(i) s(i) / sum |i p(i) - j p(j)|", "0 where all pixels share one level"),
    _tone("Coarseness", "QCDE", "1/level", "smoothness over several pixels",
          "Large where pixels are like their surroundings.", "1 / sum p(i) s(i)",
          "1000000 where every pixel equals its surroundings"),
    _tone("Complexity", "HDEZ", "level^2", "many and rapid changes of grey level",
          "Large where many different grey levels lie beside each other.",
          "sum |i - j| (p(i) s(i) + p(j) s(j)) / (p(i) + p(j)) / N", ""),
    _tone("Contrast", "65HE", "level^3", "contrast of a pixel against its surroundings",
          "Large where grey levels lie far apart and pixels differ from their surroundings.",
          "sum p(i) p(j) (i - j)^2 / (L (L - 1)) * sum s(i) / N", "0 where all pixels share one level"),
    _tone("Strength", "1X9X", "level", "distinctness of patches",
          "Large where patches are large and differ clearly.", "sum (p(i) + p(j)) (i - j)^2 / sum s(i)",
          "0 where every pixel equals its surroundings"),
)  # fmt: skip
