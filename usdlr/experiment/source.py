"""Reading a source of an experiment, with the readers' outlines or, where the experiment says so, with software's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from usdlr.core import tables
from usdlr.core.errors import DataError, LeakError
from usdlr.core.hashing import file_hash
from usdlr.core.provenance import Provenance
from usdlr.core.types import MaskSource
from usdlr.experiment.config import ExperimentConfig
from usdlr.inference.member import image_key
from usdlr.inference.segmentation import Segmenter, identify_segmenter, load_segmenter
from usdlr.inference.segmentation.cases import outline_cases, write_outlined
from usdlr.ingest.pipeline import ingest

# Beside the tables that the experiment reads: those with the readers' outlines.
READERS = "-readers"


def segmenter_input(config: ExperimentConfig) -> dict[str, str]:
    """What the software that outlines is called among a run's inputs; empty where readers' outlines count.

    Raises
    ------
    DataError, BundleError
        If ``data.segmenter`` is no bundle that outlines, or is damaged.
    """
    return {} if config.data.segmenter is None else {"segmenter": identify_segmenter(Path(config.data.segmenter))}


def ingest_source(config: ExperimentConfig, root: Path, centre: str, folder: Path) -> None:
    """Ingest an export into a folder; with ``data.segmenter``, every tumour is then outlined by it.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    root : Path
        Folder of the export.
    centre : str
        Name of its adapter.
    folder : Path
        Where tables and images go; the readers' stay beside it.

    Raises
    ------
    LeakError
        If the software has learned from any of these patients.
    InputError
        If the export or the bundle cannot be read.
    """
    settings = config.data.ingest
    if config.data.segmenter is None:
        ingest(root, centre, folder, jobs=config.jobs, settings=settings)
        return
    before = folder.with_name(folder.name + READERS)
    ingest(root, centre, before, jobs=config.jobs, settings=settings)
    cases = tables.CASES.read(before / "cases.parquet")
    segmenter = load_segmenter(Path(config.data.segmenter))
    require_strangers(segmenter, cases)
    found = outline_cases(segmenter, cases, before, folder, instead=True, relative_diameter=settings.relative_diameter)
    if not (found.cases["mask_source"] == str(MaskSource.AUTOMATIC)).any():
        why = found.exclusions["sentence"].value_counts().index[0]
        raise DataError(
            f"found no lesion by data.segmenter ({segmenter.segmenter_id}) in any of {len(cases)} image sets, expected "
            f"one in most; of most is said: {why}"
        )
    inputs = {"cases": file_hash(before / "cases.parquet"), "segmenter": segmenter.segmenter_id}
    write_outlined(found, before, folder, Provenance("usdlr run: outlines", inputs, segmenter.rules.as_dict()))
    contours = before / "contours.csv"
    if contours.is_file():  # what readers drew is still worth knowing
        shutil.copyfile(contours, folder / contours.name)
        for name in tables.CONTOURS.read(contours)["mask_path"].dropna().astype(str):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(before / name, folder / name)


def require_strangers(segmenter: Segmenter, cases: pd.DataFrame) -> None:
    """Refuse patients from whom the software has learned: it draws them better than it will draw others.

    Raises
    ------
    LeakError
        If there are any; one image tells on all of a patient's.
    """
    known = cases["image_id"].map(lambda name: image_key(str(name)) in segmenter.learned)
    if known.any():
        patients = cases.loc[known, "patient_id"].nunique()
        raise LeakError(
            f"found {patients} of {cases['patient_id'].nunique()} patients among those from whom data.segmenter "
            f"({segmenter.segmenter_id}) learned, expected none; outline with one that was fitted to other patients"
        )
