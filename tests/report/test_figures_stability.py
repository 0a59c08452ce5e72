"""The figure of stability: what it counts, how it names and orders groups, what it refuses, and that it is fixed."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from usdlr.core.errors import DataError
from usdlr.report import figures_stability as module
from usdlr.report.figures_stability import stability_figure
from usdlr.report.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()).strip() for node in root.iter(f"{SVG}text")]


def row(image_type: str, kind: str, feature: int, value: float, **changes: Any) -> dict[str, Any]:
    return {
        "feature": f"bmode.intratumoral.{image_type}.{kind}.F{feature}",
        "source": "perturbation",
        "icc21": value,
        "icc21_low": value - 0.1,
        "icc21_high": min(value + 0.05, 1.0),
        "icc31": value,
        "icc31_low": value - 0.1,
        "icc31_high": min(value + 0.05, 1.0),
        "n_cases": 20,
        "n_raters": 11,
    } | changes


def table() -> pd.DataFrame:
    rows = [row("wavelet-HL", "glcm", i, value) for i, value in enumerate((0.2, 0.5))]
    rows += [row("wavelet-LL", "glcm", i, value) for i, value in enumerate((0.8, 0.75 - 1e-13))]
    rows += [row("original", "glcm", i, value) for i, value in enumerate((0.9, 0.95, np.nan))]
    rows += [row("log-sigma-1-0-mm-3D", "firstorder", 0, 0.74)]
    rows += [row("original", "shape2D", 0, np.nan)]
    rows += [row("lbp-2D", "firstorder", 0, -0.4)]
    return pd.DataFrame(rows)


def painted(stability: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Figure:
    """The figure itself, before it becomes SVG."""
    kept: list[Figure] = []

    def draw(name: str, title: str, caption: str, size: tuple[float, float], paint: Any) -> Drawing:
        figure = Figure(figsize=size)
        paint(figure)
        kept.append(figure)
        return Drawing(name, title, caption, "")

    monkeypatch.setattr(module, "draw", draw)
    stability_figure(stability, **options)
    return kept[0]


def test_counts_names_and_order() -> None:
    drawing = stability_figure(table())
    found = texts(drawing)
    order = [word for word in found if word in ("Shape", "First order", "GLCM")]
    assert order == ["Shape", "First order", "GLCM"]
    assert [word for word in found if word in ("original", "wavelet", "LoG", "LBP")] == [
        "original",
        "LoG",
        "LBP",
        "original",
        "wavelet",
    ]
    # On the bound counts, whatever the last digit; without an estimate does not.
    assert [word for word in found if " of " in word and word[0].isdigit()] == [
        "0 of 1",
        "0 of 1",
        "0 of 1",
        "2 of 3",
        "2 of 4",
    ]
    assert found.count("no estimate") == 1
    assert "bound 0.75" in found
    assert drawing.title in found
    assert "ICC(2,1), absolute agreement" in drawing.caption
    assert "20 cases, each measured 11 times" in drawing.caption
    assert "which 4 of 10 features reach" in drawing.caption
    assert "2 have no estimate" in drawing.caption
    assert any("ICC(2,1)" in word for word in found)


def test_what_is_drawn_are_the_percentiles(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = painted(pd.DataFrame([row("original", "glcm", i, i / 100) for i in range(101)]), monkeypatch)
    bars = [bar for bar in figure.axes[0].collections if isinstance(bar, LineCollection)]
    spans = [bar.get_segments()[0][:, 0].tolist() for bar in bars]
    np.testing.assert_allclose(spans, [[0.05, 0.95], [0.25, 0.75]], atol=1e-9)
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(np.asarray(dots[0].get_xdata(), dtype=float), [0.5])
    ticks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "|"]
    np.testing.assert_allclose(np.asarray(ticks[0].get_xdata(), dtype=float), [0.4, 0.55])


def test_the_bound_is_drawn_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = painted(table(), monkeypatch, bound=0.6, judge="icc31")
    dashed = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert [list(line.get_xdata()) for line in dashed] == [[0.6, 0.6]]  # type: ignore[arg-type]  # two numbers
    assert "ICC(3,1), consistency" in figure.axes[0].get_xlabel()


def test_negative_correlations_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = painted(pd.DataFrame([row("original", "glcm", 0, -0.4)]), monkeypatch)
    for bar in figure.axes[0].collections:
        assert isinstance(bar, LineCollection)
        assert (bar.get_segments()[0][:, 0] >= 0).all()


def test_equal_input_gives_equal_bytes() -> None:
    assert stability_figure(table()).svg == stability_figure(table()).svg
    ElementTree.fromstring(stability_figure(table(), name="other").file_text.encode())
    assert 'id="other-' in stability_figure(table(), name="other").svg


def test_several_sources_or_no_features_are_refused() -> None:
    mixed = table()
    mixed.loc[0, "source"] = "reader"
    with pytest.raises(DataError, match="of the sources"):
        stability_figure(mixed)
    with pytest.raises(DataError, match="found icc of the sources"):
        stability_figure(table(), judge="icc")
    with pytest.raises(DataError, match="found a row that is no feature"):
        stability_figure(table().assign(feature="tumour_size"))
