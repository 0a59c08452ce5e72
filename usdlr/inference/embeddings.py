"""The embeddings of a cohort by a bundle's networks, as a table for any other learner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core.columns import AXILLA, FLOAT, IDENTIFIERS, PREDICTIONS, Column
from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.core.tables import Table
from usdlr.core.types import Stage
from usdlr.inference.bundle import Bundle
from usdlr.inference.predictor import patient_splits, prepare_cases
from usdlr.inference.stage import prepare_torch

BY = ("axilla", "image")
_IDS = {column.name: column for column in (*IDENTIFIERS, *PREDICTIONS)}


def embeddings_table(by: str) -> Table:
    """The table of embeddings, with a row per axilla or per image.

    Raises
    ------
    ConfigError
        If ``by`` is neither.
    """
    if by not in BY:
        raise ConfigError(f"found by = {by!r}, expected {' or '.join(BY)}{nearest(by, BY)}")
    image = [_IDS["image_id"]] if by == "image" else []
    return Table(
        "embeddings",
        (
            *AXILLA,
            *image,
            *(_IDS[name] for name in ("stage", "fold", "split")),
            Column(
                r"^embedding\.[A-Za-z0-9_.@\-]+\.[0-9]{3,}$",
                FLOAT,
                "One place of a block's embedding, the first network's first; null: block absent.",
                "1",
                nullable=True,
                pattern=True,
            ),
            _IDS["model_id"],
        ),
        (*(column.name for column in AXILLA), *(column.name for column in image), "stage", "fold"),
    )


@dataclass(frozen=True)
class Embedded:
    """What a bundle's networks make of a cohort.

    Parameters
    ----------
    embeddings : DataFrame
        The table of :func:`embeddings_table`.
    exclusions : DataFrame
        The table of the same name.
    """

    embeddings: pd.DataFrame
    exclusions: pd.DataFrame


def embed(
    bundle: Bundle, cases: pd.DataFrame, root: Path, *, stage: Stage, by: str, jobs: int, ledger: Path
) -> Embedded:
    """Embed a cohort.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    stage : Stage
        Whose networks.
    by : str
        ``axilla``: pooled over an axilla's images, what the fusion reads; ``image``: of every image alone.
    jobs : int
        Processes for features and crops.
    ledger : Path
        Where finished feature rows wait until all are there.

    Raises
    ------
    ConfigError
        If ``by`` is unknown.
    DataError
        If no case can be used.
    """
    table = embeddings_table(by)
    preparation, member = bundle.preparation, bundle.member
    prepare_torch(preparation.threads)
    prepared = prepare_cases(preparation, cases, root, jobs=jobs, ledger=ledger)
    model = member.models[stage]
    found = model.embed(prepared.cases, prepared.store, prepared.design, preparation.batch_size, by=by)
    split = patient_splits(prepared.cases, member)
    found = found.assign(
        stage=str(stage),
        fold=member.name,
        split=split.loc[list(found["patient_id"])].to_numpy(),
        model_id=model.model_id,
    )
    return Embedded(table.conform(found), prepared.exclusions)
