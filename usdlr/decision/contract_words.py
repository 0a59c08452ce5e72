"""The words of a false-negative contract; readers get them from :mod:`usdlr.decision.wording`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from usdlr.core.types import ContractStatus, Stage
from usdlr.decision.contract import Contract
from usdlr.decision.numbers import promise
from usdlr.decision.settings import MARGINAL

UNCERTIFIED = "uncertified"
MARGINAL_WORD = "marginal, uncertified"
PARTLY = "partly uncertified"
DISSECTED = "among dissected axillae"
EXCHANGEABLE = (
    "The contract is about patients exchangeable with the calibration patients. At another centre, with another "
    "scanner or in another population it is void until it is established anew there."
)
COUNTED = "Counted are patients: one with two positive axillae counts once, and as missed if either is."

_STANDING: Mapping[ContractStatus, str] = {
    ContractStatus.CERTIFIED: "certified",
    ContractStatus.MARGINAL: MARGINAL_WORD,
    ContractStatus.NOT_CERTIFIABLE: UNCERTIFIED,
}


def standing(status: ContractStatus | str) -> str:
    """A contract's status in the words of a table's cell; a marginal promise stands among the uncertified.

    Examples
    --------
    >>> standing("not_certifiable"), standing("marginal")
    ('uncertified', 'marginal, uncertified')
    """
    return _STANDING[ContractStatus(status)]


def standing_mark(bundle: ContractStatus | str, folds: Iterable[ContractStatus | str] = ()) -> str:
    """The word that titles carry where a contract, or one of those behind out-of-fold decisions, is not certified.

    Parameters
    ----------
    bundle : ContractStatus
        Of the model that ships.
    folds : iterable of ContractStatus
        Of the folds that decided the axillae which are shown.

    Returns
    -------
    str
        Empty if all are certified. The weakest one counts, but for a certified bundle some of whose folds are not.

    Examples
    --------
    >>> standing_mark("certified", ["certified", "not_certifiable"])
    'partly uncertified'
    >>> standing_mark("marginal", ["marginal"]), standing_mark("certified", ["certified"])
    ('marginal, uncertified', '')
    >>> standing_mark("marginal", ["marginal", "not_certifiable"])
    'uncertified'
    """
    own, others = ContractStatus(bundle), {ContractStatus(one) for one in folds}
    if own is ContractStatus.CERTIFIED:
        lacking = others - {ContractStatus.CERTIFIED}
        if not lacking:
            return ""
        return PARTLY if ContractStatus.CERTIFIED in others else UNCERTIFIED
    return UNCERTIFIED if ContractStatus.NOT_CERTIFIABLE in {own, *others} else MARGINAL_WORD


def contract_lines(contract: Contract, *, known_nsln: str = DISSECTED) -> list[str]:
    """Everything a contract says: what it promises, whom it defers, and what it promises in every stratum.

    Parameters
    ----------
    contract : Contract
        The contract.
    known_nsln : str
        Among whom the NSLN status is known.
    """
    lines = [contract_sentence(contract, known_nsln=known_nsln), deferred_sentence(contract)]
    return [line for line in (*lines, *strata_sentences(contract, known_nsln=known_nsln)) if line]


def contract_sentence(contract: Contract, *, known_nsln: str = DISSECTED) -> str:
    """What the contract promises, or why it promises nothing, in one sentence.

    Parameters
    ----------
    contract : Contract
        The contract.
    known_nsln : str
        Among whom the NSLN status is known.
    """
    alpha, held, needed = contract.alpha, contract.positives, contract.required_positives
    sln, nsln = str(Stage.SLN), str(Stage.NSLN)
    confidence = f"{100 * (1 - contract.delta):g} %"
    targets = (
        f"at most {100 * alpha[sln]:g} % of SLN-positive axillae and at most {100 * alpha[nsln]:g} % of NSLN-positive "
        f"axillae ({known_nsln}) are missed"
    )
    if contract.certified:
        return (
            f"Certified with {confidence} confidence: {targets}, for patients exchangeable with the calibration "
            f"patients, of whose positives the thresholds miss {contract.misses[sln]} of {held[sln]} (SLN) and "
            f"{contract.misses[nsln]} of {held[nsln]} (NSLN){_by_patient(contract)}."
        )
    if contract.marginal_held:
        return (
            f"Marginal, without a stated confidence: on average over calibration samples {targets}, for patients "
            "exchangeable with the calibration patients; these very, uncertified thresholds may miss more. Of the "
            f"calibration positives they miss {contract.misses[sln]} of {held[sln]} (SLN) and "
            f"{contract.misses[nsln]} of {held[nsln]} (NSLN){_by_patient(contract)}."
        )
    counts = (
        f"the calibration patients hold {held[sln]} SLN-positive and {held[nsln]} NSLN-positive axillae"
        f"{_by_patient(contract)}"
    )
    shown = "on average over calibration samples" if contract.kind == MARGINAL else f"with {confidence} confidence"
    if held[sln] >= needed[sln] and held[nsln] >= needed[nsln]:
        return (
            f"Uncertified: {counts}, enough in number, but no threshold that spares anybody could be shown {shown} to "
            f"keep the target that {targets}."
        )
    return (
        f"Uncertified: {counts}, but at least {needed[sln]} and {needed[nsln]} are needed to show {shown} that "
        f"{targets}; the thresholds shown miss none of these few and promise nothing."
    )


def deferred_sentence(contract: Contract) -> str:
    """What the deferral rule did among the calibration axillae, overall and among positives; empty without a rule."""
    if contract.deferred is None:
        return ""
    many, held = contract.deferred, contract.positives
    # Axillae; where nobody has several, patients are counted the same.
    of = [many.get(f"{stage}_positive", held[str(stage)]) for stage in Stage]
    return (
        f"Deferred of the calibration axillae: {many['all']} of {many['axillae']}; among them {many['sln']} "
        f"SLN-positive and {many['nsln']} NSLN-positive axillae (of {of[0]} and {of[1]}). A deferred "
        "axilla is not missed and not spared surgery."
    )


def strata_sentences(contract: Contract, *, known_nsln: str = DISSECTED) -> list[str]:
    """What is promised in each stratum, and whether the confidence is joint; empty without strata."""
    if contract.strata is None:
        return []
    marginal = contract.kind == MARGINAL
    kept = sum(part.answers for part in contract.by_stratum.values())
    share = f"{kept} of {len(contract.by_stratum)} strata by {contract.strata.by.replace('_', ' ')}"
    what = f"{share} keep the marginal target" if marginal else f"{share} are certified"
    if marginal:
        scope = "each on average over calibration samples, without a stated confidence"
    elif contract.strata.joint:
        scope = f"with {100 * (1 - contract.delta):g} % confidence for all of them jointly"
    else:
        scope = "each with the confidence it states by itself; that all hold at once is less certain"
    heading = f"{what}, {scope}." if kept else f"{what}."
    return [heading] + [
        f"{name}: {contract_sentence(part, known_nsln=known_nsln)}" for name, part in contract.by_stratum.items()
    ]


def asked_sentence(contract: Contract) -> str:
    """What was asked of the contract, and how it is tested."""
    alpha = contract.alpha
    asked = (
        f"Asked for: at most {promise(alpha['sln'])} of SLN-positive and at most {promise(alpha['nsln'])} of "
        "NSLN-positive axillae missed (alpha)"
    )
    if contract.kind == MARGINAL:
        return (
            f"{asked}, on average over calibration samples: the marginal target, the weaker of two. It states no "
            "confidence, and what one sample gives may miss more. It is found by conformal risk control on calibration "
            "patients who were used for nothing else."
        )
    return (
        f"{asked}, with a chance of at most {promise(contract.delta)} that this statement is wrong (delta), joint over "
        "both endpoints. It is tested with exact binomial p-values on calibration patients who were used for nothing "
        "else."
    )


def strata_decide_sentence() -> str:
    """By whose thresholds axillae are decided where the contract has strata."""
    return (
        "The bundle decides every stratum by its own contract, and so does every fold: the out-of-fold decisions on "
        "this page rest on the thresholds of the fold's strata. An axilla whose stratum is unknown, or had no "
        "calibration patients in its fold, gets no answer (DEFER)."
    )


def folds_sentence(contract: Contract, folds: Sequence[Contract], *, adjective: str) -> str:
    """Whose thresholds stand behind the rates of a page, and how many of them keep their promise.

    Parameters
    ----------
    contract : Contract
        Of the bundle.
    folds : sequence of Contract
        Of the folds; where they have strata, those decide.
    adjective : str
        ``"uncertified "`` or nothing, to stand before the folds' thresholds.
    """
    deciding = [part for fold in folds for part in fold.deciding()]
    kept, strata = sum(part.answers for part in deciding), any(fold.strata is not None for fold in folds)
    own = "" if contract.certified else f"{UNCERTIFIED} "
    of = f"{kept} of {len(deciding)} {'strata of the folds' if strata else 'folds'}"
    if contract.kind == MARGINAL:
        told = f"{of} kept the marginal target on their calibration patients."
    else:
        told = f"{of} were certified." if strata else f"{of}' contracts were certified."
    return (
        f"The contract belongs to the {own}thresholds of the exported bundle. The false-negative rates below estimate "
        f"the procedure: each axilla was decided in its own test fold, with the {adjective}thresholds of that fold's "
        f"calibration patients. {told}"
    )


def lacking_folds_sentence(lacking: int, folds: int) -> str:
    """Says that a certified bundle's folds are not all certified; empty where all are."""
    if not lacking:
        return ""
    return (
        f"{lacking} of {folds} folds could not certify their thresholds: the decisions of these folds, and with them "
        "the rates below, rest partly on uncertified thresholds."
    )


def _by_patient(contract: Contract) -> str:
    """How patients with two positive axillae were counted; empty where there is none."""
    several = [contract.several.get(str(stage), 0) for stage in Stage]
    if not any(several):
        return ""
    return (
        f"; {several[0]} (SLN) and {several[1]} (NSLN) patients with two positive axillae count once, and as missed if "
        "either is"
    )
