"""A bundle applied to a cohort of any size: patients in chunks, memory that does not grow, and a resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY, PATHS
from usdlr.core.errors import CaseError, ConfigError, DataError
from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.journal import Journal
from usdlr.core.pool import Outcome, run_each
from usdlr.core.provenance import package_versions
from usdlr.core.types import OnUncertified, Stage
from usdlr.inference.automatic import with_ranges
from usdlr.inference.bundle import Bundle
from usdlr.inference.contour import automatic_disagreement, require_millimetres, with_contours
from usdlr.inference.loaded import PreparedCase, assemble, engine_of, load_case, prepare_one
from usdlr.inference.predictor import Prediction, cohort_of, exclusion_table, predict_prepared
from usdlr.inference.preparation import Preparation
from usdlr.inference.scale import require_same_scale
from usdlr.radiomics.feature_cache import content_key
from usdlr.radiomics.stability.redraw import ReaderDisagreement

CHUNK = 32
AUTOMATIC_CONTOURS = 12
PARTS = {
    "predictions": tables.PREDICTIONS,
    "decisions": tables.DECISIONS,
    "reliability": tables.RELIABILITY,
    "exclusions": tables.EXCLUSIONS,
}


@dataclass(frozen=True)
class StreamSettings:
    """How a cohort is streamed.

    Parameters
    ----------
    jobs : int
        Processes for reading, features and crops; the result does not depend on it.
    chunk : int
        Patients whose crops are in memory at once. Another number may change a probability by up to 1e-6.
    contours : int
        How many times every contour is redrawn; 0: not at all.
    automatic_contours : int
        How many times those of axillae are redrawn that rest on a contour by software, at the least; each as far as
        such contours are expected to lie from a reader's, where that is known. 0: as the others; a model whose lengths
        are relative to the lesion redraws none.
    disagreement : ReaderDisagreement
        How far redrawn contours lie apart.

    Raises
    ------
    ConfigError
        If a number is too small.
    """

    jobs: int = 1
    chunk: int = CHUNK
    contours: int = 0
    automatic_contours: int = AUTOMATIC_CONTOURS
    disagreement: ReaderDisagreement = field(default_factory=ReaderDisagreement)

    def __post_init__(self) -> None:
        for name, low in (("jobs", 1), ("chunk", 1), ("contours", 0), ("automatic_contours", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected at least {low}")


def predict_stream(
    bundle: Bundle,
    cases: pd.DataFrame,
    root: Path,
    *,
    folder: Path,
    settings: StreamSettings,
    on_uncertified: OnUncertified | None,
    none_is_fine: bool = False,
) -> Prediction:
    """Apply a bundle to a cohort, a chunk of patients at a time.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    folder : Path
        Where finished chunks lie. A second call with the same bundle, cases, files and settings continues from them.
    settings : StreamSettings
        Processes, chunks and redrawn contours.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.
    none_is_fine : bool
        Whether exclusions alone are an answer, where images were found and none could be used.

    Returns
    -------
    Prediction
        Axillae in the order of the cases.

    Raises
    ------
    DataError
        If no case can be used, or lengths are of another kind than the model's.
    ConfigError
        If contours are asked of a model whose lengths are relative.
    """
    preparation = bundle.preparation
    if settings.contours:
        require_millimetres(bundle)
    read, reasons = cohort_of(preparation, cases)
    require_same_scale(read, root, preparation.relative_diameter)
    stated = [bundle.bundle_id, bundle.member.name, str(on_uncertified or bundle.on_uncertified), settings.contours]
    stated.append(bundle.runtime)
    journal = Journal(
        folder, [package_versions(), *stated, settings.automatic_contours, settings.disagreement.as_dict()]
    )
    chunks = _chunks(read, settings.chunk)
    keys = [_key(chunk, root, preparation) for chunk in chunks]
    waiting = [number for number in range(len(chunks)) if not journal.is_done(_name(number), keys[number])]
    rows: list[tuple[int, dict[str, Any]]] = [(number, row) for number in waiting for row in _records(chunks[number])]
    parts: dict[int, dict[str, PreparedCase]] = {number: {} for number in waiting}

    def collect(outcome: Outcome[PreparedCase]) -> None:
        number, row = rows[outcome.position]
        found = outcome.result if outcome.failure is None else PreparedCase(None, (), outcome.failure)
        assert found is not None
        parts[number][str(row["image_id"])] = found
        if len(parts[number]) == len(chunks[number]):
            # What a chunk needs goes as soon as it is predicted: memory holds those that are in hand.
            done = _predicted(bundle, chunks[number], parts.pop(number), root, settings, on_uncertified)
            journal.mark_done(_name(number), keys[number], write_part(done, folder / _name(number)))

    run_each(
        partial(_prepare, root=root, preparation=preparation),
        [row for _, row in rows],
        jobs=settings.jobs,
        label="predict",
        on_outcome=collect,
    )
    found = [read_part(folder / _name(number)) for number in range(len(chunks))]
    left_out = exclusion_table(cases, reasons, "cohort")
    if not any(len(part.decisions) for part in found):
        exclusions = pd.concat([left_out, *(part.exclusions for part in found)], ignore_index=True)
        if not none_is_fine:
            first = exclusions.iloc[len(left_out)]
            raise DataError(
                f"found no usable case among {len(cases)}; the first is {first['code']}: {first['sentence']}"
            )
        empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty()
        return Prediction(*empty, tables.EXCLUSIONS.conform(exclusions), foreign_centres=(), seen=0)
    return _joined(found, cases, left_out)


def _prepare(row: Mapping[str, Any], root: Path, preparation: Preparation) -> PreparedCase:
    """Read and prepare one row; an unreadable file is the case's failure."""
    try:
        case = load_case(row, root)
    except CaseError as error:
        return PreparedCase(None, (), error)
    return prepare_one(preparation, case, engine_of(preparation))


def _chunks(cases: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    """Rows of so many patients at a time, in the order in which patients first appear."""
    order = pd.factorize(cases["patient_id"])[0]
    return [cases[order // size == number].reset_index(drop=True) for number in range(int(order.max()) // size + 1)]


def _records(cases: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in cases.to_dict("records")]


def _name(number: int) -> str:
    return f"chunk-{number:05d}"


def _key(chunk: pd.DataFrame, root: Path, preparation: Preparation) -> list[Any]:
    """Changes with the chunk's rows and with what their files hold."""
    records = _records(chunk)
    files = [content_key(row, root, preparation.radiomics, preparation.engine) for row in records]
    # Networks read files that no feature is taken from, such as a clip's neighbouring frames.
    files += [data_hash([_content(root, row.get(column.name)) for column in PATHS]) for row in records]
    return [files, [{name: None if pd.isna(value) else str(value) for name, value in row.items()} for row in records]]


def _content(root: Path, name: Any) -> str | None:
    path = None if pd.isna(name) else root / str(name)
    return file_hash(path) if path is not None and path.is_file() else None


def _predicted(
    bundle: Bundle,
    chunk: pd.DataFrame,
    parts: Mapping[str, PreparedCase],
    root: Path,
    settings: StreamSettings,
    on_uncertified: OnUncertified | None,
) -> Prediction:
    prepared = assemble(bundle.preparation, chunk, parts, measured=bundle.preparation.measures)
    if prepared.cases.empty:
        empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty()
        return Prediction(*empty, prepared.exclusions, foreign_centres=(), seen=0)
    found = predict_prepared(bundle, prepared, on_uncertified=on_uncertified)
    redrawn = automatic_disagreement(found.reliability, bundle, settings.automatic_contours, settings.disagreement)
    if not settings.contours and not redrawn:
        return found
    told = with_contours(
        found.reliability,
        bundle,
        [load_case(row, root) for row in _records(prepared.cases)],
        count=settings.contours,
        disagreement=settings.disagreement,
        on_uncertified=on_uncertified,
        others={key: (max(settings.contours, settings.automatic_contours), far) for key, far in redrawn.items()},
    )
    decisions = with_ranges(found.decisions, told, {key: far.mean_abs_mm for key, far in redrawn.items()})
    return replace(found, decisions=decisions, reliability=told)


def write_part(found: Prediction, folder: Path) -> list[Path]:
    """Keep a prediction of some patients in a folder of its own, for :func:`read_part`; returns the files."""
    written = []
    for name in PARTS:
        path = folder / f"{name}.parquet"
        table: pd.DataFrame = getattr(found, name)
        write_atomic(path, partial(table.to_parquet, index=False))
        written.append(path)
    write_json(folder / "about.json", {"foreign_centres": list(found.foreign_centres), "seen": found.seen})
    return [*written, folder / "about.json"]


def read_part(folder: Path) -> Prediction:
    """What :func:`write_part` kept."""
    found = {name: table.conform(pd.read_parquet(folder / f"{name}.parquet")) for name, table in PARTS.items()}
    about = read_json(folder / "about.json")
    return Prediction(**found, foreign_centres=tuple(about["foreign_centres"]), seen=int(about["seen"]))


def _joined(found: Sequence[Prediction], cases: pd.DataFrame, left_out: pd.DataFrame) -> Prediction:
    """One prediction of the chunks, every table in the order of the cases."""
    exclusions = pd.concat([part.exclusions for part in found], ignore_index=True)
    # Axillae in the order in which the usable images name them, as in one piece; exclusions in that of the images.
    excluded = set(exclusions["source_id"].astype(str))
    usable = cases[~cases["image_id"].astype(str).isin(excluded)]
    axillae = {key: place for place, key in enumerate(usable[AXILLA_KEY].drop_duplicates().itertuples(index=False))}
    images = {str(name): place for place, name in enumerate(cases["image_id"])}
    stages = {str(stage): place for place, stage in enumerate(Stage)}

    def ordered(table: pd.DataFrame) -> pd.DataFrame:
        stage = table["stage"].map(stages).astype(int) if "stage" in table else 0
        place = [axillae[key] for key in table[AXILLA_KEY].itertuples(index=False)]
        by = pd.DataFrame({"stage": stage, "axilla": place}).sort_values(["stage", "axilla"], kind="stable")
        return table.iloc[by.index].reset_index(drop=True)

    exclusions = exclusions.iloc[exclusions["source_id"].map(images).argsort(kind="stable")]
    return Prediction(
        tables.PREDICTIONS.conform(ordered(together([part.predictions for part in found]))),
        tables.DECISIONS.conform(ordered(together([part.decisions for part in found]))),
        tables.EXCLUSIONS.conform(pd.concat([left_out, exclusions], ignore_index=True)),
        tuple(sorted({centre for part in found for centre in part.foreign_centres})),
        sum(part.seen for part in found),
        tables.RELIABILITY.conform(ordered(together([part.reliability for part in found]))),
    )


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all parts; a part without rows says nothing about columns."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]
