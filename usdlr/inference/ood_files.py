"""The out-of-distribution score of a member: its files, and what it is told of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.regions import block_words, split_block
from usdlr.core.types import Roi, Stage
from usdlr.data.dataset import Axillae
from usdlr.decision.wording_ood import BLOCK, FEATURES, VARIABLE, far_words, flag_words, unchecked_words
from usdlr.inference.ood import OutOfDistribution, Strange
from usdlr.inference.ood_parts import IMAGE, Looks
from usdlr.inference.reading import Reading
from usdlr.inference.signature import by_axilla
from usdlr.inference.stage import StageModel
from usdlr.radiomics.catalogue.features import describe
from usdlr.radiomics.design import CLINICAL
from usdlr.radiomics.settings import RadiomicsSettings

OOD, OOD_ARRAYS = "ood.json", "ood.safetensors"


@dataclass(frozen=True, eq=False)
class Seen:
    """What the score is told of some axillae.

    Parameters
    ----------
    keys : DataFrame
        ``patient_id side``.
    looks : mapping
        Embeddings by image block.
    design : DataFrame
        The design table with a row per axilla.
    """

    keys: pd.DataFrame
    looks: Looks
    design: pd.DataFrame

    @classmethod
    def of(
        cls,
        cases: pd.DataFrame,
        design: pd.DataFrame,
        models: Mapping[Stage, StageModel],
        readings: Mapping[Stage, Sequence[Reading]],
    ) -> Seen:
        """From a cohort.

        Parameters
        ----------
        cases : DataFrame
            The ``cases`` table.
        design : DataFrame
            Its design table, indexed by image id.
        models, readings : mapping
            By stage, the networks and what they read of these cases, of the samples as they are.
        """
        axillae = Axillae.of(cases)
        found: dict[str, list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]] = {}
        for stage in Stage:
            for network, reading in zip(models[stage].networks, readings[stage], strict=True):
                for block in network.settings.image_blocks:
                    place = network.blocks.index(block)
                    found.setdefault(block, []).append(reading.embeddings[:, place])
        # A node's row holds nothing: the mean over an axilla's images is that of its tumour's.
        table = by_axilla(design.loc[list(cases["image_id"])], axillae)
        return cls(axillae.keys, found, table)

    def take(self, use: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Seen:
        """The chosen axillae."""
        looks = {block: [one[use] for one in each] for block, each in self.looks.items()}
        return Seen(self.keys[use].reset_index(drop=True), looks, self.design[use].reset_index(drop=True))


def save_ood(folder: Path, found: OutOfDistribution) -> list[Path]:
    """Write the score beside a member's stages."""
    write_json(folder / OOD, found.to_dict())
    write_bytes(folder / OOD_ARRAYS, save({name: np.ascontiguousarray(one) for name, one in found.to_arrays().items()}))
    return ood_files(folder)


def ood_files(folder: Path) -> list[Path]:
    """The score's files; none in a member from before there was one."""
    return [path for path in (folder / OOD, folder / OOD_ARRAYS) if path.is_file()]


def load_ood(folder: Path) -> OutOfDistribution | None:
    """Read a member's score; None where it has none.

    Raises
    ------
    BundleError
        If it is damaged.
    """
    if not ood_files(folder):
        return None
    try:
        arrays = load((folder / OOD_ARRAYS).read_bytes())
        return OutOfDistribution.from_files(read_json(folder / OOD), arrays)
    except (OSError, SafetensorError, DataError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"found a damaged {OOD} in {folder} ({error}); export the bundle again") from error


def ood_rows(found: OutOfDistribution | None, seen: Seen, settings: RadiomicsSettings | None = None) -> pd.DataFrame:
    """The score's columns of ``reliability``, with the two columns of the key.

    Parameters
    ----------
    found : OutOfDistribution or None
        The member's; None: nothing was checked, and every column is null.
    seen : Seen
        The axillae.
    settings : RadiomicsSettings, optional
        Of the preparation, for the ring's width in words.

    Returns
    -------
    DataFrame
        ``patient_id side ood_score ood_limit ood_alarm ood_p ood_why``.
    """
    out = seen.keys[AXILLA_KEY].copy()
    if found is None:
        nothing = pd.array([None] * len(out), dtype="boolean")
        return out.assign(
            ood_score=np.nan, ood_limit=np.nan, ood_p=np.nan, ood_alarm=nothing, ood_why=unchecked_words()
        )
    strange = found.judge(seen.looks, seen.design)
    alarm = [None] * len(out) if strange.alarm is None else list(strange.alarm)
    return out.assign(
        ood_score=strange.score,
        ood_limit=np.nan if found.limit is None else found.limit,
        ood_p=strange.p,
        ood_alarm=pd.array(alarm, dtype="boolean"),
        ood_why=pd.Series([_why(found, strange, seen, row, settings) for row in range(len(out))], index=out.index),
    )


def with_ood(scores: pd.DataFrame, strange: pd.DataFrame) -> pd.DataFrame:
    """The cascade's scores with the column ``ood`` that a deferral rule reads; null where nothing was checked."""
    known = strange[[*AXILLA_KEY, "ood_score"]].rename(columns={"ood_score": "ood"})
    return scores.merge(known, on=AXILLA_KEY, how="left", validate="one_to_one")


def part_words(name: str, kind: str, settings: RadiomicsSettings | None = None) -> str:
    """A part in words.

    Examples
    --------
    >>> part_words("bmode.peritumoral", "image"), part_words("clinical", "table")
    ('what the networks make of B-mode, ring around the lesion', 'clinical variables')
    >>> part_words("bmode.context", "image")
    'what the networks make of B-mode, whole crop'
    >>> part_words("elasto.peritumoral-3mm@axilla", "image")
    'what the networks make of elastography, ring of 3 mm (lymph node)'
    """
    if name == CLINICAL.rstrip("."):
        return VARIABLE
    if kind == IMAGE and split_block(name)[1] not in map(str, Roi):  # the whole crop, a margin of its own
        return BLOCK.format(where=block_words(name))
    where, _, _ = describe(f"{name.partition('@')[0]}.original.firstorder.Mean", settings).partition(":")
    node = " (lymph node)" if "@" in name else ""
    return (BLOCK if kind == IMAGE else FEATURES).format(where=where + node)


def _why(
    found: OutOfDistribution, strange: Strange, seen: Seen, row: int, settings: RadiomicsSettings | None
) -> str | None:
    """What stands out in an axilla that raises an alarm, or why nothing was checked; None without an alarm."""
    if found.limit is None:
        return unchecked_words(len(found.tuning), found.needed, found.rate)
    if strange.alarm is None or not strange.alarm[row]:
        return None
    scores = strange.parts.iloc[row].to_numpy(np.float64)
    far = [at for at in np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable") if scores[at] > found.limit]
    parts = [part_words(found.parts[at].name, found.parts[at].kind, settings) for at in far]
    features = [
        far_words(_column_words(name, settings), value, low, high)
        for name, value, low, high in found.far_features(seen.design, row)
    ]
    return flag_words(parts, features, found.rate)


def _column_words(column: str, settings: RadiomicsSettings | None) -> str:
    if column.startswith(CLINICAL):
        return column.removeprefix(CLINICAL).replace("_", " ")
    try:
        return describe(column, settings)
    except ConfigError:
        return column
