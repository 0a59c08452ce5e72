"""Survival on the page: Freireich's leukaemia data, drawn and told from metrics alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import ConfigError
from usdlr.evaluation import survival_summary
from usdlr.evaluation.survival_summary import study_survival
from usdlr.report.document import Figure, PageTable, Prose, Section
from usdlr.report.figures_survival import draw_survival, survival_points
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_survival import survival_section

LOW, MIDDLE, HIGH, DEFER = "LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"
# Freireich et al., Blood 21 (1963) 699, as in tests/evaluation/test_survival.py.
TREATED = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def leukaemia(**more: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    groups = {LOW: TREATED, HIGH: PLACEBO} | more
    rows = [
        (group, float(time.rstrip("+")), not time.endswith("+"))
        for group, text in groups.items()
        for time in text.split()
    ]
    table = pd.DataFrame(rows, columns=["risk_group", "dfs_months", "dfs_event"])
    table = table.assign(patient_id=[f"p{place:04d}" for place in range(len(table))], side="left")
    axillae = table[["patient_id", "side", "dfs_months", "dfs_event"]].iloc[::-1]  # another order
    return table[["patient_id", "side", "risk_group"]], axillae.astype({"dfs_event": "boolean"})


def told(inputs: StudyInputs, found: dict[str, Any] | None) -> StudyInputs:
    """The inputs with that survival, as it comes back from a file."""
    plain = json.loads(json.dumps(found, allow_nan=False))
    return replace(inputs, metrics={**inputs.metrics, "survival": plain})


@pytest.fixture(scope="module")
def textbook(certified: StudyInputs) -> StudyInputs:
    return told(certified, study_survival(*leukaemia(), replicates=100, months=(6.0, 10.0, 22.0)))


def prose(section: Section) -> str:
    return " ".join(line for block in section.blocks if isinstance(block, Prose) for line in block.lines)


def table_of(section: Section, place: int = 0) -> PageTable:
    return [block for block in section.blocks if isinstance(block, PageTable)][place]


def test_the_points_are_those_of_the_textbook(textbook: StudyInputs) -> None:
    points = survival_points(textbook)
    assert points is not None
    treated = points[points["risk_group"] == LOW].set_index("months")["survival"]
    published = {0: 1.0, 6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert treated.round(3).to_dict() == published
    at_risk = points[points["risk_group"] == LOW].set_index("months")["at_risk"]
    assert at_risk.to_dict() == {0: 21, 6: 21, 7: 17, 10: 15, 13: 12, 16: 11, 22: 7, 23: 6}
    placebo = points[points["risk_group"] == HIGH]
    assert placebo["survival"].iloc[-1] == 0.0
    curves = textbook.metrics["survival"]["curves"]
    assert curves["ticks"] == [0.0, 6.0, 12.0, 18.0, 24.0, 30.0]
    # Still in remission and under observation, counted off the list above.
    assert curves["groups"][LOW]["at_risk_at_ticks"] == [21, 21, 12, 9, 5, 4]
    assert curves["groups"][LOW]["censored"]["months"] == [6, 9, 10, 11, 17, 19, 20, 25, 32, 34, 35]
    # 9 are left after 17 months, of whom one was lost at 17.
    assert curves["groups"][LOW]["few_from"] == 17.0


def test_the_figure_shows_groups_test_and_ratio(textbook: StudyInputs) -> None:
    drawing, again = draw_survival(textbook), draw_survival(textbook)
    assert drawing is not None
    assert drawing == again
    ElementTree.fromstring(drawing.svg)
    for words in ("LR-SLN, n = 21", "HR-SLN/HR-NSLN, n = 21", "log-rank p &lt; 0.001", "At risk", "4.82 (2.15–10.81)"):
        assert words in drawing.svg, words
    for words in ("42 patients with 30 events", "nothing causal follows", "Months from surgery", "Greenwood"):
        assert words in drawing.caption.replace("\u00a0", " "), words
    assert "Thin from where fewer than 10" in drawing.caption


def test_the_section_tells_the_textbooks_numbers_and_what_they_cannot_show(textbook: StudyInputs) -> None:
    drawing = draw_survival(textbook)
    assert drawing is not None
    section = survival_section(textbook, {"survival": drawing})
    assert section is not None
    assert (section.anchor, section.word) == ("survival", "Survival")
    assert [type(block) for block in section.blocks] == [Prose, Figure, PageTable]
    text = prose(section).replace("\u00a0", " ")
    for words in ("42 patients with known follow-up, 30 events", "nothing causal follows", "differ in treatment"):
        assert words in text, words
    low, high = table_of(section).rows
    plain = [cell.replace("\u00a0", " ") for cell in low]
    assert plain[:3] == [LOW, "21", "9"]
    assert plain[3].startswith("85.7 %")
    assert plain[6] == "23.0 (13.0 to beyond follow-up)"
    assert plain[7] == "1 (reference)"
    # Of the placebo group 2 are still in remission just before week 22: no number.
    assert [cell.startswith("not estimable (only 2 still at risk)") for cell in high[3:6]] == [False, False, True]
    assert plain[5].startswith("53.8 %")  # 7 of the others
    assert "as far as known, and not the model" in text
    assert " her " not in text
    assert high[7] == "4.82 (2.15–10.81)"
    assert high[6].startswith("8.0 (")


def test_without_follow_up_there_is_no_figure_and_no_section(certified: StudyInputs) -> None:
    decisions, axillae = leukaemia()
    nothing = [
        axillae.drop(columns="dfs_event"),
        axillae.assign(dfs_months=np.nan),
        axillae.assign(dfs_event=pd.array([None] * len(axillae), dtype="boolean")),
        axillae.iloc[:0],
        pd.DataFrame(),
        axillae.assign(dfs_event=axillae["dfs_event"].where(axillae["dfs_months"] < 0), dfs_months=1.0),
    ]
    assert [study_survival(decisions, one) for one in nothing] == [None] * len(nothing)
    assert study_survival(decisions.iloc[:0], axillae) is None
    metrics = {key: value for key, value in certified.metrics.items() if key != "survival"}
    for inputs in (replace(certified, metrics=metrics), told(certified, None)):
        assert draw_survival(inputs) is None
        assert survival_points(inputs) is None
        assert survival_section(inputs, {}) is None


def test_what_cannot_be_worked_out_is_told_and_nothing_dies(
    certified: StudyInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions, axillae = leukaemia()
    sides = pd.concat([axillae, axillae.assign(side="right", dfs_months=1.0)])
    both = pd.concat([decisions, decisions.assign(side="right")])
    contradicted = study_survival(both, sides)
    assert contradicted is not None
    assert "sides tell different dfs_months" in contradicted["unavailable"]

    def absent(part: str = "") -> Any:
        raise ConfigError(f"found no lifelines{part}, expected it; pip install 'usdlr[survival]'")

    monkeypatch.setattr(survival_summary, "lifelines", absent)
    found = study_survival(decisions, axillae)
    assert found is not None
    assert set(found) == {"unavailable"}
    inputs = told(certified, found)
    assert draw_survival(inputs) is None
    section = survival_section(inputs, {})
    assert section is not None
    assert "pip install 'usdlr[survival]'" in prose(section)


def test_both_sides_of_a_patient_count_once(certified: StudyInputs) -> None:
    decisions, axillae = leukaemia()
    once = study_survival(decisions, axillae, replicates=100)
    both = study_survival(
        pd.concat([decisions, decisions.assign(side="right", risk_group=LOW)]),
        pd.concat([axillae, axillae.assign(side="right")]),
        replicates=100,
    )
    assert once == both


def test_a_score_is_told_by_its_name(certified: StudyInputs) -> None:
    decisions, axillae = leukaemia()
    score = pd.Series(np.arange(42.0), name="p_sln")
    found = study_survival(decisions, axillae, score, months=(6.0, 12.0), replicates=100)
    assert found is not None
    section = survival_section(told(certified, found), {})
    assert section is not None
    table = table_of(section, 1)
    assert "P(SLN positive | x)" in table.caption
    assert [row[0] for row in table.rows] == [
        "AUC by 6 months",
        "AUC by 12 months",
        "Hazard ratio per standard deviation",
    ]
    assert study_survival(decisions, axillae, np.arange(42.0), replicates=100) is not None
    with pytest.raises(Exception, match="41"):
        study_survival(decisions, axillae, np.arange(41.0))


def test_curves_are_thinned_without_moving_a_step() -> None:
    random = np.random.default_rng(3)
    n = 4000
    time, end = random.exponential(60, n), random.uniform(20, 110, n)
    table = pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)], "side": "left", "risk_group": LOW})
    axillae = table[["patient_id", "side"]].assign(dfs_months=np.round(np.minimum(time, end), 2), dfs_event=time <= end)
    found = study_survival(table, axillae, replicates=100, months=(30.0, 60.0))
    assert found is not None
    curve = found["curves"]["groups"][LOW]
    assert len(curve["months"]) <= 241
    assert len(curve["censored"]["months"]) <= 241
    assert curve["survival"] == sorted(curve["survival"], reverse=True)
    assert curve["end"] == axillae["dfs_months"].max()
    # Every kept point is one of the whole curve: the product over everybody's own events up to then.
    for month, share in list(zip(curve["months"], curve["survival"], strict=True))[::40]:
        at = axillae["dfs_months"].to_numpy()
        events = np.unique(at[axillae["dfs_event"] & (at <= month)])
        expected = np.prod([1 - (axillae["dfs_event"] & (at == t)).sum() / (at >= t).sum() for t in events])
        assert share == pytest.approx(expected, abs=1e-9)
    assert len(json.dumps(found)) < 60_000


@pytest.mark.parametrize(
    "groups",
    [
        {LOW: "5 5+"},
        {LOW: "5+ 8+", HIGH: "1 2"},
        {LOW: "0 0"},
        {DEFER: "1 2 3+"},
        {LOW: "3 9", MIDDLE: "4 4+", HIGH: "1 300", DEFER: "2"},
        {MIDDLE: "7"},
    ],
)
def test_few_patients_are_drawn_or_told(certified: StudyInputs, groups: dict[str, str]) -> None:
    names = {name: text for name, text in {LOW: "", HIGH: "", **groups}.items() if text}
    decisions, axillae = leukaemia(**{LOW: "", HIGH: "", **names})
    inputs = told(certified, study_survival(decisions, axillae, replicates=100))
    drawing = draw_survival(inputs)
    assert drawing is not None
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", drawing.svg + drawing.caption)
    section = survival_section(inputs, {"survival": drawing})
    assert section is not None
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", prose(section) + str(table_of(section)))


def test_an_uncertified_study_says_so_in_every_sentence_about_groups(
    study: Callable[..., StudyInputs], uncertified: StudyInputs
) -> None:
    inputs = told(
        uncertified,
        study_survival(uncertified.decisions, uncertified.axillae, uncertified.decisions["p_sln"], replicates=100),
    )
    drawing = draw_survival(inputs)
    assert drawing is not None
    for word in ("simulated", "proxy endpoint", "uncertified"):
        assert word in drawing.title
    section = survival_section(inputs, {"survival": drawing})
    assert section is not None
    tables = [block for block in section.blocks if isinstance(block, PageTable)]
    assert len(tables) == 2
    assert all("uncertified" in table.caption for table in tables)
    for text in (prose(section), drawing.caption):
        for sentence in re.split(r"(?<=[A-Za-z0-9)%])\.\s", text):
            if re.search(r"threshold|risk group|\bgroups?\b|LR-SLN|HR-SLN", sentence):
                assert "uncertified" in sentence, sentence
    assert study is not None
