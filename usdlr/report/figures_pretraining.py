"""What a pre-training without labels learned: its loss over the epochs, and what the network saw and made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usdlr.report.style import BLUE, GREEN, INK, ORANGE, VERMILLION, WIDTH_IN, Drawing, draw, heading, panel_title


def curve_figure(history: pd.DataFrame, references: Mapping[str, float]) -> Drawing:
    """Loss and spread of the embeddings over the epochs.

    Parameters
    ----------
    history : DataFrame, one row per epoch
        ``epoch`` and ``{part}_{measure}``: ``train`` and ``watch``, ``loss`` and ``embedding_spread``.
    references : mapping of str to float
        Losses of plain guesses by name, at most two of them drawn.
    """
    title = "Pre-training: loss, and how far embeddings differ"
    caption = (
        "Left: loss on the images that are learned from and on those of patients who are only watched; horizontal: "
        "plain guesses on the watched images. Right: spread of the normalised embeddings; 0 when all images look the "
        "same to the encoder."
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.14, top=0.82, wspace=0.22)
        panel_title(left, "a", "Loss")
        panel_title(right, "b", "Spread of embeddings")
        for axes, measure in ((left, "loss"), (right, "embedding_spread")):
            for part, colour, dashes in (("train", BLUE, "-"), ("watch", VERMILLION, (0, (5, 2)))):
                if f"{part}_{measure}" in history:
                    label = "learned from" if part == "train" else "watched"
                    axes.plot(
                        history["epoch"], history[f"{part}_{measure}"], color=colour, linestyle=dashes, label=label
                    )
            axes.set_xlabel("Epoch")
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        for (name, value), colour, dashes in zip(
            references.items(), (GREEN, ORANGE), ("dotted", "dashdot"), strict=False
        ):
            left.axhline(value, color=colour, linestyle=dashes, linewidth=1.2, label=f"{name} of what is shown")
        right.set_ylim(bottom=0)
        left.legend()

    return draw("pretraining", title, caption, (WIDTH_IN, 3.2), paint)


def views_figure(pictures: Mapping[str, npt.NDArray[np.floating[Any]]], columns: int) -> Drawing:
    """What the network saw and made of it: one column per image.

    Parameters
    ----------
    pictures : mapping of str to array, (images, rows, columns)
        By title; grey levels about -2..2.
    columns : int
        Room for at least so many images: a few do not grow huge.
    """
    title = "Pre-training: " + ", ".join(pictures)
    columns = max(columns, *(len(stack) for stack in pictures.values()))

    def paint(figure: Figure) -> None:
        heading(figure, title)
        grid = figure.subplots(len(pictures), columns, squeeze=False)
        figure.subplots_adjust(left=0.02, right=0.99, bottom=0.01, top=1 - 0.42 / height, wspace=0.04, hspace=0.16)
        for row, (name, stack) in zip(grid, pictures.items(), strict=True):
            for axes in row:
                axes.set_axis_off()
            row[0].set_title(name, color=INK, loc="left", pad=2.5)
            for axes, image in zip(row, stack, strict=False):
                axes.imshow(image, cmap="gray", vmin=-2, vmax=2, interpolation="none")

    height = 0.45 + len(pictures) * (WIDTH_IN / columns + 0.2)
    return draw("views", title, "One column per image.", (WIDTH_IN, height), paint)
