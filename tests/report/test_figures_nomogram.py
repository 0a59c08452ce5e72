"""The drawn nomogram: places read from the drawing give the model's numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from usdlr.baselines.nomogram import Nomogram, Variable
from usdlr.baselines.signature import SCORE
from usdlr.core.errors import DataError
from usdlr.report.figures import draw_all
from usdlr.report.figures_nomogram import BASELINE, baseline_note, nice, nomogram_figure
from usdlr.report.inputs import StudyInputs
from usdlr.report.study import write_report
from usdlr.report.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"
NOMOGRAM = Nomogram(
    "SLN positive",
    (
        Variable("radiomics_score", "Radiomics score", "log-odds", 1.0, -2.5, 2.5),
        Variable("clinical.tumour_size_mm", "Tumour size", "mm", 0.05, 4.0, 52.0),
        Variable("clinical.age_years", "Age", "years", -0.02, 27.0, 84.0),
        Variable("clinical.grade_core_biopsy", "Grade core biopsy", "", 0.01, 1.0, 3.0),
    ),
    -1.0,
    412,
    131,
)
ROW = {
    "radiomics_score": 0.5,
    "clinical.tumour_size_mm": 22.0,
    "clinical.age_years": 51.0,
    "clinical.grade_core_biopsy": 2.0,
}


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()).strip() for node in root.iter(f"{SVG}text")]


def places(drawing: Drawing) -> list[tuple[str, float, float]]:
    """Every text with the place of its anchor, in points."""
    found = []
    for node in ElementTree.fromstring(drawing.file_text.encode()).iter(f"{SVG}text"):
        move = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", node.attrib.get("transform", ""))
        x, y = (float(move[1]), float(move[2])) if move else (float(node.attrib["x"]), float(node.attrib["y"]))
        found.append(("".join(node.itertext()).strip(), x, y))
    return found


def test_every_line_has_a_label_with_its_unit() -> None:
    shown = texts(nomogram_figure(NOMOGRAM, cohort="simulated"))
    for label in (
        "Nomogram for SLN positive (simulated)",
        "Points",
        "Radiomics score (log-odds)",
        "Tumour size (mm)",
        "Age (years)",
        "Grade core biopsy (no unit)",
        "Total points",
    ):
        assert label in shown
    assert any("SLN positive (%)" in text for text in shown)


def test_numbers_stand_where_the_model_has_them() -> None:
    """A ruler on the drawing: a value's place on its line gives its points, a total's place its probability."""
    found = places(nomogram_figure(NOMOGRAM))
    label = {text: y for text, _, y in found}
    rows = {name: label[name] for name in ("Points", "Radiomics score (log-odds)", "Tumour size (mm)", "Total points")}

    def line(y: float) -> list[tuple[float, float]]:
        """Numbers just below a label."""
        return [
            (float(text.replace("\u2212", "-")), x)
            for text, x, at in found
            if re.fullmatch(r"[\u2212\d.]+", text) and 2 < at - y < 20
        ]

    points = line(rows["Points"])
    assert [value for value, _ in points] == [float(value) for value in range(0, 101, 10)]
    ruler = np.polyfit([x for _, x in points], [value for value, _ in points], 1)
    for name, at in (
        ("radiomics_score", "Radiomics score (log-odds)"),
        ("clinical.tumour_size_mm", "Tumour size (mm)"),
    ):
        marks = line(rows[at])
        assert len(marks) >= 3
        variable = next(v for v in NOMOGRAM.variables if v.name == name)
        for value, x in marks:
            assert np.polyval(ruler, x) == pytest.approx(NOMOGRAM.points_of(variable, value), abs=0.7)
    totals = line(rows["Total points"])
    total_ruler = np.polyfit([x for _, x in totals], [value for value, _ in totals], 1)
    root = ElementTree.fromstring(nomogram_figure(NOMOGRAM).file_text.encode())
    width, _ = (float(length.removesuffix("pt")) for length in (root.attrib["width"], root.attrib["height"]))
    assert all(0 < x < width for _, x, _ in found)
    lowest = max(y for _, _, y in found)
    chances = [(float(t), x) for t, x, y in found if re.fullmatch(r"[\d.]+", t) and abs(y - lowest) < 2]
    assert len(chances) > 5
    for percent, x in chances:
        total = float(np.polyval(total_ruler, x))
        logit = NOMOGRAM.base + total * NOMOGRAM.log_odds_per_point
        assert 100 / (1 + np.exp(-logit)) == pytest.approx(percent, abs=0.6)


def test_no_two_numbers_of_a_line_overlap() -> None:
    found = [(x, y) for text, x, y in places(nomogram_figure(NOMOGRAM)) if re.fullmatch(r"[\u2212\d.]+", text)]
    for y in {round(y) for _, y in found}:
        xs = sorted(x for x, at in found if round(at) == y)
        assert (np.diff(xs) > 12).all()


def test_example_is_drawn_and_named_and_nothing_beyond_the_range_is() -> None:
    plain, marked = nomogram_figure(NOMOGRAM), nomogram_figure(NOMOGRAM, example=ROW)
    assert "Circles" not in plain.caption
    reading = NOMOGRAM.read(ROW)
    assert f"an example with {reading.total:.0f} points, {100 * reading.probability:.0f} %" in marked.caption
    with pytest.raises(DataError, match="ask for extrapolation"):
        nomogram_figure(NOMOGRAM, example=ROW | {"clinical.tumour_size_mm": 70.0})


def test_same_bytes_and_ids_of_its_own() -> None:
    one, two = (nomogram_figure(NOMOGRAM, name="nomogram_sln", example=ROW) for _ in range(2))
    assert one.svg == two.svg
    root = ElementTree.fromstring(one.file_text.encode())
    assert all(node.attrib["id"].startswith("nomogram_sln-") for node in root.iter() if "id" in node.attrib)
    assert "not a medical device" in one.caption
    assert "412 training rows, 131 of them positive" in one.caption


def test_a_nomogram_that_says_nothing_is_drawn_all_the_same() -> None:
    silent = replace(NOMOGRAM, variables=(replace(NOMOGRAM.variables[0], coefficient=0.0),))
    assert "Total points" in texts(nomogram_figure(silent))


def test_round_numbers() -> None:
    assert nice(0, 172) == [0, 20, 40, 60, 80, 100, 120, 140, 160]
    assert nice(0.001, 0.0042) == [0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0035, 0.004]
    for low, high in ((1.0, 3.0), (-7.3, 912.0), (27.0, 84.0)):
        found = nice(low, high)
        assert 2 <= len(found) <= 9
        assert found[0] >= low
        assert found[-1] <= high


def test_the_models_own_signature_stands_in_the_report(certified: StudyInputs, tmp_path: Path) -> None:
    plain = draw_all(certified)
    assert not [name for name in plain if "readout" in name or "nomogram" in name]
    shown = replace(certified, readouts={"sln": NOMOGRAM}, nomograms={"nsln": NOMOGRAM})
    drawn = draw_all(shown)
    assert set(drawn) - set(plain) == {"readout_sln", "nomogram_nsln"}
    assert "the model that ships" in drawn["readout_sln"].title
    assert "calibration follows it" in drawn["readout_sln"].caption
    assert "calibration" not in drawn["nomogram_nsln"].caption
    pages = {}
    for name, inputs in (("plain", certified), ("shown", shown)):
        write_report(inputs, tmp_path / name)
        pages[name] = unescape((tmp_path / name / "report.html").read_text(encoding="utf-8"))
    assert "The model's signature" not in pages["plain"]
    assert "The model's signature" in pages["shown"]
    assert drawn["readout_sln"].caption in pages["shown"]
    assert (tmp_path / "shown" / "figures" / "readout_sln.svg").is_file()


def test_a_baselines_nomogram_says_whose_it_is() -> None:
    auc = {"value": 0.69, "low": 0.59, "high": 0.78, "n": 145, "method": "AUC"}
    note = baseline_note(NOMOGRAM, title="Signature", auc=auc, axillae=300).replace("\u00a0", " ")
    assert "baseline \u201cSignature\u201d, not of the model that decides" in note
    assert "The 412 rows are image sets of 300 axillae" in note
    assert "AUC of 0.69 (0.59–0.78), n = 145" in note
    assert "signature holds none" not in note
    assert NOMOGRAM.variables[0].name == SCORE
    clinical = replace(NOMOGRAM, variables=NOMOGRAM.variables[1:])
    bare = baseline_note(clinical, title="Signature", axillae=412)
    assert "the signature holds none" in bare
    assert "image sets" not in bare
    assert "AUC" not in bare
    drawn = nomogram_figure(clinical, cohort=f"{BASELINE}, simulated", note=bare)
    assert bare in drawn.caption
    assert drawn.title == "Nomogram for SLN positive (baseline, not the model that decides, simulated)"
