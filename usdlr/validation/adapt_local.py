"""Local patients in their parts: whatever is fitted on one of them sees that part's rows and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import write_json
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows
from usdlr.core.types import OnUncertified, Split, Stage
from usdlr.decision.calibration import Calibrator, LineCalibrator, RecalibratedCalibrator, VennAbersCalibrator
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.thresholds import build_path, fit_contract
from usdlr.decision.uncertainty import LogitInterval
from usdlr.evaluation.alignment import endpoint_counts
from usdlr.inference.bundle import Bundle
from usdlr.inference.calibrated import calibrated_rows
from usdlr.inference.member import CONTRACT, certified_hash
from usdlr.inference.predictor import Prepared, cascade_scores
from usdlr.inference.sites import is_tumour
from usdlr.inference.stage import StageModel
from usdlr.inference.strata import axilla_strata
from usdlr.inference.views import averaged_views
from usdlr.validation.adapt_compare import before_and_after, untouched
from usdlr.validation.adapt_head import FineTuned, fine_tune
from usdlr.validation.adapt_settings import (
    FEWEST_RECALIBRATION,
    FOLD,
    NO_CHANGE,
    RECALIBRATIONS,
    AdaptSettings,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class LocalPatients:
    """Local patients, their parts, and what is fitted on each; every fit takes its own part's rows and no others."""

    def __init__(
        self, parent: Bundle, prepared: Prepared, labels: pd.DataFrame, split: pd.Series, settings: AdaptSettings
    ) -> None:
        self.parent, self.prepared, self.labels, self.split, self.settings = parent, prepared, labels, split, settings
        self.of_axilla = split.loc[list(labels["patient_id"].astype(str))].to_numpy(dtype=object)
        of_image = split.loc[list(prepared.cases["patient_id"].astype(str))].to_numpy(dtype=object)
        tumour = np.asarray(is_tumour(prepared.cases), dtype=bool)
        self.images = {part: prepared.cases["image_id"][(of_image == str(part)) & tumour] for part in Split}
        self._of_image = of_image

    def truth(self, stage: Stage) -> Floats:
        """The stage's labels, (axillae,): at the NSLN stage those of SLN-positive axillae."""
        known = self.labels[str(stage)].astype("float64")
        found = known if stage is Stage.SLN else known.where(self.labels["sln"] == 1)
        return np.asarray(found, dtype=np.float64)

    def rows(self, use: Bools) -> Rows:
        """Whose axillae some rows are."""
        return Rows.of(self.labels["patient_id"][use], self.of_axilla[use])

    def image_rows(self, part: Split) -> Rows:
        """Whose images of the tumour a part holds."""
        chosen = self.prepared.cases["image_id"].isin(set(self.images[part])).to_numpy()
        return Rows.of(self.prepared.cases["patient_id"][chosen], self._of_image[chosen])

    def predict(self, model: StageModel) -> pd.DataFrame:
        """Raw log-odds and shares of every local axilla, in the order of the labels."""
        preparation, prepared = self.parent.preparation, self.prepared
        raw = model.predict_axillae(
            prepared.cases,
            prepared.store,
            prepared.design,
            preparation.batch_size,
            views=averaged_views(preparation.views),
        )
        return self.labels[AXILLA_KEY].merge(raw, on=AXILLA_KEY, how="left", validate="one_to_one")

    def fine_tune(self, stage: Stage, model: StageModel) -> FineTuned:
        """The stage's last layer fitted again on the adaptation part."""
        use = self._known(stage)
        keys = self.labels[AXILLA_KEY][use]
        cases = self.prepared.cases.merge(keys, on=AXILLA_KEY, how="inner")
        order = cases[AXILLA_KEY].drop_duplicates()
        truth = order.merge(keys.assign(y=self.truth(stage)[use]), on=AXILLA_KEY, validate="one_to_one")
        found = fine_tune(
            model,
            cases,
            self.prepared.store,
            self.prepared.design,
            truth["y"].to_numpy(np.float64),
            rows=Rows.of(truth["patient_id"], [str(Split.TUNING)] * len(truth)),
            batch_size=self.parent.preparation.batch_size,
            seed=derive_seed(self.settings.seed, "fine tuning", stage),
        )
        aligned = keys.merge(order.assign(z=found.held_out), on=AXILLA_KEY, validate="one_to_one")["z"]
        return replace(found, held_out=aligned.to_numpy(np.float64))

    def recalibrate(
        self, stage: Stage, raw: Floats, held_out: Floats | None
    ) -> tuple[Calibrator, LogitInterval, dict[str, Any]]:
        """The new map behind the old one, how sure it is, and what was done in plain words."""
        old, interval = self.parent.member.calibrators[stage], self.parent.member.intervals[stage]
        use, kind = self._known(stage), self.settings.recalibrate
        y, rows = self.truth(stage)[use], self.rows(use)
        told: dict[str, Any] = {"kind": kind, "positive": int((y == 1).sum()), "negative": int((y == 0).sum())}
        x = raw[use] if held_out is None else held_out
        # The parent's holds among the parent's patients and for its own scores; here it holds of local ones or nobody.
        both = len(np.unique(y)) == 2
        interval = replace(interval, venn_abers=VennAbersCalibrator().fit(x, y, rows=rows) if both else None)
        if kind == NO_CHANGE:
            return old, interval, told
        patient = np.asarray(rows.patient_id, dtype=object)
        fewest = min(len(set(patient[y == label].tolist())) for label in (0, 1))
        if fewest < FEWEST_RECALIBRATION[kind]:
            why = (
                f"{fewest} patients in the rarer class of the adaptation part, fewer than the "
                f"{FEWEST_RECALIBRATION[kind]} that {kind} asks for"
            )
            return old, interval, {**told, "kind": NO_CHANGE, "why": why}
        found = RecalibratedCalibrator(old, RECALIBRATIONS[kind]()).fit(x, y, rows=rows)
        if isinstance(found.after_, LineCalibrator):
            told |= {"slope": found.after_.slope_, "intercept": found.after_.intercept_}
        return found, _interval(interval, old, found, x), told

    def stage(
        self,
        stage: Stage,
        model: StageModel,
        calibrator: Calibrator,
        interval: LogitInterval,
        raw: pd.DataFrame,
        held_out: Floats | None = None,
    ) -> pd.DataFrame:
        """Rows of ``predictions``; adaptation rows of a fine-tuned stage are scored by models that did not see them."""
        scored = raw
        if held_out is not None:
            scored = raw.copy()
            use = self._known(stage)
            scored.loc[use, "logit"] = held_out
        rows = calibrated_rows(
            scored, calibrator, interval, stage=stage, fold=FOLD, split=self.split, model_id=model.model_id
        )
        return rows

    def certify(self, after: Mapping[Stage, pd.DataFrame], member: Path) -> Contract:
        """The contract of the adapted model: a path of the adaptation part, thresholds of the calibration part."""
        tuning, calibration = (self.of_axilla == str(part) for part in (Split.TUNING, Split.CALIBRATION))

        def columns(use: Bools) -> list[Floats]:
            return [
                values[use]
                for stage in Stage
                for values in (after[stage]["probability"].to_numpy(np.float64), self._label(stage))
            ]

        path = build_path(*columns(tuning), rows=self.rows(tuning), settings=self.settings.contract)
        fitted = fit_contract(
            path,
            *columns(calibration),
            rows=self.rows(calibration),
            settings=self.settings.contract,
            seen=self.rows(tuning).patients,
        )
        # Whatever changes a probability after this line voids the contract; a bundle refuses to load then.
        bound = certified_hash(member, self.parent.preparation.as_dict())
        contract = replace(fitted.contract, certified_for=bound)
        write_json(member / CONTRACT, contract.to_dict())
        return contract

    def compared(
        self, before: Mapping[Stage, pd.DataFrame], after: Mapping[Stage, pd.DataFrame], contract: Contract
    ) -> dict[str, Any]:
        """Both models on the untouched part, whatever their thresholds promise."""
        use = (self.of_axilla == str(Split.TEST)) & self.labels["sln"].notna().to_numpy()
        keys = self.labels[use].reset_index(drop=True)
        judged = []
        old = self.parent.member.contract.void()
        for stages, reached in ((before, old), (after, contract)):
            rows = untouched(pd.concat(list(stages.values()), ignore_index=True), keys)
            scores = cascade_scores(rows)
            strata = None if reached.strata is None else axilla_strata(self.prepared.cases, scores, reached.strata)
            decided = decide(scores, reached, on_uncertified=OnUncertified.ZERO_MISS, strata=strata)
            judged.append((rows, decided))
        fitted = frozenset(map(str, self.split.index[self.split.isin([str(Split.TUNING), str(Split.CALIBRATION)])]))
        return {"untouched": before_and_after(judged[0], judged[1], keys, fitted_on=fitted)}

    def counts(self) -> dict[str, Any]:
        """Patients, axillae and positives by part."""
        found = {}
        for part, name in ((Split.TUNING, "adaptation"), (Split.CALIBRATION, "calibration"), (Split.TEST, "test")):
            mine = self.labels[self.of_axilla == str(part)]
            patients = int(mine["patient_id"].nunique())
            found[name] = {"patients": patients, "axillae": len(mine), **endpoint_counts(mine)}
        return found

    def _label(self, stage: Stage) -> Floats:
        return self.labels[str(stage)].to_numpy(np.float64)

    def _known(self, stage: Stage) -> Bools:
        return np.asarray((self.of_axilla == str(Split.TUNING)) & np.isfinite(self.truth(stage)), dtype=np.bool_)


def _interval(interval: LogitInterval, old: Calibrator, found: RecalibratedCalibrator, raw: Floats) -> LogitInterval:
    """How sure the parent's map is, as far as the new one rests on it.

    A new slope takes the place of the old one with all its uncertainty. A mere shift keeps the old slope: what is open
    about it turns about the middle of the local patients, at which the shift was fitted.
    """
    keeps_slope = isinstance(found.after_, LineCalibrator) and not found.after_.free_slope
    if not keeps_slope or not isinstance(old, LineCalibrator):
        return replace(interval, covariance=((0.0, 0.0), (0.0, 0.0)))
    variance, middle = interval.covariance[0][0], float(raw.mean())
    corner = -variance * middle
    return replace(interval, covariance=((variance, corner), (corner, variance * middle**2)))
