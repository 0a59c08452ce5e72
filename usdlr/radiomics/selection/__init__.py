"""From many features to few, fitted on training rows only."""
