"""The parts of an adaptation on made-up patients: who goes where, planted shifts taken out, a layer that learns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.inference.made_stage import COLUMNS, made_cohort, made_model
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.core.types import Site, Stage
from usdlr.decision.calibration import PlattCalibrator
from usdlr.decision.settings import ContractSettings
from usdlr.decision.uncertainty import LogitInterval
from usdlr.validation import adapt_harmonise, adapt_head
from usdlr.validation.adapt_harmonise import development_moments, fit_harmonisation, harmonised
from usdlr.validation.adapt_head import fine_tune
from usdlr.validation.adapt_local import LocalPatients
from usdlr.validation.adapt_settings import AdaptSettings, local_splits


def labels(n: int = 200, seed: int = 1) -> pd.DataFrame:
    """Patients of whom every fifth has two axillae, a tenth an unknown status."""
    random = np.random.default_rng(seed)
    sln = (random.uniform(size=n) < 0.4).astype(float)
    nsln = np.where(sln == 1, (random.uniform(size=n) < 0.3).astype(float), np.nan)
    sln[random.uniform(size=n) < 0.1] = np.nan
    nsln[np.isnan(sln)] = np.nan
    one = pd.DataFrame({"patient_id": [f"p{k:03d}" for k in range(n)], "side": "left", "sln": sln, "nsln": nsln})
    return pd.concat([one, one.iloc[::5].assign(side="right")], ignore_index=True)


class TestSplit:
    def test_patients_are_whole_and_the_rare_ones_are_shared_out(self) -> None:
        table = labels()
        splits = local_splits(table, AdaptSettings())
        assert splits["patient_id"].is_unique
        joined = table[table["side"] == "left"].merge(splits, on="patient_id")
        known = joined[joined["sln"].notna()]
        # Dealt in proportion, no part is off by more than a patient within a class.
        for rows in (known, known[known["nsln"] == 1], known[known["sln"] == 0]):
            counts = rows["split"].value_counts()
            for part, share in (("tuning", 0.35), ("calibration", 0.35), ("test", 0.3)):
                assert abs(counts[part] - share * len(rows)) <= 2
        assert set(joined.loc[joined["sln"].isna(), "split"]) == {"tuning"}

    def test_the_order_of_the_rows_decides_nothing_and_the_seed_does(self) -> None:
        table = labels()
        one = local_splits(table, AdaptSettings())
        assert one.equals(local_splits(table.sample(frac=1, random_state=0), AdaptSettings()))
        assert not one.equals(local_splits(table, AdaptSettings(seed=1)))

    def test_too_few_are_refused(self) -> None:
        with pytest.raises(DataError, match="found 0 local patients with a known outcome"):
            local_splits(labels(5).assign(sln=np.nan, nsln=np.nan), AdaptSettings())

    @pytest.mark.parametrize(
        "wrong",
        [
            {"recalibrate": "lines"},
            {"fine_tune": ["both"]},
            {"fine_tune": ["sln"], "recalibrate": "none"},
            {"adaptation": 0.7, "calibration": 0.3},
            {"contract": ContractSettings(strata="centre")},
        ],
    )
    def test_settings_that_cannot_work(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError):
            AdaptSettings(**wrong)  # type: ignore[arg-type]  # wrong on purpose


class TestConformalInterval:
    @pytest.mark.parametrize("kind", ["none", "intercept"])
    @pytest.mark.parametrize(("positive", "n"), [(12, 60), (1, 60), (0, 60)])
    def test_it_is_of_local_patients_or_of_nobody(self, kind: str, positive: int, n: int) -> None:
        cohort = made_cohort(n)
        keys = cohort.cases[AXILLA_KEY].drop_duplicates().reset_index(drop=True)
        y = (np.arange(n) < positive).astype(float)
        split = pd.Series("tuning", index=keys["patient_id"].astype(str))
        # Among the parent's patients nearly everybody with such a score was positive.
        rows = Rows.of([f"old{k}" for k in range(40)], ["tuning"] * 40)
        theirs, known = np.linspace(-1, 3, 40), np.r_[0, 1, 0, 1, np.ones(36)]
        calibrator = PlattCalibrator().fit(theirs, known, rows=rows)
        interval = LogitInterval.fit(theirs, calibrator, {}, rows=rows, labels=known)
        member = SimpleNamespace(calibrators={Stage.SLN: calibrator}, intervals={Stage.SLN: interval})
        local = LocalPatients(
            SimpleNamespace(member=member),  # type: ignore[arg-type]  # what is read of a bundle
            SimpleNamespace(cases=cohort.cases.assign(site=str(Site.TUMOUR))),  # type: ignore[arg-type]  # and of prepared cases
            keys.assign(sln=y, nsln=np.nan),
            split,
            AdaptSettings(recalibrate=kind),
        )
        # All positives score below 2, so that isotonic regression pools everybody about it, whatever the label there:
        # the two Venn-Abers probabilities are k / (n + 1) and (k + 1) / (n + 1).
        raw = np.where(np.arange(n) < n // 2, 1.0, 3.0)
        _, found, _ = local.recalibrate(Stage.SLN, raw, None)
        stated = (positive + 0.5) / (n + 1)
        low, high = found.conformal([2.0], [stated])
        if positive == 0:
            assert np.isnan([low[0], high[0]]).all()
        else:
            assert (low[0], high[0]) == pytest.approx((positive / (n + 1), (positive + 1) / (n + 1)))
        assert interval.conformal([2.0], [stated])[1][0] > 0.9


class TestHarmonisation:
    cohort = made_cohort(60)
    model = made_model(cohort)
    textures = COLUMNS[:2]

    def rows(self, split: str = "tuning") -> Rows:
        return Rows.of(self.cohort.cases["patient_id"], [split] * len(self.cohort.cases))

    def test_a_planted_shift_and_spread_are_taken_out(self) -> None:
        local = self.cohort.design.copy()
        local[self.textures] = 30 + 2.5 * local[self.textures]
        found = fit_harmonisation(local, development_moments({Stage.SLN: self.model}), rows=self.rows())
        assert set(found.offset) == set(self.textures)
        before = self.model.selector.transform(self.cohort.design)
        raw = self.model.selector.transform(local)
        after = harmonised(self.model, found).selector.transform(local)
        # Shrinkage leaves a little; unharmonised, every value stands at the clip.
        assert np.abs(after - before).mean() < 0.1
        assert np.abs(raw - before).mean() > 1.0

    def test_the_same_patients_are_left_where_they_are(self) -> None:
        found = fit_harmonisation(self.cohort.design, development_moments({Stage.SLN: self.model}), rows=self.rows())
        before = self.model.selector.transform(self.cohort.design)
        after = harmonised(self.model, found).selector.transform(self.cohort.design)
        assert np.abs(after - before).mean() < 0.1

    def test_case_mix_is_not_harmonised(self) -> None:
        local = self.cohort.design.copy()
        local[COLUMNS[2]] += 40
        found = fit_harmonisation(local, development_moments({Stage.SLN: self.model}), rows=self.rows())
        assert COLUMNS[2] not in found.offset
        place = self.model.selector.columns_.index(COLUMNS[2])
        moved = harmonised(self.model, found).selector.transform(local)[:, place]
        assert moved == pytest.approx(self.model.selector.transform(local)[:, place])

    def test_a_constant_column_is_left_with_a_reason(self) -> None:
        local = self.cohort.design.assign(**{COLUMNS[0]: 7.0})
        with pytest.raises(DataError, match="no radiomics columns"):
            fit_harmonisation(local[[COLUMNS[0]]], development_moments({Stage.SLN: self.model}), rows=self.rows())
        found = fit_harmonisation(local, development_moments({Stage.SLN: self.model}), rows=self.rows())
        assert found.left[COLUMNS[0]] == "constant"

    def test_other_parts_and_too_few_patients_are_refused(self) -> None:
        moments = development_moments({Stage.SLN: self.model})
        with pytest.raises(LeakError):
            fit_harmonisation(self.cohort.design, moments, rows=self.rows("calibration"))
        few = self.cohort.cases["patient_id"].isin([f"p{k}" for k in range(adapt_harmonise.FEWEST_PATIENTS - 1)])
        rows = self.rows().take(few)
        with pytest.raises(DataError, match="expected at least 20"):
            fit_harmonisation(self.cohort.design[few.to_numpy()], moments, rows=rows)


class TestFineTuning:
    cohort = made_cohort(80)
    model = made_model(cohort, networks=1)

    def outcome(self, noise: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """What another weighing of the branches would call positive, and noise."""
        raw = self.model.predict_axillae(self.cohort.cases, self.cohort.store, self.cohort.design, 16)
        last = raw["contribution.radiomics"].to_numpy(float)
        random = np.random.default_rng(5)
        positive = -(last - last.mean()) / last.std() + noise * random.normal(size=len(last)) > 0
        return np.asarray(positive, dtype=np.float64)

    def tune(self, y: np.ndarray[tuple[int], np.dtype[np.float64]], split: str = "tuning") -> adapt_head.FineTuned:
        keys = self.cohort.cases[AXILLA_KEY].drop_duplicates()
        rows = Rows.of(keys["patient_id"], [split] * len(keys))
        cases, store, design = self.cohort.cases, self.cohort.store, self.cohort.design
        return fine_tune(self.model, cases, store, design, y, rows=rows, batch_size=16, seed=0)

    def test_a_branch_that_means_the_opposite_here_is_learnt(self) -> None:
        y = self.outcome(0.2)
        found = self.tune(y)
        assert found.record["changed"]
        raw = found.model.predict_axillae(self.cohort.cases, self.cohort.store, self.cohort.design, 16)
        # Held-out scores rank the patients; the old ones ranked them the wrong way round.
        held, old = (
            found.held_out,
            self.model.predict_axillae(self.cohort.cases, self.cohort.store, self.cohort.design, 16)["logit"].to_numpy(
                float
            ),
        )
        assert roc_auc_score(y, held) > roc_auc_score(y, old) + 0.2
        assert roc_auc_score(y, raw["logit"]) >= roc_auc_score(y, held)
        # Branches are untouched: what the last layer reads is the same.
        embed = [
            m.embed(self.cohort.cases, self.cohort.store, self.cohort.design, 16) for m in (self.model, found.model)
        ]
        pd.testing.assert_frame_equal(embed[0], embed[1])
        # Shares still add up, since the layer itself was changed.
        shares = [name for name in raw if str(name).startswith("contribution.")]
        assert raw[shares].sum(axis=1).to_numpy() == pytest.approx(raw["logit"].to_numpy(), abs=1e-6)

    def test_outcomes_by_chance_change_nothing(self) -> None:
        y = np.random.default_rng(0).permutation(np.arange(80) % 2).astype(float)
        found = self.tune(y)
        assert not found.record["changed"]
        assert found.model is self.model

    def test_a_calibration_patient_few_positives_and_a_readout_are_refused(self) -> None:
        y = (np.arange(80) % 2).astype(float)
        with pytest.raises(LeakError):
            self.tune(y, "calibration")
        few = np.zeros(80)
        few[: adapt_head.FEWEST_PATIENTS - 1] = 1
        with pytest.raises(DataError, match="found 24 positive"):
            self.tune(few)
        read = replace(self.model, readout=object())  # type: ignore[arg-type]  # any readout is refused unread
        with pytest.raises(ConfigError, match="signature"):
            TestFineTuning.tune(type("Other", (), {"cohort": self.cohort, "model": read})(), y)
