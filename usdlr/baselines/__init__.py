"""Plain models on the same folds, which a network must beat."""
