"""A cohort with known truth: patients, tissue, scanners and readers, written as a centre would hand it over."""

from __future__ import annotations

from usdlr.simulate.centres import CENTRES, Centre
from usdlr.simulate.cohort import DEFAULT_COEFFICIENTS, Coefficients, draw_cohort
from usdlr.simulate.export import simulate

__all__ = ["CENTRES", "DEFAULT_COEFFICIENTS", "Centre", "Coefficients", "draw_cohort", "simulate"]
