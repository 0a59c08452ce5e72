"""Every case measured again with perturbed outlines: in parallel, resumable, each failure counted and listed.

References
----------
Zwanenburg et al., Scientific Reports 9 (2019) 614, doi:10.1038/s41598-018-36938-4.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import CaseError
from usdlr.core.files import read_checked, write_checked
from usdlr.core.hashing import SHORT, data_hash
from usdlr.core.pool import Outcome, run_each
from usdlr.imaging.store import read_case
from usdlr.radiomics.engines import build_engine
from usdlr.radiomics.extract import measure_images
from usdlr.radiomics.feature_cache import content_key
from usdlr.radiomics.rows import Rows
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability.perturb import PerturbationPlan, perturbed
from usdlr.radiomics.stability.repeats import REPEATS, Source, agreement_table

UNPERTURBED = "unperturbed"


@dataclass(frozen=True, slots=True)
class _Job:
    row: Mapping[str, Any]
    ledger: Path


def measure_stability(
    cases: pd.DataFrame,
    root: Path,
    settings: RadiomicsSettings,
    *,
    engine: str,
    plan: PerturbationPlan,
    jobs: int,
    ledger: Path,
) -> pd.DataFrame:
    """How well every feature agrees between the outline as it is and perturbed ones.

    Parameters, and what to do with cases that fail: see :func:`measure_repeats`, whose table lists them.

    Returns
    -------
    DataFrame
        The ``stability`` table of :mod:`usdlr.radiomics.stability.repeats`, one row per feature.
    """
    repeats = measure_repeats(cases, root, settings, engine=engine, plan=plan, jobs=jobs, ledger=ledger)
    return agreement_table(repeats, Source.PERTURBATION)


def measure_repeats(
    cases: pd.DataFrame,
    root: Path,
    settings: RadiomicsSettings,
    *,
    engine: str,
    plan: PerturbationPlan,
    jobs: int,
    ledger: Path,
    stall_s: float | None = None,
) -> pd.DataFrame:
    """Measure every case with its own outline and with every perturbed one; rings follow the perturbed outline.

    Images are held one case at a time; of what is finished only the numbers are.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    settings : RadiomicsSettings
        What to measure.
    engine : str
        Name of the engine.
    plan : PerturbationPlan
        Which perturbations.
    jobs : int
        Number of processes; the result does not depend on it.
    ledger : Path
        Folder for the cases that are finished while others are not; a second call continues from it. It is removed
        when the table is complete.
    stall_s : float, optional
        Seconds that one case, with all of its outlines, may take before it is given up.

    Returns
    -------
    DataFrame
        The ``repeats`` table, by case and then by rater: ``unperturbed`` and the plan's names. What failed has a row
        with its reason; a case whose own outline cannot be measured fails for every rater.
    """
    build_engine(engine, settings)  # a wrong name is refused before any work
    if cases.empty:
        return REPEATS.empty()
    raters = (UNPERTURBED, *plan.names)
    measured = {rater: Rows() for rater in raters}
    waiting: list[_Job] = []
    for record in cases.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        image_id = str(row["image_id"])
        # What the files hold, and the id: the draws follow from it.
        key = data_hash([content_key(row, root, settings, engine), plan.as_dict(), image_id])
        job = _Job(row, ledger / f"{image_id}-{key[: 2 * SHORT]}.json")
        finished = read_checked(job.ledger)
        if finished is not None:
            _keep(measured, finished)
        else:
            waiting.append(job)

    def collect(outcome: Outcome[dict[str, dict[str, Any]]]) -> None:
        job = waiting[outcome.position]
        if outcome.failure is None:
            assert outcome.result is not None
            write_checked(job.ledger, outcome.result)
            _keep(measured, outcome.result)
        else:
            failed = _failed(str(job.row["image_id"]), outcome.failure)
            _keep(measured, dict.fromkeys(raters, failed))

    run_each(
        partial(measure_perturbed, root=root, settings=settings, engine=engine, plan=plan),
        [job.row for job in waiting],
        jobs=jobs,
        label="stability",
        on_outcome=collect,
        stall_s=stall_s,
    )
    image_ids = [str(name) for name in cases["image_id"]]
    parts = [measured[rater].take(image_ids).assign(rater=rater) for rater in raters]
    order = np.arange(len(raters) * len(cases)).reshape(len(raters), -1).T.ravel()
    table = REPEATS.conform(pd.concat(parts, ignore_index=True).iloc[order])
    shutil.rmtree(ledger, ignore_errors=True)
    return table


def measure_perturbed(
    row: Mapping[str, Any], root: Path, settings: RadiomicsSettings, engine: str, plan: PerturbationPlan
) -> dict[str, dict[str, Any]]:
    """Rows of ``features`` by rater, from one row of ``cases``.

    A perturbed outline that cannot be measured is a row with its reason.

    Raises
    ------
    CaseError
        If the case cannot be read, or not be measured with its own outline.
    """
    images = read_case(row, root)
    image_id = str(row["image_id"])
    built = build_engine(engine, settings)
    found = {UNPERTURBED: measure_images(images, image_id, settings, built)}
    for perturbation in plan.for_image(image_id):
        try:
            mask = perturbed(images.mask, perturbation, images.fov)
            found[perturbation.name] = measure_images(replace(images, mask=mask), image_id, settings, built)
        except CaseError as error:
            found[perturbation.name] = _failed(image_id, error)
    return found


def _failed(image_id: str, error: CaseError) -> dict[str, Any]:
    return {"image_id": image_id, "status": "failed", "code": str(error.code), "reason": error.sentence}


def _keep(measured: Mapping[str, Rows], found: Mapping[str, Mapping[str, Any]]) -> None:
    for rater, rows in measured.items():
        rows.add(found[rater])
