from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from usdlr.report.figures import draw_all
from usdlr.report.figures_curves import roc_figure
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import BASELINE_SERIES, Drawing, baseline_series, draw

SVG = "{http://www.w3.org/2000/svg}"
With = Callable[[StudyInputs, dict[str, Any]], StudyInputs]
Ceilings = Callable[[dict[str, Any]], dict[str, Any]]


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def plain(certified: StudyInputs) -> dict[str, Drawing]:
    return draw_all(certified)


@pytest.fixture(scope="module")
def marked(uncertified: StudyInputs) -> dict[str, Drawing]:
    return draw_all(uncertified)


NAMES = (
    *("false_negative", "cascade", "roc", "auc", "calibration", "cohort"),
    *("pathways", "thresholds", "subgroups_sln", "subgroups_nsln", "net_benefit", "survival"),
)


def test_every_figure_is_drawn(plain: dict[str, Drawing]) -> None:
    assert tuple(plain) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_titles_carry_the_marks_in_the_drawing_itself(marked: dict[str, Drawing], name: str) -> None:
    drawing = marked[name]
    assert drawing.title.endswith("(simulated, proxy endpoint, uncertified)")
    assert drawing.title in texts(drawing)
    assert "n = " in drawing.title + drawing.caption or re.search(r"\d+\s(of\s\d+|patients)", drawing.caption)


@pytest.mark.parametrize("name", NAMES)
def test_certified_patients_carry_no_mark(plain: dict[str, Drawing], name: str) -> None:
    assert not re.search("simulated|proxy|uncertified", plain[name].svg + plain[name].caption)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_xml_with_ids_of_their_own(plain: dict[str, Drawing], name: str) -> None:
    root = ElementTree.fromstring(plain[name].file_text.encode())
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith(f"{name}-") for one in ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', plain[name].svg)
    assert set(used) <= set(ids)
    assert root.find(f"{SVG}title") is not None


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("roc", ("Sensitivity (%)", "False-positive rate, 1 − specificity (%)")),
        ("auc", ("Area under the curve (0 to 1)",)),
        ("calibration", ("Observed SLN positive (%)", "Predicted probability, NSLN positive (%)", "Axillae (n)")),
        ("false_negative", ("False-negative rate (% of positive axillae)",)),
    ],
)
def test_axes_are_labelled_with_units(plain: dict[str, Drawing], name: str, labels: tuple[str, ...]) -> None:
    assert set(labels) <= set(texts(plain[name]))


def test_the_cascade_shows_every_group_and_its_misses(certified: StudyInputs, plain: dict[str, Drawing]) -> None:
    shown = texts(plain["cascade"])
    for group, entry in certified.metrics["cascade"]["groups"].items():
        assert group in shown
        assert any(text.startswith(f"n = {entry['n']} ") for text in shown)
    missed = certified.metrics["cascade"]["groups"]["LR-SLN"]["sln_positive"]
    assert f"SLN positive missed: {missed}" in shown
    assert sum(text.startswith("NSLN positive missed: ") for text in shown) == 2


def test_the_false_negative_figure_shows_references_and_alpha(plain: dict[str, Drawing]) -> None:
    shown = " ".join(texts(plain["false_negative"]))
    assert "biopsy ~10 %" in shown
    assert "dissection ~5 %" in shown
    assert "alpha 10" in shown


def test_the_roc_legend_prints_the_estimates_of_the_metrics(certified: StudyInputs, plain: dict[str, Drawing]) -> None:
    auc = certified.metrics["stages"]["sln"]["auc"]
    size = certified.metrics["baselines"]["size"]["stages"]["sln"]["auc"]
    shown = texts(plain["roc"])
    assert f"Model, {auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f})" in shown
    assert f"Tumour size alone, {size['value']:.2f} ({size['low']:.2f}–{size['high']:.2f})" in shown


def test_the_roc_curve_passes_through_its_operating_point(certified: StudyInputs, plain: dict[str, Drawing]) -> None:
    """The circle's place, read from the drawing, is the sensitivity and specificity of the metrics."""
    panel = plain["roc"].svg.split('id="roc-axes_2"')[0]
    pattern = r'id="roc-(xtick|ytick)_\d+">.*?<use [^>]*?x="([\d.]+)" y="([\d.]+)".*?<text[^>]*>(\d+)</text>'
    ticks: dict[str, list[tuple[float, float]]] = {"xtick": [], "ytick": []}
    for kind, x_text, y_text, label in re.findall(pattern, panel, re.DOTALL):
        ticks[kind].append((float(label), float(x_text if kind == "xtick" else y_text)))
    to_x = np.polyfit([value for value, _ in ticks["xtick"]], [place for _, place in ticks["xtick"]], 1)
    to_y = np.polyfit([value for value, _ in ticks["ytick"]], [place for _, place in ticks["ytick"]], 1)
    metrics = certified.metrics["stages"]["sln"]
    x = np.polyval(to_x, 100 * (1 - metrics["specificity"]["value"]))
    y = np.polyval(to_y, 100 * metrics["sensitivity"]["value"])
    places = [(float(a), float(b)) for a, b in re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"', panel)]
    assert min(np.hypot(a - x, b - y) for a, b in places) < 0.05


def test_bytes_are_equal_twice(certified: StudyInputs, plain: dict[str, Drawing]) -> None:
    assert {name: one.file_text for name, one in draw_all(certified).items()} == {
        n: one.file_text for n, one in plain.items()
    }


def test_undefined_estimates_become_words_not_curves(certified: StudyInputs, with_metrics: With) -> None:
    metrics = copy.deepcopy(dict(certified.metrics))
    nothing = {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "method": "undefined: fewer than 3 axillae of known status",
    }
    for key in metrics["stages"]["nsln"]:
        metrics["stages"]["nsln"][key] = dict(nothing)
    metrics["cascade"]["fnr_nsln"] = {**nothing, "events": 0}
    for entry in metrics["baselines"].values():
        entry["stages"]["nsln"] = {key: dict(nothing) for key in entry["stages"]["nsln"]}
    labels = certified.labels.assign(nsln=np.nan)
    inputs = with_metrics(replace(certified, labels=labels), metrics)
    drawings = draw_all(inputs)
    for name in ("roc", "calibration", "false_negative"):
        assert any("not estimable (fewer than 3" in text for text in texts(drawings[name])), name
    assert "not estimable" in texts(drawings["auc"])


def test_one_class_baselines_and_empty_tables_are_left_out(certified: StudyInputs) -> None:
    inputs = replace(certified, baselines=certified.baselines[certified.baselines["name"] != "size"])
    shown = texts(draw_all(inputs)["roc"])
    assert not any(text.startswith("Tumour size alone") for text in shown)


def test_oracle_and_limit_stand_in_the_forest_of_a_simulation(
    certified: StudyInputs, with_metrics: With, with_ceilings: Ceilings
) -> None:
    plain = texts(draw_all(certified)["auc"])
    assert not any("Oracle" in text or "Limit" in text for text in plain)
    drawing = draw_all(with_metrics(certified, with_ceilings(dict(certified.metrics))))["auc"]
    shown = " ".join(texts(drawing))
    for values in ("0.88 (0.84–0.91)", "0.86 (0.80–0.91)", "0.93 (0.90–0.96)", "0.92 (0.87–0.96)"):
        assert values in shown, values  # limit and oracle, both stages
    assert "Limit: the true form, measured on these images" in shown
    assert "Oracle: best possible with the truth known" in shown
    assert "no test can do better" in drawing.caption


def test_no_exclusions_and_long_centre_names(certified: StudyInputs, with_metrics: With) -> None:
    cohort = {
        **certified.metrics["cohort"],
        "exclusions": {},
        "excluded": 0,
        "centres": [f"Centre {i:02d}" for i in range(12)],
    }
    inputs = replace(certified, exclusions=certified.exclusions.head(0))
    shown = texts(draw_all(with_metrics(inputs, {**certified.metrics, "cohort": cohort}))["cohort"])
    assert [text for text in shown if text.endswith(": none")] == [
        "Left out, reading the files: none",
        "Left out, choosing the cohort: none",
        "Left out, measuring: none",
    ]
    assert any(text.endswith("…") for text in shown)


def test_hostile_titles_stay_text() -> None:
    def paint(figure: Figure) -> None:
        figure.text(0.1, 0.5, "$x$ <b>")

    drawing = draw("x", "<script>&", "caption", (3, 2), paint)
    assert "<script" not in drawing.svg
    assert "$x$ <b>" in texts(drawing)


def test_looks_repeat_after_the_fifth_baseline_and_all_differ_in_grey() -> None:
    assert baseline_series(5) == BASELINE_SERIES[0]
    assert len({str(look.dashes) for look in BASELINE_SERIES}) == len({look.marker for look in BASELINE_SERIES}) == 5


def test_many_curves_have_their_legend_below_the_panels(certified: StudyInputs) -> None:
    """Each baseline once, with its area at both stages; no legend hides a curve."""
    metrics, scores = dict(certified.metrics), certified.baselines
    name = str(scores["name"].iloc[0])
    more = {
        f"more{number}": metrics["baselines"][name] | {"title": f"Learner {number}, of ring"} for number in range(5)
    }
    metrics["baselines"] = metrics["baselines"] | more
    rows = [scores[scores["name"] == name].assign(name=other) for other in more]
    svg = roc_figure(replace(certified, metrics=metrics, baselines=pd.concat([scores, *rows]))).svg
    area = metrics["baselines"][name]["stages"]["sln"]["auc"]["value"]
    for number in range(5):
        assert svg.count(f"Learner {number}, of ring: a {area:.2f}") == 1
    assert "in panels a and b" in svg
    assert "in panels a and b" not in roc_figure(certified).svg


def test_long_names_have_their_legend_below_the_panels(certified: StudyInputs) -> None:
    metrics = dict(certified.metrics)
    long = "radiomics and clinical variables (extremely randomised trees)"
    metrics["baselines"] = {name: part | {"title": long} for name, part in metrics["baselines"].items()}
    assert "in panels a and b" in roc_figure(replace(certified, metrics=metrics)).svg
