"""Fitting networks that outline lesions."""
