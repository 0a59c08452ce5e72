"""What the calibration patients support, as a value that travels in bundles and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from usdlr.core.errors import BundleError, InputError
from usdlr.core.types import ContractStatus, Stage
from usdlr.decision.deferral import DeferralRule
from usdlr.decision.settings import CERTIFIED, KINDS, MARGINAL
from usdlr.decision.strata import StratumRule

_STAGES = frozenset(map(str, Stage))


@dataclass(frozen=True)
class Contract:
    """A false-negative contract. It speaks of patients exchangeable with the calibration patients, and of no others.

    Parameters
    ----------
    alpha : dict of str to float
        Largest tolerated false-negative rate by stage, ``sln`` and ``nsln``.
    delta : float
        Tolerated chance that the statement is wrong, joint over both stages.
    status : ContractStatus
        Whether the rates are certified, kept on average alone, or not shown at all.
    required_positives : dict of str to int
        Positives needed by stage: the fewest that can certify the target without a miss or, where calibration holds
        that many and still fails, the fewest with the misses of the first step beyond treat-all.
    t_sln, t_nsln : float
        An axilla is LR-SLN if ``p_sln < t_sln``, otherwise LR-NSLN if ``p_nsln < t_nsln``.
    positives, misses : dict of str to int
        Calibration positives by stage, and how many of them the thresholds miss. Deferred positives are among the
        former and never among the latter. Counted are patients: several positive axillae of one patient count once,
        and as missed if any of them is; :mod:`usdlr.decision.thresholds` says why.
    p_value : float or None
        The larger of the two exact binomial p-values; None unless certified, since other thresholds are not tested.
    kind : str
        What was asked for: ``certified``, or ``marginal``, the weaker promise of :mod:`usdlr.decision.risk_control`. A
        marginal contract has a status of its own where it found thresholds, so that nobody who reads the status alone
        takes it for a certificate, and no object can be both.
    deferral : DeferralRule, optional
        Who gets no answer; the counts above hold with it in force.
    deferred : dict of str to int, optional
        Calibration axillae (``axillae``), and how many are deferred: ``all``, and among positives ``sln``, ``nsln``;
        where patients have several, also the positive axillae themselves, ``sln_positive`` and ``nsln_positive``.
    certified_for : str, optional
        Hash of the weights, calibrators and preparation whose scores were certified.
    strata, by_stratum : StratumRule and dict of str to Contract, optional
        How axillae are told apart, and the contract of each stratum; each decides for its own stratum.
    several : dict of str to int, optional
        Patients with several positive axillae, by stage; empty where there is none. It tells how was counted and is no
        part of the promise: contracts that differ in nothing else are equal.

    Raises
    ------
    InputError
        If the status belongs to another kind, or a stratum promises something of another kind.
    """

    alpha: dict[str, float]
    delta: float
    status: ContractStatus
    required_positives: dict[str, int]
    t_sln: float
    t_nsln: float
    positives: dict[str, int]
    misses: dict[str, int]
    p_value: float | None
    kind: str = CERTIFIED
    deferral: DeferralRule | None = None
    deferred: dict[str, int] | None = None
    certified_for: str | None = None
    strata: StratumRule | None = None
    by_stratum: Mapping[str, Contract] = field(default_factory=dict)
    several: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        fits = {CERTIFIED: ContractStatus.CERTIFIED, MARGINAL: ContractStatus.MARGINAL}.get(self.kind)
        if fits is None or self.status not in (fits, ContractStatus.NOT_CERTIFIABLE):
            raise InputError(
                f"found a false-negative contract of the kind {self.kind!r} with the status {self.status}, expected "
                f"a kind among {', '.join(KINDS)} and no status of another kind; a marginal promise is no certificate"
            )
        if any(part.kind != self.kind for part in self.by_stratum.values()):
            raise InputError(
                f"found a stratum whose contract is not of the kind {self.kind!r} of all axillae together, expected "
                "one kind; certify anew"
            )

    @property
    def certified(self) -> bool:
        """Whether the rates are certified."""
        return self.status is ContractStatus.CERTIFIED

    @property
    def marginal_held(self) -> bool:
        """Whether a marginal contract found thresholds: they keep the targets on average, at no stated confidence."""
        return self.status is ContractStatus.MARGINAL

    @property
    def answers(self) -> bool:
        """Whether the thresholds carry the promise that was asked for, certified or marginal."""
        return self.status is not ContractStatus.NOT_CERTIFIABLE

    def deciding(self) -> tuple[Contract, ...]:
        """The contracts by which axillae are decided: those of the strata, if there are any, else this one."""
        return tuple(self.by_stratum.values()) if self.strata is not None else (self,)

    def void(self) -> Contract:
        """The contract for patients whom it does not reach: no promise of any kind, the same thresholds."""
        return replace(
            self,
            status=ContractStatus.NOT_CERTIFIABLE,
            p_value=None,
            by_stratum={name: part.void() for name, part in self.by_stratum.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers come back exactly. What was not asked for is left out."""
        plain: dict[str, Any] = {
            "alpha": dict(self.alpha),
            "delta": self.delta,
            "status": str(self.status),
            "required_positives": dict(self.required_positives),
            "t_sln": self.t_sln,
            "t_nsln": self.t_nsln,
            "positives": dict(self.positives),
            "misses": dict(self.misses),
            "p_value": self.p_value,
        }
        if self.kind != CERTIFIED:
            plain["kind"] = self.kind
        if self.several:
            plain["several"] = dict(self.several)
        if self.deferral is not None:
            plain["deferral"] = self.deferral.to_dict()
        if self.deferred is not None:
            plain["deferred"] = dict(self.deferred)
        if self.certified_for is not None:
            plain["certified_for"] = self.certified_for
        if self.strata is not None:
            plain["strata"] = self.strata.to_dict()
            plain["by_stratum"] = {name: part.to_dict() for name, part in self.by_stratum.items()}
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Contract:
        """Restore what :meth:`to_dict` wrote.

        Raises
        ------
        BundleError
            If a key is missing or a value is impossible.
        """
        try:
            contract = cls(
                alpha={str(k): float(v) for k, v in values["alpha"].items()},
                delta=float(values["delta"]),
                status=_status(values),
                required_positives={str(k): int(v) for k, v in values["required_positives"].items()},
                t_sln=float(values["t_sln"]),
                t_nsln=float(values["t_nsln"]),
                positives={str(k): int(v) for k, v in values["positives"].items()},
                misses={str(k): int(v) for k, v in values["misses"].items()},
                p_value=None if values["p_value"] is None else float(values["p_value"]),
                kind=str(values.get("kind", CERTIFIED)),
                deferral=None if (rule := values.get("deferral")) is None else DeferralRule.from_dict(rule),
                deferred=None if (some := values.get("deferred")) is None else {str(k): int(some[k]) for k in some},
                certified_for=None if (bound := values.get("certified_for")) is None else str(bound),
                strata=None if (by := values.get("strata")) is None else StratumRule.from_dict(by),
                by_stratum={str(k): cls.from_dict(v) for k, v in values.get("by_stratum", {}).items()},
                several={str(k): int(v) for k, v in values.get("several", {}).items()},
            )
        except BundleError:
            raise
        except InputError as error:
            raise BundleError(f"{error}; export the bundle again") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"found a false-negative contract that cannot be read ({error!r}), expected the keys of "
                "usdlr.decision.contract.Contract; export the bundle again"
            ) from error
        by_stage = (contract.alpha, contract.required_positives, contract.positives, contract.misses)
        if any(set(part) != _STAGES for part in by_stage):
            raise BundleError("found a false-negative contract without both stages, sln and nsln; export it again")
        if contract.strata is not None and not set(contract.by_stratum) <= contract.strata.names(contract.by_stratum):
            raise BundleError(
                f"found strata {', '.join(sorted(contract.by_stratum))} that are cut otherwise than tumour sizes are "
                "here, where a size at an edge belongs to the smaller stratum; certify anew with this version"
            )
        rates = (contract.delta, contract.t_sln, contract.t_nsln, *contract.alpha.values())
        if not all(math.isfinite(rate) and 0 <= rate <= 1 for rate in rates):
            raise BundleError(
                f"found a false-negative contract with a rate or threshold outside 0 to 1 among {rates}; "
                "export the bundle again"
            )
        return contract


def _status(values: Mapping[str, Any]) -> ContractStatus:
    """Older contracts kept the marginal promise beside a status that said less."""
    status = ContractStatus(values["status"])
    held = values.get("kind") == MARGINAL and values.get("marginal_held") is True
    return ContractStatus.MARGINAL if held and status is ContractStatus.NOT_CERTIFIABLE else status


@dataclass(frozen=True)
class FittedContract:
    """A contract and the calibration patients that it has seen; bundles carry the contract alone.

    Parameters
    ----------
    contract : Contract
        The statement.
    fitted_patients : frozenset of str
        Nobody of these may be judged with it.
    """

    contract: Contract
    fitted_patients: frozenset[str] = field(repr=False)
