"""Plans: what a file may say, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from usdlr.core.errors import ConfigError, DataError
from usdlr.validation.plan import Plan, differences, plan_from, read_plan
from usdlr.validation.size import needed, needed_lines
from usdlr.validation.template import template_text


def content(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "schema": 1,
        "title": "East",
        "question": "Is it right?",
        "bundle": "0123456789ab",
        "endpoints": {
            "sln": {"column": "sln_positive", "positive": "positive sentinel node"},
            "nsln": {"column": "nsln_positive", "positive": "positive non-sentinel node"},
        },
        "hypotheses": {"alpha": {"sln": 0.1, "nsln": 0.05}},
        "sample_size": {"prevalence": 0.4},
    }
    return plain | changes


def made(**changes: Any) -> Plan:
    return plan_from(content(**changes), "plan.yaml")


def test_layout_and_comments_do_not_change_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(template_text(made()), encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("#") > 10
    assert read_plan(path) == made()
    assert read_plan(path).hash == made().hash
    path.write_text(yaml.safe_dump(made().as_dict(), sort_keys=True), encoding="utf-8")
    assert read_plan(path).hash == made().hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"galery": 3}, "unknown key 'galery'.*gallery"),
        ({"schema": 2}, "no schema 1"),
        ({"endpoints": {"sln": {"column": "a", "positive": "b"}}}, "expected sln and nsln"),
        ({"hypotheses": {"alpha": {"sln": 10, "nsln": 5}}}, "between 0 and 1"),
        ({"hypotheses": {"alpha": {"sln": True, "nsln": 0.1}}}, "between 0 and 1"),
        ({"hypotheses": {"alpha": {"sln": 0.1, "nsln": 0.1}, "slope": [1.2, 0.8]}}, "two ends"),
        ({"hypotheses": {}}, "incomplete"),
        ({"sample_size": {"prevalence": 40}}, "not per cent"),
        ({"subgroups": ["tumor_size_mm"]}, "subgroup 'tumor_size_mm'.*tumour_size_mm"),
        ({"where": {"sln_positive": [True]}}, "data.where.sln_positive"),
        ({"shift_rate": 0}, "shift_rate"),
        ({"gallery": -1}, "gallery"),
        ({"centres": ["a"], "development_centres": ["b"]}, "not among the centres"),
        ({"centres": "a"}, "list of names"),
        ({"bundle": 123456789012}, "expected text"),
        ({"ingest": {"relative_diameter": 1e9}}, "relative_diameter"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**changes)


def test_a_proxy_is_no_subgroup_of_itself() -> None:
    ends = content()["endpoints"] | {"nsln": {"column": "proxy_birads5", "positive": "BI-RADS 5"}}
    with pytest.raises(ConfigError, match="subgroup 'birads'"):
        made(endpoints=ends)


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    with pytest.raises(DataError, match="usdlr validate plan"):
        read_plan(path)
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(DataError, match="not valid YAML"):
        read_plan(path)
    path.write_text("!!python/object/apply:os.system ['true']", encoding="utf-8")
    with pytest.raises(DataError, match="not valid YAML"):
        read_plan(path)
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected keys"):
        read_plan(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
        max_leaves=8,
    )
)
def test_whatever_stands_in_a_file_is_a_plan_or_an_error_in_one_line(found: object) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_from(found, "plan.yaml")
    assert "\n" not in str(caught.value)


def test_differences_name_the_key() -> None:
    old, new = made().as_dict(), made(gallery=3, hypotheses={"alpha": {"sln": 0.05, "nsln": 0.05}}).as_dict()
    assert differences(old, new) == ["hypotheses.alpha.sln: 0.1 -> 0.05", "gallery: 12 -> 3"]


def test_sample_size_is_that_of_published_criteria() -> None:
    """36 positives without a miss show at most 10 % by a two-sided 95 % interval; 72 show at most 5 %."""
    found = needed(made())["verdict"]
    assert found["sln"]["least_positives"] == 36
    assert found["nsln"] is None, "an anticipated rate of 5 % cannot show that 5 % is held"
    assert any("no number shows it is held" in line for line in needed_lines(made()))
    better = made(sample_size={"prevalence": 0.4, "fnr": 0.01})
    assert needed(better)["verdict"]["nsln"]["least_positives"] == 72
