"""Dataset and sampler: the sampler says which axilla in which epoch, so an item never depends on a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.utils.data import Dataset, Sampler

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.hashing import derive_seed
from usdlr.core.types import Site
from usdlr.data.batch import InputForm, item
from usdlr.data.samples import Sample, SampleStore, blocks_present
from usdlr.models.settings import CLINICAL_BLOCK, RADIOMICS

Index = tuple[int, int]
# Varies a sample: (sample, epoch, image id) -> sample.
Vary = Callable[[Sample, int, str], Sample]


@dataclass(frozen=True, eq=False)
class Axillae:
    """Which images belong to which axilla.

    Parameters
    ----------
    keys : DataFrame
        ``patient_id side``, one row per axilla, in the order of the cases.
    images : tuple of int array
        Positions of each axilla's images among the cases.
    """

    keys: pd.DataFrame
    images: tuple[npt.NDArray[np.intp], ...]

    @classmethod
    def of(cls, cases: pd.DataFrame) -> Axillae:
        """Group the rows of a ``cases`` table by patient and side."""
        found = cases[AXILLA_KEY].reset_index(drop=True).groupby(AXILLA_KEY, sort=False)
        keys = found.size().reset_index()[AXILLA_KEY]
        groups: Mapping[Any, Any] = found.indices
        images = tuple(np.asarray(groups[key], dtype=np.intp) for key in keys.itertuples(index=False, name=None))
        return cls(keys, images)

    def __len__(self) -> int:
        return len(self.images)


def table_present(design: npt.NDArray[np.floating[Any]], tables: Mapping[str, Sequence[int]]) -> npt.NDArray[np.bool_]:
    """Which radiomics and clinical blocks every image has, (images, blocks): a block without any value is absent.

    Parameters
    ----------
    design : float array, (images, columns)
        The columns the network reads, before missing values are filled in.
    tables : mapping of str to sequence of int
        Positions of each block's columns; none for a network of images alone. The clinical block is always there, or
        the one block of all radiomics: an axilla must have something, and their missing values are filled in.
    """
    finite = np.isfinite(design)
    if not tables:
        return np.zeros((len(design), 0), dtype=bool)
    found = np.stack([finite[:, list(places)].any(axis=1) for places in tables.values()], axis=1)
    for place, name in enumerate(tables):
        if name in (RADIOMICS, CLINICAL_BLOCK):
            found[:, place] = True
    return found


@dataclass(frozen=True, eq=False)
class AxillaData:
    """Everything a dataset holds.

    Parameters
    ----------
    store : SampleStore
        Crops of every image.
    table : float32 array, (images, columns)
        Standardised columns.
    scores : float32 array, (images, scored blocks, width)
        Log-odds that a plain model gives by each scored block alone.
    table_present : bool array, (images, radiomics and clinical blocks)
        From :func:`table_present`.
    images : tuple of int array
        Positions of each axilla's images in the store.
    label : float array, (axillae, targets)
        1 positive, 0 negative, not-a-number unknown.
    auxiliary : float array, (axillae, auxiliary targets)
        Standardised; not-a-number unknown.
    """

    store: SampleStore
    table: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    table_present: npt.NDArray[np.bool_]
    images: tuple[npt.NDArray[np.intp], ...]
    label: npt.NDArray[np.floating[Any]]
    auxiliary: npt.NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        if not len(self.store) == len(self.table) == len(self.scores) == len(self.table_present):
            raise ValueError(f"{len(self.store)} samples, {len(self.table)} and {len(self.table_present)} table rows")
        if not self.auxiliary.size:
            object.__setattr__(self, "auxiliary", np.zeros((len(self.images), 0)))
        if not len(self.images) == len(self.label) == len(self.auxiliary):
            raise ValueError(f"{len(self.images)} axillae, {len(self.label)} labels, {len(self.auxiliary)} auxiliaries")

    def __len__(self) -> int:
        return len(self.images)


class AxillaDataset(Dataset[dict[str, Any]]):
    """Axillae with their images, table rows and labels.

    Parameters
    ----------
    data : AxillaData
        What it holds.
    form : InputForm
        Which channels the image branches receive.
    augmenter : callable or None
        Varies a sample by (sample, epoch, image id); ``None`` gives every sample as it is.
    most_images : int or None
        At most so many images of an axilla, drawn anew in every epoch by (seed, epoch, axilla); ``None`` gives all.
        One of the tumour is always among them.
    seed : int
        Of that draw.
    """

    def __init__(
        self,
        data: AxillaData,
        form: InputForm,
        augmenter: Vary | None = None,
        *,
        most_images: int | None = None,
        seed: int = 0,
    ) -> None:
        self.data, self.form, self.augmenter, self.most_images, self.seed = data, form, augmenter, most_images, seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | Index) -> dict[str, Any]:
        """One item; ``index`` is a position, or (epoch, position) for an augmented axilla."""
        epoch, row = index if isinstance(index, tuple) else (0, index)
        data = self.data
        chosen = self._draw(epoch, data.images[row])
        samples = [data.store.samples[place] for place in chosen]
        if self.augmenter is not None:
            names = [data.store.image_id[place] for place in chosen]
            samples = [self.augmenter(sample, epoch, name) for sample, name in zip(samples, names, strict=True)]
        there = np.stack([blocks_present(sample, self.form.blocks) for sample in samples])
        return item(
            samples,
            self.form,
            data.table[chosen],
            data.scores[chosen],
            np.concatenate([there, data.table_present[chosen]], axis=1),
            label=data.label[row],
            auxiliary=data.auxiliary[row],
            row=row,
        )

    def _draw(self, epoch: int, images: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        if self.most_images is None or len(images) <= self.most_images:
            return images
        name = self.data.store.image_id[int(images[0])]
        generator = np.random.default_rng(derive_seed(self.seed, "images", epoch, name))
        chosen = generator.choice(images, self.most_images, replace=False)
        samples = self.data.store.samples
        if all(samples[place].site is not Site.TUMOUR for place in chosen):
            # Radiomics and clinical variables come with the tumour: without any, nothing but nodes would be left.
            of_tumour = [place for place in images if samples[place].site is Site.TUMOUR]
            chosen[0] = generator.choice(of_tumour) if of_tumour else chosen[0]
        return np.sort(chosen)


class EpochSampler(Sampler[Index]):
    """A shuffle that depends on (seed, epoch) alone, so that a resumed fit sees what an uninterrupted one would.

    Parameters
    ----------
    size : int
        Number of axillae.
    seed : int
        Seed of the fit.
    rank, devices : int
        Of several devices, each takes every so many-th axilla of the common shuffle, all of them equally many.
    """

    def __init__(self, size: int, seed: int, *, rank: int = 0, devices: int = 1) -> None:
        self.size, self.seed, self.rank, self.devices, self.epoch = size, seed, rank, devices, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.devices

    def __iter__(self) -> Iterator[Index]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "shuffle", self.epoch))
        order = torch.randperm(self.size, generator=generator)[: len(self) * self.devices]
        for row in order[self.rank :: self.devices].tolist():
            yield self.epoch, int(row)
