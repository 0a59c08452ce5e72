"""``usdlr samplesize``: how many patients a study needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.files import write_json
from usdlr.evaluation.risk_distribution import RiskDistribution
from usdlr.evaluation.sample_size import Requirement, development, largest, requirement, share
from usdlr.evaluation.sample_size_contract import ASSURANCE, CertificationNeed, certification_need
from usdlr.evaluation.sample_size_external import (
    AUC_WIDTH,
    FNR_WIDTH,
    OE_WIDTH,
    SLOPE_WIDTH,
    external_validation,
    positives_for_fnr,
)

_STAGES = {"sln": "sentinel nodes", "nsln": "non-sentinel nodes"}


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    options = parse(_parser(), argv)
    shares = {"sln": options.prevalence, "nsln": options.prevalence * options.nsln_prevalence}
    for name in ("prevalence", "nsln_prevalence", "dissected"):
        share(name, getattr(options, name), one=name == "dissected")
    # Everything is worked out before a word is printed: a plan that is refused leaves no half of it on the screen.
    developed = _developed(options)
    validated = _external(options)
    promised = {stage: _promised(options, stage, prevalence) for stage, prevalence in shares.items()}
    if developed:
        _show("Development (Riley 2019, 2020), stage SLN", developed)
    _show("External validation (Riley 2021), stage SLN", validated)
    _show_promises(promised)
    if options.out is not None:
        plan = {
            "development": [need.as_dict() for need in developed],
            "external_validation": [need.as_dict() for need in validated],
            "contract": {stage: need.as_dict() for stage, need in promised.items()},
        }
        write_json(Path(options.out), plan)
        print(f"plan: {options.out}")


def _parser() -> Any:
    parser = new_parser(
        "samplesize",
        "How many patients a study needs: to develop a model (with --parameters), to validate it elsewhere, and to "
        "certify its false-negative rates. Shares are written 0.3, not 30.",
    )
    add = parser.add_argument
    add("--prevalence", type=float, required=True, help="share of axillae with a positive sentinel node")
    add("--nsln_prevalence", type=float, default=0.33, help="share with involved non-sentinel nodes among those")
    add("--dissected", type=float, default=1.0, help="share of them who are dissected, so that their status is known")
    add("--auc", type=float, default=0.8, help="anticipated area under the ROC curve, corrected for optimism")
    add("--parameters", type=int, default=None, help="candidate predictor parameters; asks for development too")
    add("--r2", type=float, default=None, help="anticipated Cox-Snell R2, in place of --auc, for development")
    add("--shrinkage", type=float, default=0.9, help="expected shrinkage of the coefficients, at least")
    add("--oe_width", type=float, default=OE_WIDTH, help="width of the 95 % interval of observed / expected")
    add("--slope_width", type=float, default=SLOPE_WIDTH, help="width of that of the calibration slope")
    add("--auc_width", type=float, default=AUC_WIDTH, help="width of that of the AUC")
    add("--fnr_width", type=float, default=FNR_WIDTH, help="width of that of the false-negative rate")
    add("--log_odds_mean", type=float, default=None, help="of the model's log-odds, if known, for the slope")
    add("--log_odds_sd", type=float, default=None, help="their standard deviation")
    add("--alpha_sln", type=float, default=0.1, help="largest tolerated false-negative rate, sentinel nodes")
    add("--alpha_nsln", type=float, default=0.1, help="the same, non-sentinel nodes")
    add("--delta", type=float, default=0.05, help="tolerated chance that the statement is wrong")
    add("--fnr", type=float, default=0.05, help="anticipated true false-negative rate at the operating point")
    add("--assurance", type=float, default=ASSURANCE, help="chance that the study certifies")
    add("--calibration_share", type=float, default=1.0, help="share of the patients who go to the calibration part")
    add("--out", type=str, default=None, help="write the plan to this .json too")
    return parser


def _developed(options: Any) -> list[Requirement]:
    if options.parameters is None:
        return []
    return development(
        prevalence=options.prevalence,
        parameters=options.parameters,
        r2=options.r2,
        auc=options.auc if options.r2 is None else None,
        shrinkage=options.shrinkage,
    )


def _promised(options: Any, stage: str, prevalence: float) -> CertificationNeed:
    return certification_need(
        alpha=getattr(options, f"alpha_{stage}"),
        delta=options.delta,
        prevalence=prevalence,
        verified=options.dissected if stage == "nsln" else 1.0,
        calibration_share=options.calibration_share,
        anticipated_fnr=options.fnr,
        assurance=options.assurance,
    )


def _external(options: Any) -> list[Requirement]:
    risks = None
    if options.log_odds_mean is not None or options.log_odds_sd is not None:
        mean = 0.0 if options.log_odds_mean is None else options.log_odds_mean
        risks = RiskDistribution.normal(mean, 0.0 if options.log_odds_sd is None else options.log_odds_sd)
    needs = external_validation(
        prevalence=options.prevalence,
        auc=options.auc,
        risks=risks,
        oe_width=options.oe_width,
        slope_width=options.slope_width,
        auc_width=options.auc_width,
    )
    positives = positives_for_fnr(options.fnr, options.fnr_width)
    detail = f"exact 95 % interval {options.fnr_width:g} wide around {options.fnr:g}, {positives} positives"
    return [
        *needs,
        requirement("false-negative rate", positives / options.prevalence, options.prevalence, detail),
    ]


def _show(title: str, needs: list[Requirement]) -> None:
    print(title)
    wide = max(len(need.criterion) for need in needs)
    most = largest(needs)
    print(f"  {'':<{wide}} {'patients':>9} {'positives':>10}")
    for need in needs:
        mark = "*" if need is most else " "
        print(f"{mark} {need.criterion:<{wide}} {need.n:>9} {need.events:>10}  {need.detail}")
    print()


def _show_promises(promised: dict[str, CertificationNeed]) -> None:
    print("A certified false-negative rate")
    for stage, need in promised.items():
        print(
            f"  {_STAGES[stage]}: at most {need.alpha:g} with confidence {1 - need.delta:g}: {need.positives} "
            f"positives ({need.misses} misses allowed) certify with a chance of {need.assurance:g}; "
            f"{need.least_positives} are the least, without a miss"
        )
        print(
            f"    patients: {need.patients_expected} on average, {need.patients} with a chance of {need.assurance:g} "
            f"({need.share:.3g} of those recruited count)"
        )
