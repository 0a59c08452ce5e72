from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from tests.evaluation.pathway_rows import NAN, ROWS, D, tables
from usdlr.core.errors import InputError
from usdlr.evaluation.cascade import cascade_rates
from usdlr.evaluation.pathways import BY_RULE, OUTCOMES, Fate, Nodes, Way, pathways


def counts(outcome: dict[str, Any]) -> tuple[int, int, int, tuple[int, int]]:
    """Least, most, unknown, and the share's numerator and denominator."""
    share = outcome["share"]
    return outcome["least"]["events"], outcome["most"]["events"], outcome["unknown"], (share["events"], share["n"])


def fates(way: dict[str, Any]) -> dict[str, int]:
    return {name: entry["events"] for name, entry in way["fates"].items()}


def test_who_is_counted() -> None:
    found = pathways(*tables())
    assert found["axillae"] == {
        "n": 16,
        "sln_known": 14,
        "sln_unknown": 2,
        "patients": 12,
        "patients_with_two": 2,
        "sln_positive": 10,
        "nsln_unknown": 3,
        "needle_proven": None,
    }
    assert json.loads(json.dumps(found)) == found


def test_dissection_if_positive_counted_by_hand() -> None:
    way = pathways(*tables())["ways"][Way.CURRENT]
    assert fates(way) == {"no_surgery": 0, "biopsy_only": 4, "biopsy_and_dissection": 10, "undecided": 0}
    for name in OUTCOMES[:4]:
        assert counts(way[name])[:3] == (0, 0, 0)
    assert counts(way["nsln_negative_dissected"]) == (3, 6, 3, (3, 7))


def test_z0011_counted_by_hand() -> None:
    found = pathways(*tables())
    assert found["z0011"] == {
        "sln_positive": 10,
        "spared": 3,
        "dissected": 4,
        "undecided": 3,
        "lacking": {"sln_positive_count": 2, "cn_stage": 1, "tumour_size_mm": 1},
    }
    way = found["ways"][Way.Z0011]
    assert fates(way) == {"no_surgery": 0, "biopsy_only": 4 + 3, "biopsy_and_dissection": 4, "undecided": 3}
    assert counts(way["biopsies_spared"]) == (0, 0, 0, (0, 14))
    assert counts(way["dissections_spared"]) == (3, 6, 3, (3, 7))
    assert counts(way["sln_positive_without_surgery"]) == (0, 0, 0, (0, 10))
    assert counts(way["nsln_positive_undissected"]) == (2, 5, 3, (2, 3))
    assert counts(way["nsln_negative_dissected"]) == (2, 5, 3, (2, 3))


def test_the_cascade_counted_by_hand() -> None:
    way = pathways(*tables())["ways"][Way.CASCADE]
    assert fates(way) == {"no_surgery": 3, "biopsy_only": 6, "biopsy_and_dissection": 5, "undecided": 0}
    assert counts(way["biopsies_spared"]) == (3, 3, 0, (3, 14))
    assert counts(way["dissections_spared"]) == (5, 5, 0, (5, 10))
    assert counts(way["sln_positive_without_surgery"]) == (2, 2, 0, (2, 10))
    assert counts(way["nsln_positive_undissected"]) == (2, 4, 2, (2, 4))
    assert counts(way["nsln_negative_dissected"]) == (2, 3, 1, (2, 4))
    assert way["cells"]["no_surgery"] == {
        "sln_negative": 1,
        "sln_positive_nsln_negative": 0,
        "sln_positive_nsln_positive": 1,
        "sln_positive_nsln_unknown": 1,
    }


def test_what_a_share_leaves_out_counted_by_hand() -> None:
    # p01, p06 and p12 have no NSLN status (Z0011 dissects p06); p08, p10 and p12 are open under Z0011,
    # of whom p08 is NSLN positive.
    ways = pathways(*tables())["ways"]
    left = {str(way): {name: ways[way][name]["left_out"] for name in OUTCOMES} for way in Way}
    assert left[Way.CASCADE] == dict(zip(OUTCOMES, (0, 0, 0, 3, 1), strict=True))
    assert left[Way.Z0011] == dict(zip(OUTCOMES, (0, 3, 0, 4, 4), strict=True))
    assert left[Way.CURRENT]["nsln_negative_dissected"] == 3


@pytest.mark.parametrize("way", list(Way))
def test_every_axilla_has_one_fate(way: Way) -> None:
    found = pathways(*tables())
    cells = found["ways"][way]["cells"]
    assert sum(sum(part.values()) for part in cells.values()) == found["axillae"]["sln_known"] == 14
    assert [sum(cells[fate][state] for fate in Fate) for state in Nodes] == [4, 3, 4, 3]
    assert sum(fates(found["ways"][way]).values()) == 14


def test_misses_are_those_of_the_headline() -> None:
    decisions, labels, axillae = tables()
    way, rates = pathways(decisions, labels, axillae)["ways"][Way.CASCADE], cascade_rates(decisions, labels)
    for name, headline in (("sln_positive_without_surgery", "fnr_sln"), ("nsln_positive_undissected", "fnr_nsln")):
        assert counts(way[name])[3] == (rates[headline]["events"], rates[headline]["n"])


def test_shares_of_a_thousand_and_what_alpha_tolerates() -> None:
    found = pathways(*tables(), contract={"alpha": {"sln": 0.1, "nsln": 0.05}})
    assert found["ways"][Way.CASCADE]["dissections_spared"]["least"]["value"] == 5 / 14
    assert found["tolerated"] == {"sln": pytest.approx(0.1 * 10 / 14), "nsln": pytest.approx(0.05 * 4 / 14)}
    assert "tolerated" not in pathways(*tables())


def test_everything_deferred_is_dissection_if_positive() -> None:
    decisions, labels, axillae = tables()
    ways = pathways(decisions.assign(risk_group=D), labels, axillae)["ways"]
    assert ways[Way.CASCADE]["cells"] == ways[Way.CURRENT]["cells"]
    for name in OUTCOMES:
        assert counts(ways[Way.CASCADE][name]) == counts(ways[Way.CURRENT][name])


def test_nought_by_rule_is_certain_and_nought_by_chance_is_not() -> None:
    decisions, labels, axillae = tables()
    ways = pathways(decisions.assign(risk_group=D), labels, axillae)["ways"]
    rule, chance = (ways[way]["biopsies_spared"]["least"] for way in (Way.CURRENT, Way.CASCADE))
    assert (rule["value"], rule["low"], rule["high"], rule["method"]) == (0.0, 0.0, 0.0, BY_RULE)
    assert (chance["value"], chance["high"] > 0.2) == (0.0, True)


def test_items_that_nobody_recorded_leave_the_rule_open() -> None:
    decisions, labels, axillae = tables()
    nobody = {"sln_positive_count": 10, "cn_stage": 10, "tumour_size_mm": 10}
    for table in (None, pd.DataFrame(), axillae[["patient_id", "side"]]):
        found = pathways(decisions, labels, table)
        assert found["z0011"] | {"lacking": nobody} == found["z0011"]
        assert (found["z0011"]["spared"], found["z0011"]["dissected"], found["z0011"]["undecided"]) == (0, 0, 10)
        outcome = found["ways"][Way.Z0011]["dissections_spared"]
        assert counts(outcome) == (0, 10, 10, (0, 0))
        assert outcome["share"]["value"] is None
    # Without the counts of nodes, what is too large or clinically positive is still dissected.
    part = pathways(decisions, labels, axillae.drop(columns="sln_positive_count"))["z0011"]
    assert (part["spared"], part["dissected"], part["undecided"]) == (0, 3, 7)


def test_two_axillae_of_one_patient_are_not_two_patients() -> None:
    rows = [row for row in ROWS if row[0] not in ("p00", "p11")]
    twice = [row for row in rows for _ in range(2)]
    one, two = pathways(*tables(rows))["ways"], pathways(*tables(twice))["ways"]
    for way in Way:
        for name in OUTCOMES:
            for part in ("least", "most", "share"):
                single, double = one[way][name][part], two[way][name][part]
                assert (double["events"], double["n"]) == (2 * single["events"], 2 * single["n"])
                if single["n"]:
                    assert (double["low"], double["high"]) == pytest.approx((single["low"], single["high"]), abs=1e-12)


def test_one_class_and_nobody_known() -> None:
    decisions, labels, axillae = tables()
    way = pathways(decisions, labels.assign(sln=0, nsln=0), axillae, contract={"alpha": {"sln": 0.1, "nsln": 0.1}})
    assert way["ways"][Way.CASCADE]["dissections_spared"]["share"]["value"] is None
    assert fates(way["ways"][Way.CURRENT]) == fates(way["ways"][Way.Z0011])
    assert way["tolerated"] == {"sln": 0.0, "nsln": 0.0}
    way = pathways(decisions, labels.assign(sln=1, nsln=1), axillae)
    assert counts(way["ways"][Way.CURRENT]["nsln_negative_dissected"]) == (0, 0, 0, (0, 16))
    nobody = pathways(decisions, labels.assign(sln=NAN), axillae, contract={"alpha": {"sln": 0.1, "nsln": 0.1}})
    assert nobody["axillae"]["sln_known"] == 0
    assert nobody["tolerated"] == {"sln": None, "nsln": None}
    assert nobody["ways"][Way.CASCADE]["biopsies_spared"]["least"]["value"] is None


def test_needle_proven_axillae_are_named() -> None:
    decisions, labels, axillae = tables()
    reference = axillae["patient_id"].map({"p05": "needle", "p04": "slnb"})
    assert pathways(decisions, labels, axillae.assign(sln_reference=reference))["axillae"]["needle_proven"] == 1


def test_tables_that_do_not_fit_are_refused() -> None:
    decisions, labels, axillae = tables()
    with pytest.raises(InputError, match="no row of 1 of 16 tested axillae"):
        pathways(decisions, labels, axillae[axillae["patient_id"] != "p07"])
    with pytest.raises(InputError, match="more than once in the axillae"):
        pathways(decisions, labels, pd.concat([axillae, axillae.head(1)]))
    with pytest.raises(InputError, match="tumour_size_mm holds something that is not a number"):
        pathways(decisions, labels, axillae.assign(tumour_size_mm="large"))
    with pytest.raises(InputError, match="expected 0 or more"):
        pathways(decisions, labels, axillae.assign(tumour_size_mm=-1.0))
    with pytest.raises(InputError, match="15 axillae in the decisions and 16 in the labels"):
        pathways(decisions.head(15), labels, axillae)
