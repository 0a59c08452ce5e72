"""How many patients a plan needs, by the figures that it states."""

from __future__ import annotations

from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.evaluation.intervals import LEVEL
from usdlr.evaluation.sample_size_contract import certification_need
from usdlr.evaluation.sample_size_external import external_validation
from usdlr.validation.plan import Plan

# A verdict reads the upper end of a two-sided interval.
_DELTA = (1 - LEVEL) / 2


def needed(plan: Plan) -> dict[str, Any]:
    """Patients needed for precise figures (SLN stage), and for a verdict on each false-negative rate.

    Returns
    -------
    dict
        ``precision``: requirements of :func:`usdlr.evaluation.sample_size_external.external_validation`; ``verdict``:
        by stage :class:`usdlr.evaluation.sample_size_contract.CertificationNeed` as plain data, ``None`` where the
        anticipated rate is not below the target, so that no number of patients would do.
    """
    expected = plan.sample_size
    precision = external_validation(prevalence=expected.prevalence, auc=expected.auc)
    verdict: dict[str, Any] = {}
    for stage in Stage:
        nsln = stage is Stage.NSLN
        try:
            need = certification_need(
                alpha=plan.hypotheses.alpha[str(stage)],
                delta=_DELTA,
                prevalence=expected.prevalence * (expected.nsln_prevalence if nsln else 1.0),
                verified=expected.dissected if nsln else 1.0,
                anticipated_fnr=expected.fnr,
                assurance=expected.assurance,
            )
        except ConfigError:
            verdict[str(stage)] = None
            continue
        verdict[str(stage)] = need.as_dict()
    return {"precision": [one.as_dict() for one in precision], "verdict": verdict}


def needed_lines(plan: Plan) -> list[str]:
    """The same as short lines."""
    found, expected = needed(plan), plan.sample_size
    lines = [
        f"By these figures, patients for {one['criterion']}: {one['n']} ({one['detail']})" for one in found["precision"]
    ]
    for stage, need in found["verdict"].items():
        alpha = plan.hypotheses.alpha[stage]
        if need is None:
            lines.append(
                f"{stage.upper()}: a rate of {expected.fnr:g} is not below {alpha:g}; no number shows it is held"
            )
            continue
        lines.append(
            f"Patients until 'held' is said of {stage.upper()} at {alpha:g} with a chance of {expected.assurance:g}, "
            f"if the true rate is {expected.fnr:g}: {need['patients']} ({need['positives']} positives; at least "
            f"{need['least_positives']}, without a miss)"
        )
    return lines
