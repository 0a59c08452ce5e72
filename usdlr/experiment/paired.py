"""Two runs on the same axillae: the difference of their areas under the curve, with a paired interval."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.errors import DataError, InputError
from usdlr.core.hashing import table_hash
from usdlr.core.types import Split, Stage
from usdlr.evaluation import metrics
from usdlr.evaluation.alignment import by_axilla
from usdlr.evaluation.intervals import Estimate
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.data_settings import DataSettings, EndpointSettings
from usdlr.experiment.layout import Layout
from usdlr.experiment.runs import FINISHED, find_runs, run_state


@dataclass(frozen=True, eq=False)
class Judged:
    """What a finished run says about the axillae that it tested.

    Parameters
    ----------
    folder : Path
        The run.
    axillae : dict of Stage to DataFrame
        ``fold probability label``, indexed by ``(patient_id, side)`` in sorted order; the label is 1.0, 0.0 or
        not-a-number, at the NSLN stage known on SLN-positive axillae only.
    splits : str
        Hash of who stands in which split of which fold, whatever the order of the rows.
    """

    folder: Path
    axillae: dict[Stage, pd.DataFrame]
    splits: str

    @classmethod
    def read(cls, folder: Path) -> Judged:
        """Read a run.

        Raises
        ------
        DataError
            If it is not finished.
        InputError
            If an axilla is tested more than once.
        """
        layout = Layout(folder)
        state, _ = run_state(folder)
        if state != FINISHED or not layout.predictions.is_file():
            raise DataError(f"found {folder} is {state}, expected a finished run; give its `usdlr run` command again")
        predictions = tables.PREDICTIONS.read(layout.predictions)
        tested = predictions[predictions["split"] == str(Split.TEST)]
        labels = axilla_labels(tables.CASES.read(layout.cases), _data(layout))
        axillae = {}
        for stage in Stage:
            rows = tested[tested["stage"] == str(stage)]
            scored = by_axilla(rows, ("fold", "probability"), f"test predictions of {folder}")
            known = by_axilla(labels.assign(label=stage_labels(labels, stage)), ("label",), f"labels of {folder}")
            axillae[stage] = scored.join(known, how="left", validate="one_to_one")
        splits = tables.SPLITS.read(layout.splits).sort_values(["fold", "patient_id"], kind="stable")
        return cls(folder, axillae, table_hash(splits.reset_index(drop=True)))


def require_comparable(run: Judged, against: Judged) -> None:
    """Refuse two runs that did not test the same axillae with the same outcomes in the same splits.

    Raises
    ------
    DataError
        With counts; patients are not named.
    """
    for stage in Stage:
        first, second = run.axillae[stage], against.axillae[stage]
        if not first.index.equals(second.index):
            absent, extra = len(second.index.difference(first.index)), len(first.index.difference(second.index))
            raise DataError(
                f"found {len(first)} test axillae in {run.folder} and {len(second)} in {against.folder} ({absent} "
                f"absent, {extra} extra), expected the same ones: both runs have to answer for every axilla; compare "
                "runs of one cohort"
            )
        if not first["label"].equals(second["label"]):
            raise DataError(
                f"found other {stage} outcomes of the same test axillae in {run.folder} than in {against.folder}, "
                "expected the same; compare runs with the same endpoints"
            )
    if run.splits != against.splits:
        raise DataError(
            f"found other splits in {run.folder} than in {against.folder}, expected the same patients in the same "
            "parts of every fold; compare runs with equal splits and seed"
        )


def paired_difference(run: Judged, against: Judged, stage: Stage) -> Estimate:
    """AUC of ``run`` minus AUC of ``against`` on the same test axillae, with DeLong's paired 95 % interval.

    Parameters
    ----------
    run, against : Judged
        Finished runs of the same cohort, the same outcomes and the same splits.
    stage : Stage
        Which question.

    Raises
    ------
    DataError
        If they are not; see :func:`require_comparable`.

    References
    ----------
    See :mod:`usdlr.evaluation.delong`.
    """
    require_comparable(run, against)
    first, second = run.axillae[stage], against.axillae[stage]
    return metrics.delong_difference(first["label"], first["probability"], second["probability"])


def with_differences(table: pd.DataFrame, against: Path) -> pd.DataFrame:
    """A table of runs with each one's paired difference to one run.

    Parameters
    ----------
    table : DataFrame
        From :func:`usdlr.experiment.runs.runs_table`.
    against : Path
        The run that the others are compared with.

    Returns
    -------
    DataFrame
        With ``{stage}_difference``, ``_low``, ``_high``, and ``not_compared``: why a run has none.

    Raises
    ------
    DataError
        If ``against`` is not one finished run, or no other run of the table can be compared with it.
    """
    if find_runs([against]) != [against]:
        raise DataError(f"found several runs below {against}, expected the folder of one run; name one of them")
    own, rows, others = against.resolve(), [], 0
    reference = Judged.read(against)
    for name in table["folder"]:
        folder = Path(str(name))
        row: dict[str, float | str | None] = dict.fromkeys(_DIFFERENCES)
        if folder.resolve() == own:
            row["not_compared"] = "the run itself"
        else:
            others += 1
            try:
                run = Judged.read(folder)
                for stage in Stage:
                    found = paired_difference(run, reference, stage)
                    for key, value in (("", found.value), ("_low", found.low), ("_high", found.high)):
                        row[f"{stage}_difference{key}"] = value
            except InputError as error:
                row["not_compared"] = str(error)
        rows.append(row)
    added = pd.DataFrame(rows, index=table.index, columns=list(_DIFFERENCES))
    refused = [str(row["not_compared"]) for row in rows if row["not_compared"] not in (None, "the run itself")]
    if refused and len(refused) == others:
        raise DataError(refused[0])
    return pd.concat([table, added], axis=1)


_DIFFERENCES = (
    *(f"{stage}_difference{end}" for stage in Stage for end in ("", "_low", "_high")),
    "not_compared",
)


def _data(layout: Layout) -> DataSettings:
    """The endpoints of a run; the rest of its data settings does not matter here."""
    content = yaml.safe_load(layout.config.read_text(encoding="utf-8"))["data"]
    return DataSettings(
        centre=content["centre"],
        sln=EndpointSettings(**content["sln"]),
        nsln=EndpointSettings(**content["nsln"]),
    )
