"""Terms of a score that is written down by hand: what each column adds, and what would move it across a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from tests.inference.made_scores import CENTRE, SPREAD, TIMES, WEIGHT, by_hand, linear_stage
from tests.inference.made_stage import COLUMNS, NETWORK, Cohort, made_cohort, made_model
from usdlr.decision.calibration import Calibrator, calibrator_from_dict
from usdlr.decision.explanation import ABSENCE, BY_STRATUM, NO_THRESHOLD, SIZE, UNKNOWN, Change
from usdlr.inference.explain_blocks import design_blocks
from usdlr.inference.explain_changes import changes
from usdlr.inference.explain_probe import Probe
from usdlr.inference.explain_terms import NO_SCORE, NOT_A_SUM, family_sums, table_terms
from usdlr.inference.stage import prepare_torch
from usdlr.radiomics.settings import RadiomicsSettings

SIZE_COLUMN = "clinical.tumour_size_mm"


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    prepare_torch(1)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    made = made_cohort(6)
    cases = made.cases.assign(site="tumour", side="left")
    size = made.design.groupby(cases["patient_id"].to_numpy())[SIZE_COLUMN].transform("first")
    return Cohort(cases, made.store, made.design.assign(**{SIZE_COLUMN: size}))


def probe_of(cohort: Cohort, patient: str, size_mm: float | None = None) -> Probe:
    rows = cohort.cases[cohort.cases["patient_id"] == patient]
    design = cohort.design if size_mm is None else cohort.design.assign(**{SIZE_COLUMN: size_mm})
    return Probe(linear_stage(cohort), rows, cohort.store, design)


def identity() -> Calibrator:
    return calibrator_from_dict({"kind": "platt", "prior_strength": 1.0, "slope": 1.0, "intercept": 0.0})


@pytest.mark.parametrize("patient", ["p0", "p1", "p3"])  # two images; one; one without a map
def test_terms_are_weights_times_distance_from_the_mean(cohort: Cohort, patient: str) -> None:
    probe = probe_of(cohort, patient)
    found = table_terms(probe, RadiomicsSettings())
    by_column = {term.column: term for term in found.terms}
    values = probe.design
    for name in COLUMNS:
        own = values[name].to_numpy()
        if not np.isfinite(own).all():
            assert name not in by_column or by_column[name].adds == 0
            continue
        expected = TIMES[name] * WEIGHT[name] * np.mean((own - CENTRE[name]) / SPREAD[name])
        assert by_column[name].adds == pytest.approx(expected, abs=1e-6)
        assert by_column[name].value == pytest.approx(own.mean())
        assert by_column[name].usual == CENTRE[name]
    assert found.total == pytest.approx(np.mean([by_hand(row) for row in values.to_dict("records")]), abs=1e-6)
    assert found.total == pytest.approx(float(probe.logits([values])[0]), abs=1e-6)
    assert sum(one.adds for one in family_sums(found.terms)) == pytest.approx(found.total)


def test_words_carry_units(cohort: Cohort) -> None:
    words = {term.column: term.words for term in table_terms(probe_of(cohort, "p1"), RadiomicsSettings()).terms}
    assert words[SIZE_COLUMN] == "tumour size (mm)"
    assert words[COLUMNS[1]] == "elastography, inside the lesion: mean stiffness (kPa)"


def test_scores_that_the_networks_take_over_in_part(cohort: Cohort) -> None:
    probe = probe_of(cohort, "p1")
    for network, scale in zip(probe.model.networks, (0.5, 1.0), strict=True):
        network.score_scale.data.fill_(scale)
    half = table_terms(probe, RadiomicsSettings()).total
    assert half == pytest.approx(0.75 * by_hand(probe.design.iloc[0].to_dict()), abs=1e-6)


def test_where_nothing_can_be_told() -> None:
    cohort = made_cohort(4)
    rows = cohort.cases[cohort.cases["patient_id"] == "p0"]
    plain = Probe(made_model(cohort, NETWORK), rows, cohort.store, cohort.design)
    assert table_terms(plain, RadiomicsSettings()).reason == NO_SCORE
    bent = Probe(linear_stage(cohort), rows, cohort.store, cohort.design)
    bent.model = replace(bent.model, target=1)
    assert table_terms(bent, RadiomicsSettings()).reason == NOT_A_SUM
    assert table_terms(bent, RadiomicsSettings()).total is None


def searched(probe: Probe, threshold: float, *, by_stratum: str | None = None) -> dict[str, Change]:
    found = changes(
        probe,
        identity(),
        threshold,
        clinical=["tumour_size_mm"],
        sets=design_blocks(probe.blocks),
        by_stratum=by_stratum,
    )
    return {one.name: one for one in found}


@pytest.mark.parametrize("shift", [-1.1, -0.3, 0.3, 1.1])
def test_the_nearest_size_that_crosses(cohort: Cohort, shift: float) -> None:
    """The log-odds are linear in size: where they cross is known, and the value told is the next tenth beyond."""
    probe = probe_of(cohort, "p1", 20.0)
    now = float(probe.logits([probe.design])[0])
    slope = TIMES[SIZE_COLUMN] * WEIGHT[SIZE_COLUMN] / SPREAD[SIZE_COLUMN]
    crossing = 20.0 + shift / slope
    one = searched(probe, float(expit(now + shift)))["tumour_size_mm"]
    assert (one.kind, one.found, one.crosses) == (SIZE, 20.0, True)
    assert one.needed is not None
    assert abs(one.needed - crossing) <= 0.1 + 1e-9
    assert (one.needed - crossing) * shift >= -1e-6
    assert one.needed == round(one.needed, 1)
    assert one.probability is not None
    assert logit(one.probability) == pytest.approx(now + slope * (one.needed - 20.0), abs=1e-5)


def test_nothing_within_the_range(cohort: Cohort) -> None:
    """Five standard deviations count no further: no size can add more than 6.25 nat."""
    probe = probe_of(cohort, "p1", 20.0)
    now = float(probe.logits([probe.design])[0])
    one = searched(probe, float(expit(now + 6.5)))["tumour_size_mm"]
    assert not one.crosses
    assert (one.low, one.high, one.step, one.needed) == (2.0, 100.0, 0.5, None)


def test_what_is_not_searched_says_why(cohort: Cohort) -> None:
    probe = probe_of(cohort, "p1", 20.0)
    assert {one.unsearched for one in searched(probe, 0.0).values()} == {NO_THRESHOLD}
    assert searched(probe, 0.3, by_stratum="tumour_size_mm")["tumour_size_mm"].unsearched == BY_STRATUM
    unknown = searched(probe_of(cohort, "p1", float("nan")), 0.3)["tumour_size_mm"]
    assert (unknown.unsearched, unknown.found) == (UNKNOWN, None)


def test_absences(cohort: Cohort) -> None:
    """Images add nothing here, the table everything; without elastography the other pattern's model answers."""
    probe = probe_of(cohort, "p1")
    now = float(probe.logits([probe.design])[0])
    found = searched(probe, float(expit(now / 2)))
    assert found["radiomics"].crosses
    assert found["radiomics"].probability == pytest.approx(0.5, abs=1e-6)
    assert not found["bmode.intratumoral"].crosses
    assert found["bmode.intratumoral"].kind == ABSENCE
    bare = {
        name: value for name, value in probe.design.iloc[0].to_dict().items() if not str(name).startswith("elasto.")
    }
    assert found["elasto"].probability == pytest.approx(expit(by_hand(bare)), abs=1e-6)
    assert "elasto" not in searched(probe_of(cohort, "p3"), 0.3)
    assert "elasto.intratumoral" not in searched(probe_of(cohort, "p3"), 0.3)
