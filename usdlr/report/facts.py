"""Plain facts of a study, for whatever tells about it in words: checklists, limitations, cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import yaml

from usdlr.core.types import ExclusionCode, Split, Stage
from usdlr.decision.numbers import EN_DASH, NBSP, count, finite, number
from usdlr.ingest.split_schemes import BUNDLE_FOLD
from usdlr.report.inputs import AXILLA, StudyInputs
from usdlr.report.redact import identifiers, redact_settings

OF_NETWORKS = "network"
_CODE_WORDS = {"slnb": "sentinel biopsy", "alnd": "dissection", "needle": "needle biopsy"}
_NESTED = ("inputs", "versions", "code")
# Codes about an image or its contour; the others are about the patient, the tables or the computer.
_OF_IMAGES = frozenset(
    {
        ExclusionCode.IMAGE_MISSING,
        ExclusionCode.IMAGE_UNREADABLE,
        ExclusionCode.MASK_MISSING,
        ExclusionCode.MASK_UNREADABLE,
        ExclusionCode.MASK_EMPTY,
        ExclusionCode.MASK_SIZE_MISMATCH,
        ExclusionCode.MASK_AMBIGUOUS,
        ExclusionCode.MASK_OUTSIDE_REGION,
        ExclusionCode.FRAME_UNSTATED,
        ExclusionCode.NO_LESION,
        ExclusionCode.LESION_NOT_FOUND,
        ExclusionCode.NOT_TUMOUR,
        ExclusionCode.TUMOUR_MISSING,
        ExclusionCode.SPACING_MISSING,
        ExclusionCode.SPACING_ABSURD,
        ExclusionCode.SPACING_CONTRADICTORY,
        ExclusionCode.ELASTOGRAPHY_UNREADABLE,
        ExclusionCode.ROI_TOO_SMALL,
        ExclusionCode.FEATURES_FAILED,
    }
)
TABLES_WITH_RADIOMICS = ("joint", "split")


T = TypeVar("T")


def settings(inputs: StudyInputs) -> Mapping[str, Any]:
    """The resolved configuration as nested settings without identifiers; empty where it cannot be read."""
    return kept(inputs, "_told", _told)[0]


def provenance(inputs: StudyInputs) -> Mapping[str, Any]:
    """Where the numbers come from, without identifiers; what is no mapping where one belongs is left out."""
    return kept(inputs, "_told", _told)[1]


def where(inputs: StudyInputs) -> str:
    """Who alone belongs to the cohort, in words without identifiers; empty where everybody does."""
    return kept(inputs, "_told", _told)[2]


def setting(inputs: StudyInputs, path: str) -> Any:
    """One setting by its dotted path, ``None`` where it is not stated.

    A setting that is stated as null cannot be told from one that is absent.
    """
    node: Any = settings(inputs)
    for key in path.split("."):
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
    return node


def said(value: Any) -> str:
    """A setting as text: lists by commas, of parts with options the name.

    Examples
    --------
    >>> said(["variance", {"mrmr": {"max_features": 20}}])
    'variance, mrmr'
    """
    if isinstance(value, Mapping):
        return ", ".join(map(str, value))
    if isinstance(value, list | tuple):
        return ", ".join(str(next(iter(one))) if isinstance(one, Mapping) and one else str(one) for one in value)
    return str(value)


def _told(inputs: StudyInputs) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    try:
        parsed = yaml.safe_load(inputs.config_yaml)
    except (yaml.YAMLError, ValueError):
        parsed = None
    origin = {
        key: value for key, value in inputs.provenance.items() if key not in _NESTED or isinstance(value, Mapping)
    }
    origin.pop("config", None)
    tree = [parsed if isinstance(parsed, Mapping) else {}, origin, str(inputs.metrics["cohort"].get("where") or "")]
    lines: list[str] = []
    _collect(tree, lines)
    clean = dict(zip(lines, redact_settings("\n".join(lines), identifiers(inputs)).split("\n"), strict=True))
    config, source, condition = _renamed(tree, clean)
    return config, source, condition


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _collect(node: Any, lines: list[str]) -> None:
    """Every text of nested settings, on a line of its own: one pass over all of them leaves out the identifiers."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            lines.append(_line(str(key)))
            _collect(value, lines)
    elif isinstance(node, list | tuple):
        for value in node:
            _collect(value, lines)
    elif isinstance(node, str):
        lines.append(_line(node))


def _renamed(node: Any, clean: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {clean[_line(str(key))]: _renamed(value, clean) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_renamed(value, clean) for value in node]
    return clean[_line(node)] if isinstance(node, str) else node


def kept(inputs: StudyInputs, name: str, make: Callable[[StudyInputs], T]) -> T:
    """What was made once of a study; kept in its dictionary, as ``functools.cached_property`` does."""
    held: dict[str, Any] = vars(inputs)
    if name not in held:
        held[name] = make(inputs)
    value: T = held[name]
    return value


def found(metrics: Mapping[str, Any], path: str) -> Any:
    """What the metrics hold at a dotted path; ``None`` where there is nothing."""
    node: Any = metrics
    for key in path.split("."):
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
    return node or None


def known(inputs: StudyInputs, column: str) -> pd.Series:
    """Values of a column of the tested axillae where they are known; empty where nobody states it."""
    if column not in inputs.axillae:
        return pd.Series(dtype=object)
    return inputs.axillae[column].dropna()


def clinical(inputs: StudyInputs) -> list[str]:
    """Clinical variables of the tested axillae: those that the model reads, or size and age where nobody says which."""
    stated = setting(inputs, "data.clinical")
    named = [str(name) for name in stated] if isinstance(stated, list) else ["tumour_size_mm", "age_years"]
    return [name for name in named if name in inputs.axillae]


def tally(values: Iterable[Any]) -> dict[str, int]:
    """How often each value occurs, the commonest first, equal ones by name."""
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def counted(counts: Mapping[str, int], most: int = 6) -> str:
    """Counts as words.

    Examples
    --------
    >>> counted({"slnb": 12, "alnd": 3})
    'sentinel biopsy (12), dissection (3)'
    """
    shown = [
        f"{_CODE_WORDS.get(name) or name.replace('_', ' ')} ({count(n)})" for name, n in list(counts.items())[:most]
    ]
    rest = len(counts) - most
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def spread(values: pd.Series, unit: str, digits: int = 0) -> str:
    """Median and quartiles of numbers, with n.

    Examples
    --------
    >>> spread(pd.Series([10.0, 20.0, 30.0]), "mm").replace(NBSP, " ")
    'median 20 mm (quartiles 15–25, n = 3)'
    """
    low, middle, high = pd.to_numeric(values).astype(float).quantile([0.25, 0.5, 0.75])
    ends, of = f"{number(low, digits)}{EN_DASH}{number(high, digits)}", f"{NBSP}{unit}" if unit else ""
    return f"median {number(middle, digits)}{of} (quartiles {ends}, n{NBSP}={NBSP}{count(len(values))})"


def quality(inputs: StudyInputs, key: str) -> dict[str, int]:
    """Image sets of the cohort by what was noted under ``key``, the commonest first; empty where nothing was."""
    part = found(inputs.metrics, f"cohort.quality.{key}") or {}
    return dict(sorted(((str(name), int(n)) for name, n in part.items()), key=lambda item: (-item[1], item[0])))


def centres(inputs: StudyInputs) -> list[str]:
    """Names of the centres of the cohort."""
    return [str(name) for name in inputs.metrics["cohort"]["centres"]]


def external(inputs: StudyInputs) -> Mapping[str, Any]:
    """What the metrics hold of patients of other sources, by source."""
    part: Mapping[str, Any] = found(inputs.metrics, "external") or {}
    return part


def modalities(inputs: StudyInputs) -> list[str]:
    """Modalities that networks or radiomics read, in their order; empty where it is not stated."""
    stated = [*(setting(inputs, "model.modalities") or []), *(setting(inputs, "radiomics.modalities") or [])]
    return list(dict.fromkeys(map(str, stated)))


def reads_radiomics(inputs: StudyInputs) -> bool | None:
    """Whether the model or a baseline reads hand-crafted features; ``None`` where it is not stated."""
    if any(str(name).startswith("radiomics") for name in inputs.metrics["baselines"]):
        return True
    table = setting(inputs, "model.tabular")
    return None if table is None else table in TABLES_WITH_RADIOMICS


def end_to_end(inputs: StudyInputs) -> bool | None:
    """Whether networks make the model's logit from pixels; ``None`` where it is not stated."""
    backbone, readout = setting(inputs, "model.backbone"), setting(inputs, "readout")
    return None if backbone is None or readout is None else readout == OF_NETWORKS


def kept_predictors(inputs: StudyInputs) -> int | None:
    """Predictors that the tabular part of the networks may keep: chosen features and clinical variables.

    ``None`` where the configuration does not tell, or the networks read no table.
    """
    table, clinical = setting(inputs, "model.tabular"), setting(inputs, "data.clinical")
    variables = len(clinical) if isinstance(clinical, list) else 0
    if table == "clinical":
        return variables or None
    chosen = setting(inputs, "selection.max_features")
    if table not in TABLES_WITH_RADIOMICS or not isinstance(chosen, int) or setting(inputs, "selection.steps"):
        return None
    return chosen + variables


def weights_files(inputs: StudyInputs) -> list[str]:
    """Hashes of the files from which networks started."""
    files = provenance(inputs).get("inputs", {})
    return [str(value) for name, value in files.items() if str(name).split(".")[0] == "weights"]


def variable_words(column: str) -> str:
    """A column's name without its unit.

    Examples
    --------
    >>> variable_words("tumour_size_mm"), variable_words("cn_stage")
    ('tumour size', 'cn stage')
    """
    for unit in ("_mm", "_years", "_months", "_id"):
        column = column.removesuffix(unit)
    return column.replace("_", " ")


def image_exclusions(inputs: StudyInputs) -> int:
    """Rows that were left out for their image or its contour, not for the patient."""
    return sum(int(n) for code, n in inputs.metrics["cohort"]["exclusions"].items() if code in _OF_IMAGES)


def cohort_axillae(inputs: StudyInputs) -> pd.DataFrame:
    """Patient and side of every axilla that any fold predicted, tested or not; none of other sources."""
    return kept(inputs, "_cohort_axillae", _cohort_axillae)


def _cohort_axillae(inputs: StudyInputs) -> pd.DataFrame:
    own = inputs.predictions[inputs.predictions["split"] != str(Split.EXTERNAL)]
    return own[AXILLA].drop_duplicates()


def training_rows(inputs: StudyInputs, stage: Stage) -> tuple[int, int] | None:
    """Axillae of known status on which the shipped model was trained, and the positives among them.

    ``None`` where the predictions do not tell, or where earlier patients, whose status no table of the report holds,
    were trained on.
    """
    return kept(inputs, f"_training_{stage}", partial(_training_rows, stage=stage))


def _training_rows(inputs: StudyInputs, stage: Stage) -> tuple[int, int] | None:
    rows = inputs.predictions
    used = rows[
        (rows["fold"] == BUNDLE_FOLD) & (rows["split"] == str(Split.TRAIN)) & (rows["stage"].astype(str) == str(stage))
    ]
    joined = used[AXILLA].merge(inputs.labels, on=AXILLA, how="left", validate="one_to_one", indicator=True)
    if joined.empty or (joined["_merge"] != "both").any():
        return None
    status = joined["sln"] if stage is Stage.SLN else joined["nsln"].where(joined["sln"] == 1)
    return int(status.notna().sum()), int((status == 1).sum())


def with_status(inputs: StudyInputs, stage: Stage) -> tuple[int, int]:
    """Tested axillae of known status at a stage, and the positives among them."""
    part = inputs.metrics["cohort"][stage]
    return int(part["positive"]) + int(part["negative"]), int(part["positive"])


def model_ids(inputs: StudyInputs) -> list[str]:
    """Hashes of the weights that predicted test patients of the folds, in their order; not those of the bundle."""
    rows = inputs.predictions
    if "model_id" not in rows:
        return []
    tested = rows[(rows["fold"] != BUNDLE_FOLD) & (rows["split"] == str(Split.TEST))]
    return sorted(map(str, tested["model_id"].dropna().unique()))


def bundle_ids(inputs: StudyInputs) -> dict[str, str]:
    """Hash of the shipped model's weights by stage; empty where the predictions do not hold its rows."""
    rows = inputs.predictions
    if "model_id" not in rows:
        return {}
    own = rows[(rows["fold"] == BUNDLE_FOLD) & (rows["split"] != str(Split.EXTERNAL))]
    first = own.dropna(subset=["model_id"]).groupby("stage", sort=False)["model_id"].first()
    return {str(stage): str(name) for stage, name in first.items()}


def above_half(estimate: Mapping[str, Any]) -> float | None:
    """An AUC that says more than chance does, else ``None``."""
    value = finite(estimate.get("value"))
    return value if value is not None and value > 0.5 else None
