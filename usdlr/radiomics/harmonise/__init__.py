"""ComBat: what the centre adds to a feature, taken away."""
