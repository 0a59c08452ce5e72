"""Which features survive another hand: perturbed outlines, other readers, a second view."""
