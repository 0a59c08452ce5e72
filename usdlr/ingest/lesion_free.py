"""Images that show no lesion: of no use to whoever predicts from one, and the test of whoever looks for one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from usdlr.core import tables
from usdlr.core.modalities import BMODE
from usdlr.core.pool import run_all
from usdlr.core.types import ExclusionCode
from usdlr.ingest.pipeline import exclusion_rows, ingest_row, read_rows
from usdlr.ingest.settings import IngestSettings


def lesion_free(
    source: Path, centre: str, out: Path, *, settings: IngestSettings, jobs: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images of a source that its own table says show no lesion, written as canonical files.

    Parameters
    ----------
    source : Path
        The export's folder.
    centre : str
        Name of a registered adapter.
    out : Path
        Folder of the canonical files.
    settings : IngestSettings
        As of the cases with a lesion.
    jobs : int
        Processes that read side by side.

    Returns
    -------
    cases : DataFrame
        A ``cases`` table without outlines; empty where there is none. A file that is not there is no row, as it is an
        exclusion of the ingest already.
    exclusions : DataFrame
        Those that cannot be read, and why.
    """
    adapter, rows = read_rows(source, centre)
    free = [
        replace(row, refusal=None, masks=(), mask_required=False)
        for row in rows
        if row.refusal is not None
        and row.refusal.code == ExclusionCode.NO_LESION
        and BMODE in row.files
        and row.files[BMODE].is_file()
    ]
    work = partial(ingest_row, out=out, settings=settings, bare=adapter.is_bare(source), anonymous=adapter.identifying)
    outcomes = run_all(work, free, jobs=jobs, label=f"images of {centre} without a lesion")
    found = [outcome.result.record for outcome in outcomes if outcome.result is not None]
    failed = exclusion_rows(free, outcomes)
    return (
        tables.CASES.conform(pd.DataFrame(found)) if found else tables.CASES.empty(),
        tables.EXCLUSIONS.conform(pd.DataFrame(failed)) if failed else tables.EXCLUSIONS.empty(),
    )
