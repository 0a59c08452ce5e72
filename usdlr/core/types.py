"""The vocabulary: the closed sets of words that tables, configurations and reports share."""

from __future__ import annotations

from enum import StrEnum


class Split(StrEnum):
    """What a patient's rows are used for within one fold."""

    TRAIN = "train"
    TUNING = "tuning"
    CALIBRATION = "calibration"
    TEST = "test"
    EXTERNAL = "external"


class Stage(StrEnum):
    """The two questions of the cascade."""

    SLN = "sln"
    NSLN = "nsln"


class RiskGroup(StrEnum):
    """The cascade's answer for one axilla."""

    LR_SLN = "LR-SLN"
    HR_SLN_LR_NSLN = "HR-SLN/LR-NSLN"
    HR_SLN_HR_NSLN = "HR-SLN/HR-NSLN"
    DEFER = "DEFER"


class ContractStatus(StrEnum):
    """Whether the calibration patients support the promised false-negative rates.

    Only ``CERTIFIED`` has a confidence. ``MARGINAL`` keeps the rates on average over calibration samples, the weaker
    promise that was asked for; whoever knows two words alone must read it as not certified.
    """

    CERTIFIED = "certified"
    MARGINAL = "marginal"
    NOT_CERTIFIABLE = "not_certifiable"


class OnUncertified(StrEnum):
    """What a prediction answers when the contract is not certifiable."""

    DEFER = "defer"
    ZERO_MISS = "zero_miss"


class Side(StrEnum):
    """Side of the body."""

    LEFT = "left"
    RIGHT = "right"
    UNKNOWN = "unknown"


class Site(StrEnum):
    """What the image shows."""

    TUMOUR = "tumour"
    AXILLA = "axilla"


class Roi(StrEnum):
    """Regions of interest, derived from the lesion mask in millimetres."""

    INTRATUMORAL = "intratumoral"
    PERITUMORAL = "peritumoral"
    COMBINED = "combined"


class MaskSource(StrEnum):
    """Who drew the contour."""

    READER = "reader"
    AUTOMATIC = "automatic"


class SpacingSource(StrEnum):
    """Where the millimetres per pixel come from."""

    DICOM_REGION = "dicom_region"
    PIXEL_SPACING = "pixel_spacing"
    IMAGER_PIXEL_SPACING = "imager_pixel_spacing"
    MANIFEST = "manifest"
    # No millimetres: every length is a share of the lesion's equivalent diameter.
    LESION_RELATIVE = "lesion_relative"
    NONE = "none"


class ElastographyKind(StrEnum):
    """How stiffness was imaged."""

    SWE = "swe"
    STRAIN = "strain"


class ElastographyState(StrEnum):
    """What a case has to say about stiffness. None of them is an error."""

    MEASURED = "measured"
    STRAIN_ONLY = "strain_only"
    UNUSABLE = "unusable"
    MISSING = "missing"


class FovSource(StrEnum):
    """Where the field of view comes from."""

    REGION = "region"
    FILE = "file"
    TRANSPARENCY = "transparency"
    DETECTED = "detected"
    NONE = "none"


class BurnedIn(StrEnum):
    """What happens to calipers, text and body marks inside the field of view."""

    KEEP = "keep"
    MASK = "mask"
    INPAINT = "inpaint"


class QualityFlag(StrEnum):
    """What a reader should know about a case that is used all the same. Never rename one: tables carry them."""

    CALIBRATION_REFUSED = "calibration_refused"
    REGION_CLIPPED = "region_clipped"
    SPACING_LOW_TRUST = "spacing_low_trust"
    SCALE_RELATIVE = "scale_relative"
    SIZE_MISSTATED = "size_misstated"
    FOV_UNCERTAIN = "fov_uncertain"
    BURNED_IN_KEPT = "burned_in_kept"
    BURNED_IN_MASKED = "burned_in_masked"
    BURNED_IN_INPAINTED = "burned_in_inpainted"
    TEXT_BLANKED = "text_blanked"
    COLOUR_CONVERTED = "colour_converted"
    COLOUR_OVERLAY = "colour_overlay"
    LOSSY_COMPRESSION = "lossy_compression"
    MASK_REPAIRED = "mask_repaired"
    MASK_CLIPPED = "mask_clipped"
    MASK_OUTSIDE_FOV = "mask_outside_fov"
    MASK_IS_BOX = "mask_is_box"
    MASK_ABSENT = "mask_absent"
    MASK_AUTOMATIC = "mask_automatic"
    CONTOUR_UNREADABLE = "contour_unreadable"
    OTHER_FINDINGS = "other_findings"
    ELASTOGRAPHY_UNUSABLE = "elastography_unusable"
    ELASTOGRAPHY_STRAIN_ONLY = "elastography_strain_only"
    ELASTOGRAPHY_SATURATED = "elastography_saturated"
    ELASTOGRAPHY_SHIFTED = "elastography_shifted"
    DUPLICATE_IMAGE = "duplicate_image"


class ExclusionCode(StrEnum):
    """Why a row of the source is not used. Never rename one: exported tables carry them."""

    IMAGE_MISSING = "image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    MASK_MISSING = "mask_missing"
    MASK_UNREADABLE = "mask_unreadable"
    MASK_EMPTY = "mask_empty"
    MASK_SIZE_MISMATCH = "mask_size_mismatch"
    MASK_AMBIGUOUS = "mask_ambiguous"
    MASK_OUTSIDE_REGION = "mask_outside_region"
    FRAME_UNSTATED = "frame_unstated"
    NO_LESION = "no_lesion"
    LESION_NOT_FOUND = "lesion_not_found"
    NOT_TUMOUR = "not_tumour"
    TUMOUR_MISSING = "tumour_missing"
    SPACING_MISSING = "spacing_missing"
    SPACING_ABSURD = "spacing_absurd"
    SPACING_CONTRADICTORY = "spacing_contradictory"
    DUPLICATE_CONTRADICTORY = "duplicate_contradictory"
    IDENTITY_MISSING = "identity_missing"
    ELASTOGRAPHY_UNREADABLE = "elastography_unreadable"
    ENDPOINT_MISSING = "endpoint_missing"
    NEOADJUVANT = "neoadjuvant"
    OUTSIDE_COHORT = "outside_cohort"
    COHORT_UNKNOWN = "cohort_unknown"
    STUDY_REFUSED = "study_refused"
    ALREADY_PREDICTED = "already_predicted"
    DEVELOPMENT_PATIENT = "development_patient"
    ROI_TOO_SMALL = "roi_too_small"
    FEATURES_FAILED = "features_failed"
    WORKER_DIED = "worker_died"
    WORKER_STALLED = "worker_stalled"
