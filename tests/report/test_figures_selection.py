"""Figures of the selection: every number and name that they must carry, and the same bytes each time."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.radiomics.selector_data import fitted, planted
from usdlr.core.errors import DataError
from usdlr.radiomics.selection.frequency import SelectionFrequency, selection_frequencies
from usdlr.radiomics.selection.penalty_path import PenaltyPath
from usdlr.radiomics.selection.sparse import ElasticNetSelector, LassoSelector
from usdlr.report.figures_selection import feature_words, frequency_figure, path_figure
from usdlr.report.style import Drawing
from usdlr.report.tables import Marks

SVG = "{http://www.w3.org/2000/svg}"
CONTRAST = "bmode.peritumoral.wavelet-HL.glcm.Contrast"
MEAN = "elasto.intratumoral.original.firstorder.Mean"
SIZE = "clinical.tumour_size_mm"


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def frequencies(scale: int = 1) -> SelectionFrequency:
    sets = {0: [CONTRAST, MEAN, SIZE], 1: [CONTRAST, SIZE], 2: [SIZE, MEAN], 3: [SIZE]}
    return selection_frequencies({(k, i): one for k, one in sets.items() for i in range(scale)}, 30)


def lasso() -> PenaltyPath:
    X, y = planted(120, noise=20, strong=3)
    X = X.rename(columns=dict(zip(X.columns[-3:], [CONTRAST, MEAN, SIZE], strict=True)))
    path: PenaltyPath = fitted(LassoSelector(), X, y).path_
    return path


def test_labels_are_plain_words() -> None:
    what, where = feature_words(CONTRAST)
    assert "contrast" in what
    assert ("ring" in where, "wavelet HL" in where, "B-mode" in where) == (True, True, True)
    assert "(" not in what  # the unit belongs to the value
    assert feature_words(SIZE) == ("tumour size (mm)", "clinical")
    assert feature_words("bmode.intratumoral.unheard.of.Thing") == ("Thing", "bmode intratumoral unheard of")
    assert feature_words("score") == ("score", "")


def bars(drawing: Drawing) -> list[float]:
    """Length of each bar in points, in the order of drawing, without those of no length."""
    lengths = []
    for path, style in re.findall(r'<path d="(M [^"]+)z\s*" clip-path[^>]*style="fill: ([^;"]+)', drawing.svg):
        xs = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)]
        if style != "none" and max(xs) - min(xs) > 0.01:
            lengths.append(max(xs) - min(xs))
    return lengths


def test_bars_are_as_long_as_their_shares() -> None:
    drawing = frequency_figure(frequencies(), frequencies(3))
    found = bars(drawing)
    assert len(found) == 6
    # Size in 4 of 4, then contrast and mean in 2 of 4: for folds and for bootstraps.
    np.testing.assert_allclose(np.array(found) / found[0], [1, 0.5, 0.5] * 2, atol=1e-4)
    shown = texts(drawing)
    assert {"4 folds", "12 bootstraps", "Chosen in (%)", "tumour size (mm)", "clinical"} <= set(shown)
    assert shown.index("tumour size (mm)") < shown.index(feature_words(CONTRAST)[0])


def test_the_caption_gives_stability_and_its_interval_for_both() -> None:
    drawing = frequency_figure(frequencies(), frequencies(3), marks=Marks(True, False, True))
    index = frequencies().stability
    assert f"stability {index.value:.2f} (95 % interval {index.low:.2f} to {index.high:.2f}" in drawing.caption
    assert drawing.caption.count("stability ") == 2
    assert "among 30 candidates" in drawing.caption
    assert drawing.title == "How often each feature was chosen (simulated, uncertified)"
    assert drawing.title in texts(drawing)


def test_one_kind_alone_and_only_the_top() -> None:
    drawing = frequency_figure(None, frequencies(3), top=1)
    assert len(bars(drawing)) == 1
    assert "12 bootstraps" in texts(drawing)
    assert not any("folds" in text for text in texts(drawing))
    assert drawing.caption.startswith("The 1 most frequent of 3 features")
    single = selection_frequencies({0: [SIZE]}, 3)
    assert "stability not defined" in frequency_figure(single, None).caption
    with pytest.raises(DataError, match="found no chosen feature to draw"):
        frequency_figure(None, None)
    with pytest.raises(DataError, match="found no chosen feature to draw"):
        frequency_figure(selection_frequencies({0: []}, 3), None)


def test_the_path_shows_the_line_of_one_standard_error_and_what_was_taken() -> None:
    path = lasso()
    drawing = path_figure(path)
    shown = texts(drawing)
    assert {"smallest + 1 SE", "taken", "smallest", "Deviance per row", "Coefficient per SD"} <= set(shown)
    assert f"one standard error ({path.deviance[path.best] + path.error[path.best]:.3f})" in drawing.caption
    assert f"with {path.sizes[path.chosen]} features" in drawing.caption
    assert any(text.startswith("tumour size (mm)") for text in shown)
    assert not any("\\" in text or "$" in text for text in shown)  # numbers, not mathematics' source
    assert drawing.title == "Choice of the penalty, LASSO"


def test_the_line_of_one_standard_error_lies_where_it_is_said() -> None:
    """Heights in the drawing: the dashed line against the axis' own ticks."""
    path = lasso()
    svg = path_figure(path).svg
    panel = svg[: svg.index("Deviance per row")]
    pattern = r'id="penalty_path-ytick_\d+">.*?<use [^>]*?y="([\d.]+)".*?<text[^>]*>([\d.]+)</text>'
    ticks = [(float(label), float(place)) for place, label in re.findall(pattern, panel, re.DOTALL)]
    dashed = r'<path d="M [\d.]+ ([\d.]+)\s+L [\d.]+ \1\s*"[^>]*stroke-dasharray[^>]*#d55e00'
    line = re.search(dashed, svg)
    assert line is not None
    height = np.polyval(np.polyfit([value for value, _ in ticks], [place for _, place in ticks], 1), path.limit)
    assert float(line.group(1)) == pytest.approx(height, abs=0.05)


def test_an_elastic_net_and_an_empty_model_can_be_drawn() -> None:
    X, y = planted(60, noise=20, strong=0, seed=2)
    empty = fitted(LassoSelector(), X, y).path_
    assert empty.sizes[empty.chosen] == 0
    assert "with 0 features" in path_figure(empty).caption
    assert "elastic net (L1 share 0.3)" in path_figure(fitted(ElasticNetSelector(0.3), X, y).path_).title


@pytest.mark.parametrize("which", ["selection_frequency", "penalty_path"])
def test_equal_input_gives_equal_bytes_with_ids_of_its_own(which: str) -> None:
    path = lasso()

    def paint() -> Drawing:
        return path_figure(path) if which == "penalty_path" else frequency_figure(frequencies(), frequencies(3))

    drawing = paint()
    assert paint().svg == drawing.svg
    root = ElementTree.fromstring(drawing.file_text.encode())
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith(f"{which}-") for one in ids)


def test_a_restored_path_draws_the_same() -> None:
    path = lasso()
    assert path_figure(PenaltyPath.from_dict(path.to_dict())).svg == path_figure(path).svg


def test_two_sets_have_no_interval_even_where_a_kept_table_states_one() -> None:
    two = selection_frequencies({0: [SIZE, MEAN], 1: [SIZE, CONTRAST]}, 30)
    old = replace(two, stability=replace(two.stability, low=two.stability.value, high=two.stability.value))
    for found in (two, old):
        caption = frequency_figure(found, None).caption
        assert f"stability {two.stability.value:.2f} (no interval can be given from 2 sets; 1 always" in caption
        assert "% interval" not in caption
