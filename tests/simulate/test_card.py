"""The data card states the numbers of the code: read out of its tables, not written again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS

CARD = (Path(__file__).parents[2] / "data_cards" / "simulated.md").read_text(encoding="utf-8").replace("−", "-")


def table(first: str) -> dict[str, list[str]]:
    """Rows of the table whose header begins with ``first``, by their first cell."""
    lines = CARD.split(f"\n| {first}", 1)[1].split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_centres_are_as_stated() -> None:
    stated, centres = table("| north |"), list(CENTRES.values())
    assert [float(x) for x in stated["frequency, MHz"]] == [c.frequency_mhz for c in centres]
    pixels = [tuple(float(x) for x in cell.split("×")) for cell in stated["pixel, mm (row × column)"]]
    assert pixels == [c.spacing.as_tuple() for c in centres]
    assert [int(x.split()[0]) for x in stated["looks compounded"]] == [c.looks for c in centres]
    assert [float(x) for x in stated["dynamic range, dB"]] == [c.dynamic_range_db for c in centres]
    words = [cell.split() for cell in stated["first reader draws"]]
    bias = [0.0 if w[0] == "on" else float(w[0]) * (1 if w[2] == "outside" else -1) for w in words]
    assert bias == [c.readers[0].bias_mm for c in centres]
    missing = [float(x.removesuffix("%")) / 100 for x in stated["elastography missing"]]
    assert missing == pytest.approx([c.elastography.missing_rate for c in centres])
    strain = [float(x.removesuffix("%")) / 100 for x in stated["strain among the rest"]]
    assert strain == pytest.approx([c.elastography.strain_rate for c in centres])
    assert [float(x) for x in stated["stiffness misread by"]] == [c.elastography.scale for c in centres]
    rates = [
        [float(x) / 100 for x in cell.removesuffix("%").split("/")] for cell in stated["second view / second lesion"]
    ]
    assert rates == [[pytest.approx(c.second_view_rate), pytest.approx(c.second_lesion_rate)] for c in centres]
    shifts = [float(cell.split(",")[0]) for cell in stated["shift of the log-odds"]]
    assert shifts == [c.prevalence_shift for c in centres]


def test_the_latents_are_as_stated() -> None:
    rows = [row for name, row in table("latent | median").items() if name != "calcifications"]
    latents = [latent for latent in LATENTS.values() if latent.name != "calcifications_per_cm2"]
    assert len(rows) == len(latents)
    for (middle, spread, _, loading, _), latent in zip(rows, latents, strict=True):
        assert float(middle.split()[0]) == latent.middle
        assert float(spread.split()[0]) == latent.spread
        assert ("log" in spread) == latent.log
        assert float(loading) == latent.loading


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_oracle_of_every_scenario_is_as_stated(name: str) -> None:
    cell = table("scenario | what tells")[f"`{name}`"][-1]
    drawn = pd.concat([draw_cohort(CENTRES[centre], 60_000, 9, SCENARIOS[name]) for centre in ("north", "south")])
    positive = drawn["sln_true"].to_numpy()
    found = [
        roc_auc_score(positive, drawn["p_sln"]),
        roc_auc_score(drawn["nsln_true"][positive], drawn["p_nsln"][positive]),
    ]
    assert [float(x) for x in cell.split("/")] == pytest.approx(found, abs=0.0101)
    dissected = drawn["axillary_surgery"].eq("alnd")[positive & ~drawn["neoadjuvant"].to_numpy()]
    assert np.round(dissected.mean(), 2) == pytest.approx(0.85, abs=0.0151)
