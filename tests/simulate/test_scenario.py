"""Scenarios by name, from files, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from usdlr.core.errors import ConfigError
from usdlr.simulate.axilla import AxillaModel
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS, Logit
from usdlr.simulate.scenario_file import find_scenario, read_scenario, scenario_yaml

MIDDLE = {name: latent.middle for name, latent in LATENTS.items()}


def rows(**latents: list[float]) -> pd.DataFrame:
    count = len(next(iter(latents.values())))
    return pd.DataFrame({name: latents.get(name, [value] * count) for name, value in MIDDLE.items()})


def test_the_seven_scenarios_are_there() -> None:
    assert list(SCENARIOS) == [
        "default", "no_signal", "size_only", "peritumoral_only", "elastography_only", "interaction", "rare",
    ]  # fmt: skip


def test_a_term_counts_per_standard_deviation() -> None:
    # One standard deviation of the logarithm above and below 18 mm; the logit of 0.5, then 1 up and 1 down.
    table = rows(size_mm=[18.0, 18.0 * np.exp(0.42), 18.0 / np.exp(0.42)])
    found = Logit(0.0, {"size_mm": 1.0}).probability(table)
    np.testing.assert_allclose(found, [0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    np.testing.assert_allclose(Logit(0.0, {"size_mm": 1.0}).probability(table, shift=-1.0)[1], 0.5)


def test_a_product_tells_only_when_both_differ_from_their_medians() -> None:
    dark, stiff = -10.5 - 2.8, 100.0 * np.exp(0.48)
    table = rows(echogenicity_db=[dark, -10.5, dark], stiffness_kpa=[100.0, stiff, stiff])
    design = Logit(0.0, {"echogenicity_db*stiffness_kpa": 2.0}).design(table)
    np.testing.assert_allclose(design["echogenicity_db*stiffness_kpa"], [0.0, 0.0, -1.0], atol=1e-12)


@pytest.mark.parametrize("term", ["size", "size_mm*rim", "size_mm*rim_kpa*halo_db", ""])
def test_an_unknown_term_is_refused(term: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a latent or the product of two, of: size_mm"):
        Logit(0.0, {term: 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", True, None])
def test_a_coefficient_must_be_a_finite_number(value: float) -> None:
    with pytest.raises(ConfigError, match=r"coefficient rim_kpa = .*, expected a finite number"):
        Logit(0.0, {"rim_kpa": value})


@pytest.mark.parametrize("wrong", [{"itc_rate": 1.2}, {"burden_rate": 0.0}, {"micro_rate": (0.1, -0.1)}])
def test_rates_of_the_axilla_are_shares(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="model of the axilla"):
        AxillaModel(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_written_scenario_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_yaml(SCENARIOS[name]), encoding="utf-8")
    assert read_scenario(path) == SCENARIOS[name]
    assert read_scenario(path).as_dict() == SCENARIOS[name].as_dict()
    assert find_scenario(str(path)).name == name


def test_a_file_states_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": "rare", "name": "mine", "nsln": {"intercept": -1.0}}), encoding="utf-8")
    found = read_scenario(path)
    assert (found.name, found.nsln.intercept, found.sln.intercept) == ("mine", -1.0, -0.716)
    assert dict(found.nsln.terms) == {"rim_kpa": 1.60, "size_mm": 1.05, "halo_db": 0.80}
    assert SCENARIOS["rare"].nsln.intercept == -5.229


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sln: {intercpt: 1}", r"unknown key 'sln.intercpt'; did you mean sln.intercept\?"),
        ("loading_scal: 1", r"unknown key 'loading_scal'; did you mean loading_scale\?"),
        ("sln: 3", "found sln = 3, expected keys with values"),
        ("sln: {terms: [1, 2]}", r"found terms = \(1, 2\), expected latents"),
        ("base: rar", "found base = 'rar'"),
        ("loading_scale: 2", "found loading_scale = 2, expected a number from 0 to 1"),
        ("loading_scale: high", "found loading_scale = 'high', expected a finite number"),
        ("axilla: {planned_dissection: 0.5}", "found planned_dissection = 0.5, expected 2 finite numbers"),
        ("survival: {follow_up_months: [1, 2, 3]}", r"found follow_up_months = \(1, 2, 3\), expected 2 finite numbers"),
        ("axilla: {dissection_log_odds: [1.0]}", "dissection_log_odds = .*, expected 2 finite numbers"),
        ("axilla: {micro_rate: [0.1]}", "micro_rate = .*, expected 2 finite numbers"),
        ("axilla: {non_sentinel_nodes: -8}", "non_sentinel_nodes = -8, expected a mean from 0 to 60"),
        ("axilla: {extra_sentinel_nodes: -1}", "extra_sentinel_nodes = -1, expected a mean"),
        ("survival: {log_hazard_sln: 900}", "log_hazard_sln = 900, expected a finite number of at most 50"),
        ("survival: {shape: 1e-6}", "found shape = '1e-6', expected a finite number"),
        ("centre_effect: .inf", "found centre_effect = inf, expected a finite number"),
        ("base: [1]", r"found base = \[1\]"),
        ("name: 5", "found name = 5, expected words"),
        ("meaning: [a]", "found meaning = .*, expected words"),
        ("sln: {intercept: 1, intercept: 2}", "the key 'intercept' is stated twice"),
        ("sln: {intercept: 1}", "other coefficients under the name default, expected a name of its own"),
        ("[1, 2]", "without keys"),
        ("a: [", "is not valid YAML"),
        ("", "without keys"),
    ],
)
def test_a_mistake_in_a_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        find_scenario(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_name_meets_its_neighbour() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown scenario 'size_onl', expected one of default.*did you mean size_only"
    ):
        find_scenario("size_onl")
    with pytest.raises(ConfigError, match=r"found no scenario file nowhere\.yaml"):
        find_scenario("nowhere.yaml")
