"""The arithmetic of the published scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import expit

from usdlr.baselines.comparator_fields import Field

MM_PER_CM = 10.0
SLN_LAST_POINT = 101.0  # where the published points-to-probability curve ends
SLN_INTERCEPT, SLN_SLOPE = -5.63, 0.0589
SLN_GRADE = {1: 0.0, 2: 7.2, 3: 9.0}
LOBULAR, SPECIAL = "lobular", "special"

SLN_FIELDS: tuple[Field, ...] = (
    Field("age_years", "Age.", "years", low=0, high=120, preoperative=True),
    Field(
        "tumour_size_mm",
        "Tumour size; the table's is measured on ultrasound. How the paper measured it is not confirmed here.",
        "mm",
        low=0,
        preoperative=True,
    ),
    Field(
        "histological_type",
        "Type of the specimen: special stands for the types of good prognosis.",
        choices=("ductal", LOBULAR, SPECIAL),
    ),
    Field(
        "nuclear_grade",
        "Nuclear grade of the specimen; not the histological grade. Needless for a lobular tumour.",
        low=1,
        high=3,
        whole=True,
        unless=("histological_type", LOBULAR),
    ),
    Field("upper_inner", "Whether the tumour lies in the upper inner quadrant.", boolean=True, preoperative=True),
    Field("lymphovascular_invasion", "Lymphovascular invasion in the specimen.", boolean=True),
    Field("multifocal", "Whether the specimen holds several foci.", boolean=True),
    Field("er_positive", "Oestrogen receptors of the specimen.", boolean=True),
    Field("pr_positive", "Progesterone receptors of the specimen.", boolean=True),
)

Z0011_FIELDS: tuple[Field, ...] = (
    Field(
        "ct_stage",
        "Clinical stage of the tumour.",
        choices=("cTis", "cT0", "cT1", "cT2", "cT3", "cT4"),
        preoperative=True,
    ),
    Field("palpable_nodes", "Whether axillary nodes are palpable.", boolean=True, preoperative=True),
    Field("sln_positive_count", "Positive sentinel nodes.", "nodes", low=0, whole=True),
    Field("breast_conservation", "Whether the breast is conserved.", boolean=True),
    Field("whole_breast_irradiation", "Whether the whole breast is irradiated.", boolean=True),
)


@dataclass(frozen=True)
class Result:
    """What a published score says about one row.

    Parameters
    ----------
    used : tuple of str
        Fields that were read.
    points, probability : float or None
        Of a nomogram.
    eligible : bool or None
        Of a rule.
    extrapolated : bool
        Whether the score left the range it was published for.
    reasons : tuple of str
        Why a rule does not apply, or what was extrapolated.
    parts : dict of str to float
        Points by field.
    """

    used: tuple[str, ...]
    points: float | None = None
    probability: float | None = None
    eligible: bool | None = None
    extrapolated: bool = False
    reasons: tuple[str, ...] = ()
    parts: Mapping[str, float] | None = None


def mskcc_sln(values: Mapping[str, Any]) -> Result:
    """Points and probability of the MSKCC sentinel-node nomogram.

    Parameters
    ----------
    values : mapping
        Checked values of ``SLN_FIELDS``.

    References
    ----------
    Bevilacqua et al., J Clin Oncol 25 (2007) 3670-3679; points from a secondary digitisation, the probability from a
    smooth fit of the published curve.
    """
    cm = values["tumour_size_mm"] / MM_PER_CM
    kind = values["histological_type"]
    parts = {
        "age_years": 34.5 - 0.345 * values["age_years"],
        "tumour_size_mm": 0.03943 * cm**3 - 0.8341 * cm**2 + 13.43 * cm + 1.759,
        "nuclear_grade": 10.5 if kind == LOBULAR else SLN_GRADE[int(values["nuclear_grade"])],
        "histological_type": 0.0 if kind == SPECIAL else 18.7,
        "upper_inner": 0.0 if values["upper_inner"] else 5.83,
        "lymphovascular_invasion": 18.2 if values["lymphovascular_invasion"] else 0.0,
        "multifocal": 11.7 if values["multifocal"] else 0.0,
        "er_positive": 5.8 if values["er_positive"] else 0.0,
        "pr_positive": 4.4 if values["pr_positive"] else 0.0,
    }
    total = sum(parts.values())
    reasons = []
    if total > SLN_LAST_POINT:
        reasons.append(f"extrapolated: {total:.1f} points, the published curve ends at {SLN_LAST_POINT:g}")
    if parts["age_years"] < 0:
        reasons.append(f"extrapolated: an age of {values['age_years']:g} years has less than 0 points")
    return Result(
        used=tuple(values),
        points=total,
        probability=float(expit(SLN_INTERCEPT + SLN_SLOPE * total)),
        extrapolated=bool(reasons),
        reasons=tuple(reasons),
        parts=parts,
    )


def z0011(values: Mapping[str, Any]) -> Result:
    """Whether the ACOSOG Z0011 rule leaves out completion dissection, with every criterion that fails.

    References
    ----------
    Giuliano et al., JAMA 305 (2011) 569-575.
    """
    count = int(values["sln_positive_count"])
    reasons = []
    if values["ct_stage"] not in ("cT1", "cT2"):
        reasons.append(f"clinical stage {values['ct_stage']}, the rule covers cT1 and cT2")
    if values["palpable_nodes"]:
        reasons.append("palpable axillary nodes")
    if not 1 <= count <= 2:
        reasons.append(f"{count} positive sentinel nodes, the rule covers 1 and 2")
    if not values["breast_conservation"]:
        reasons.append("no breast conservation")
    if not values["whole_breast_irradiation"]:
        reasons.append("no whole-breast irradiation")
    return Result(used=tuple(values), eligible=not reasons, reasons=tuple(reasons))
