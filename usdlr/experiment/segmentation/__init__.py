"""Experiments on outlines: folds by patient, external sources, one page, and a bundle that outlines."""
