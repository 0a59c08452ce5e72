"""The training axillae that the networks see most like a new one, only where a bundle's owner has opted in.

The folder holds embeddings and node status of training axillae: no ids, no images, no dates, in an order that tells
nothing. Embeddings are still single patients' numbers; that is why nothing is written unless the configuration asks for
it (``bundle.neighbours``), and never for fewer than :data:`FEWEST` axillae.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.decision.explanation import Neighbour
from usdlr.inference.reading import EMBEDDING

FOLDER = "neighbours"
FEWEST = 20
NEAREST = 5
_ARRAYS, _SUMMARY = "embeddings.safetensors", "summary.json"
# Nodes that nobody examined.
_UNKNOWN = -1


def write_neighbours(folder: Path, embeddings: pd.DataFrame, outcomes: pd.DataFrame) -> Path:
    """Write what the nearest training axillae are found by.

    Parameters
    ----------
    folder : Path
        Where to; the bundle takes it over as its further folder :data:`FOLDER`.
    embeddings : DataFrame, (axillae, ...)
        Of training axillae, with the columns ``embedding.{block}.{place}`` of
        :meth:`usdlr.inference.stage.StageModel.embed`; other columns are not read.
    outcomes : DataFrame, (axillae, ...)
        ``sln nsln`` in the same order: 1 positive, 0 negative, not-a-number unknown.

    Raises
    ------
    DataError
        If there are fewer than 20 axillae, or none of them has an embedding.
    """
    if len(embeddings) < FEWEST:
        raise DataError(
            f"found {len(embeddings)} training axillae, expected at least {FEWEST} before single ones are shown as "
            "neighbours; set bundle.neighbours = false"
        )
    columns = [str(name) for name in embeddings if str(name).startswith(EMBEDDING)]
    blocks = list(dict.fromkeys(_block(name) for name in columns))
    values = embeddings[columns].to_numpy(np.float64)
    if not np.isfinite(values).any():
        raise DataError("found no embedding of any training axilla, expected some; the networks read no block")
    # By the numbers themselves: the order of the patients must not be told.
    order = np.lexsort(np.nan_to_num(values, nan=np.inf).T[::-1])
    known = np.isfinite(values)
    mean = np.array([column[has].mean() if has.any() else 0.0 for column, has in zip(values.T, known.T, strict=True)])
    scale = np.array([column[has].std() if has.any() else 0.0 for column, has in zip(values.T, known.T, strict=True)])
    arrays = {
        "values": np.where(known, values, 0.0)[order].astype(np.float32),
        "known": known[order].astype(np.uint8),
        "mean": mean.astype(np.float64),
        "scale": np.where(scale > 0, scale, 1.0).astype(np.float64),
        **{name: _status(outcomes[name])[order] for name in ("sln", "nsln")},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _ARRAYS, lambda target: save_file(arrays, target))
    write_json(folder / _SUMMARY, {"axillae": len(values), "columns": columns, "blocks": blocks})
    return folder


class Neighbours:
    """Training axillae of a bundle.

    Parameters
    ----------
    folder : Path
        What :func:`write_neighbours` wrote.

    Raises
    ------
    BundleError
        If it is damaged, or holds too few axillae.
    """

    def __init__(self, folder: Path) -> None:
        try:
            summary: dict[str, Any] = read_json(folder / _SUMMARY)
            arrays = load_file(folder / _ARRAYS)
            self.columns = [str(name) for name in summary["columns"]]
            self.values = np.asarray(arrays["values"], dtype=np.float64)
            self.known = np.asarray(arrays["known"]) > 0
            self.mean, self.scale = (np.asarray(arrays[name], dtype=np.float64) for name in ("mean", "scale"))
            self.sln, self.nsln = (np.asarray(arrays[name], dtype=np.int64) for name in ("sln", "nsln"))
        except (OSError, SafetensorError, DataError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"found damaged neighbours in {folder.name} ({error}), expected arrays") from error
        rows, width = len(self.values), len(self.columns)
        fits = self.values.shape == self.known.shape == (rows, width) and self.mean.shape == self.scale.shape == (
            width,
        )
        sound = all(np.isfinite(one).all() for one in (self.values, self.mean, self.scale)) and (self.scale > 0).all()
        if not (fits and sound and self.sln.shape == self.nsln.shape == (rows,)):
            raise BundleError(f"found neighbours in {folder.name} that do not fit each other; copy the bundle again")
        if rows < FEWEST:
            raise BundleError(f"found {rows} neighbours in {folder.name}, expected at least {FEWEST}; export it again")

    def __len__(self) -> int:
        return len(self.values)

    def nearest(self, embedding: pd.Series, count: int = NEAREST) -> tuple[Neighbour, ...]:
        """The training axillae nearest to an axilla, the nearest first.

        The distance is the root mean square difference of standardised embeddings over the dimensions that both have:
        identical axillae are 0 apart, two independent ones some 1.4. An axilla that shares no block is none.

        Parameters
        ----------
        embedding : Series
            One row of :meth:`usdlr.inference.stage.StageModel.embed` by the same networks.
        count : int
            How many.

        Raises
        ------
        DataError
            If the embedding is not one of these networks.
        """
        missing = [name for name in self.columns if name not in embedding.index]
        if missing:
            raise DataError(f"found no {missing[0]} in the embedding, expected one by the bundle's own networks")
        own = embedding[self.columns].to_numpy(np.float64)
        shared = self.known & np.isfinite(own)
        apart = (self.values - np.where(np.isfinite(own), own, 0.0)) / self.scale
        squares = np.where(shared, apart**2, 0.0).sum(axis=1)
        many = shared.sum(axis=1)
        distance = np.sqrt(np.divide(squares, many, out=np.full(len(many), np.inf), where=many > 0))
        order = [int(place) for place in np.argsort(distance, kind="stable")[:count] if np.isfinite(distance[place])]
        return tuple(
            Neighbour(float(distance[place]), _known(self.sln[place]), _known(self.nsln[place])) for place in order
        )


def _status(values: pd.Series) -> npt.NDArray[np.int8]:
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), np.nan_to_num(numbers), _UNKNOWN).astype(np.int8)


def _known(status: int) -> bool | None:
    return None if status == _UNKNOWN else bool(status)


def _block(column: str) -> str:
    return column.removeprefix(EMBEDDING).rpartition(".")[0]
