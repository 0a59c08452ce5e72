"""Probability to action: calibration, thresholds under a false-negative contract, the cascade and its words.

Floor 2: imports ``core`` only, and no torch, so that a statistician can audit the decision path alone.
"""
