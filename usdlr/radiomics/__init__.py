"""Radiomics: settings, engines, extraction over a cohort and the table that feeds a model."""
