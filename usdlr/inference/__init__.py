"""A fitted model as data: stages, bundles and prediction."""
