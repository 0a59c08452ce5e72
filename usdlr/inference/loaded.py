"""Cases whose pixels are in memory, as a model reads them: the same as from files, without files or processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import CaseError, DataError
from usdlr.core.pool import one_thread
from usdlr.core.types import Site
from usdlr.data.samples import Sample, SampleStore, cut_crops
from usdlr.imaging.store import CaseImages, read_case
from usdlr.inference.predictor import Prepared, cohort_of, exclusion_table
from usdlr.inference.preparation import Preparation
from usdlr.inference.scale import require_same_scale
from usdlr.inference.sites import Reason, design_of, orphans, tumours
from usdlr.radiomics.design import unmeasured
from usdlr.radiomics.engines import Engine, build_engine
from usdlr.radiomics.extract import measure_loaded
from usdlr.radiomics.rows import Rows


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """One row of ``cases`` with its pixels.

    Parameters
    ----------
    row : mapping
        Every column of the ``cases`` table by name; the paths are not read.
    images : CaseImages
        What the paths point at.
    """

    row: Mapping[str, Any]
    images: CaseImages

    @property
    def image_id(self) -> str:
        """The row's image id."""
        return str(self.row["image_id"])


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case as a model reads it, or why it cannot be.

    Parameters
    ----------
    features : mapping or None
        Its row of ``features``; ``None`` where radiomics is not measured, or it failed.
    samples : tuple of Sample
        One per crop of the preparation; none after a failure.
    failure : CaseError or None
        Why there is nothing.
    """

    features: Mapping[str, Any] | None
    samples: tuple[Sample, ...]
    failure: CaseError | None = None


def load_case(row: Mapping[str, Any], root: Path) -> LoadedCase:
    """Read the pixels of one row of ``cases``.

    Parameters
    ----------
    row : mapping
        A row of the ``cases`` table.
    root : Path
        Folder that its paths are relative to.

    Raises
    ------
    CaseError
        If a file is missing, unreadable or of another size.
    """
    return LoadedCase(row, read_case(row, root))


def prepare_one(preparation: Preparation, case: LoadedCase, engine: Engine | None) -> PreparedCase:
    """Crops and features of one case.

    Parameters
    ----------
    preparation : Preparation
        The model's.
    case : LoadedCase
        The case.
    engine : Engine or None
        Of the preparation's radiomics; ``None``: nothing is measured.
    """
    try:
        site = Site(case.row["site"])
        features = None
        if engine is not None and site is Site.TUMOUR:
            features = measure_loaded(case.row, case.images, preparation.radiomics, engine)
        margin = preparation.radiomics.margin_mm
        samples = cut_crops(case.images, site, preparation.crops, preparation.regions, margin)
    except CaseError as error:
        return PreparedCase(None, (), error)
    return PreparedCase(features, samples)


def engine_of(preparation: Preparation, measure: bool | None = None) -> Engine | None:
    """The engine that measures what a model reads; ``None`` where nothing is measured.

    ``measure`` says whether radiomics is measured; by default only where the networks read it.
    """
    if not (preparation.measures if measure is None else measure):
        return None
    return build_engine(preparation.engine, preparation.radiomics)


def assemble(
    preparation: Preparation, cases: pd.DataFrame, parts: Mapping[str, PreparedCase], *, measured: bool
) -> Prepared:
    """Put prepared cases together; what failed, and nodes whose tumour did, become exclusions.

    Parameters
    ----------
    preparation : Preparation
        The model's.
    cases : DataFrame
        Rows of ``cases``, those in the model's cohort alone.
    parts : mapping of str to PreparedCase
        Of every row, by image id.
    measured : bool
        Whether radiomics was measured.

    Returns
    -------
    Prepared
        Without any case where none can be used.
    """
    names = [str(name) for name in cases["image_id"]]
    failed: dict[str, Reason] = {}
    for name in names:
        failure = parts[name].failure
        if failure is not None:
            failed[name] = (str(failure.code), failure.sentence)
    failed |= orphans(cases[~cases["image_id"].isin(list(failed))])
    usable = cases[~cases["image_id"].isin(list(failed))].reset_index(drop=True)
    kept = [str(name) for name in usable["image_id"]]
    samples = tuple(zip(*(parts[name].samples for name in kept), strict=True)) or ((),) * len(preparation.crops)
    store = SampleStore(tuple(kept), samples[0], samples[1:])
    exclusions = exclusion_table(cases, failed, "features")
    if not kept:
        return Prepared(usable, store, pd.DataFrame(), exclusions)
    tumour = tumours(usable)
    if measured:
        rows = Rows()
        for name in tumour["image_id"]:
            features = parts[str(name)].features
            assert features is not None, name
            rows.add(features)
        table = rows.take([str(name) for name in tumour["image_id"]])
    else:
        table = unmeasured(tumour)
    return Prepared(usable, store, design_of(table, usable, preparation.clinical), exclusions)


def prepare_loaded(
    preparation: Preparation, loaded: Sequence[LoadedCase], *, measure: bool | None = None, checked: bool = True
) -> Prepared:
    """Cases in memory as a model reads them: what :func:`usdlr.inference.predictor.prepare_cases` gives from files.

    Parameters
    ----------
    preparation : Preparation
        The model's.
    loaded : sequence of LoadedCase
        The cases; all of a patient's images together.
    measure : bool, optional
        Whether radiomics is measured; by default only where the networks read it.
    checked : bool
        Whether the rows are checked against the schema of ``cases``; not needed for rows of a table that was read.

    Raises
    ------
    DataError
        If no case can be used, or lengths are of another kind than the model's.
    TableError
        If a row breaks the schema.
    """
    table = pd.DataFrame([dict(case.row) for case in loaded])
    cases = tables.CASES.conform(table) if checked else table
    read, reasons = cohort_of(preparation, cases)
    by_name = {case.image_id: case for case in loaded}
    chosen = [by_name[str(name)] for name in read["image_id"]]
    masks = {case.image_id: case.images.mask for case in chosen}
    require_same_scale(read, Path(), preparation.relative_diameter, masks=masks)
    engine = engine_of(preparation, measure)
    with one_thread():
        parts = {case.image_id: prepare_one(preparation, case, engine) for case in chosen}
    found = assemble(preparation, read, parts, measured=engine is not None)
    exclusions = pd.concat([exclusion_table(cases, reasons, "cohort"), found.exclusions], ignore_index=True)
    if found.cases.empty:
        first = found.exclusions.iloc[0]
        raise DataError(f"found no usable case among {len(cases)}; the first is {first['code']}: {first['sentence']}")
    return Prepared(found.cases, found.store, found.design, exclusions)
