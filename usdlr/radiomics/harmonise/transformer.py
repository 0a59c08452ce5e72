"""Harmonisation of features between centres: ComBat, fitted on training rows of training centres only.

:mod:`usdlr.radiomics.harmonise.design_table` applies it to a design table and takes the centre from ``centre_id``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from copy import copy
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.harmonise.centre_estimate import (
    FEWEST,
    Shrinkage,
    adapt_centre,
    fit_centres,
)
from usdlr.radiomics.harmonise.centre_policy import (
    LocalPrior,
    UnharmonisedWarning,
    Unseen,
)
from usdlr.radiomics.harmonise.combat import Floats, adjust
from usdlr.radiomics.harmonise.covariates import Coding, require_covariates
from usdlr.radiomics.harmonise.fitted_centres import FittedCentres
from usdlr.radiomics.harmonise.inputs import (
    check_options,
    features_of,
    labels_of,
    reference_of,
    require_independent,
    require_length,
    rows_of,
    table_of,
)


class ComBat(TransformerMixin, FittedCentres):  # type: ignore[misc]  # sklearn publishes no types
    """Take each centre's shift and spread out of the features, and keep the covariates' effect.

    On the training rows the result equals neuroCombat's. New rows of a training centre are transformed with the fitted
    parameters alone. ComBat removes every difference between centres that the covariates do not explain, a true one
    included: where centres differ in the share of positive patients, part of the signal goes with the scanner.

    Parameters
    ----------
    parametric : bool
        Empirical Bayes with normal and inverse gamma priors; otherwise the cloud of raw estimates is the prior.
    eb : bool
        Shrink a centre's estimates towards what its features have in common; needs at least two features.
    mean_only : bool
        Adjust shifts and leave spreads.
    reference : str or None
        Centre that stays as measured and whose level and spread the others are given (M-ComBat).
    continuous, categorical : tuple of str
        Pre-operative columns of the cases table whose effect is kept. An outcome is refused: preserving it would need
        the label of a patient at prediction, and would write that label into the features.
    unseen : {"refuse", "none", "local"}
        What to do with a centre that was not fitted. ``refuse``: a :class:`~usdlr.core.errors.DataError`. ``none``:
        values stay as measured, :meth:`policy_of` and :meth:`notes_of` say so and :class:`UnharmonisedWarning` is
        given. ``local``: refused until :meth:`adapt` has seen an unlabelled sample of the centre.
    min_local : int
        Fewest patients of a local sample. With 20 the standard error of a shift is 0.22 standard deviations and that
        of a spread 16 %.
    local_prior : {"sample", "training"}
        What a local sample's estimates are shrunk towards: its own features' common shift and spread, as ComBat does
        for every training centre, or those of all training centres, frozen. Of three training centres that hardly
        differ and a new one 1.5 standard deviations off, 20 simulated patients leave an error of 0.22 with the first
        and 0.77 with the second (0.29 without shrinkage); where the new centre is like the others, they are equal.
    tolerance : float
        Relative change at which the parametric estimate counts as settled; the default is that of sva and neuroCombat.

    Attributes
    ----------
    features_ : list of str
        Columns in the order of the output.
    centres_ : list of str
        Training centres in alphabetical order, then adapted ones.
    patients_ : list of int
        How many patients of each centre were seen.
    scale_ : Scale
        Grand mean, pooled variance and covariates' effects.
    shift_, spread_ : ndarray, (centres, features)
        What is taken out; spread is a variance. 0 and 1 where nothing is.
    raw_shift_, raw_spread_ : ndarray, (centres, features)
        The same before shrinkage.
    reasons_ : ndarray of str, (centres, features)
        Why something is left as measured, empty where it is harmonised; ``passed_through_`` lists it.
    fitted_patients_ : frozenset of str
        Who was seen, local samples included.

    References
    ----------
    Johnson et al. Biostatistics 2007;8:118. doi:10.1093/biostatistics/kxj037
    Stein et al. (reference batch). BMC Bioinformatics 2015;16:63. doi:10.1186/s12859-015-0478-3
    Orlhac et al. (radiomics). J Nucl Med 2018;59:1321. doi:10.2967/jnumed.117.199935
    Orlhac et al. (guide). J Nucl Med 2022;63:172. doi:10.2967/jnumed.121.262464
    """

    def __init__(
        self,
        *,
        parametric: bool = True,
        eb: bool = True,
        mean_only: bool = False,
        reference: str | None = None,
        continuous: tuple[str, ...] = (),
        categorical: tuple[str, ...] = (),
        unseen: str = "refuse",
        min_local: int = 20,
        local_prior: str = "sample",
        tolerance: float = 1e-4,
    ) -> None:
        self.parametric = parametric
        self.eb = eb
        self.mean_only = mean_only
        self.reference = reference
        self.continuous = continuous
        self.categorical = categorical
        self.unseen = unseen
        self.min_local = min_local
        self.local_prior = local_prior
        self.tolerance = tolerance

    def fit(
        self,
        X: pd.DataFrame | npt.ArrayLike,
        y: object = None,
        *,
        rows: Rows,
        centre: Iterable[str],
        covariates: pd.DataFrame | None = None,
    ) -> Self:
        """Fit on training rows.

        Parameters
        ----------
        X : DataFrame or array, (rows, features)
            Features; not-a-number where something could not be measured.
        y : object
            Ignored: harmonisation never sees an outcome.
        rows : Rows
            Whose rows they are.
        centre : iterable of str, (rows,)
            The centre of each row.
        covariates : DataFrame, (rows, ...)
            Holds the columns ``continuous`` and ``categorical``; others are not looked at.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        ConfigError
            If an option is unknown, or a covariate is an outcome or not pre-operative.
        DataError
            If a covariate cannot be told from the centre, or no feature can be compared between two centres.
        """
        require_split(rows, [Split.TRAIN], "harmonisation")
        check_options(self.unseen, self.local_prior, self.min_local, self.tolerance)
        require_covariates(self.continuous, self.categorical)
        names, values = table_of(X)
        require_length(rows, len(values))
        coding = Coding.learn(covariates, self.continuous, self.categorical)
        encoded = coding.encode(covariates, len(values))
        unique, batch = np.unique(labels_of(centre, len(values)), return_inverse=True)
        centres = [str(name) for name in unique]
        reference = reference_of(self.reference, centres)
        require_independent(coding, encoded, batch)
        person = np.unique(np.array(rows.patient_id, dtype=object), return_inverse=True)[1]
        # One centre is enough where others are to be given its level later, from their own samples.
        own = not self.eb or self.local_prior == LocalPrior.SAMPLE
        alone = reference is not None and self.unseen == Unseen.LOCAL and own
        scale, estimates = fit_centres(
            values, encoded, batch, person, self._shrinkage(), reference=reference, least=1 if alone else FEWEST
        )
        self.features_ = names
        self.centres_ = centres
        self.local_: list[str] = []
        self.patients_ = [len(set(person[batch == c].tolist())) for c in range(len(centres))]
        self.coding_ = coding
        self.scale_ = scale
        self._store(estimates)
        self.n_features_in_ = len(names)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(names, dtype=object)
        self.fitted_patients_ = rows.patients
        return self

    def transform(
        self, X: pd.DataFrame | npt.ArrayLike, *, centre: Iterable[str], covariates: pd.DataFrame | None = None
    ) -> Floats:
        """Transform any rows with the fitted parameters: (rows, features), columns as in ``features_``.

        Raises
        ------
        DataError
            If a row's centre is unknown and ``unseen`` does not let it through, a fitted feature is missing, or a
            covariate is missing or has an unknown level.
        """
        check_is_fitted(self, "scale_")
        values = features_of(X, self.features_)
        labels = labels_of(centre, len(values))
        for note in self._centres().notes(labels):
            warnings.warn(note.sentence, UnharmonisedWarning, stacklevel=3)
        result = values.copy()
        for c, name in enumerate(self.centres_):
            here = np.flatnonzero(labels == name)
            good = self.reasons_[c] == ""
            if not len(here) or name == self.reference or not good.any():
                continue  # as measured, so that a missing covariate does no harm
            encoded = self.coding_.encode(rows_of(covariates, here, len(values)), len(here))
            adjusted = adjust(values[here], encoded, self.scale_, self.shift_[c], self.spread_[c])
            result[np.ix_(here, np.flatnonzero(good))] = adjusted[:, good]
        return result

    def fit_transform(
        self,
        X: pd.DataFrame | npt.ArrayLike,
        y: object = None,
        *,
        rows: Rows,
        centre: Iterable[str],
        covariates: pd.DataFrame | None = None,
    ) -> Floats:
        """Fit on training rows and transform them."""
        labels = list(centre)
        self.fit(X, y, rows=rows, centre=labels, covariates=covariates)
        return np.asarray(self.transform(X, centre=labels, covariates=covariates), dtype=np.float64)

    def adapt(
        self,
        sample: pd.DataFrame | npt.ArrayLike,
        centre: str,
        *,
        rows: Rows,
        covariates: pd.DataFrame | None = None,
    ) -> Self:
        """A new fitted object that also knows ``centre``, from an unlabelled local sample; this one stays as it is.

        The centre's shift and spread are estimated against the frozen grand mean, variance and covariates' effects of
        training, and shrunk as ``local_prior`` says; nothing else changes, so that a model fitted on the harmonised
        features stays as it is. With a reference this is neuroCombat on the reference and the sample. The patients of
        the sample join ``fitted_patients_``, so that :func:`~usdlr.core.leak.require_disjoint` refuses to judge on
        them.

        Raises
        ------
        ConfigError
            If ``unseen`` is not ``local``.
        LeakError
            If a row belongs to the calibration or test split.
        DataError
            If the centre was in training or the sample is too small.
        """
        check_is_fitted(self, "scale_")
        if self.unseen != Unseen.LOCAL:
            raise ConfigError(
                f"found unseen = {str(self.unseen)!r}, expected 'local' to adapt to a centre; state that policy before "
                "the model is fitted"
            )
        require_split(rows, [Split.TRAIN, Split.TUNING, Split.EXTERNAL], "local harmonisation")
        values = features_of(sample, self.features_)
        require_length(rows, len(values))
        if centre in self.centres_ and centre not in self.local_:
            raise DataError(
                f"found the training centre {centre}, expected a new one; its fitted parameters are in force"
            )
        if len(rows.patients) < self.min_local:
            raise DataError(
                f"found {len(rows.patients)} patients in the local sample of {centre}, expected at least "
                f"{self.min_local} (min_local): a shift and a spread from fewer are noise; collect more, or state "
                "unseen = 'none'"
            )
        cloud = self._cloud()
        if cloud is not None and len(cloud[0]) < FEWEST:
            raise DataError(
                "found no estimate of a training centre to shrink towards, expected some; fit with two "
                "centres, or state local_prior = 'sample'"
            )
        encoded = self.coding_.encode(covariates, len(values))
        person = np.unique(np.array(rows.patient_id, dtype=object), return_inverse=True)[1]
        training = [name not in self.local_ for name in self.centres_]
        trained = (self.reasons_[training] == "").any(axis=0)
        estimate = adapt_centre(
            values, encoded, person, self.scale_, trained, self._shrinkage(), fewest=self.min_local, cloud=cloud
        )

        adapted = copy(self)
        others = [c for c, name in enumerate(self.centres_) if name != centre]
        adapted.centres_ = [*(self.centres_[c] for c in others), centre]
        adapted.local_ = [*(name for name in self.local_ if name != centre), centre]
        adapted.patients_ = [*(self.patients_[c] for c in others), len(rows.patients)]
        adapted._store([*(self._estimate(c) for c in others), estimate])
        adapted.fitted_patients_ = self.fitted_patients_ | rows.patients
        return adapted

    def _shrinkage(self) -> Shrinkage:
        return Shrinkage(self.parametric, self.eb, self.mean_only, self.tolerance)
