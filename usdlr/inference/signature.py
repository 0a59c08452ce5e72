"""The signature readout: a LASSO over what the networks read and all radiomics, then a logistic nomogram.

A deep-learning radiomics signature is usually fitted on embeddings of the very patients that taught the network. To
those patients the network is far surer than to any other; a LASSO on such rows trusts the images alone, and fails on
the next patient. The embeddings are therefore **cross-fitted**. The training patients are divided into folds; one
network per fold learns from the other folds. Of each training axilla the LASSO sees the embedding by the network that
did not learn from its patient; all other networks' embeddings are null in its row.

Networks that were fitted apart have no axis in common, so that their embeddings cannot share a column and are not
aligned either: each network has columns of its own, which are known on its own fold alone. A null counts as the
training median, that is, as no evidence. Beside them, every image block has one column that all networks share: the
log-odds that a network gives by this block alone, counted from their mean over the network's own fold. Log-odds have
the same meaning in every network, so that this column learns from all training rows; the LASSO chooses between the two,
and among all radiomics. A new axilla gets one row per fold, of the form that the LASSO knows, and the mean of their
logits.

Only the networks are kept from their fold's patients. The feature selector and the ridge scores of the radiomics
blocks, which read no image, are the stage's own and are fitted on all training rows; the signature reads neither.

References
----------
Breiman, Stacked regressions, Machine Learning 24 (1996), doi:10.1007/BF00117832 (fit on held-out predictions);
Chernozhukov et al., Double/debiased machine learning, Econometrics Journal 21 (2018), doi:10.1111/ectj.12097
(cross-fitting); Zou et al., npj Breast Cancer 10 (2024) 22, and Zheng et al., Nat. Commun. 11 (2020) 1236 (signatures).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.baselines.nomogram import Nomogram
from usdlr.baselines.signature import SCORE, Signature, SignatureNomogram
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.named_parts import Part, build_part
from usdlr.core.types import Split
from usdlr.data.dataset import Axillae
from usdlr.inference.reading import EMBEDDING, Reading, embedding_frame
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.design import with_columns

LOGIT = "logit."
FEWEST = 3  # patients of a class: fewer cannot be divided to choose a penalty

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NetworkReadout:
    """The stage's logit is the networks' own."""


@dataclass(frozen=True, kw_only=True)
class SignatureSettings:
    """How a signature is fitted.

    Parameters
    ----------
    folds : int
        Parts of the training patients; for each of them one network (times ``fit.members``, of every variant) learns
        from all others.
    l1_ratio : float
        1 is the LASSO; less mixes in a ridge, which keeps correlated columns together.
    """

    folds: int = 2
    l1_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"found readout.signature.folds = {self.folds}, expected at least 2")
        if not 0.01 <= self.l1_ratio <= 1:
            raise ConfigError(f"found readout.signature.l1_ratio = {self.l1_ratio}, expected a share from 0.01 to 1")


READOUTS: Final[dict[str, Callable[..., NetworkReadout | SignatureSettings]]] = {
    "network": NetworkReadout,
    "signature": SignatureSettings,
}


def signature_settings(part: Part) -> SignatureSettings | None:
    """The settings of a signature readout; ``None`` where the networks' own logit is read.

    Raises
    ------
    ConfigError
        If the name or an option is unknown or impossible.

    Examples
    --------
    >>> signature_settings({"signature": {"folds": 3}})
    SignatureSettings(folds=3, l1_ratio=1.0)
    >>> signature_settings("network") is None
    True
    """
    built: NetworkReadout | SignatureSettings = build_part(part, "readout", READOUTS)
    return built if isinstance(built, SignatureSettings) else None


def cross_fitting_folds(patients: Sequence[str], classes: Sequence[int], folds: int, seed: int) -> npt.NDArray[np.intp]:
    """Which fold every row belongs to, patients whole and classes in proportion, (rows,).

    Parameters
    ----------
    patients : sequence of str, (rows,)
        Whose rows they are.
    classes : sequence of int, (rows,)
        A patient of several rows counts as the largest.
    folds : int
        Number of folds.
    seed : int
        Of the order in which the patients of a class are dealt out.
    """
    of_patient: dict[str, int] = {}
    for patient, kind in zip(patients, classes, strict=True):
        of_patient[patient] = max(kind, of_patient.get(patient, kind))
    names = sorted(of_patient)
    drawn = np.random.default_rng(seed).permutation(len(names))
    order = sorted(range(len(names)), key=lambda place: (of_patient[names[place]], int(drawn[place])))
    fold = {names[place]: position % folds for position, place in enumerate(order)}
    return np.array([fold[patient] for patient in patients], dtype=np.intp)


def by_axilla(design: pd.DataFrame, axillae: Axillae) -> pd.DataFrame:
    """The design table with one row per axilla: the mean of what its images have, null where none has anything.

    Parameters
    ----------
    design : DataFrame, (images, columns)
        In the order of the cases.
    axillae : Axillae
        Of these cases.
    """
    owner = np.empty(len(design), dtype=np.intp)
    for place, images in enumerate(axillae.images):
        owner[images] = place
    known = design.reset_index(drop=True).astype("float64").replace([np.inf, -np.inf], np.nan)
    return known.groupby(owner, sort=True).mean()


@dataclass(frozen=True, eq=False)
class SignatureReadout:
    """A fitted signature and its nomogram: a linear logit over embeddings, block logits, radiomics and clinical values.

    Parameters
    ----------
    signature : Signature or None
        The score; ``None`` where there was nothing to read.
    nomogram : Nomogram
        Of the score, unless it knows nothing, and the clinical variables.
    median : mapping of str to float
        What replaces a missing clinical value.
    centres : mapping of str to sequence of float
        By image block, for every fold, the mean of its networks' block logits over the fold's own axillae.
    record : mapping
        What :meth:`usdlr.baselines.signature.SignatureNomogram.to_dict` says, the path of penalties among it.
    """

    signature: Signature | None
    nomogram: Nomogram
    median: Mapping[str, float]
    centres: Mapping[str, Sequence[float]]
    record: Mapping[str, Any]

    @classmethod
    def fit(
        cls,
        readings: Sequence[Reading],
        settings: NetworkSettings,
        blocks: Sequence[str],
        design: pd.DataFrame,
        labels: npt.ArrayLike,
        fold: npt.NDArray[np.intp],
        *,
        rows: Rows,
        chosen: SignatureSettings,
        seed: int,
        outcome: str,
    ) -> Self:
        """Fit on training axillae.

        Parameters
        ----------
        readings : sequence of Reading
            One per network, all networks of fold 0 first.
        settings : NetworkSettings
            The networks'.
        blocks : sequence of str
            Their blocks.
        design : DataFrame, (axillae, columns)
            From :func:`by_axilla`.
        labels : array, (axillae,)
            1 positive, 0 negative.
        fold : int array, (axillae,)
            The networks of this fold did not learn from the axilla's patient.
        rows : Rows
            Whose axillae they are.
        chosen : SignatureSettings
            How to fit.
        seed : int
            Of the division that chooses the penalty.
        outcome : str
            Words for the nomogram's probability.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        DataError
            If a class has fewer than three patients, or nothing varies.
        """
        require_split(rows, [Split.TRAIN], "signature readout")
        known = np.asarray(labels, dtype=np.float64)
        patients = np.asarray(rows.patient_id)
        fewest = min(len(set(patients[known == value])) for value in (0.0, 1.0))
        if fewest < FEWEST:
            raise DataError(
                f"found {fewest} training patients in the rarer class of the signature readout, expected at least "
                f"{FEWEST} to choose its penalty; use more patients, fewer folds or readout: network"
            )
        found = _block_logits(readings, settings, blocks, fold, chosen.folds)
        centres = {
            block: [_mean(found[block][fold == one]) for one in range(chosen.folds)] for block in settings.image_blocks
        }
        table = _table(readings, settings, blocks, design, fold, centres)
        model = SignatureNomogram(seed, chosen.l1_ratio, outcome).fit(table, known, rows=rows)
        return cls.from_dict({**model.to_dict(), "centres": centres})

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(next(iter(self.centres.values())))

    def blocks(self, settings: NetworkSettings, columns: Sequence[str]) -> tuple[str, ...]:
        """The blocks that share a logit: the image blocks, then those of all columns of the design."""
        return (*settings.image_blocks, *settings.table_blocks(columns))

    def shares(
        self,
        readings: Sequence[Reading],
        settings: NetworkSettings,
        blocks: Sequence[str],
        design: pd.DataFrame,
        *,
        hidden: Sequence[str] = (),
    ) -> list[Values]:
        """Shares of every block in the logit, one table per fold; the readout's logit is the mean of their sums.

        The logit is linear: the share of a block is what its columns add to the logit of an axilla that has the
        training median in all of them. That logit is the base.

        Parameters
        ----------
        readings, settings, blocks, design
            As for :meth:`fit`, of any axillae.
        hidden : sequence of str
            Blocks that are treated as absent; image blocks are so in the readings already.

        Returns
        -------
        list of float64 array, (axillae, blocks + 1)
            In the order of :meth:`blocks`, not-a-number where absent; the base comes last.
        """
        tables = settings.table_blocks([str(name) for name in design.columns])
        design = design.copy()
        for block, places in tables.items():
            if block in hidden:
                design.iloc[:, list(places)] = np.nan
        finite = np.isfinite(design.to_numpy(np.float64))
        there = {
            # A block may be there in one variant's crop and not in another's.
            block: np.any([np.isfinite(one.embeddings[:, list(blocks).index(block), 0]) for one in readings], axis=0)
            for block in settings.image_blocks
        }
        there |= {block: finite[:, list(places)].any(axis=1) for block, places in tables.items()}
        last = list(tables)[-1]
        if last not in hidden:
            there[last] = np.ones(len(design), dtype=bool)
        owner = {str(design.columns[place]): block for block, places in tables.items() for place in places}
        out = []
        for base, columns in self.by_column(readings, settings, blocks, design):
            parts = {block: np.zeros(len(design)) for block in there}
            for name, values in columns.items():
                parts[owner.get(name) or _image_block(name)] += values
            absent = [np.where(there[block], part, np.nan) for block, part in parts.items()]
            out.append(np.stack([*absent, np.full(len(design), base)], axis=1))
        return out

    def by_column(
        self, readings: Sequence[Reading], settings: NetworkSettings, blocks: Sequence[str], design: pd.DataFrame
    ) -> list[tuple[float, dict[str, Values]]]:
        """By fold, the logit at the training medians and what every column adds to it, (axillae,)."""
        folds = (np.full(len(design), one, dtype=np.intp) for one in range(self.folds))
        return [self._columns(_table(readings, settings, blocks, design, fold, self.centres)) for fold in folds]

    def _columns(self, table: pd.DataFrame) -> tuple[float, dict[str, Values]]:
        """The logit at the training medians, and what every column of a table adds to it."""
        slopes = {variable.name: variable.coefficient for variable in self.nomogram.variables}
        base, columns = self.nomogram.intercept, {}
        if self.signature is not None and (slope := slopes.pop(SCORE, 0.0)):
            names = list(self.signature.columns)
            table = with_columns(table, [*names, *slopes], "the signature")
            at_median = self.signature.scaling.transform(pd.DataFrame(np.nan, index=[0], columns=names))
            moved = self.signature.scaling.transform(table) - at_median
            weights = slope * self.signature.coefficients
            base += slope * self.signature.intercept + float(weights @ at_median[0])
            columns = {name: moved[:, place] * weights[place] for place, name in enumerate(names)}
        for name, slope in slopes.items():
            base += slope * self.median[name]
            columns[name] = slope * (table[name].fillna(self.median[name]).to_numpy(np.float64) - self.median[name])
        return base, columns

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as JSON types, without patients."""
        return {**self.record, "centres": {block: list(values) for block, values in self.centres.items()}}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        DataError, KeyError, TypeError, ValueError
            If it is damaged.
        """
        return cls(
            None if state["signature"] is None else Signature.from_dict(state["signature"]),
            Nomogram.from_dict(state["nomogram"]),
            {str(name): float(value) for name, value in state["median"].items()},
            {str(block): tuple(map(float, values)) for block, values in state["centres"].items()},
            {name: value for name, value in state.items() if name != "centres"},
        )


def _table(
    readings: Sequence[Reading],
    settings: NetworkSettings,
    blocks: Sequence[str],
    design: pd.DataFrame,
    fold: npt.NDArray[np.intp],
    centres: Mapping[str, Sequence[float]],
) -> pd.DataFrame:
    """What the signature reads of every axilla, as the networks of its fold see it, (axillae, columns)."""
    folds = len(next(iter(centres.values())))
    dims = [reading.embeddings.shape[2] for reading in readings]  # variants may differ
    places = [list(blocks).index(block) for block in settings.image_blocks]
    images = [Reading(one.shares, one.embeddings[:, places], one.block_logits) for one in readings]
    embeddings = embedding_frame(images, settings.image_blocks)
    of_network = np.tile(np.repeat(np.arange(len(readings)), dims), len(places))
    members = len(readings) // folds
    embeddings = embeddings.where(of_network[None, :] // members == fold[:, None])
    found = _block_logits(readings, settings, blocks, fold, folds)
    logits = {LOGIT + block: values - np.asarray(centres[block])[fold] for block, values in found.items()}
    return pd.concat([embeddings, pd.DataFrame(logits), design.reset_index(drop=True)], axis=1)


def _block_logits(
    readings: Sequence[Reading],
    settings: NetworkSettings,
    blocks: Sequence[str],
    fold: npt.NDArray[np.intp],
    folds: int,
) -> dict[str, Values]:
    """By image block, the mean logit of the networks of every axilla's fold that see the block, (axillae,)."""
    members = len(readings) // folds
    rows = np.arange(len(fold))
    stacked = np.stack([reading.block_logits for reading in readings])
    stacked = stacked.reshape(folds, members, *stacked.shape[1:])
    seen = np.isfinite(stacked).sum(axis=1)
    of_fold = np.where(seen > 0, np.nan_to_num(stacked).sum(axis=1) / np.maximum(seen, 1), np.nan)
    return {block: of_fold[fold, rows, list(blocks).index(block)] for block in settings.image_blocks}


def _mean(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0


def _image_block(column: str) -> str:
    """The image block of a column that a network made."""
    if column.startswith(LOGIT):
        return column.removeprefix(LOGIT)
    return column.removeprefix(EMBEDDING).rpartition(".")[0]
