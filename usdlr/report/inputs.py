"""What a study report is made from, and the rows behind each of its curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from usdlr.core.errors import TableError
from usdlr.core.tables import DECISIONS, EXCLUSIONS, PREDICTIONS
from usdlr.core.types import ContractStatus, RiskGroup, Split, Stage
from usdlr.decision.numbers import Estimate
from usdlr.decision.wording import known_nsln, standing_mark
from usdlr.radiomics.selection.frequency import SelectionFrequency
from usdlr.report.figures_heatmap import HeatCase
from usdlr.report.figures_nomogram import NomogramLike
from usdlr.report.gallery import GalleryCase
from usdlr.report.tables import CEILINGS, Marks

AXILLA = ["patient_id", "side"]
LABEL_COLUMNS = (*AXILLA, "sln", "nsln")
LOSS_COLUMNS = ("stage", "fold", "network", "epoch", "train", "tuning")
SCORE_COLUMNS = (*AXILLA, "stage", "fold", "score", "name")

_STAGE_KEYS = (
    "auc",
    "auc_mean_over_folds",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "brier",
    "calibration_slope",
    "calibration_intercept",
)
_CONTRACT_KEYS = (
    "alpha.sln",
    "alpha.nsln",
    "delta",
    "status",
    "required_positives.sln",
    "required_positives.nsln",
    "t_sln",
    "t_nsln",
    "positives.sln",
    "positives.nsln",
    "misses.sln",
    "misses.nsln",
    "p_value",
)
REQUIRED = (
    "experiment",
    "question",
    "simulated",
    "proxies.sln",
    "proxies.nsln",
    *(f"endpoints.{stage}.{key}" for stage in Stage for key in ("column", "positive")),
    *(f"cohort.{key}" for key in ("centres", "image_sets", "patients", "axillae", "excluded", "exclusions")),
    *(f"cohort.{stage}.{key}" for stage in Stage for key in ("positive", "negative", "unknown")),
    *(f"stages.{stage}.{key}" for stage in Stage for key in _STAGE_KEYS),
    *(
        f"cascade.{key}"
        for key in (
            "fnr_sln",
            "fnr_nsln",
            "defer_rate",
            "defer_rate_sln_positive",
            "defer_rate_nsln_positive",
            "verified_share",
            "folds",
        )
    ),
    *(
        f"cascade.groups.{group}.{key}"
        for group in RiskGroup
        for key in ("n", "sln_positive", "sln_unknown", "nsln_positive", "nsln_unknown")
    ),
    *(f"cascade.contract.{key}" for key in _CONTRACT_KEYS),
    "baselines",
    "references.sentinel_biopsy_fnr",
    "references.axillary_dissection_fnr",
)


@dataclass(frozen=True)
class StudyInputs:
    """Everything a study report shows.

    Parameters
    ----------
    metrics : mapping
        The content of ``metrics.json``.
    predictions : DataFrame
        :data:`usdlr.core.tables.PREDICTIONS`; the rows of split ``test`` are used.
    decisions : DataFrame
        :data:`usdlr.core.tables.DECISIONS`, one out-of-fold row per axilla.
    labels : DataFrame
        ``patient_id, side, sln, nsln``; 1 positive, 0 negative, NaN unknown.
    exclusions : DataFrame
        :data:`usdlr.core.tables.EXCLUSIONS`.
    baselines : DataFrame
        ``patient_id, side, stage, fold, score, name``: out-of-fold scores, higher means more suspicious.
    gallery : sequence of GalleryCase
        Cases to show; they carry a number, never a patient id.
    provenance : mapping
        As of :meth:`usdlr.core.provenance.Provenance.as_dict`.
    config_yaml : str
        The resolved configuration.
    selection : mapping of str to SelectionFrequency
        How often each feature was chosen, by ``folds-{stage}`` and ``bootstraps-{stage}``; what is absent is not shown.
    nomograms : mapping of str to nomogram
        Of the signature baseline by stage, to be drawn; may be empty.
    readouts : mapping of str to nomogram
        Of the model's own signature readout by stage; empty where its networks' logits are read.
    heat_maps : sequence of HeatCase
        Where the shipped networks looked in tuning axillae; may be empty.
    axillae : DataFrame
        What is known of each tested axilla before surgery and after it, as of
        :func:`usdlr.inference.axillae.axilla_table`; empty where nobody asked for it.
    losses : DataFrame
        :data:`LOSS_COLUMNS`: losses of every fit by epoch, in nat per axilla as the loss of the configuration weighs
        them; empty where no log is there.

    Raises
    ------
    TableError
        If ``metrics`` lacks a path, or a table a column.
    """

    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    decisions: pd.DataFrame
    labels: pd.DataFrame
    exclusions: pd.DataFrame
    baselines: pd.DataFrame
    gallery: Sequence[GalleryCase]
    provenance: Mapping[str, Any]
    config_yaml: str
    selection: Mapping[str, SelectionFrequency] = field(default_factory=dict)
    nomograms: Mapping[str, NomogramLike] = field(default_factory=dict)
    readouts: Mapping[str, NomogramLike] = field(default_factory=dict)
    heat_maps: Sequence[HeatCase] = ()
    axillae: pd.DataFrame = field(default_factory=pd.DataFrame)
    losses: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(LOSS_COLUMNS)))

    def __post_init__(self) -> None:
        missing = [path for path in REQUIRED if not _present(self.metrics, path)]
        if missing:
            raise TableError(
                f"metrics: found no {missing[0]} ({len(missing)} paths missing in all), expected it for the study "
                "report; evaluate the experiment again with this version of usdlr"
            )
        tables = (
            ("predictions", self.predictions, (*PREDICTIONS.key, "split", "probability")),
            ("decisions", self.decisions, (*DECISIONS.key, "risk_group")),
            ("labels", self.labels, LABEL_COLUMNS),
            ("exclusions", self.exclusions, (*EXCLUSIONS.key, "patient_id", "sentence")),
            ("baselines", self.baselines, SCORE_COLUMNS),
        )
        for name, table, columns in tables:
            for column in columns:
                if column not in table.columns:
                    raise TableError(f"{name}: found no column {column!r}, expected {', '.join(columns)}; add it")
        if self.labels.duplicated(AXILLA).any():
            raise TableError("labels: found an axilla twice, expected one row per patient and side; pool them first")

    @property
    def contract(self) -> Mapping[str, Any]:
        """The bundle's false-negative contract."""
        contract: Mapping[str, Any] = self.metrics["cascade"]["contract"]
        return contract

    @property
    def uncertified(self) -> bool:
        """Whether the bundle's contract is not certifiable."""
        return bool(self.contract["status"] != ContractStatus.CERTIFIED)

    @property
    def proxies(self) -> dict[Stage, str]:
        """The sentence of each endpoint that is a stand-in."""
        return {stage: str(self.metrics["proxies"][stage]) for stage in Stage if self.metrics["proxies"][stage]}

    @property
    def marks(self) -> Marks:
        """What every title and caption must carry."""
        folds = [
            part["status"]
            for one in self.metrics["cascade"]["folds"].values()
            for part in (one["by_stratum"].values() if one.get("strata") else (one,))
        ]
        word = standing_mark(self.contract["status"], folds)
        return Marks(bool(self.metrics["simulated"]), bool(self.proxies), bool(word), word)

    @property
    def relative_diameter(self) -> float | None:
        """Units across every lesion where lengths are relative to it; ``None``: millimetres."""
        found = self.metrics["cohort"].get("relative_diameter")
        return None if found is None else float(found)

    @property
    def known_nsln(self) -> str:
        """Whom every statement about NSLN status is about."""
        return known_nsln(proxy=Stage.NSLN in self.proxies)

    def positive(self, stage: Stage) -> str:
        """The words for a stage's positive class, e.g. ``"sentinel node positive"``."""
        return str(self.metrics["endpoints"][stage]["positive"])

    def stage_rows(self, stage: Stage) -> pd.DataFrame:
        """The model's test rows with known status.

        Returns
        -------
        DataFrame
            ``patient_id``, ``truth`` (1 positive, 0 negative) and ``score``; the NSLN stage holds SLN-positive axillae
            only.
        """
        rows = self.predictions[(self.predictions["stage"] == stage) & (self.predictions["split"] == Split.TEST)]
        return self._with_truth(rows.rename(columns={"probability": "score"}), stage)

    def baseline_rows(self, stage: Stage) -> Iterator[tuple[str, pd.DataFrame]]:
        """Name and rows, as of :meth:`stage_rows`, of each baseline in the order of ``metrics``."""
        for name in self.metrics["baselines"]:
            rows = self.baselines[(self.baselines["stage"] == stage) & (self.baselines["name"] == name)]
            yield str(name), self._with_truth(rows.dropna(subset=["score"]), stage)

    def baseline_title(self, name: str) -> str:
        """The words a figure uses for a baseline."""
        return str(self.metrics["baselines"][name].get("title") or name)

    def ceilings(self, stage: Stage) -> Iterator[tuple[str, Mapping[str, Estimate]]]:
        """Label and estimates of limit and oracle, where the cohort is simulated; nothing for real patients."""
        for name, label, _ in CEILINGS:
            if name in self.metrics:
                yield label, self.metrics[name]["stages"][stage]

    def share_of_limit(self, stage: Stage) -> Estimate | None:
        """The model's share of the way from chance to the limit, where there is one."""
        share: Estimate | None = self.metrics["stages"][stage].get("share_of_limit")
        return share

    def _with_truth(self, rows: pd.DataFrame, stage: Stage) -> pd.DataFrame:
        joined = rows.merge(self.labels[list(LABEL_COLUMNS)], on=AXILLA, how="inner", validate="many_to_one")
        known = joined[stage].notna()
        if stage is Stage.NSLN:
            known &= joined["sln"] == 1
        kept = joined[known]
        return pd.DataFrame(
            {
                "patient_id": kept["patient_id"].to_numpy(),
                "truth": kept[stage].to_numpy(float),
                "score": kept["score"].to_numpy(float),
            }
        )


def _present(metrics: Mapping[str, Any], path: str) -> bool:
    node: Any = metrics
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True
