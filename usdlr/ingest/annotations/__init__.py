"""Contours in any format become masks on the grid of their image."""
