"""Prediction says what it may not be used for: other centres, seen patients, other sites."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.provenance import Provenance
from usdlr.core.types import ContractStatus, OnUncertified
from usdlr.decision.deferral import DeferralRule
from usdlr.decision.strata import StratumRule
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.predictor import Prediction, predict
from usdlr.inference.service import notices


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def cases(run_folder: Path) -> pd.DataFrame:
    return tables.CASES.read(run_folder / "cases.parquet").head(12)


def apply(bundle: Bundle, cases: pd.DataFrame, run_folder: Path, tmp_path: Path) -> Prediction:
    return predict(
        bundle, cases, run_folder, jobs=1, ledger=tmp_path / "ledger", on_uncertified=OnUncertified.ZERO_MISS
    )


def test_seen_patients_keep_their_split(bundle: Bundle, cases: pd.DataFrame, run_folder: Path, tmp_path: Path) -> None:
    found = apply(bundle, cases, run_folder, tmp_path)
    splits = tables.SPLITS.read(run_folder / "splits.csv").query("fold == 'bundle'").set_index("patient_id")["split"]
    rows = found.predictions
    assert (rows["split"] == splits.loc[list(rows["patient_id"])].to_numpy()).all()
    assert found.seen == len(found.decisions)
    assert found.foreign_centres == ()
    unseen = apply(bundle, cases.assign(image_id="new-" + cases["image_id"]), run_folder, tmp_path)
    assert set(unseen.predictions["split"]) == {"external"}
    assert unseen.seen == 0


def test_contract_is_void_at_another_centre(
    bundle: Bundle, cases: pd.DataFrame, run_folder: Path, tmp_path: Path
) -> None:
    certified = replace(
        bundle, member=replace(bundle.member, contract=replace(bundle.member.contract, status=ContractStatus.CERTIFIED))
    )
    mixed = cases.copy()
    mixed.loc[:5, "centre_id"] = "east"
    found = predict(certified, mixed, run_folder, jobs=1, ledger=tmp_path / "l", on_uncertified=None)
    assert found.foreign_centres == ("east",)
    joined = found.decisions.merge(mixed[["patient_id", "side", "centre_id"]], on=["patient_id", "side"])
    away = joined["centre_id"] == "east"
    assert set(joined.loc[away, "risk_group"]) == {"DEFER"}
    assert set(joined.loc[away, "contract"]) == {"not_certifiable"}
    assert set(joined.loc[~away, "contract"]) == {"certified"}
    assert list(found.decisions["patient_id"]) == list(mixed["patient_id"])


def test_images_of_the_axilla_are_left_out_with_a_reason(
    bundle: Bundle, cases: pd.DataFrame, run_folder: Path, tmp_path: Path
) -> None:
    mixed = cases.copy()
    mixed.loc[0, "site"] = "axilla"
    found = apply(bundle, mixed, run_folder, tmp_path)
    assert list(found.exclusions["code"]) == ["not_tumour"]
    assert mixed.loc[0, "patient_id"] not in set(found.decisions["patient_id"])
    with pytest.raises(DataError, match="no image of a primary tumour"):
        apply(bundle, cases.assign(site="axilla"), run_folder, tmp_path)


def test_command_says_whom_its_numbers_are_about(
    cases: pd.DataFrame, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = cases.assign(**{
        name: cases[name].map(lambda path: str(run_folder / path), na_action="ignore")
        for name in ("bmode_path", "elasto_path", "mask_path")
    })  # fmt: skip
    mixed.loc[0, "centre_id"] = "east"
    tables.CASES.write(mixed, tmp_path / "cases.parquet", Provenance("test"))
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--cases", str(tmp_path / "cases.parquet")]
    assert main([*words, "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    for part in ("not a medical device", "imulated", "Cohort:", "Uncertified", "void for east", "12 of 12 axillae"):
        assert part in said, part
    reasons = tables.DECISIONS.read(tmp_path / "out" / "decisions.parquet")["reason"]
    assert reasons.str.startswith("Simulated. ").all()


def test_a_marginal_bundle_answers_and_is_certified_nowhere(
    bundle: Bundle, cases: pd.DataFrame, run_folder: Path, tmp_path: Path
) -> None:
    promised = replace(bundle.member.contract, kind="marginal", status=ContractStatus.MARGINAL, t_sln=0.5, t_nsln=0.5)
    marginal = replace(bundle, member=replace(bundle.member, contract=promised))
    mixed = cases.copy()
    mixed.loc[:5, "centre_id"] = "east"
    found = predict(marginal, mixed, run_folder, jobs=1, ledger=tmp_path / "l", on_uncertified=None)
    away = found.decisions["patient_id"].isin(mixed.loc[:5, "patient_id"])
    assert set(found.decisions.loc[away, "risk_group"]) == {"DEFER"}
    assert set(found.decisions.loc[away, "contract"]) == {"not_certifiable"}
    assert set(found.decisions.loc[~away, "contract"]) == {"marginal"}
    reasons = found.decisions.loc[~away, "reason"]
    assert reasons.str.contains("Marginal target only, uncertified: ").all()
    assert not found.decisions["reason"].str.contains(r"\bcertified\b", case=False).any()
    path = tmp_path / "decisions.parquet"
    tables.DECISIONS.write(found.decisions, path, Provenance("test"))
    assert set(tables.DECISIONS.read(path)["contract"]) == {"marginal", "not_certifiable"}


def test_command_prints_deferral_and_strata_of_the_contract(bundle: Bundle) -> None:
    own = replace(bundle.member.contract, kind="marginal", status=ContractStatus.MARGINAL)
    rich = replace(
        own,
        deferral=DeferralRule(0.3),
        deferred={"axillae": 22, "all": 4, "sln": 1, "nsln": 0},
        strata=StratumRule("elastography"),
        by_stratum={"with elastography": own, "without elastography": own.void()},
    )
    empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty(), tables.EXCLUSIONS.empty()
    said = notices(
        replace(bundle, member=replace(bundle.member, contract=rich)), Prediction(*empty, foreign_centres=(), seen=0)
    )
    assert [line for line in said if line.startswith("Marginal, without a stated confidence")]
    assert [line for line in said if line.startswith("Deferred of the calibration axillae: 4 of 22")]
    assert [line for line in said if line.startswith("1 of 2 strata by elastography keep the marginal target")]
    assert [line for line in said if line.startswith("without elastography: Uncertified")]
    assert not [line for line in said if re.search(r"\bcertified\b", line, re.IGNORECASE)]
