"""What became of each centre's rows in harmonisation, and why something was left as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError


class Unseen(StrEnum):
    """What to do with a centre that harmonisation was not fitted on."""

    REFUSE = "refuse"
    NONE = "none"
    LOCAL = "local"


class LocalPrior(StrEnum):
    """What the estimates of a local sample are shrunk towards."""

    SAMPLE = "sample"
    TRAINING = "training"


class Policy(StrEnum):
    """What was done with a row; the word for a table column."""

    FITTED = "fitted"
    REFERENCE = "reference"
    LOCAL = "local"
    NONE = "none"


class Reason(StrEnum):
    """Why a feature of a centre is passed through unchanged."""

    TOO_FEW = "too_few"
    CONSTANT = "constant"
    ONE_CENTRE = "one_centre"
    NO_REFERENCE = "no_reference"
    CONFOUNDED = "confounded"
    NO_VARIANCE = "no_variance"
    NO_PRIOR = "no_prior"
    NOT_TRAINED = "not_trained"


SENTENCES: dict[Reason, str] = {
    Reason.TOO_FEW: "too few patients of the centre have a value",
    Reason.CONSTANT: "all values of the centre are the same",
    Reason.ONE_CENTRE: "fewer than two centres can be compared on it",
    Reason.NO_REFERENCE: "the reference centre cannot be estimated on it",
    Reason.CONFOUNDED: "on the rows that have it, a covariate cannot be told from the centre",
    Reason.NO_VARIANCE: "nothing varies once centre and covariates are taken out",
    Reason.NO_PRIOR: "the centre has no second feature to share a prior with",
    Reason.NOT_TRAINED: "no training centre was harmonised on it",
}


@dataclass(frozen=True)
class PassedThrough:
    """A feature that one centre's rows keep as measured.

    Parameters
    ----------
    centre, feature : str
        Which.
    reason : Reason
        Why; :data:`SENTENCES` has the words.
    """

    centre: str
    feature: str
    reason: Reason

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return f"{self.feature} of centre {self.centre} is left as measured: {SENTENCES[self.reason]}"


@dataclass(frozen=True)
class HarmonisationNote:
    """Something a reader of the results has to be told.

    Parameters
    ----------
    centre : str
        Name of the centre.
    rows : int
        How many rows it concerns.
    policy : Policy
        What was done with them.
    sentence : str
        What was found and what it means.
    """

    centre: str
    rows: int
    policy: Policy
    sentence: str


class UnharmonisedWarning(UserWarning):
    """Rows left :class:`~usdlr.radiomics.harmonise.transformer.ComBat` as they were measured."""


@dataclass(frozen=True)
class CentreTable:
    """What is done with the rows of every known centre, and with those of any other.

    Parameters
    ----------
    known : mapping of str to Policy
        Fitted and adapted centres.
    unseen : Unseen
        What to do with another one.
    """

    known: Mapping[str, Policy]
    unseen: Unseen

    def policies(self, labels: npt.NDArray[np.object_]) -> list[Policy]:
        """What is done with each row.

        Raises
        ------
        DataError
            If a centre is unknown and ``unseen`` does not let it through.
        """
        strange = sorted({str(name) for name in labels} - set(self.known))
        if strange and self.unseen is not Unseen.NONE:
            rows = int(np.isin(labels, strange).sum())
            mend = (
                "call adapt with an unlabelled sample of each"
                if self.unseen is Unseen.LOCAL
                else "state unseen = 'local' and give an unlabelled sample of each, or unseen = 'none' to leave their "
                "values as measured"
            )
            raise DataError(
                f"found {len(strange)} centres that harmonisation was not fitted on ({', '.join(strange)}; {rows} "
                f"rows), expected some of {', '.join(self.known)}; {mend}"
            )
        return [self.known.get(str(name), Policy.NONE) for name in labels]

    def notes(self, labels: npt.NDArray[np.object_]) -> tuple[HarmonisationNote, ...]:
        """One note per centre whose rows are not harmonised, by name; raises as :meth:`policies`."""
        policies = self.policies(labels)
        centres = sorted({str(name) for name, policy in zip(labels, policies, strict=True) if policy is Policy.NONE})
        return tuple(self._note(name, int((labels == name).sum())) for name in centres)

    def _note(self, name: str, rows: int) -> HarmonisationNote:
        why = (
            "none of its features could be estimated"
            if name in self.known
            else f"harmonisation was fitted on {', '.join(self.known)}"
        )
        sentence = f"{rows} rows of centre {name} are not harmonised ({why}); their values are as measured"
        return HarmonisationNote(name, rows, Policy.NONE, sentence)
