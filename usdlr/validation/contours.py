"""A frozen model's answers with contours by readers and by software, on the same axillae."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.types import MaskSource, Split, Stage
from usdlr.decision.wording import SIMULATED, proxy_notice, seen_sentence
from usdlr.decision.wording_outlines import outlines_of_own
from usdlr.evaluation.contour_effect import contour_effect
from usdlr.evaluation.contour_likeness import effect_by_likeness
from usdlr.evaluation.resampling import REPLICATES
from usdlr.inference.axillae import outcome_table
from usdlr.inference.bundle import Bundle
from usdlr.inference.predictor import patient_splits
from usdlr.inference.stream import CHUNK, StreamSettings, predict_stream
from usdlr.radiomics.stability.redraw import ReaderDisagreement
from usdlr.simulate.centres import SIMULATED_PREFIX
from usdlr.validation.likeness import contour_likeness


@dataclass(frozen=True, eq=False)
class ContourComparison:
    """What came of it.

    Parameters
    ----------
    effect : dict
        From :func:`usdlr.evaluation.contour_effect.contour_effect`, and as ``likeness`` from
        :func:`usdlr.evaluation.contour_likeness.effect_by_likeness`.
    decisions : mapping of str to DataFrame
        ``reader`` and ``software``.
    labels : DataFrame
        Outcomes by axilla.
    notices : tuple of (str, str)
        What must not be overlooked, each with its kind: ``simulated`` patients, a ``proxy`` for node status, or a
        ``conflict``, patients who made the model.
    """

    effect: dict[str, Any]
    decisions: Mapping[str, pd.DataFrame]
    labels: pd.DataFrame
    notices: tuple[tuple[str, str], ...] = ()


def compare_contours(
    bundle: Bundle,
    reader: tuple[pd.DataFrame, Path],
    software: tuple[pd.DataFrame, Path],
    folder: Path,
    *,
    jobs: int,
    learned: int = 0,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> ContourComparison:
    """Predict the same axillae with both contours, and judge the difference.

    Parameters
    ----------
    bundle : Bundle
        The model; nothing of it changes.
    reader, software : (DataFrame, Path)
        ``cases`` with contours by readers and by software, and the folders that their paths are relative to.
    folder : Path
        Where finished predictions lie; a second call continues from them.
    learned : int
        Rows from which the networks that outlined have learned.
    jobs, replicates, seed
        Processes, and draws of the patient bootstrap.

    Raises
    ------
    DataError
        If the model names no endpoints, the readers' table has none of a reader's contours, the software's has none of
        the same pictures, or no case can be used.
    """
    drawn = reader[0]["mask_source"] == str(MaskSource.READER)
    if not drawn.any():
        raise DataError(
            "found no contour by a reader in the table before, expected some to compare with; give the ingested table"
        )
    # A picture that no reader has outlined would be a change of the pictures, not of the contours.
    ours = reader[0][drawn].reset_index(drop=True)
    theirs = software[0][software[0]["bmode_path"].isin(set(ours["bmode_path"]))].reset_index(drop=True)
    if theirs.empty:
        raise DataError(
            f"found no outline by software of any of {len(ours)} images that readers have outlined, expected some to "
            "compare; exclusions.csv says of each why"
        )
    endpoints = bundle.card.get("endpoints") or {}
    if not all(str(stage) in endpoints for stage in Stage):
        raise DataError("found a model that does not name its endpoints, expected both; make the bundle anew")
    settings = StreamSettings(jobs, CHUNK, 0, 0, ReaderDisagreement())
    decisions = {}
    for name, (cases, root) in (
        ("reader", (ours, reader[1])),
        ("software", (theirs, software[1])),
    ):
        found = predict_stream(
            bundle, cases, root, folder=folder / name, settings=settings, on_uncertified=None, none_is_fine=True
        )
        decisions[name] = found.decisions
    labels = outcome_table(reader[0], {stage: str(endpoints[str(stage)]["column"]) for stage in Stage})
    effect = contour_effect(
        decisions["reader"], decisions["software"], labels, outlined=theirs, replicates=replicates, seed=seed
    )
    effect["likeness"] = effect_by_likeness(
        decisions["reader"],
        decisions["software"],
        labels,
        contour_likeness((ours, reader[1]), (theirs, software[1])),
        replicates=replicates,
        seed=seed,
    )
    notices = [*_notices(bundle, reader[0], decisions["reader"])]
    if learned:
        notices.append(("conflict", outlines_of_own(learned, len(reader[0]))))
    return ContourComparison(effect, decisions, labels, tuple(notices))


def _notices(bundle: Bundle, cases: pd.DataFrame, decided: pd.DataFrame) -> Iterator[tuple[str, str]]:
    if bundle.card.get("simulated") or cases["centre_id"].astype(str).str.startswith(SIMULATED_PREFIX).any():
        yield "simulated", SIMULATED
    proxies = bundle.card.get("proxies") or {}
    for stage in Stage:
        if proxies.get(str(stage)):
            yield "proxy", proxy_notice(stage, str(proxies[str(stage)]))
    made = patient_splits(cases, bundle.member)
    seen = int(decided["patient_id"].astype(str).isin(set(made.index[made != str(Split.EXTERNAL)])).sum())
    if seen:
        yield "conflict", seen_sentence(seen, len(decided))
