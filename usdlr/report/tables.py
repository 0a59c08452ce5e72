"""Numbers as text: one way to print an estimate, shared by the page and its figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from usdlr.core.types import ExclusionCode, QualityFlag

Estimate = Mapping[str, Any]

NBSP = "\u00a0"
MINUS = "\u2212"
EN_DASH = "\u2013"

EXCLUSION_WORDS: dict[str, str] = {
    ExclusionCode.IMAGE_MISSING: "image file missing",
    ExclusionCode.IMAGE_UNREADABLE: "image file unreadable",
    ExclusionCode.MASK_MISSING: "no lesion contour",
    ExclusionCode.MASK_UNREADABLE: "lesion contour unreadable",
    ExclusionCode.MASK_EMPTY: "lesion contour empty",
    ExclusionCode.MASK_SIZE_MISMATCH: "contour does not fit the image",
    ExclusionCode.MASK_AMBIGUOUS: "contour not identified among several",
    ExclusionCode.MASK_OUTSIDE_REGION: "contour outside the calibrated region",
    ExclusionCode.FRAME_UNSTATED: "frame of a clip not stated",
    ExclusionCode.NO_LESION: "no lesion in the image",
    ExclusionCode.NOT_TUMOUR: "image of the axilla instead of the tumour",
    ExclusionCode.TUMOUR_MISSING: "image of a lymph node without any of the tumour",
    ExclusionCode.SPACING_MISSING: "pixel size in millimetres unknown",
    ExclusionCode.SPACING_ABSURD: "pixel size in millimetres implausible",
    ExclusionCode.SPACING_CONTRADICTORY: "two statements of the pixel size disagree",
    ExclusionCode.DUPLICATE_CONTRADICTORY: "same image under contradictory labels",
    ExclusionCode.IDENTITY_MISSING: "patient not identified",
    ExclusionCode.ELASTOGRAPHY_UNREADABLE: "elastography image unreadable",
    ExclusionCode.ENDPOINT_MISSING: "node status unknown",
    ExclusionCode.NEOADJUVANT: "treated before axillary surgery",
    ExclusionCode.OUTSIDE_COHORT: "outside the cohort's conditions",
    ExclusionCode.COHORT_UNKNOWN: "a condition of the cohort not known",
    ExclusionCode.ROI_TOO_SMALL: "lesion too small to measure",
    ExclusionCode.FEATURES_FAILED: "features could not be computed",
    ExclusionCode.WORKER_DIED: "computation broke off",
    ExclusionCode.WORKER_STALLED: "computation took too long",
}

QUALITY_WORDS: dict[str, str] = {
    QualityFlag.CALIBRATION_REFUSED: "calibration in the file not believed",
    QualityFlag.REGION_CLIPPED: "calibrated region reached past the image and was clipped",
    QualityFlag.SPACING_LOW_TRUST: "pixel size from a header field of lower trust",
    QualityFlag.SCALE_RELATIVE: "lengths relative to the lesion's diameter, not millimetres",
    QualityFlag.SIZE_MISSTATED: "image size in the table wrong",
    QualityFlag.FOV_UNCERTAIN: "outline of the scan sector not found",
    QualityFlag.BURNED_IN_KEPT: "calipers, text or marks in the image, left as they are",
    QualityFlag.BURNED_IN_MASKED: "calipers, text or marks cut out of the ring",
    QualityFlag.BURNED_IN_INPAINTED: "calipers, text or marks filled from around",
    QualityFlag.TEXT_BLANKED: "text blanked",
    QualityFlag.COLOUR_CONVERTED: "tinted grey converted",
    QualityFlag.COLOUR_OVERLAY: "colour drawn over the B-mode image",
    QualityFlag.LOSSY_COMPRESSION: "lossy compression",
    QualityFlag.MASK_REPAIRED: "small holes or islands of the contour repaired",
    QualityFlag.MASK_CLIPPED: "contour reached past its pane and was cut",
    QualityFlag.MASK_OUTSIDE_FOV: "contour reaches past the field of view",
    QualityFlag.MASK_IS_BOX: "box in place of a contour",
    QualityFlag.MASK_ABSENT: "no contour",
    QualityFlag.CONTOUR_UNREADABLE: "a further reader's contour unreadable",
    QualityFlag.OTHER_FINDINGS: "another finding than the lesion in the image",
    QualityFlag.ELASTOGRAPHY_UNUSABLE: "stiffness map unusable",
    QualityFlag.ELASTOGRAPHY_STRAIN_ONLY: "strain elastography only, no stiffness in kPa",
    QualityFlag.ELASTOGRAPHY_SATURATED: "stiffness map partly at the end of its scale",
    QualityFlag.ELASTOGRAPHY_SHIFTED: "stiffness map shifted against the B-mode image",
    QualityFlag.DUPLICATE_IMAGE: "same picture as another image set",
}

# What a simulated cohort allows to compare with, from the nearer to the farther: name, label, meaning.
CEILINGS: tuple[tuple[str, str, str], ...] = (
    (
        "limit",
        "Limit: the true form, measured on these images",
        "Limit: what is reached from these images by somebody who knows which properties of the tumour decide, "
        "measures them with the true outline, and learns their weights from the model's own training patients; a "
        "yardstick, not a bound: with few patients a simpler model may lie above it",
    ),
    (
        "oracle",
        "Oracle: best possible with the truth known",
        "Oracle: each simulated patient ranked by the true probability; no test can do better, the rest is chance",
    ),
)


@dataclass(frozen=True)
class Marks:
    """What every title and caption of a report must carry about the cohort and its thresholds.

    Parameters
    ----------
    simulated : bool
        The cohort is simulated, not of patients.
    proxy : bool
        At least one endpoint is a stand-in for node status.
    uncertified : bool
        The false-negative contract of the bundle, or of a fold, could not be certified.
    standing : str
        The word for it, as of :func:`usdlr.decision.wording.standing_mark`; empty: ``uncertified``.

    Examples
    --------
    >>> Marks(simulated=True, proxy=False, uncertified=True).title("Cohort")
    'Cohort (simulated, uncertified)'
    >>> Marks(False, False, False).title("Cohort")
    'Cohort'
    """

    simulated: bool
    proxy: bool
    uncertified: bool
    standing: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that apply, in their fixed order."""
        pairs = ((self.simulated, "simulated"), (self.proxy, "proxy endpoint"), (self.uncertified, self._standing))
        return tuple(word for applies, word in pairs if applies)

    def title(self, text: str) -> str:
        """``text`` followed by the words that apply, in brackets."""
        return f"{text} ({', '.join(self.words)})" if self.words else text

    @property
    def adjective(self) -> str:
        """``"uncertified "`` or nothing, to stand before a word such as *threshold* or *group*."""
        return f"{self._standing} " if self.uncertified else ""

    @property
    def _standing(self) -> str:
        return self.standing or "uncertified"


def finite(value: Any) -> float | None:
    """A number, or ``None`` for null, not-a-number and infinities."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign.

    Examples
    --------
    >>> number(-0.034), number(0.8149), number(-0.0001)
    ('−0.03', '0.81', '0.00')
    """
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent.

    Examples
    --------
    >>> percent(0.0423).replace(NBSP, " ")
    '4.2 %'
    """
    return f"{number(100.0 * value, digits)}{NBSP}%"


def promise(value: Any) -> str:
    """A tolerated rate such as alpha or delta, without idle zeros.

    Examples
    --------
    >>> promise(0.1).replace(NBSP, " "), promise(0.025).replace(NBSP, " ")
    ('10 %', '2.5 %')
    """
    return f"{100.0 * float(value):.4g}{NBSP}%"


def count(value: Any) -> str:
    """A whole number with thousands set apart, or a dash for null.

    Examples
    --------
    >>> count(1234).replace(NBSP, " "), count(None)
    ('1 234', '–')
    """
    present = finite(value)
    return EN_DASH if present is None else f"{round(present):,}".replace(",", NBSP)


def plural(n: Any, singular: str, several: str = "") -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "axilla", "axillae").replace(NBSP, " "), plural(2, "axilla", "axillae").replace(NBSP, " ")
    ('1 axilla', '2 axillae')
    """
    return f"{count(n)}{NBSP}{singular if finite(n) == 1 else several or singular + 's'}"


def not_estimable(estimate: Estimate) -> str:
    """Why an estimate has no value; its method says so, else its ``n`` does.

    Examples
    --------
    >>> not_estimable({"value": None, "n": 9, "method": "undefined: all 9 axillae are positive"})
    'not estimable (all 9 axillae are positive)'
    >>> not_estimable({"value": None, "n": 0, "method": ""})
    'not estimable (no axillae with known status)'
    """
    found = str(estimate.get("method") or "").removeprefix("undefined").removeprefix(": ")
    if not finite(estimate.get("n")):
        found = found or "no axillae with known status"
    return f"not estimable ({found or 'reason not stated'})"


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """An interval's two ends; *to* replaces the dash where a minus sign would stand next to it.

    Examples
    --------
    >>> interval(0.741, 0.868), interval(-0.1, 0.04)
    ('0.74–0.87', '−0.10 to 0.04')
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    ends = number(first, digits), number(last, digits)
    return (" to " if MINUS in "".join(ends) else EN_DASH).join(ends)


def rate_interval(low: Any, high: Any) -> str:
    """A rate's interval in per cent, its ends rounded outward: rounding never makes a result look more certain.

    Examples
    --------
    >>> rate_interval(0.0928, 0.3991).replace(NBSP, " ")
    '9.2–40.0 %'
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    # Digits first: 0.07 * 1000 is 70.00000000000001 and must not become 7.1 %.
    outward = math.floor(round(1000 * first, 7)) / 10, math.ceil(round(1000 * last, 7)) / 10
    return f"{number(outward[0], 1)}{EN_DASH}{number(outward[1], 1)}{NBSP}%"


def estimate_text(estimate: Estimate, digits: int = 2) -> str:
    """An estimate with its interval.

    Examples
    --------
    >>> estimate_text({"value": 0.8123, "low": 0.741, "high": 0.868, "n": 212})
    '0.81 (0.74–0.87)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{number(value, digits)} ({interval(estimate.get('low'), estimate.get('high'), digits)})"


def rate_text(estimate: Estimate) -> str:
    """A rate with its interval, in per cent.

    Examples
    --------
    >>> rate_text({"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3}).replace(NBSP, " ")
    '4.2 % (0.8–11.9 %)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{percent(value)} ({rate_interval(estimate.get('low'), estimate.get('high'))})"


def events_text(estimate: Estimate) -> str:
    """Numerator and denominator of a rate.

    Examples
    --------
    >>> events_text({"n": 71, "events": 3}).replace(NBSP, " "), events_text({"n": 71}).replace(NBSP, " ")
    ('3 of 71', 'n = 71')
    """
    if finite(estimate.get("events")) is None:
        return f"n{NBSP}={NBSP}{count(estimate.get('n'))}"
    return f"{count(estimate['events'])}{NBSP}of{NBSP}{count(estimate.get('n'))}"


def method_text(estimate: Estimate) -> str:
    """How an estimate and its interval were computed.

    Examples
    --------
    >>> method_text({"method": "AUC, DeLong interval"}), method_text({})
    ('AUC, DeLong interval', 'method not stated')
    """
    return str(estimate.get("method") or "method not stated")


def methods_of(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """The distinct methods of estimates that have a value, in the order they appear."""
    return tuple(dict.fromkeys(method_text(entry) for entry in estimates if finite(entry.get("value")) is not None))


def p_text(p_value: Any) -> str:
    """A p-value as it stands in a cell.

    Examples
    --------
    >>> p_text(0.0321), p_text(0.31), p_text(0.00004), p_text(None)
    ('0.032', '0.31', '<0.001', '–')
    """
    p = finite(p_value)
    if p is None:
        return EN_DASH
    return "<0.001" if p < 0.001 else number(p, 3 if p < 0.095 else 2)


def exclusion_words(code: str) -> str:
    """An exclusion code in plain words.

    Examples
    --------
    >>> exclusion_words("mask_missing"), exclusion_words("some_new_code")
    ('no lesion contour', 'some new code')
    """
    return EXCLUSION_WORDS.get(code, code.replace("_", " "))


def quality_words(flag: str) -> str:
    """A quality flag in plain words.

    Examples
    --------
    >>> quality_words("mask_is_box"), quality_words("some_new_flag")
    ('box in place of a contour', 'some new flag')
    """
    return QUALITY_WORDS.get(flag, flag.replace("_", " "))
