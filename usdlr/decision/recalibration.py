"""A calibrator behind a calibrator: what a model said elsewhere, put right by local patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from usdlr.core.errors import BundleError
from usdlr.core.leak import Rows
from usdlr.decision.arrays import FloatArray, scores
from usdlr.decision.calibration_linear import LineCalibrator
from usdlr.decision.calibrator import Calibrator


class RecalibratedCalibrator(Calibrator):
    """``after`` of ``before``: the older map stays as it is, the newer one is fitted on what it gives.

    Parameters
    ----------
    before : Calibrator
        Fitted elsewhere.
    after : Calibrator
        Not fitted: a shift (:class:`usdlr.decision.calibration_linear.InterceptCalibrator`), a line (Platt scaling,
        its slope drawn towards 1, which is no change) or isotonic regression.

    Attributes
    ----------
    after_ : Calibrator
        Fitted on the tuning rows, log-odds of ``before``.
    covariance_ : (2, 2) float64 array
        Of slope and intercept of a straight ``after_``; zeros otherwise.
    fitted_patients_ : frozenset of str
        Patients that this fit has seen, not those of ``before``.

    References
    ----------
    Steyerberg et al., Stat Med 23 (2004) 2567, doi:10.1002/sim.1844. Van Calster et al., BMC Med 17 (2019) 230,
    doi:10.1186/s12916-019-1466-7.
    """

    kind = "recalibrated"

    def __init__(self, before: Calibrator, after: Calibrator) -> None:
        self.before = before
        self.after = after

    def transform(self, logit: npt.ArrayLike) -> FloatArray:
        """Calibrated log-odds, shape (n,), in nat."""
        check_is_fitted(self, ("after_",))
        found: FloatArray = self.after_.transform(self.before.transform(logit))
        return found

    def sampling_variance(self, logit: npt.ArrayLike) -> FloatArray:
        """Variance of the calibrated log-odds because few local patients were fitted on.

        That of the older map is in the interval that was measured with it; see :class:`Calibrator`.
        """
        check_is_fitted(self, ("after_", "covariance_"))
        at = self.before.transform(scores(logit, "logit"))
        (slope, shared), (_, level) = self.covariance_
        straight = np.maximum(slope * at * at + 2 * shared * at + level, 0.0)
        return np.asarray(straight + self.after_.sampling_variance(at), dtype=np.float64)

    def check_options(self) -> None:
        """Refuse options of either part without meaning."""
        self.before.check_options()
        self.after.check_options()

    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        self.after_ = clone(self.after).map_of(self.before.transform(x), y, weight)
        self.covariance_ = np.zeros((2, 2))

    def _look_around(self, x: FloatArray, y: FloatArray, rows: Rows) -> None:
        at = self.before.transform(x)
        self.after_ = clone(self.after).fit(at, y, rows=rows)
        if isinstance(self.after_, LineCalibrator) and len(at):
            self.covariance_ = self.after_.covariance(at)

    def to_dict(self) -> dict[str, Any]:
        """Both maps and plain numbers for a bundle; patients stay behind."""
        check_is_fitted(self, ("after_",))
        return {"kind": self.kind, "before": self.before.to_dict(), **self._state()}

    @classmethod
    def restored(cls, before: Calibrator, after: Calibrator, covariance: Any) -> Self:
        """Restore from both fitted maps and the covariance of a straight one.

        Raises
        ------
        BundleError
            If the covariance is none.
        """
        found = cls(before, after)
        try:
            found._restore({"covariance": covariance})
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"found a damaged {cls.kind} calibrator ({error!r}), expected what an adaptation has written; "
                "export the bundle again"
            ) from error
        found.after_ = after
        found.fitted_patients_ = frozenset()
        return found

    def _state(self) -> dict[str, Any]:
        return {"after": self.after_.to_dict(), "covariance": self.covariance_.tolist()}

    def _restore(self, values: Mapping[str, Any]) -> None:
        covariance = np.asarray(values["covariance"], dtype=np.float64)
        if covariance.shape != (2, 2) or not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
            raise ValueError("no covariance of slope and intercept")
        self.covariance_ = covariance
