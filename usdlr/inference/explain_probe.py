"""One axilla before a stage's networks: its images are read once, then its table and its blocks can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError
from usdlr.data.batch import Batch, collate
from usdlr.data.dataset import AxillaDataset, Axillae, Vary
from usdlr.data.samples import Sample, SampleStore
from usdlr.inference.reading import Reading
from usdlr.inference.signature import by_axilla
from usdlr.inference.stage import StageModel, axilla_data, input_form
from usdlr.models.network import FusionNetwork, Output

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """One network and one view of the axilla.

    Parameters
    ----------
    network : FusionNetwork
        In evaluation mode.
    crop : int
        Which of the store's crops it reads.
    view : int
        Position among the views.
    batch : Batch
        The axilla alone.
    encoded : Tensor, (images, blocks, embedding_dim)
        Of every image and block.
    """

    network: FusionNetwork
    crop: int
    view: int
    batch: Batch
    encoded: Tensor


class Probe:
    """A stage's answer for one axilla, as a function of what is changed in it.

    Parameters
    ----------
    model : StageModel
        The stage.
    cases : DataFrame
        Rows of ``cases`` of this axilla alone.
    store : SampleStore
        Crops, of these images at least.
    design : DataFrame
        Design table with a row for each of them.
    views : sequence of callable or None
        As :meth:`usdlr.inference.stage.StageModel.predict_axillae` takes them.

    Raises
    ------
    DataError
        If the rows belong to no axilla or to several.
    """

    def __init__(
        self,
        model: StageModel,
        cases: pd.DataFrame,
        store: SampleStore,
        design: pd.DataFrame,
        *,
        views: Sequence[Vary | None] = (None,),
    ) -> None:
        found = len(cases[AXILLA_KEY].drop_duplicates())
        if found != 1:
            raise DataError(f"found image sets of {found} axillae, expected one axilla to explain; give its rows alone")
        self.model = model
        self.cases = cases.reset_index(drop=True)
        self.store = store.select(self.cases["image_id"])
        self.design = design.loc[list(self.cases["image_id"])]
        self.settings = model.networks[0].settings
        self.blocks = model.networks[0].blocks
        scores = model.scores.score(self.design, model.networks[0].head.width)
        runs = []
        for place, network in enumerate(model.networks):
            crop = model.crop_of(place)
            data = axilla_data(
                Axillae.of(self.cases), self.store.crop(crop), self.design, model.selector, scores, network.settings
            )
            for view, vary in enumerate(views):
                batch = collate([AxillaDataset(data, input_form(network.settings), vary)[0]])
                with torch.inference_mode():
                    encoded = network.encode(batch["images"], batch["table"], batch["present"])
                runs.append(Run(network, crop, view, batch, encoded))
        self.runs = tuple(runs)
        self.views = len(views)

    def sample(self, image: int, crop: int = 0) -> Sample:
        """The crop of one of the axilla's images."""
        return self.store.crops[crop][image]

    @property
    def first(self) -> tuple[Run, ...]:
        """The runs on the sample as it is, one per network."""
        return tuple(run for run in self.runs if run.view == 0)

    def axilla_design(self) -> pd.DataFrame:
        """The design table with one row for the axilla, the mean of its images."""
        return by_axilla(self.design, Axillae.of(self.cases))

    def outputs(self) -> list[Output]:
        """What every run gives for the axilla as it is."""
        with torch.inference_mode():
            return [
                run.network.fuse(run.encoded, run.batch["scores"], run.batch["present"], run.batch["place"])
                for run in self.runs
            ]

    def logits(self, designs: Sequence[pd.DataFrame], *, hidden: Sequence[str] = ()) -> Values:
        """Raw log-odds, (designs,), if the axilla's images came with other tables.

        Parameters
        ----------
        designs : sequence of DataFrame
            Each like the axilla's own rows of the design table.
        hidden : sequence of str
            Blocks that are treated as absent.
        """
        tables = self._tables(designs)
        outputs = [self._with_tables(run, *tables[run.crop], hidden) for run in self.runs]
        return self._answers(outputs, designs, hidden)

    def _tables(self, designs: Sequence[pd.DataFrame]) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        """Standardised columns, scores and presence of table blocks of every image under every design, by crop."""
        names = [f"{place}:{name}" for place in range(len(designs)) for name in self.store.image_id]
        joined = pd.concat([one.loc[list(self.store.image_id)] for one in designs]).set_axis(names, axis=0)
        cases = pd.concat(
            [self.cases.assign(patient_id=str(place)) for place in range(len(designs))], ignore_index=True
        ).assign(image_id=names)
        scores = self.model.scores.score(joined, self.model.networks[0].head.width)
        out = {}
        for crop in {run.crop for run in self.runs}:
            store = SampleStore(tuple(names), self.store.crops[crop] * len(designs))
            data = axilla_data(Axillae.of(cases), store, joined, self.model.selector, scores, self.settings)
            found = (data.table, data.scores, data.table_present)
            table, score, present = (torch.from_numpy(np.ascontiguousarray(one)) for one in found)
            out[crop] = (table, score, present)
        return out

    def _with_tables(
        self, run: Run, table: Tensor, scores: Tensor, table_present: Tensor, hidden: Sequence[str]
    ) -> Output:
        count, images = len(table) // len(self.store), len(self.settings.image_blocks)
        keep = torch.tensor([block not in set(hidden) for block in self.blocks])
        present = torch.cat([run.batch["present"][:, :images].repeat(count, 1), table_present], dim=1)
        of_table = present.clone()
        of_table[:, :images] = False
        with torch.inference_mode():
            encoded = run.network.encode({}, table, of_table)
            encoded[:, :images] = run.encoded[:, :images].repeat(count, 1, 1)
            place = torch.arange(len(table)).reshape(count, -1)
            return run.network.fuse(encoded, scores, present & keep, place)

    def _answers(self, outputs: Sequence[Output], designs: Sequence[pd.DataFrame], hidden: Sequence[str]) -> Values:
        model = self.model
        if model.readout is None:
            said = [
                run.network.head.stage_logits(output.logits)[:, model.target].double().numpy()
                for run, output in zip(self.runs, outputs, strict=True)
            ]
            return np.asarray(np.mean(said, axis=0))
        cases = pd.concat([self.cases.assign(patient_id=str(k)) for k in range(len(designs))], ignore_index=True)
        table = by_axilla(pd.concat(list(designs)), Axillae.of(cases))
        parts = []
        for view in range(self.views):
            of = [
                reading_of(output, run.network, model.target)
                for run, output in zip(self.runs, outputs, strict=True)
                if run.view == view
            ]
            shares = model.readout.shares(of, self.settings, self.blocks, table, hidden=hidden)
            parts.append(np.mean([np.nansum(one, axis=1) for one in shares], axis=0))
        return np.asarray(np.mean(parts, axis=0))

    def replaced(self, run: Run, image: int, block: str, pixels: Tensor) -> Output:
        """What a run gives if one image's block showed other pixels: an axilla for each of them.

        Parameters
        ----------
        run : Run
            One of :attr:`runs`.
        image : int
            Position among the axilla's images.
        block : str
            Image block that the image has.
        pixels : Tensor, (variants, channels, size, size)
            What the branch receives instead.
        """
        place = self.blocks.index(block)
        with torch.inference_mode():
            changed = run.network.encoders(block, pixels)
            encoded = run.encoded.repeat(len(pixels), 1, 1)
            encoded[image :: len(self.store), place] = changed.to(encoded.dtype)
            scores, present = run.batch["scores"].repeat(len(pixels), 1, 1), run.batch["present"].repeat(len(pixels), 1)
            axillae = torch.arange(len(encoded)).reshape(len(pixels), -1)
            return run.network.fuse(encoded, scores, present, axillae)


def reading_of(output: Output, network: FusionNetwork, target: int) -> Reading:
    """What a readout reads of a network's output; no shares among it."""
    embeddings = torch.where(output.present[..., None], output.embeddings, float("nan"))
    alone = network.head.stage_logits(output.block_logits)[..., target]
    alone = torch.where(output.present, alone, float("nan"))
    return Reading(np.zeros((len(embeddings), 0)), embeddings.numpy(), alone.double().numpy())


def tiled(output: Output, count: int) -> Output:
    """An output of one axilla as if there were so many of it."""
    return Output(*(None if one is None else one.expand(count, *one.shape[1:]) for one in output))  # type: ignore[arg-type]  # weights alone may be missing
