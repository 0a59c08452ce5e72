"""One fitted stage: feature selector, ridge scores and networks, and what they make of an axilla."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from usdlr.core.columns import AXILLA_KEY, CONTRIBUTION_PREFIX
from usdlr.core.errors import DataError
from usdlr.core.types import Site
from usdlr.data.batch import InputForm, collate
from usdlr.data.dataset import AxillaData, AxillaDataset, Axillae, Vary, table_present
from usdlr.data.samples import SampleStore
from usdlr.inference.reader import Reader, TorchReader, joined
from usdlr.inference.reading import Reading, embedding_frame
from usdlr.inference.scores import BlockScores
from usdlr.inference.signature import SignatureReadout, by_axilla
from usdlr.inference.sites import shows_tumour
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.radiomics.selection.selector import FeatureSelector

BASE = f"{CONTRIBUTION_PREFIX}base"


def prepare_torch(threads: int) -> None:
    """Fix what decides the last digit of a prediction: the number of threads and the choice of algorithms."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def input_form(settings: NetworkSettings) -> InputForm:
    """Which channels the network's image branches receive."""
    return InputForm(settings.image_blocks, settings.stem, tuple(settings.channels))


def axilla_data(
    axillae: Axillae,
    store: SampleStore,
    design: pd.DataFrame,
    selector: FeatureSelector,
    scores: npt.NDArray[np.float32],
    settings: NetworkSettings,
    *,
    label: npt.NDArray[np.floating[Any]] | None = None,
    auxiliary: npt.NDArray[np.floating[Any]] | None = None,
    chosen: npt.NDArray[np.intp] | None = None,
) -> AxillaData:
    """What a dataset of axillae holds.

    Parameters
    ----------
    axillae : Axillae
        Which rows belong together.
    store : SampleStore
        Crops, in the order of the cases.
    design : DataFrame
        Design table, indexed by image id, with a row for every sample.
    selector : FeatureSelector
        Fitted.
    scores : float32 array, (images, scored blocks, width)
        Scores of the samples' radiomics and clinical blocks.
    settings : NetworkSettings
        The network's.
    label, auxiliary : float array, (axillae, targets), optional
        Not-a-number where unknown; by default all of one target.
    chosen : int array, optional
        Axillae that the dataset is about; by default all.
    """
    rows = design.loc[list(store.image_id)]
    columns = network_columns(selector)
    chosen = np.arange(len(axillae)) if chosen is None else chosen
    unknown = np.full((len(axillae), 1), np.nan)
    return AxillaData(
        store,
        selector.transform(rows),
        scores,
        # The selector's own indicator of a present modality is no column of the design; a lymph node has no row in it.
        table_present(rows.reindex(columns=columns).to_numpy(np.float64), settings.table_blocks(columns))
        & shows_tumour(store)[:, None],
        tuple(axillae.images[place] for place in chosen),
        (unknown if label is None else label)[chosen],
        np.zeros((len(chosen), 0)) if auxiliary is None else auxiliary[chosen],
    )


def network_columns(selector: FeatureSelector) -> list[str]:
    """Names of the columns a network reads."""
    return [str(name) for name in selector.get_feature_names_out()]


def scored_blocks(scores: BlockScores, settings: NetworkSettings) -> tuple[str, ...]:
    """The scores that a network reads, out of its stage's: all of them or none."""
    return scores.blocks if settings.score else ()


@dataclass(frozen=True)
class StageModel:
    """Fitted networks with their selector.

    Parameters
    ----------
    networks : tuple of FusionNetwork
        In evaluation mode; they differ in their seed, in the variant that they belong to, and below a readout in the
        fold that they did not learn from. All have the same blocks.
    selector : FeatureSelector
        Fitted.
    scores : BlockScores
        Fitted; no block where the networks read no score.
    target : int
        Which of the head's targets answers this stage.
    model_id : str
        First 12 digits of the hash of the stage's files.
    readout : SignatureReadout or None
        What makes the stage's logit of what the networks read; ``None``: the mean of their own logits.
    crops : tuple of int
        Which of a store's crops each network reads; empty: all of them the first.
    readers : tuple of Reader
        What runs each network where it is only to be read; empty: torch.
    """

    networks: tuple[FusionNetwork, ...]
    selector: FeatureSelector
    scores: BlockScores
    target: int
    model_id: str
    readout: SignatureReadout | None = None
    crops: tuple[int, ...] = ()
    readers: tuple[Reader, ...] = ()

    def __post_init__(self) -> None:
        if len({network.blocks for network in self.networks}) > 1 or len(self.crops) not in (0, len(self.networks)):
            raise ValueError(f"{len(self.crops)} crops of {len(self.networks)} networks, or networks of unlike blocks")

    def crop_of(self, network: int) -> int:
        """Which of a store's crops a network reads; see :meth:`usdlr.data.samples.SampleStore.crop`."""
        return self.crops[network] if self.crops else 0

    def predict_axillae(
        self,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        batch_size: int,
        *,
        views: Sequence[Vary | None] = (None,),
        hidden: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Predict every axilla from all of its images.

        Parameters
        ----------
        cases : DataFrame
            The ``cases`` table.
        store : SampleStore
            Crops of these cases, all that the networks read.
        design : DataFrame
            Design table, indexed by image id, with a row for every case.
        batch_size : int
            Axillae per forward pass; the same size over the same axillae gives the same bits.
        views : sequence of callable or None
            Variations of every sample over which a prediction is averaged; ``None`` is the sample as it is.
        hidden : sequence of str
            Blocks that are treated as absent.

        Returns
        -------
        DataFrame
            ``patient_id side``, ``logit`` before calibration, ``contribution.{block}`` (null: block absent) and
            ``contribution.base``, which add up to the logit, and ``spread``, the logit's standard deviation over
            networks and views. Contributions are exact Shapley values of the blocks; a readout's logit is linear,
            and theirs are its terms.
        """
        return self.answer(cases, store, design, batch_size, views=views, hidden=hidden)[0]

    def answer(
        self,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        batch_size: int,
        *,
        views: Sequence[Vary | None] = (None,),
        hidden: Sequence[str] = (),
    ) -> tuple[pd.DataFrame, list[Reading]]:
        """What :meth:`predict_axillae` gives, and what every network read of the first view, in one pass."""
        axillae = Axillae.of(cases)
        runs = self._read(axillae, cases, store, design, batch_size, views=views, hidden=hidden)
        return self._answer(runs, axillae, cases, design, views, hidden), runs[:: len(views)]

    def _answer(
        self,
        runs: Sequence[Reading],
        axillae: Axillae,
        cases: pd.DataFrame,
        design: pd.DataFrame,
        views: Sequence[Vary | None],
        hidden: Sequence[str],
    ) -> pd.DataFrame:
        blocks: Sequence[str] = self.networks[0].blocks
        if self.readout is None:
            every = np.stack([run.shares for run in runs])
        else:
            settings, table = self.networks[0].settings, by_axilla(design.loc[list(cases["image_id"])], axillae)
            of_views = [runs[place :: len(views)] for place in range(len(views))]
            parts = [self.readout.shares(of, settings, blocks, table, hidden=hidden) for of in of_views]
            every = np.stack([share for part in parts for share in part])
            blocks = self.readout.blocks(settings, [str(name) for name in table.columns])
        # A block that only some views show counts as 0 in the others: the shares still add up to the mean logit.
        shares = np.where(np.isnan(every).all(axis=0), np.nan, np.nan_to_num(every).mean(axis=0))
        out = pd.concat(
            [axillae.keys, pd.DataFrame(shares, columns=[*(CONTRIBUTION_PREFIX + block for block in blocks), BASE])],
            axis=1,
        )
        # Added up in double precision, so that the shares sum to the logit exactly as written.
        out.insert(2, "logit", np.nansum(shares, axis=1))
        out.insert(3, "spread", np.nansum(every, axis=2).std(axis=0, ddof=1 if len(every) > 1 else 0))
        return out

    def embed(
        self, cases: pd.DataFrame, store: SampleStore, design: pd.DataFrame, batch_size: int, *, by: str = "axilla"
    ) -> pd.DataFrame:
        """The blocks' embeddings as a feature table.

        Parameters
        ----------
        cases, store, design, batch_size
            As for :meth:`predict_axillae`.
        by : str
            ``axilla``: pooled over an axilla's images, what the fusion reads; ``image``: of every image alone.

        Returns
        -------
        DataFrame
            ``patient_id side``, by image ``image_id`` too, then ``embedding.{block}.{place}`` of every network, null
            where the block is absent; see :func:`usdlr.inference.reading.embedding_frame`.
        """
        axillae = Axillae.of(cases)
        if by == "image":
            alone = tuple(np.array([place], dtype=np.intp) for place in range(len(cases)))
            axillae = Axillae(cases[[*AXILLA_KEY, "image_id"]].reset_index(drop=True), alone)
        readings = self._read(axillae, cases, store, design, batch_size)
        return pd.concat([axillae.keys, embedding_frame(readings, self.networks[0].blocks)], axis=1)

    def read(self, cases: pd.DataFrame, store: SampleStore, design: pd.DataFrame, batch_size: int) -> list[Reading]:
        """What every network reads of every axilla: what a readout is fitted on."""
        return self._read(Axillae.of(cases), cases, store, design, batch_size)

    def predict_without(
        self,
        modality: str,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        batch_size: int,
        *,
        views: Sequence[Vary | None] = (None,),
    ) -> pd.DataFrame:
        """Raw log-odds as if nobody had a modality: neither its images nor its features.

        Parameters
        ----------
        modality : str
            Which one.
        cases, store, design, batch_size, views
            As :meth:`predict_axillae` takes them.

        Returns
        -------
        DataFrame
            ``patient_id side logit`` of the axillae whose tumour was imaged so, for comparison with
            :meth:`predict_axillae`.
        """
        samples = store.select(cases["image_id"]).samples
        has = np.array([modality in sample.images and sample.site is Site.TUMOUR for sample in samples])
        named = cases[AXILLA_KEY].assign(has=has).groupby(AXILLA_KEY, sort=False)["has"].transform("any")
        rest = cases[named.to_numpy()].reset_index(drop=True)
        if rest.empty:
            return pd.DataFrame({"patient_id": [], "side": [], "logit": np.zeros(0)})
        stripped = design.loc[list(rest["image_id"])].copy()
        stripped.loc[:, [str(name).startswith(f"{modality}.") for name in stripped]] = np.nan
        left = store.select(rest["image_id"]).without(modality)
        return self.predict_axillae(rest, left, stripped, batch_size, views=views)[[*AXILLA_KEY, "logit"]]

    def predict_without_nodes(
        self,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        batch_size: int,
        *,
        views: Sequence[Vary | None] = (None,),
    ) -> pd.DataFrame:
        """Raw log-odds as if nobody had images of lymph nodes: those of axillae that have some.

        Parameters and result are those of :meth:`predict_without`.
        """
        node = pd.Series(~shows_tumour(store.select(cases["image_id"])), index=cases.index)
        with_nodes = node.groupby([cases[name] for name in AXILLA_KEY]).transform("any").astype(bool)
        rest = cases[with_nodes & ~node].reset_index(drop=True)
        if rest.empty:
            return pd.DataFrame({"patient_id": [], "side": [], "logit": np.zeros(0)})
        return self.predict_axillae(rest, store, design, batch_size, views=views)[[*AXILLA_KEY, "logit"]]

    def _read(
        self,
        axillae: Axillae,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        batch_size: int,
        *,
        views: Sequence[Vary | None] = (None,),
        hidden: Sequence[str] = (),
    ) -> list[Reading]:
        """What every network reads, the first network's views first."""
        settings, width = self.networks[0].settings, self.networks[0].head.width
        scores = self.scores.score(design.loc[list(cases["image_id"])], width)
        chosen, crops = store.select(cases["image_id"]), [self.crop_of(place) for place in range(len(self.networks))]
        if max(crops) >= len(chosen.crops):
            raise DataError(
                f"found {len(chosen.crops)} crops of every image, expected {max(crops) + 1}, one for each that the "
                "networks read; cut them as the networks' preparation says"
            )
        data = {
            place: axilla_data(axillae, chosen.crop(place), design, self.selector, scores, settings)
            for place in sorted(set(crops))
        }
        keep = torch.tensor([block not in set(hidden) for block in self.networks[0].blocks])
        readers = self.readers or tuple(TorchReader(network, self.target) for network in self.networks)
        return [
            self._run(reader, AxillaDataset(data[crop], input_form(network.settings), view), batch_size, keep)
            for network, reader, crop in zip(self.networks, readers, crops, strict=True)
            for view in views
        ]

    def _run(self, reader: Reader, dataset: AxillaDataset, batch_size: int, keep: Tensor) -> Reading:
        starts = range(0, len(dataset), batch_size)
        rows = [range(start, min(start + batch_size, len(dataset))) for start in starts]
        return joined([reader(collate([dataset[row] for row in part]), keep) for part in rows])
