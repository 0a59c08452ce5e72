"""Predictions to numbers: intervals, discrimination, calibration, cascade rates and the study's ``metrics.json``.

Floor 3: imports ``core`` and ``decision`` only, and no torch. The unit of every statistic is the axilla.
"""
