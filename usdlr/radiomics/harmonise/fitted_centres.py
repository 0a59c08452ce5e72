"""What a fitted harmoniser holds of its centres: how each is treated, what stays as measured, and all as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from usdlr.radiomics.harmonise.centre_estimate import CentreEstimate, Reasons, no_reasons
from usdlr.radiomics.harmonise.centre_policy import (
    CentreTable,
    HarmonisationNote,
    LocalPrior,
    PassedThrough,
    Policy,
    Reason,
    Unseen,
)
from usdlr.radiomics.harmonise.combat import Floats, Scale
from usdlr.radiomics.harmonise.covariates import Coding
from usdlr.radiomics.harmonise.inputs import labels_of


class FittedCentres(BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """The fitted part of :class:`usdlr.radiomics.harmonise.transformer.ComBat`, which documents the attributes."""

    # Of the constructor.
    reference: str | None
    continuous: tuple[str, ...]
    categorical: tuple[str, ...]
    eb: bool
    unseen: str
    local_prior: str
    # Of the fit.
    features_: list[str]
    centres_: list[str]
    local_: list[str]
    patients_: list[int]
    coding_: Coding
    scale_: Scale
    shift_: Floats
    spread_: Floats
    raw_shift_: Floats
    raw_spread_: Floats
    reasons_: Reasons
    n_features_in_: int
    fitted_patients_: frozenset[str]

    def policy_of(self, centre: Iterable[str]) -> list[Policy]:
        """What :meth:`transform` does with each row: a table column can state it.

        Raises
        ------
        DataError
            If a centre is unknown and ``unseen`` does not let it through.
        """
        return self._centres().policies(labels_of(centre, None))

    def notes_of(self, centre: Iterable[str]) -> tuple[HarmonisationNote, ...]:
        """What a reader of results on such rows has to be told: one note per centre that is not harmonised."""
        return self._centres().notes(labels_of(centre, None))

    @property
    def passed_through_(self) -> tuple[PassedThrough, ...]:
        """Every feature of a fitted centre that is left as measured, with the reason."""
        return tuple(
            PassedThrough(self.centres_[c], self.features_[f], Reason(self.reasons_[c, f]))
            for c, f in np.argwhere(self.reasons_ != "")
        )

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the output columns."""
        return np.array(self.features_, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        check_is_fitted(self, "scale_")
        left = np.argwhere(self.reasons_ != "")
        return {
            "options": {
                **self.get_params(),
                "continuous": list(self.continuous),
                "categorical": list(self.categorical),
                "unseen": str(self.unseen),
                "local_prior": str(self.local_prior),
            },
            "features": self.features_,
            "centres": self.centres_,
            "local": self.local_,
            "patients": self.patients_,
            "coding": self.coding_.to_dict(),
            "mean": self.scale_.mean.tolist(),
            "variance": self.scale_.variance.tolist(),
            "effects": self.scale_.effects.tolist(),
            "shift": self.shift_.tolist(),
            "spread": self.spread_.tolist(),
            "raw_shift": self.raw_shift_.tolist(),
            "raw_spread": self.raw_spread_.tolist(),
            "passed_through": [[int(c), int(f), str(self.reasons_[c, f])] for c, f in left],
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        options = dict(state["options"])
        combat = cls(
            **{**options, "continuous": tuple(options["continuous"]), "categorical": tuple(options["categorical"])}
        )
        combat.features_, combat.centres_, combat.local_, combat.patients_ = (
            list(state[name]) for name in ("features", "centres", "local", "patients")
        )
        combat.coding_ = Coding.from_dict(state["coding"])
        mean, variance = (np.array(state[name], dtype=np.float64) for name in ("mean", "variance"))
        combat.scale_ = Scale(mean, variance, np.array(state["effects"], dtype=np.float64).reshape(-1, len(mean)))
        combat.shift_, combat.spread_, combat.raw_shift_, combat.raw_spread_ = (
            np.array(state[name], dtype=np.float64) for name in ("shift", "spread", "raw_shift", "raw_spread")
        )
        combat.reasons_ = no_reasons(combat.shift_.shape)
        for c, f, reason in state["passed_through"]:
            combat.reasons_[c, f] = str(Reason(reason))
        combat.n_features_in_ = len(combat.features_)
        combat.fitted_patients_ = frozenset()
        return combat

    def _store(self, estimates: Sequence[CentreEstimate]) -> None:
        for part in fields(CentreEstimate):
            setattr(self, part.name + "_", np.stack([getattr(one, part.name) for one in estimates]))

    def _estimate(self, c: int) -> CentreEstimate:
        return CentreEstimate(*(getattr(self, part.name + "_")[c] for part in fields(CentreEstimate)))

    def _cloud(self) -> tuple[Floats, Floats] | None:
        """Raw estimates of the training centres, where they are the prior of an adapted centre."""
        if not self.eb or self.local_prior == LocalPrior.SAMPLE:
            return None
        among = [name not in self.local_ and name != self.reference for name in self.centres_]
        good = self.reasons_[among] == ""
        return self.raw_shift_[among][good], self.raw_spread_[among][good]

    def _centres(self) -> CentreTable:
        check_is_fitted(self, "scale_")
        policies = dict.fromkeys(self.centres_, Policy.FITTED) | dict.fromkeys(self.local_, Policy.LOCAL)
        policies |= {name: Policy.NONE for c, name in enumerate(self.centres_) if not (self.reasons_[c] == "").any()}
        if self.reference is not None:
            policies[self.reference] = Policy.REFERENCE
        return CentreTable(policies, Unseen(self.unseen))
