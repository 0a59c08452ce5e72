"""What the calibration patients support, as a value that travels in bundles and reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import BundleError
from usdlr.core.types import ContractStatus, Stage

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
        Whether the rates are certified.
    required_positives : dict of str to int
        Positives needed by stage: the fewest that can certify the target without a miss or, where calibration holds
        that many and still fails, the fewest with the misses of the first step beyond treat-all.
    t_sln, t_nsln : float
        An axilla is LR-SLN if ``p_sln < t_sln``, otherwise LR-NSLN if ``p_nsln < t_nsln``.
    positives, misses : dict of str to int
        Calibration positives by stage, and how many of them the thresholds miss.
    p_value : float or None
        The larger of the two exact binomial p-values; None unless certified, since other thresholds are not tested.
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

    @property
    def certified(self) -> bool:
        """Whether the rates are certified."""
        return self.status is ContractStatus.CERTIFIED

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers come back exactly."""
        return {**asdict(self), "status": str(self.status)}

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
                status=ContractStatus(values["status"]),
                required_positives={str(k): int(v) for k, v in values["required_positives"].items()},
                t_sln=float(values["t_sln"]),
                t_nsln=float(values["t_nsln"]),
                positives={str(k): int(v) for k, v in values["positives"].items()},
                misses={str(k): int(v) for k, v in values["misses"].items()},
                p_value=None if values["p_value"] is None else float(values["p_value"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"found a false-negative contract that cannot be read ({error!r}), expected the keys of "
                "usdlr.decision.contract.Contract; export the bundle again"
            ) from error
        by_stage = (contract.alpha, contract.required_positives, contract.positives, contract.misses)
        if any(set(part) != _STAGES for part in by_stage):
            raise BundleError("found a false-negative contract without both stages, sln and nsln; export it again")
        rates = (contract.delta, contract.t_sln, contract.t_nsln, *contract.alpha.values())
        if not all(math.isfinite(rate) and 0 <= rate <= 1 for rate in rates):
            raise BundleError(
                f"found a false-negative contract with a rate or threshold outside 0 to 1 among {rates}; "
                "export the bundle again"
            )
        return contract


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
