"""A cohort with known truth: patients, tissue, scanners and readers, written as a centre would hand it over."""

from __future__ import annotations

from usdlr.simulate.centres import CENTRES, Centre
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS, Scenario

__all__ = ["CENTRES", "LATENTS", "SCENARIOS", "Centre", "Scenario", "draw_cohort"]
