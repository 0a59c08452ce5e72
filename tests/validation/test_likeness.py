"""How alike two contours are: a disc, its half and a star, whose overlap and roundness are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import SimpleITK

from usdlr.validation.likeness import contour_likeness

ITK: Any = SimpleITK  # publishes no types for its filters
SHAPE = (200, 200)


def disc(row: float, col: float, radius: float) -> npt.NDArray[np.bool_]:
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray((rows - row) ** 2 + (cols - col) ** 2 <= radius**2)


def star() -> npt.NDArray[np.bool_]:
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    angle, away = np.arctan2(rows - 100, cols - 100), np.hypot(rows - 100, cols - 100)
    return np.asarray(away <= 50 + 20 * np.sin(9 * angle))


def table(folder: Path, masks: dict[str, list[npt.NDArray[np.bool_]]]) -> tuple[pd.DataFrame, Path]:
    folder.mkdir()
    rows = []
    for patient, drawn in masks.items():
        for number, mask in enumerate(drawn):
            cv2.imwrite(str(folder / f"{patient}{number}.png"), mask.astype(np.uint8) * 255)
            rows.append({"patient_id": patient, "side": "left", "bmode_path": f"{patient}.png", "row_mm": 0.1,
                         "col_mm": 0.1, "mask_path": f"{patient}{number}.png"})  # fmt: skip
    return pd.DataFrame(rows), folder


def test_known_shapes(tmp_path: Path) -> None:
    whole, half = disc(100, 100, 50), disc(100, 100, 50) & (np.mgrid[: SHAPE[0], : SHAPE[1]][0] < 100)
    elsewhere = disc(20, 20, 10)
    reader = table(tmp_path / "r", {"same": [whole], "half": [whole], "star": [star()], "lost": [whole]})
    software = table(tmp_path / "s", {"same": [whole], "half": [elsewhere, half], "star": [whole]})
    found: Any = contour_likeness(reader, software).set_index("patient_id")
    assert list(found.index) == ["same", "half", "star"]
    assert found.loc["same", "dice"] == 1
    assert found.loc["same", "sphericity_reader"] == found.loc["same", "sphericity_software"]
    assert found.loc["same", "sphericity_reader"] == pytest.approx(1, abs=0.06)
    # Half a disc shares half its area; of two lesions the one that overlaps counts. Its sphericity is known.
    assert found.loc["half", "dice"] == pytest.approx(2 / 3, abs=0.01)
    assert found.loc["half", "sphericity_software"] == pytest.approx(
        2 * math.sqrt(math.pi * math.pi / 2) / (math.pi + 2), abs=0.05
    )
    assert found.loc["star", "sphericity_reader"] < 0.65
    judge = ITK.LabelOverlapMeasuresImageFilter()
    judge.Execute(*(ITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (star(), whole)))
    assert found.loc["star", "dice"] == pytest.approx(judge.GetDiceCoefficient())


def test_the_mean_of_an_axillas_lesions(tmp_path: Path) -> None:
    whole, small = disc(100, 100, 50), disc(30, 30, 15)
    reader = table(tmp_path / "r", {"two": [whole, small]})
    software = table(tmp_path / "s", {"two": [whole]})
    found = contour_likeness(reader, software)
    assert found["dice"].tolist() == [0.5], "one found, one not"


def test_what_has_no_answer_has_no_likeness(tmp_path: Path) -> None:
    """Lost on one side, empty on the other: the model leaves such rows out with a reason, and the page must come."""
    whole, none = disc(100, 100, 50), np.zeros(SHAPE, dtype=bool)
    reader = table(tmp_path / "r", {"a": [whole], "b": [none], "c": [whole], "d": [whole]})
    software = table(tmp_path / "s", {"a": [whole], "b": [whole], "c": [none], "d": [whole]})
    (tmp_path / "r" / "a0.png").unlink()
    assert contour_likeness(reader, software)["patient_id"].tolist() == ["d"]
