"""How often the shift alarm is raised where nothing has shifted, and how often where something has.

    python experiments/benchmarks/shift.py population --run runs/mine --draws 100 --patients 80
    python experiments/benchmarks/shift.py cohort --bundle runs/mine/bundle --cases others/cases.parquet --patients 40

``population`` draws both sides from one made-up population, which has the distributions, rank correlations and missing
modalities of a finished run's patients: in every draw other patients behind the model and another new centre. Nothing
has shifted, so every alarm is false. ``cohort`` takes real images through the whole pipeline once, divides the patients
at random into groups of the stated size and compares each with the bundle's summary: on a cohort of the bundle's own
centres alarms are false, on another they are right. It also counts axillae that raise the alarm of being unlike the
training patients. One JSON line each; ``population`` ends with 1 if more alarms are raised than the stated rate allows
(exact binomial test at 1 %).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binom

from usdlr.core import tables
from usdlr.core.types import Split, Stage
from usdlr.evaluation.intervals import rate as share
from usdlr.evaluation.marginals import Marginals
from usdlr.evaluation.reference import NUMBERS, PatientRows, Reference
from usdlr.evaluation.shift import KINDS, RATE, shift_report
from usdlr.inference.bundle import load_bundle
from usdlr.inference.ood_files import Seen, ood_rows
from usdlr.inference.predictor import member_rows, patient_splits, prepare_cases, read_member
from usdlr.inference.reading import Reading
from usdlr.inference.reference import patient_rows, read_columns, require_reference
from usdlr.inference.stage import prepare_torch

Array = npt.NDArray[np.float64]


class Population:
    """Made-up patients like given ones: Gaussian copula over everything, modalities missing as often."""

    def __init__(self, rows: PatientRows) -> None:
        self.columns = [str(name) for name in rows.design]
        self.numbers = [name for name in NUMBERS if name in rows.case]
        self.words = {name: rows.case[name].dropna().astype(str).to_numpy() for name in ("birads", "cn_stage")}
        parts = [rows.design, rows.case[self.numbers], pd.DataFrame(rows.looks), rows.log_odds]
        table = np.concatenate([part.to_numpy(np.float64, na_value=np.nan) for part in parts], axis=1)
        self.widths = np.cumsum([part.shape[1] for part in parts])[:-1]
        self.law = Marginals.of(table, [str(place) for place in range(table.shape[1])])
        scores = np.nan_to_num(self.law.scores(table), nan=0.0)
        self.centred = (scores - scores.mean(axis=0)) / np.maximum(scores.std(axis=0), 1e-9)
        optional = [place for place, name in enumerate(self.columns) if not name.startswith("bmode")]
        looks = range(self.widths[1], self.widths[2])
        # Whole blocks of embeddings are missing with the modality.
        gone = [place for place in looks if np.isnan(table[:, place]).any()]
        self.optional = [*optional, *gone]
        self.missing = float(np.isnan(rows.design.iloc[:, optional].to_numpy(np.float64)).all(axis=1).mean())

    def draw(self, size: int, random: np.random.Generator) -> PatientRows:
        """Independent patients."""
        weights = random.standard_normal((size, len(self.centred))) / np.sqrt(len(self.centred))
        # A tenth of every column is its own, so that no made-up patient lies in the span of the given ones.
        scores = np.sqrt(0.9) * weights @ self.centred
        scores += np.sqrt(0.1) * random.standard_normal((size, self.centred.shape[1]))
        values = self.law.values(scores)
        without = random.random(size) < self.missing
        values[without[:, None] & np.isin(np.arange(values.shape[1]), self.optional)] = np.nan
        design, numbers, looks, log_odds = np.split(values, self.widths, axis=1)
        case = pd.DataFrame(numbers, columns=self.numbers)
        for name, given in self.words.items():
            if len(given):
                case[name] = random.choice(given, size)
        stages = [str(stage) for stage in Stage]
        return PatientRows(
            pd.DataFrame(design, columns=self.columns), case, looks, pd.DataFrame(log_odds, columns=stages), size
        )


def population(options: argparse.Namespace) -> int:
    """False alarms where both sides are drawn from one population."""
    folder = Path(options.run)
    bundle = load_bundle(folder / "bundle")
    cases = tables.CASES.read(folder / "cases.parquet")
    rows, _, _ = _seen(bundle, cases, folder, options.jobs)
    made_up, reference = Population(rows), require_reference(bundle)
    read = read_columns(dict(bundle.member.models))
    made, held = reference.counts["patients"], reference.counts["held"]
    alarms: dict[str, list[bool]] = {"any": [], **{kind: [] for kind in KINDS}}
    began = time.perf_counter()
    for draw in range(options.draws):
        random = np.random.default_rng([options.seed, draw])
        behind = made_up.draw(made, random)
        summary = Reference.of(behind, behind.take(np.arange(made) < held), read=read, endpoints={})
        found = shift_report(summary, made_up.draw(options.patients, random), rate=options.rate)
        alarms["any"].append(bool(found["alarm"]))
        for kind in KINDS:
            alarms[kind].append(bool(found["kinds"][kind]["alarm"]))
    raised = sum(alarms["any"])
    kept = raised <= int(binom.isf(0.01, options.draws, options.rate))
    print(
        json.dumps(
            {
                "what": "population",
                "columns": len(made_up.columns),
                "behind_the_model": made,
                "patients": options.patients,
                "stated": options.rate,
                "false_alarms": share(raised, options.draws).as_dict(),
                "by_kind": {kind: sum(one) for kind, one in alarms.items() if kind != "any"},
                "kept": kept,
                "seconds_per_draw": round((time.perf_counter() - began) / options.draws, 3),
            }
        ),
        flush=True,
    )
    return int(not kept)


def cohort(options: argparse.Namespace) -> int:
    """Alarms on groups of a cohort's patients, from images."""
    bundle, path = load_bundle(Path(options.bundle)), Path(options.cases)
    cases = tables.CASES.read(path)
    rows, strange, split = _seen(bundle, cases, path.parent, options.jobs)
    fresh = np.array([split.get(name, str(Split.EXTERNAL)) == str(Split.EXTERNAL) for name in sorted(set(split.index))])
    rows, reference = rows.take(fresh), require_reference(bundle)
    order = np.random.default_rng(options.seed).permutation(len(rows))
    groups = [order[start : start + options.patients] for start in range(0, len(order), options.patients)]
    whole = [group for group in groups if len(group) == options.patients]
    found = [shift_report(reference, rows.take(np.isin(np.arange(len(rows)), group))) for group in whole]
    together = shift_report(reference, rows)
    alarms = strange["ood_alarm"].fillna(False)
    print(
        json.dumps(
            {
                "what": "cohort",
                "centres": sorted(cases["centre_id"].unique()),
                "patients": len(rows),
                "alarm": together["alarm"],
                "p_value": together["p_value"],
                "kinds": {kind: one["adjusted"] for kind, one in together["kinds"].items()},
                "domain_auc": together["domain_auc"]["value"],
                "group_size": options.patients,
                "groups_with_alarm": share(sum(bool(one["alarm"]) for one in found), len(found)).as_dict(),
                "axillae_unlike": share(int(alarms.sum()), len(alarms)).as_dict(),
            }
        ),
        flush=True,
    )
    return 0


def _seen(bundle: Any, cases: pd.DataFrame, root: Path, jobs: int) -> tuple[PatientRows, pd.DataFrame, pd.Series]:
    """A cohort through the bundle: rows to compare, alarms of its axillae, and what its patients were used for."""
    with tempfile.TemporaryDirectory() as ledger:
        prepared = prepare_cases(bundle.preparation, cases, root, jobs=jobs, ledger=Path(ledger))
    prepare_torch(bundle.preparation.threads)
    readings: dict[Stage, list[Reading]] = {}
    raw = read_member(
        bundle.member,
        prepared.cases,
        prepared.store,
        prepared.design,
        batch_size=bundle.preparation.batch_size,
        readings=readings,
    )
    seen = Seen.of(prepared.cases, prepared.design, bundle.member.models, readings)
    split = patient_splits(prepared.cases, bundle.member)
    predictions = member_rows(bundle.member, raw, split=split)
    return patient_rows(prepared.cases, seen, predictions), ood_rows(bundle.member.ood, seen), split


def main(words: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("population")
    first.add_argument("--run", required=True)
    first.add_argument("--draws", type=int, default=100)
    first.add_argument("--rate", type=float, default=RATE)
    second = commands.add_parser("cohort")
    second.add_argument("--bundle", required=True)
    second.add_argument("--cases", required=True)
    for one in (first, second):
        one.add_argument("--patients", type=int, default=80)
        one.add_argument("--jobs", type=int, default=1)
        one.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    return population(options) if options.command == "population" else cohort(options)


if __name__ == "__main__":
    sys.exit(main())
