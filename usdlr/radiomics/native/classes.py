"""Feature classes from the intensities and the matrices of a region: PyRadiomics' names, order and values.

What every feature means, its unit and its IBSI code stand in :mod:`usdlr.radiomics.catalogue.features`. A feature that
is averaged over directions leaves out the directions without a pair or a run, as PyRadiomics does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.radiomics.native.kernel import compiled
from usdlr.radiomics.native.matrices import Matrices

Doubles = npt.NDArray[np.float64]

# Added inside every logarithm and to some divisors by PyRadiomics.
EPSILON = float(np.spacing(1))

# In PyRadiomics' order, which is alphabetical.
FIRSTORDER = (
    "10Percentile", "90Percentile", "Energy", "Entropy", "InterquartileRange", "Kurtosis", "Maximum",
    "MeanAbsoluteDeviation", "Mean", "Median", "Minimum", "Range", "RobustMeanAbsoluteDeviation", "RootMeanSquared",
    "Skewness", "TotalEnergy", "Uniformity", "Variance",
)  # fmt: skip
GLCM = (
    "Autocorrelation", "ClusterProminence", "ClusterShade", "ClusterTendency", "Contrast", "Correlation",
    "DifferenceAverage", "DifferenceEntropy", "DifferenceVariance", "Id", "Idm", "Idmn", "Idn", "Imc1", "Imc2",
    "InverseVariance", "JointAverage", "JointEnergy", "JointEntropy", "MCC", "MaximumProbability", "SumAverage",
    "SumEntropy", "SumSquares",
)  # fmt: skip
GLRLM = (
    "GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance", "HighGrayLevelRunEmphasis",
    "LongRunEmphasis", "LongRunHighGrayLevelEmphasis", "LongRunLowGrayLevelEmphasis", "LowGrayLevelRunEmphasis",
    "RunEntropy", "RunLengthNonUniformity", "RunLengthNonUniformityNormalized", "RunPercentage", "RunVariance",
    "ShortRunEmphasis", "ShortRunHighGrayLevelEmphasis", "ShortRunLowGrayLevelEmphasis",
)  # fmt: skip
GLSZM = (
    "GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "GrayLevelVariance", "HighGrayLevelZoneEmphasis",
    "LargeAreaEmphasis", "LargeAreaHighGrayLevelEmphasis", "LargeAreaLowGrayLevelEmphasis", "LowGrayLevelZoneEmphasis",
    "SizeZoneNonUniformity", "SizeZoneNonUniformityNormalized", "SmallAreaEmphasis", "SmallAreaHighGrayLevelEmphasis",
    "SmallAreaLowGrayLevelEmphasis", "ZoneEntropy", "ZonePercentage", "ZoneVariance",
)  # fmt: skip
GLDM = (
    "DependenceEntropy", "DependenceNonUniformity", "DependenceNonUniformityNormalized", "DependenceVariance",
    "GrayLevelNonUniformity", "GrayLevelVariance", "HighGrayLevelEmphasis", "LargeDependenceEmphasis",
    "LargeDependenceHighGrayLevelEmphasis", "LargeDependenceLowGrayLevelEmphasis", "LowGrayLevelEmphasis",
    "SmallDependenceEmphasis", "SmallDependenceHighGrayLevelEmphasis", "SmallDependenceLowGrayLevelEmphasis",
)  # fmt: skip
NGTDM = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")


def firstorder(
    values: npt.NDArray[np.floating], counts: npt.NDArray[np.int64], pixel_area_mm2: float, energy_shift: float = 0.0
) -> Doubles:
    """First-order features, in the order of :data:`FIRSTORDER`.

    Parameters
    ----------
    values : float array, (pixels,)
        Intensities of the region.
    counts : int array, (levels,)
        Pixels of each grey level that occurs.
    pixel_area_mm2 : float
        Area of a pixel.
    energy_shift : float
        Added to the intensities for the energies and the root mean square.
    """
    x = values.astype(np.float64)
    p = counts / float(counts.sum())
    ordered = np.sort(x)
    low, quarter, median, three_quarters, high = _percentiles(ordered, (10.0, 25.0, 50.0, 75.0, 90.0))
    # The mean may be next to nothing beside its terms, as in a band of a wavelet: summed as PyRadiomics sums.
    mean = float(x.mean())
    energy, deviation, m2, m3, m4 = _moments(x, mean, energy_shift)
    flat = m2 == 0
    first, last = np.searchsorted(ordered, low, "left"), np.searchsorted(ordered, high, "right")
    return np.array(
        [
            low,
            high,
            energy,
            -(p * np.log2(p + EPSILON)).sum(),
            three_quarters - quarter,
            0.0 if flat else m4 / (m2 * m2),
            ordered[-1],
            deviation,
            mean,
            median,
            ordered[0],
            ordered[-1] - ordered[0],
            _mean_deviation(ordered[first:last], ordered[first:last].mean()) if last > first else np.nan,
            np.sqrt(energy / len(x)),
            0.0 if flat else m3 / m2**1.5,
            energy * pixel_area_mm2,
            (p * p).sum(),
            m2,
        ]
    )


@compiled
def _moments(x: Doubles, mean: float, shift: float) -> tuple[float, float, float, float, float]:
    """Sum of squares after the shift; mean absolute, squared, cubed and fourth power of the deviation from ``mean``."""
    energy = deviation = m2 = m3 = m4 = 0.0
    for i in range(x.shape[0]):
        away = x[i] - mean
        square = away * away
        energy += (x[i] + shift) * (x[i] + shift)
        deviation += abs(away)
        m2 += square
        m3 += square * away
        m4 += square * square
    n = x.shape[0]
    return energy, deviation / n, m2 / n, m3 / n, m4 / n


@compiled
def _mean_deviation(x: Doubles, mean: float) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        total += abs(x[i] - mean)
    return float(total / x.shape[0])


def _percentiles(ordered: Doubles, percents: tuple[float, ...]) -> list[float]:
    """Linear interpolation between the neighbours, as NumPy's default."""
    out = []
    for percent in percents:
        place = percent / 100.0 * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        weight = place - below
        a, b = ordered[below], ordered[above]
        out.append(float(b - (b - a) * (1 - weight) if weight >= 0.5 else a + (b - a) * weight))
    return out


@compiled
def _glcm(matrix: Doubles, values: Doubles, highest: int, out: Doubles) -> None:
    """Features of one direction; ``MCC`` is left to the caller."""
    n = values.shape[0]
    total = matrix.sum()
    marginal = np.zeros(n)
    for i in range(n):
        for j in range(n):
            marginal[i] += matrix[i, j] / total
    mean = 0.0
    for i in range(n):
        mean += values[i] * marginal[i]
    entropy_1 = 0.0
    for i in range(n):
        entropy_1 -= marginal[i] * np.log2(marginal[i] + EPSILON)
    sums, gaps = np.zeros(2 * highest + 1), np.zeros(highest + 1)
    product = prominence = shade = tendency = covariance = variance = 0.0
    energy = entropy = cross = independent = largest = 0.0
    for i in range(n):
        for j in range(n):
            outer = marginal[i] * marginal[j]
            logarithm = np.log2(outer + EPSILON)
            independent -= outer * logarithm
            p = matrix[i, j] / total
            if p == 0:
                continue
            a, b = values[i], values[j]
            cross -= p * logarithm
            product += p * a * b
            centred = a + b - mean - mean
            square = centred * centred
            tendency += p * square
            shade += p * square * centred
            prominence += p * square * square
            covariance += p * (a - mean) * (b - mean)
            variance += p * (a - mean) * (a - mean)
            energy += p * p
            entropy -= p * np.log2(p + EPSILON)
            largest = max(largest, p)
            sums[int(a + b)] += p
            gaps[int(abs(a - b))] += p
    contrast = gap_mean = gap_entropy = gap_square = inverse = inverse_square = 0.0
    inverse_n = inverse_square_n = inverse_variance = 0.0
    for k in range(highest + 1):
        p = gaps[k]
        if p == 0:
            continue
        gap_mean += k * p
        contrast += float(k) * k * p
        gap_entropy -= p * np.log2(p + EPSILON)
        inverse += p / (1 + k)
        inverse_square += p / (1 + float(k) * k)
        inverse_n += p / (1 + k / highest)
        inverse_square_n += p / (1 + float(k) * k / (float(highest) * highest))
        if k:
            inverse_variance += p / (float(k) * k)
    for k in range(highest + 1):
        gap_square += gaps[k] * (k - gap_mean) * (k - gap_mean)
    sum_mean = sum_entropy = 0.0
    for k in range(2 * highest + 1):
        if sums[k]:
            sum_mean += k * sums[k]
            sum_entropy -= sums[k] * np.log2(sums[k] + EPSILON)
    spread = np.sqrt(variance) * np.sqrt(variance)
    out[0], out[1], out[2], out[3], out[4] = product, prominence, shade, tendency, contrast
    out[5] = 1.0 if spread == 0 else covariance / (spread + EPSILON)
    out[6], out[7], out[8] = gap_mean, gap_entropy, gap_square
    out[9], out[10], out[11], out[12] = inverse, inverse_square, inverse_square_n, inverse_n
    out[13] = 0.0 if entropy_1 == 0 else (entropy - cross) / entropy_1
    out[14] = 0.0 if independent == entropy else np.sqrt(1 - np.exp(-2 * (independent - entropy)))
    out[15], out[16], out[17], out[18] = inverse_variance, mean, energy, entropy
    out[20], out[21], out[22], out[23] = largest, sum_mean, sum_entropy, variance


def glcm(found: Matrices, *, merged: bool = False) -> Doubles:
    """Co-occurrence features, in the order of :data:`GLCM`; ``MCC`` is not-a-number until :func:`maximal_correlation`.

    Parameters
    ----------
    found : Matrices
        Of a region.
    merged : bool
        Add the directions up before the features are computed (IBSI's slice-merged) instead of averaging features.
    """
    stack = used_directions(found.co_occurrence)
    if merged:
        stack = stack.sum(axis=0, keepdims=True)
    if not len(stack):
        return np.full(len(GLCM), np.nan)
    out = np.full((len(stack), len(GLCM)), np.nan)
    for direction, matrix in enumerate(stack):
        _glcm(matrix, found.values, found.highest, out[direction])
    return _mean_of_finite(out)


def used_directions(stack: Doubles) -> Doubles:
    """The matrices of the directions in which there is anything to count."""
    return stack[stack.any(axis=(1, 2))]


def _mean_of_finite(out: Doubles) -> Doubles:
    """Mean over directions that have a value, not-a-number where none has."""
    if np.isfinite(out).all():
        return np.asarray(out.mean(axis=0))
    known = ~np.isnan(out)
    number = known.sum(axis=0)
    total = np.where(known, out, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


@compiled
def _emphases(table: Doubles, values: Doubles, sizes: Doubles, pixels: float, out: Doubles) -> None:
    """What run, zone and dependence matrices have in common.

    Order: grey-level non-uniformity, the same normalised, grey-level variance, high grey-level emphasis, large, large
    high, large low, low grey-level emphasis, entropy, size non-uniformity, the same normalised, percentage, size
    variance, small, small high, small low.
    """
    levels, different = table.shape
    total = table.sum()
    by_level, by_size = np.zeros(levels), np.zeros(different)
    entropy = large_high = large_low = small_high = small_low = 0.0
    for i in range(levels):
        high = values[i] * values[i]
        for j in range(different):
            count = table[i, j]
            if count == 0:
                continue
            by_level[i] += count
            by_size[j] += count
            long = sizes[j] * sizes[j]
            p = count / total
            entropy -= p * np.log2(p + EPSILON)
            large_high += count * (long * high)
            large_low += count * long / high
            small_high += count * high / long
            small_low += count / (high * long)
    level_square = level_mean = high_sum = low_sum = 0.0
    for i in range(levels):
        level_square += by_level[i] * by_level[i]
        level_mean += by_level[i] / total * values[i]
        high_sum += by_level[i] * values[i] * values[i]
        low_sum += by_level[i] / (values[i] * values[i])
    level_variance = 0.0
    for i in range(levels):
        level_variance += by_level[i] / total * (values[i] - level_mean) * (values[i] - level_mean)
    size_square = size_mean = large = small = 0.0
    for j in range(different):
        size_square += by_size[j] * by_size[j]
        size_mean += by_size[j] / total * sizes[j]
        large += by_size[j] * sizes[j] * sizes[j]
        small += by_size[j] / (sizes[j] * sizes[j])
    size_variance = 0.0
    for j in range(different):
        size_variance += by_size[j] / total * (sizes[j] - size_mean) * (sizes[j] - size_mean)
    out[0], out[1], out[2], out[3] = level_square / total, level_square / total**2, level_variance, high_sum / total
    out[4], out[5], out[6], out[7] = large / total, large_high / total, large_low / total, low_sum / total
    out[8], out[9], out[10] = entropy, size_square / total, size_square / total**2
    out[11], out[12] = total / pixels, size_variance
    out[13], out[14], out[15] = small / total, small_high / total, small_low / total


def glrlm(found: Matrices, *, merged: bool = False) -> Doubles:
    """Run-length features, in the order of :data:`GLRLM`; ``merged`` as for :func:`glcm`."""
    stack = used_directions(found.runs)
    pixels = float(found.counts.sum())
    if merged:
        pixels *= len(stack)
        stack = stack.sum(axis=0, keepdims=True)
    if not len(stack):
        return np.full(len(GLRLM), np.nan)
    out = np.empty((len(stack), len(GLRLM)))
    lengths = np.arange(1.0, stack.shape[2] + 1)
    for direction, table in enumerate(stack):
        _emphases(table, found.values, lengths, pixels, out[direction])
    return _mean_of_finite(out)


def glszm(found: Matrices) -> Doubles:
    """Size-zone features, in the order of :data:`GLSZM`."""
    out = np.empty(len(GLSZM))
    _emphases(found.zones, found.values, found.sizes, float(found.counts.sum()), out)
    # The same quantities under other names, which sort otherwise.
    return out[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 14, 15, 8, 11, 12]]


def gldm(found: Matrices) -> Doubles:
    """Dependence features, in the order of :data:`GLDM`; a pixel depends on itself, so counts start at 1."""
    out = np.empty(16)
    sizes = np.arange(1.0, found.dependence.shape[1] + 1)
    _emphases(found.dependence, found.values, sizes, float(found.counts.sum()), out)
    return out[[8, 9, 10, 12, 0, 2, 3, 4, 5, 6, 7, 13, 14, 15]]


@compiled
def _ngtdm(counts: Doubles, differences: Doubles, values: Doubles, out: Doubles) -> None:
    n = values.shape[0]
    total = counts.sum()
    weighted = all_differences = 0.0
    for i in range(n):
        weighted += counts[i] / total * differences[i]
        all_differences += differences[i]
    spread = unevenness = complexity = strength = 0.0
    for i in range(n):
        p, a = counts[i] / total, values[i]
        for j in range(n):
            q, b = counts[j] / total, values[j]
            gap = a - b
            spread += p * q * gap * gap
            unevenness += abs(a * p - b * q)
            complexity += abs(gap) * (p * differences[i] + q * differences[j]) / (p + q)
            strength += (p + q) * gap * gap
    out[0] = weighted / unevenness if unevenness != 0 else 0.0
    out[1] = 1 / weighted if weighted != 0 else 1e6
    out[2] = complexity / total
    out[3] = spread * all_differences / total / (n * (n - 1)) if n > 1 else 0.0
    out[4] = strength / all_differences if all_differences != 0 else 0.0


def ngtdm(found: Matrices) -> Doubles:
    """Neighbourhood grey-tone difference features, in the order of :data:`NGTDM`."""
    out = np.empty(len(NGTDM))
    _ngtdm(found.counts.astype(np.float64), found.differences, found.values, out)
    return out
