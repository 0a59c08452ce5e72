"""The signature readout: honest about who taught its networks, exact in its shares, the same after a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from tests.inference.made_stage import COLUMNS, DIM, IMAGE_BLOCKS, NETWORK, SIDE, alone, made_cohort, made_model
from usdlr.baselines.nomogram import Nomogram
from usdlr.baselines.signature import SCORE, Signature, SignatureNomogram
from usdlr.core.errors import BundleError, ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.data.dataset import Axillae
from usdlr.inference.reading import Reading
from usdlr.inference.signature import (
    SignatureReadout,
    SignatureSettings,
    by_axilla,
    cross_fitting_folds,
    signature_settings,
)
from usdlr.inference.stage import StageModel
from usdlr.inference.stage_files import load_stage, save_readout, save_stage, stage_files

BLOCKS = (*IMAGE_BLOCKS, "radiomics")
TWO = SignatureSettings()


@dataclass(frozen=True)
class World:
    """Axillae, of which the first ``train`` teach; ``fold`` is -1 for the rest."""

    label: npt.NDArray[np.float64]
    fold: npt.NDArray[np.intp]
    design: pd.DataFrame
    image: npt.NDArray[np.float64]
    without_map: npt.NDArray[np.bool_]
    train: int

    def readings(self, *, memorised: bool, informed: bool, seed: int = 5) -> list[Reading]:
        """What two networks read: each on axes of its own, and of its own training rows the label, if memorised."""
        rng = np.random.default_rng(seed)
        count, out = len(self.label), []
        for network in range(2):
            values = rng.normal(size=(count, 3, DIM))
            if informed:  # the signs and places differ: these spaces cannot be mixed
                values[:, 0, network] += (1 - 2 * network) * 2 * self.image
            alone = np.repeat(self.image[:, None] if informed else rng.normal(size=(count, 1)), 3, axis=1)
            if memorised:
                learned = (self.fold >= 0) & (self.fold != network)
                sure = 3 * (2 * self.label[learned] - 1)[:, None]
                values[learned, :, 3] = sure + rng.normal(size=(int(learned.sum()), 3))
                alone[learned] = 2 * values[learned, :, 3]
            values[self.without_map, 1] = np.nan
            alone[self.without_map, 1] = np.nan
            out.append(Reading(np.zeros((count, 4)), values.astype(np.float32), alone + 3 * network))
        return out


def world(train: int = 120, test: int = 400, seed: int = 0) -> World:
    """The outcome hangs on an image signal, one texture and size."""
    rng = np.random.default_rng(seed)
    count = train + test
    image, texture, size = rng.normal(size=(3, count))
    label = (rng.uniform(size=count) < 1 / (1 + np.exp(-(1.5 * image + 1.5 * texture + size)))).astype(np.float64)
    noise = rng.normal(size=(count, 30))
    design = pd.DataFrame(noise, columns=[f"bmode.intratumoral.original.glcm.F{place}" for place in range(30)])
    design[COLUMNS[0]], design[COLUMNS[2]] = texture, 20 + 5 * size
    fold = np.full(count, -1, dtype=np.intp)
    fold[:train] = np.arange(train) % 2
    return World(label, fold, design, image, np.arange(count) % 5 == 4, train)


WORLD = world()


def cut(readings: list[Reading], rows: slice) -> list[Reading]:
    return [Reading(one.shares[rows], one.embeddings[rows], one.block_logits[rows]) for one in readings]


def fitted(
    readings: list[Reading], where: World = WORLD, *, fold: Any = None, split: str = "train", **options: Any
) -> SignatureReadout:
    part = slice(0, where.train)
    return SignatureReadout.fit(
        cut(readings, part),
        NETWORK,
        BLOCKS,
        where.design.iloc[part],
        where.label[part],
        (where.fold if fold is None else fold)[part],
        rows=Rows.of([f"p{place}" for place in range(where.train)], [split] * where.train),
        chosen=options.pop("chosen", TWO),
        seed=1,
        outcome="positive",
    )


def shares(readout: SignatureReadout, readings: list[Reading], where: World = WORLD, **rest: Any) -> Any:
    part = slice(where.train, None)
    return np.stack(readout.shares(cut(readings, part), NETWORK, BLOCKS, where.design.iloc[part], **rest))


def auc_of(readings: list[Reading], **options: Any) -> float:
    logits = np.nansum(shares(fitted(readings, **options), readings).mean(axis=0), axis=1)
    return float(roc_auc_score(WORLD.label[WORLD.train :], logits))


def auc_without_images() -> float:
    part, rest = slice(0, WORLD.train), slice(WORLD.train, None)
    rows = Rows.of([f"p{place}" for place in range(WORLD.train)], ["train"] * WORLD.train)
    model = SignatureNomogram(1).fit(WORLD.design.iloc[part], WORLD.label[part], rows=rows)
    return float(roc_auc_score(WORLD.label[rest], model.predict_proba(WORLD.design.iloc[rest])[:, 1]))


def test_networks_that_memorised_their_training_rows_do_not_ruin_the_signature() -> None:
    """Read by the networks that learned from them, the same rows would."""
    planted = WORLD.readings(memorised=True, informed=False)
    alone = auc_without_images()
    assert auc_of(planted) > alone - 0.02
    assert auc_of(planted, fold=1 - WORLD.fold) < alone - 0.1


def test_networks_that_know_something_are_heard_even_if_they_memorised_too() -> None:
    alone = auc_without_images()
    assert auc_of(WORLD.readings(memorised=False, informed=True)) > alone + 0.05
    assert auc_of(WORLD.readings(memorised=True, informed=True)) > alone + 0.05


def test_embeddings_are_read_where_the_networks_own_logits_say_nothing() -> None:
    readings = [
        reading._replace(block_logits=np.zeros_like(reading.block_logits))
        for reading in WORLD.readings(memorised=False, informed=True)
    ]
    assert auc_of(readings) > auc_without_images() + 0.05
    signature = fitted(readings).signature
    assert signature is not None
    # Place 0 of the first network and place 1 of the second, with opposite signs.
    weight = dict(zip(signature.columns, signature.coefficients, strict=True))
    assert weight["embedding.bmode.intratumoral.000"] > 0 > weight[f"embedding.bmode.intratumoral.{DIM + 1:03d}"]


def table_by_hand(readings: list[Reading], fold: int, readout: SignatureReadout) -> pd.DataFrame:
    """What the networks of a fold show, spelled out for the test axillae."""
    part = slice(WORLD.train, None)
    table = WORLD.design.iloc[part].reset_index(drop=True).copy()
    for place, block in enumerate(IMAGE_BLOCKS):
        for network, reading in enumerate(readings):
            for axis in range(DIM):
                name = f"embedding.{block}.{network * DIM + axis:03d}"
                table[name] = reading.embeddings[part, place, axis].astype(float) if network == fold else np.nan
        table[f"logit.{block}"] = readings[fold].block_logits[part, place] - readout.centres[block][fold]
    return table


def test_shares_add_up_to_the_nomograms_own_log_odds() -> None:
    readings = WORLD.readings(memorised=False, informed=True)
    readout = fitted(readings)
    found = shares(readout, readings)
    for fold in range(2):
        table = table_by_hand(readings, fold, readout)
        assert readout.signature is not None
        table[SCORE] = readout.signature.score(table)
        probability = [
            readout.nomogram.probability({str(name): value for name, value in row.items()}, extrapolate=True)
            for row in table.to_dict("records")
        ]
        np.testing.assert_allclose(np.nansum(found[fold], axis=1), logit(probability), atol=1e-9)
    assert np.nanstd(found[:, :, 0]) > 0.1
    assert np.ptp(found[:, :, -1], axis=1).max() == 0, "the base is the same for every axilla"
    # The offset between the networks, planted above, is gone.
    assert abs(np.nansum(found[1] - found[0], axis=1).mean()) < 0.3


def test_absent_and_hidden_blocks_have_no_share_and_nobody_elses_moves() -> None:
    readings = WORLD.readings(memorised=False, informed=True)
    readout = fitted(readings)
    found = shares(readout, readings)
    np.testing.assert_array_equal(np.isnan(found[0, :, 1]), WORLD.without_map[WORLD.train :])
    assert np.isfinite(found[:, :, [0, 2, 3]]).all()
    hidden = shares(readout, readings, hidden=["radiomics"])
    assert np.isnan(hidden[:, :, 2]).all()
    np.testing.assert_array_equal(hidden[:, :, [0, 1, 3]], found[:, :, [0, 1, 3]])
    assert readout.blocks(NETWORK, list(WORLD.design.columns)) == BLOCKS


def test_split_tables_share_by_block() -> None:
    split = replace(NETWORK, tabular="split")
    readings = WORLD.readings(memorised=False, informed=True)
    readout = fitted(readings)
    part = slice(WORLD.train, None)
    design = WORLD.design.iloc[part].copy()
    design.iloc[0, :-1] = np.nan
    found = np.stack(readout.shares(cut(readings, part), split, BLOCKS, design))
    assert readout.blocks(split, list(design.columns)) == (*IMAGE_BLOCKS, "radiomics.bmode.intratumoral", "clinical")
    np.testing.assert_allclose(found[:, 1:, 2] + found[:, 1:, 3], shares(readout, readings)[:, 1:, 2], atol=1e-12)
    assert np.isnan(found[:, 0, 2]).all()
    assert np.isfinite(found[:, 0, 3]).all()


def test_written_and_read_back_it_says_the_same_and_names_nobody() -> None:
    readings = WORLD.readings(memorised=False, informed=True)
    readout = fitted(readings)
    text = json.dumps(readout.to_dict(), allow_nan=False)
    again = SignatureReadout.from_dict(json.loads(text))
    np.testing.assert_array_equal(shares(again, readings), shares(readout, readings))
    assert json.dumps(again.to_dict()) == text
    assert '"p1"' not in text


@pytest.mark.parametrize("split", ["tuning", "calibration", "test"])
def test_rows_of_another_split_are_refused(split: str) -> None:
    with pytest.raises(LeakError, match=f"120 {split} rows in the fit of the signature readout"):
        fitted(WORLD.readings(memorised=False, informed=False), split=split)


def test_too_few_patients_of_a_class_are_refused() -> None:
    few = replace(WORLD, label=np.where(np.arange(len(WORLD.label)) < 2, 1.0, 0.0))
    with pytest.raises(DataError, match=r"found 2 training patients in the rarer class .* or readout: network"):
        fitted(few.readings(memorised=False, informed=False), few)


def test_folds_keep_patients_whole_and_classes_in_proportion() -> None:
    patients = [f"p{place // 2}" for place in range(120)]
    classes = [int(place % 2 == 0 and place < 40) + int(place < 12) for place in range(120)]
    fold = cross_fitting_folds(patients, classes, 3, seed=4)
    table = pd.DataFrame({"patient": patients, "kind": classes, "fold": fold})
    assert (table.groupby("patient")["fold"].nunique() == 1).all()
    per_patient = table.groupby("patient").max()
    counts = per_patient.groupby(["kind", "fold"]).size().unstack()
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert len(counts) == 3
    np.testing.assert_array_equal(fold, cross_fitting_folds(patients, classes, 3, seed=4))
    assert (fold != cross_fitting_folds(patients, classes, 3, seed=5)).any()


def test_an_axillas_row_is_the_mean_of_what_its_images_have() -> None:
    cases = pd.DataFrame({"patient_id": ["b", "a", "b"], "side": ["left", "left", "left"]})
    design = pd.DataFrame({"x": [1.0, np.inf, 3.0], "y": [np.nan, 2.0, 5.0]})
    found = by_axilla(design, Axillae.of(cases))
    np.testing.assert_array_equal(found["x"], [2.0, np.nan])
    np.testing.assert_array_equal(found["y"], [5.0, 2.0])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("signatur", "found readout = 'signatur', expected one of network, signature; did you mean 'signature'"),
        ({"signature": {"fold": 2}}, "the option 'fold' of readout = signature, .* did you mean 'folds'"),
        ({"signature": {"folds": 1}}, r"readout\.signature\.folds = 1, expected at least 2"),
        ({"signature": {"l1_ratio": 0.0}}, r"l1_ratio = 0\.0, expected a share"),
        ({"network": {"folds": 2}}, "the option 'folds' of readout = network, expected none"),
    ],
)
def test_wrong_readouts_are_refused(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        signature_settings(part)


def saved(folder: Path, model: StageModel) -> Path:
    weights = [network.state_dict() for network in model.networks]
    save_stage(folder, weights, model.selector, model.scores, target=0, variants=alone(NETWORK, SIDE) * len(weights))
    return folder


def test_a_stage_with_a_signature_is_restored_and_predicts_by_it(tmp_path: Path) -> None:
    cohort = made_cohort(24)
    model = made_model(cohort)
    folder = saved(tmp_path, model)
    plain = load_stage(folder, alone(NETWORK, SIDE))
    design = by_axilla(cohort.design, cohort.axillae)
    readings = plain.read(cohort.cases, cohort.store, cohort.design, 5)
    label = (design[COLUMNS[2]] > design[COLUMNS[2]].median()).to_numpy(np.float64)
    readout = SignatureReadout.fit(
        readings,
        NETWORK,
        model.networks[0].blocks,
        design,
        label,
        np.arange(24) % 2,
        rows=Rows.of(cohort.axillae.keys["patient_id"], ["train"] * 24),
        chosen=TWO,
        seed=0,
        outcome="positive",
    )
    save_readout(folder, readout)
    signed = load_stage(folder, alone(NETWORK, SIDE))
    assert folder / "signature.json" in stage_files(folder)
    assert signed.model_id != plain.model_id
    raw = signed.predict_axillae(cohort.cases, cohort.store, cohort.design, 5)
    contributions = raw.filter(like="contribution.")
    assert list(contributions) == [f"contribution.{block}" for block in (*BLOCKS, "base")]
    np.testing.assert_allclose(contributions.sum(axis=1), raw["logit"], atol=1e-12)
    np.testing.assert_array_equal(raw["contribution.elasto.intratumoral"].isna(), cohort.without_map)
    assert roc_auc_score(label, raw["logit"]) > 0.95, "size decides here, and the nomogram has it"
    assert raw["spread"].notna().all()
    hidden = signed.predict_axillae(cohort.cases, cohort.store, cohort.design, 5, hidden=["elasto.intratumoral"])
    assert hidden["contribution.elasto.intratumoral"].isna().all()
    (folder / "signature.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged stage"):
        load_stage(folder, alone(NETWORK, SIDE))


def test_the_record_is_the_baselines_own() -> None:
    state = fitted(WORLD.readings(memorised=False, informed=True)).to_dict()
    assert Signature.from_dict(state["signature"]).columns
    assert Nomogram.from_dict(state["nomogram"]).outcome == "positive"
