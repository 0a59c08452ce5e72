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
    """Whether the calibration patients support the promised false-negative rates."""

    CERTIFIED = "certified"
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
    MANIFEST = "manifest"
    NONE = "none"


class ElastographyKind(StrEnum):
    """How stiffness was imaged."""

    SWE = "swe"
    STRAIN = "strain"


class ExclusionCode(StrEnum):
    """Why a row of the source is not used. Never rename one: exported tables carry them."""

    IMAGE_MISSING = "image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    MASK_MISSING = "mask_missing"
    MASK_UNREADABLE = "mask_unreadable"
    MASK_EMPTY = "mask_empty"
    MASK_SIZE_MISMATCH = "mask_size_mismatch"
    NO_LESION = "no_lesion"
    NOT_TUMOUR = "not_tumour"
    SPACING_MISSING = "spacing_missing"
    SPACING_ABSURD = "spacing_absurd"
    ELASTOGRAPHY_UNREADABLE = "elastography_unreadable"
    ENDPOINT_MISSING = "endpoint_missing"
    NEOADJUVANT = "neoadjuvant"
    ROI_TOO_SMALL = "roi_too_small"
    FEATURES_FAILED = "features_failed"
    WORKER_DIED = "worker_died"
