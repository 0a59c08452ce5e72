"""Numbers as text: one way to print an estimate, shared by the page and its figures."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.core.types import ExclusionCode, QualityFlag
from usdlr.decision.wording_models import LIMIT_MEANING, ORACLE_MEANING

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
    ExclusionCode.LESION_NOT_FOUND: "no lesion found by software",
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
    ExclusionCode.STUDY_REFUSED: "DICOM study refused as a whole",
    ExclusionCode.ALREADY_PREDICTED: "answered before",
    ExclusionCode.COHORT_UNKNOWN: "a condition of the cohort not known",
    ExclusionCode.DEVELOPMENT_PATIENT: "patient was used to make the model",
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
    QualityFlag.MASK_AUTOMATIC: "contour by software",
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
        LIMIT_MEANING,
    ),
    (
        "oracle",
        "Oracle: best possible with the truth known",
        ORACLE_MEANING,
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
