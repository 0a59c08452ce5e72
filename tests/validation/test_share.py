"""A result without patients: what an attacker can work out, what a damaged file does, what pooling gives."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.special import expit, logit

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.types import RiskGroup, Stage
from usdlr.validation.further import share_here
from usdlr.validation.share import LEDGER, shared_result, shared_rows, write_share
from usdlr.validation.share_bins import tells
from usdlr.validation.share_cells import AGGREGATES, FOUND, cascade_counts, worth
from usdlr.validation.share_read import read_share, read_shares
from usdlr.validation.share_scores import GRID, binned_scores, without_edge

T = {Stage.SLN: 0.25, Stage.NSLN: 0.3}
ALPHA = {"sln": 0.1, "nsln": 0.1}
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def centre_tables(n: int, seed: int, *, unknown: float = 0.05, shift: float = 0.0, name: str = "p") -> Tables:
    """Predictions, decisions and labels of one made-up centre; every tenth patient has two axillae."""
    random = np.random.default_rng(seed)
    keys = pd.DataFrame({"patient_id": [f"{name}{k:04d}" for k in range(n)], "side": "left"})
    keys = pd.concat([keys, keys.iloc[::10].assign(side="right")], ignore_index=True)
    z = {stage: random.normal(shift, 1.3, len(keys)) for stage in Stage}
    sln = (random.uniform(size=len(keys)) < expit(z[Stage.SLN])).astype(float)
    nsln = np.where(sln == 1, (random.uniform(size=len(keys)) < expit(z[Stage.NSLN])).astype(float), np.nan)
    nsln[random.uniform(size=len(keys)) < 0.15] = np.nan
    sln[random.uniform(size=len(keys)) < unknown] = np.nan
    nsln[np.isnan(sln)] = np.nan
    parts = [
        keys.assign(stage=str(stage), logit=at, probability=expit(at), logit_low=at - 1, logit_high=at + 1)
        for stage, at in z.items()
    ]
    group = np.where(
        expit(z[Stage.SLN]) < T[Stage.SLN],
        "LR-SLN",
        np.where(expit(z[Stage.NSLN]) < T[Stage.NSLN], "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN"),
    )
    labels = keys.assign(sln=sln, nsln=nsln)
    return pd.concat(parts, ignore_index=True), keys.assign(risk_group=group), labels


POSITIVE = ("positive_unknown", "positive_negative", "positive_positive")
MISSED = ("LR-SLN", "HR-SLN/LR-NSLN")
# What every shared count is a sum of, written down once more by hand.
PARTS: dict[str, Callable[[str, str], bool]] = {
    "axillae": lambda group, what: True,
    "sln_positive": lambda group, what: what in POSITIVE,
    "nsln_positive": lambda group, what: what == "positive_positive",
    "missed_sln": lambda group, what: what in POSITIVE and group == "LR-SLN",
    "missed_nsln": lambda group, what: what == "positive_positive" and group in MISSED,
    "nsln_known": lambda group, what: what in POSITIVE[1:],
    "sln_negative": lambda group, what: what == "negative",
    "spared_sln_negative": lambda group, what: what == "negative" and group == "LR-SLN",
    "deferred": lambda group, what: group == "DEFER",
    "group_0": lambda group, what: group == "LR-SLN",
    "group_1": lambda group, what: group == "HR-SLN/LR-NSLN",
    "group_2": lambda group, what: group == "HR-SLN/HR-NSLN",
}


def status(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    """What was found of every axilla."""
    sln, nsln = table["sln"], table["nsln"]
    return np.select([sln.isna(), sln == 0, nsln.isna(), nsln == 0], list(FOUND[:4]), FOUND[4])


def share(tables: Tables, centre: str = "North", **changed: Any) -> dict[str, Any]:
    predictions, decisions, labels = tables
    options: dict[str, Any] = {"bundle_id": "0123456789ab", "plan_hash": "a" * 64, "thresholds": T, "alpha": ALPHA}
    return shared_result(centre, predictions=predictions, decisions=decisions, labels=labels, **{**options, **changed})


def written(result: dict[str, Any], path: Path) -> Path:
    path.write_text(json.dumps(result))
    return path


class TestSmallCells:
    @pytest.mark.parametrize("seed", range(10))
    def test_nothing_small_can_be_worked_out(self, seed: int) -> None:
        """The attacker knows how counts are made of cells and searches whole numbers, with a solver of its own."""
        n = int(np.random.default_rng(seed).integers(8, 60))
        _, decisions, labels = centre_tables(n, seed)
        shared = cascade_counts(decisions, labels).shared
        assert all(value is None or value == 0 or value >= 5 for value in shared.values())
        table = decisions.merge(labels, on=AXILLA_KEY)
        groups, found = table["risk_group"], status(table)
        cells = list(itertools.product(map(str, RiskGroup), FOUND))
        rows = [[float(part(*cell)) for cell in cells] for name, part in PARTS.items() if shared[name] is not None]
        known = np.array([value for name in PARTS if (value := shared[name]) is not None])
        assert set(PARTS) == set(AGGREGATES)
        for place, (group, what) in enumerate(cells):
            if not 0 < int(((groups == group) & (found == what)).sum()) < 5:
                continue
            target = np.eye(len(cells))[place]
            ends = [
                milp(
                    sign * target,
                    constraints=LinearConstraint(np.array(rows), known, known),
                    integrality=np.ones(len(cells), dtype=np.int64),
                    bounds=Bounds(0, 10_000),
                ).fun
                for sign in (1, -1)
            ]
            assert None not in ends
            assert -float(ends[1] or 0) - float(ends[0] or 0) >= 5

    def test_an_attacker_with_the_complement_finds_a_range(self) -> None:
        # 3 of 40 positives missed, everything else large: the total minus the rest would give the 3 back.
        groups = ["LR-SLN"] * 43 + ["HR-SLN/HR-NSLN"] * 57
        sln = [1.0] * 3 + [0.0] * 40 + [1.0] * 37 + [0.0] * 20
        keys = pd.DataFrame({"patient_id": [f"p{k}" for k in range(100)], "side": "left"})
        labels = keys.assign(sln=sln, nsln=[np.nan] * 100)
        shared = cascade_counts(keys.assign(risk_group=groups), labels).shared
        assert shared["missed_sln"] is None
        solutions = {
            missed
            for missed in range(41)
            for spared in range(61)
            if (shared["group_0"] is None or missed + spared == shared["group_0"])
            and (shared["spared_sln_negative"] is None or spared == shared["spared_sln_negative"])
        }
        assert len(solutions) > 5

    def test_two_axillae_of_one_patient_are_one_patient(self) -> None:
        keys = pd.DataFrame({"patient_id": ["a", "a", "b", "b", "c", "c"], "side": ["left", "right"] * 3})
        labels = keys.assign(sln=1.0, nsln=1.0)
        shared = cascade_counts(keys.assign(risk_group="LR-SLN"), labels).shared
        assert shared["missed_sln"] is None  # six axillae, three patients

    def test_without_a_bound_everything_is_told_and_none_is_refused(self) -> None:
        _, decisions, labels = centre_tables(30, 2)
        shared = cascade_counts(decisions, labels, smallest=1).shared
        assert None not in shared.values()
        assert set(shared) == set(AGGREGATES)
        with pytest.raises(ConfigError):
            cascade_counts(decisions, labels, smallest=0)

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_hardly_anybody(self, n: int) -> None:
        _, decisions, labels = centre_tables(3, 2, unknown=0.0)
        keep = labels["patient_id"].isin([f"p{k:04d}" for k in range(n)])
        shared = cascade_counts(decisions[keep], labels[keep]).shared
        assert all(value in (0, None) for value in shared.values())


class TestScores:
    @pytest.mark.parametrize("seed", range(8))
    def test_every_bin_holds_nobody_of_a_class_or_enough(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        n = int(random.integers(12, 300))
        p = random.beta(0.7, 2, n)
        y = (random.uniform(size=n) < p).astype(float)
        who = [f"p{k // 2}" for k in range(n)]
        found = binned_scores(y, p, who, smallest=5)
        if found is None:
            assert min(len({w for w, t in zip(who, y, strict=True) if t == kind}) for kind in (0, 1)) < 5
            return
        assert set(found["edges"]) <= set(GRID)
        # numpy's own histogram, right edge of the last bin included.
        for kind, name in ((1, "positive"), (0, "negative")):
            assert found[name] == np.histogram(p[y == kind], bins=found["edges"])[0].tolist()
            for low, high in itertools.pairwise(found["edges"]):
                inside = {w for w, t, r in zip(who, y, p, strict=True) if t == kind and low <= r < (high + (high == 1))}
                assert not 0 < len(inside) < 5

    def test_few_of_a_class_have_no_curve(self) -> None:
        y = np.r_[np.ones(4), np.zeros(50)]
        assert binned_scores(y, np.linspace(0, 1, 54), [str(k) for k in range(54)], smallest=5) is None


class TestDifference:
    def save(self, tables: Tables, folder: Path, name: str) -> None:
        write_share(share(tables), folder / name, shared_rows(*tables), ledger=folder / LEDGER)

    def test_a_second_file_with_one_patient_more_is_refused(self, tmp_path: Path) -> None:
        tables = centre_tables(120, 3)
        fewer = tuple(table[table["patient_id"] != "p0001"] for table in tables)
        self.save(fewer, tmp_path, "first.json")  # type: ignore[arg-type]  # three tables
        with pytest.raises(InputError, match="differs from one that was shared before by 1 patients"):
            self.save(tables, tmp_path, "second.json")
        assert not (tmp_path / "second.json").exists()

    def test_so_is_one_with_a_changed_outcome(self, tmp_path: Path) -> None:
        predictions, decisions, labels = centre_tables(120, 3)
        self.save((predictions, decisions, labels), tmp_path, "first.json")
        changed = labels.copy()
        changed["sln"] = np.where(np.arange(len(changed)) == 2, 1 - np.nan_to_num(labels["sln"]), labels["sln"])
        changed.loc[2, "nsln"] = np.nan
        with pytest.raises(InputError, match="subtract"):
            self.save((predictions, decisions, changed), tmp_path, "second.json")

    def test_the_same_result_and_one_with_many_more_are_not(self, tmp_path: Path) -> None:
        tables = centre_tables(120, 3)
        few = {f"p{k:04d}" for k in range(40)}
        fewer = tuple(table[~table["patient_id"].isin(few)] for table in tables)
        self.save(fewer, tmp_path, "first.json")  # type: ignore[arg-type]  # three tables
        self.save(fewer, tmp_path, "again.json")  # type: ignore[arg-type]  # three tables
        self.save(tables, tmp_path, "more.json")
        assert (tmp_path / "first.json").read_bytes() == (tmp_path / "again.json").read_bytes()

    def test_the_ledger_names_nobody_and_a_damaged_one_is_refused(self, tmp_path: Path) -> None:
        tables = centre_tables(60, 3)
        self.save(tables, tmp_path, "first.json")
        assert "p0001" not in (tmp_path / LEDGER).read_text()
        (tmp_path / LEDGER).write_text("{}")
        with pytest.raises(DataError, match="restore it"):
            self.save(tables, tmp_path, "again.json")

    @pytest.mark.parametrize("options", [{"bundle_id": "fedcba987654"}, {"plan_hash": "b" * 64}])
    def test_another_model_or_plan_opens_no_way_round(self, options: dict[str, str], tmp_path: Path) -> None:
        """Scores of all patients are others under another model; who is there, and what was found, is not."""
        predictions, decisions, labels = centre_tables(120, 3)
        fewer = tuple(table[table["patient_id"] != "p0001"] for table in (predictions, decisions, labels))
        self.save(fewer, tmp_path, "first.json")  # type: ignore[arg-type]  # three tables

        def again(labels: pd.DataFrame, keep: list[str], name: str) -> None:
            own = [t[t["patient_id"].isin(keep)] for t in (predictions, decisions, labels)]
            moved = own[0].assign(logit=own[0]["logit"] + 0.3, probability=expit(own[0]["logit"] + 0.3))
            result = share((moved, own[1], own[2]), **options)
            write_share(result, tmp_path / name, shared_rows(moved, own[1], own[2]), ledger=tmp_path / LEDGER)

        everybody = sorted(set(labels["patient_id"]))
        others = [one for one in everybody if one != "p0001"]
        with pytest.raises(InputError, match="by 1 patients"):
            again(labels, everybody, "more.json")
        changed = labels.assign(sln=labels["sln"].where(labels["patient_id"] != "p0002"))
        with pytest.raises(InputError, match="by 1 patients"):
            again(changed.assign(nsln=changed["nsln"].where(changed["sln"] == 1)), others, "changed.json")
        again(labels, others, "same.json")
        assert (tmp_path / "same.json").exists()

    def test_a_new_folder_of_results_forgets_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("USDLR_SHARE_LEDGER", raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        plan = SimpleNamespace(hash="a" * 64, hypotheses=SimpleNamespace(alpha=ALPHA))
        contract = SimpleNamespace(t_sln=T[Stage.SLN], t_nsln=T[Stage.NSLN], strata=None)
        bundle = SimpleNamespace(bundle_id="0123456789ab", member=SimpleNamespace(contract=contract))

        def run(tables: Tables, target: Path) -> None:
            labels = tables[2].assign(centre_id="North")
            part: list[Any] = [None]
            share_here(plan, bundle, part, tables[0], tables[1], labels, target, None)  # type: ignore[arg-type]

        tables = centre_tables(120, 3)
        fewer = tuple(table[table["patient_id"] != "p0001"] for table in tables)
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        run(fewer, tmp_path / "one" / "result.json")  # type: ignore[arg-type]  # three tables
        ledger = tmp_path / "data" / "usdlr" / "shared.private.json"
        assert ledger.stat().st_mode & 0o077 == 0
        with pytest.raises(InputError, match="by 1 patients"):
            run(tables, tmp_path / "two" / "result.json")


class TestScoresBesideCounts:
    @pytest.mark.parametrize("seed", range(12))
    def test_bins_do_not_narrow_a_withheld_miss(self, seed: int) -> None:
        """A bin below the threshold holds spared axillae alone; the attacker adds these to the counts."""
        tables = centre_tables(int(np.random.default_rng(seed).integers(40, 120)), seed, unknown=0.0)
        found = share(tables)
        counts, scores = found["counts"], found["stages"]["sln"]["scores"]
        if counts["missed_sln"] is not None or scores is None:
            return
        edges = list(itertools.pairwise(scores["edges"]))
        inside = {
            name: [
                sum(n for n, (_, high) in zip(scores[name], edges, strict=True) if high <= T[Stage.SLN]),
                sum(n for n, (low, _) in zip(scores[name], edges, strict=True) if low < T[Stage.SLN]),
            ]
            for name in ("positive", "negative")
        }
        possible = [
            missed
            for missed in range(inside["positive"][0], inside["positive"][1] + 1)
            for spared in range(inside["negative"][0], inside["negative"][1] + 1)
            if counts["group_0"] in (None, missed + spared) and counts["spared_sln_negative"] in (None, spared)
        ]
        assert max(possible) - min(possible) >= 5

    def test_a_bin_that_would_tell_is_joined(self) -> None:
        # 3 missed and 40 spared of 43 called low; 39 of these 40 lie below 0.2: with 43 told, at most 4 were missed.
        counts: dict[str, int | None] = dict.fromkeys(AGGREGATES)
        counts |= {"axillae": 100, "sln_positive": 40, "sln_negative": 60, "deferred": 0, "group_0": 43}
        bins = {"edges": [0.0, 0.2, 1.0], "positive": [0, 40], "negative": [39, 21], "predicted": [0.1, 0.6]}
        secret = [AGGREGATES["missed_sln"].astype(np.float64)]
        assert tells(counts, {Stage.SLN: bins, Stage.NSLN: None}, T, secret, 5)
        assert not tells(counts, {Stage.SLN: None, Stage.NSLN: None}, T, secret, 5)
        joined = without_edge(bins, 1)
        assert not tells(counts, {Stage.SLN: joined, Stage.NSLN: None}, T, secret, 5)


class TestTwoAxillae:
    def test_the_area_of_doubled_axillae_is_as_sure_as_of_single_ones(self) -> None:
        predictions, decisions, labels = centre_tables(200, 6, unknown=0.0)
        single = tuple(table[table["side"] == "left"] for table in (predictions, decisions, labels))
        both = tuple(pd.concat([table, table.assign(side="right")], ignore_index=True) for table in single)
        one, two = (share(tables)["stages"]["sln"]["estimates"]["auc"] for tables in (single, both))  # type: ignore[arg-type]
        assert two["value"] == pytest.approx(one["value"], abs=1e-5)
        # Obuchowski's variance and DeLong's differ by a factor near n / (n - 1).
        assert two["high"] - two["low"] == pytest.approx(one["high"] - one["low"], rel=0.03)

    def test_how_many_have_two_is_told_in_steps(self) -> None:
        told = [worth(60, pairs, 5) for pairs in range(31)]
        assert told[0] == 60
        assert told[30] == 30
        for pairs, one in enumerate(told):
            assert one <= 60**2 / (60 + 2 * pairs) + 1e-9  # never surer than the truth
        assert min(told.count(one) for one in told[1:]) >= 5


class TestFile:
    def test_no_patient_no_date_and_no_path(self) -> None:
        text = json.dumps(share(centre_tables(200, 4, name="Mueller")))
        assert "Mueller" not in text
        assert not any(word in text for word in ("/", "left", "202", "method"))

    def test_estimates_are_those_of_the_full_tables(self) -> None:
        predictions, _, labels = tables = centre_tables(300, 4)
        found = share(tables)["stages"]["sln"]["estimates"]["auc"]
        rows = predictions[predictions["stage"] == "sln"].merge(labels, on=AXILLA_KEY)
        rows = rows[rows["sln"].notna()]
        a, b = (rows.loc[rows["sln"] == kind, "logit"].to_numpy() for kind in (1, 0))
        area = (a[:, None] > b[None, :]).mean()
        assert found["value"] == pytest.approx(area, abs=1e-6)
        assert found["n"] == len(rows)

    def test_a_file_comes_back(self, tmp_path: Path) -> None:
        for n in (3, 12, 300):
            result = share(centre_tables(n, n))
            assert read_share(written(result, tmp_path / f"{n}.json")) == json.loads(json.dumps(result))

    @pytest.mark.parametrize(
        "damage",
        [
            lambda one: one.pop("plan"),
            lambda one: one.update(patients=["p1"]),
            lambda one: one.update(format="other"),
            lambda one: one.update(version=1),
            lambda one: one.update(version=True),
            lambda one: one.update(centre="<script>alert(1)</script>"),
            lambda one: one.update(centre=""),
            lambda one: one.update(bundle="../../etc"),
            lambda one: one.update(smallest=0),
            lambda one: one["alpha"].update(sln=1.5),
            lambda one: one["alpha"].update(sln="0.1"),
            lambda one: one["counts"].update(axillae=-1),
            lambda one: one["counts"].update(axillae=1.5),
            lambda one: one["counts"].update(axillae=10**9),
            lambda one: one["counts"].update(sln_positive=one["counts"]["axillae"] + 1),
            lambda one: one["rates"]["fnr_sln"].update(n=1),
            lambda one: one["rates"]["fnr_sln"].update(events=True),
            lambda one: one["rates"]["fnr_sln"].update(effective=1.0),
            lambda one: one["rates"]["fnr_sln"].update(effective=None),
            lambda one: one["stages"]["sln"]["estimates"]["auc"].update(value=1.2),
            lambda one: one["stages"]["sln"]["estimates"]["auc"].update(low=0.99),
            lambda one: one["stages"]["sln"]["estimates"]["auc"].update(n=3),
            lambda one: one["stages"]["sln"]["estimates"].pop("auc"),
            lambda one: one["stages"]["sln"]["scores"]["edges"].reverse(),
            lambda one: one["stages"]["sln"]["scores"]["edges"].__setitem__(1, 0.1234),
            lambda one: one["stages"]["sln"]["scores"]["positive"].append(5),
            lambda one: one["stages"]["sln"]["scores"]["positive"].__setitem__(0, 4000),
            lambda one: one["stages"]["sln"]["scores"]["predicted"].__setitem__(0, 0.99),
            lambda one: one["stages"]["sln"].update(estimates=None),
            lambda one: one["stages"].update(third={}),
        ],
    )
    def test_a_damaged_one_is_refused(self, damage: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
        result = copy.deepcopy(share(centre_tables(300, 4)))
        damage(result)
        with pytest.raises(DataError, match="no shared result"):
            read_share(written(result, tmp_path / "one.json"))

    @pytest.mark.parametrize(
        "content",
        [b"", b"[]", b"\x80\x04.", b'{"a": NaN}', b'{"centre": "A", "centre": "B"}', b"[" * 5000, b" " * (300 << 10)],
    )
    def test_so_is_what_is_no_file_of_ours(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "one.json"
        path.write_bytes(content)
        with pytest.raises(DataError):
            read_share(path)
        with pytest.raises(DataError, match="no readable file"):
            read_share(tmp_path / "none.json")

    def test_not_a_number_in_an_estimate(self, tmp_path: Path) -> None:
        result = share(centre_tables(300, 4))
        text = json.dumps(result).replace(json.dumps(result["stages"]["sln"]["estimates"]["auc"]["value"]), "NaN", 1)
        path = tmp_path / "one.json"
        path.write_text(text)
        with pytest.raises(DataError):
            read_share(path)


class TestTogether:
    def test_two_of_one_centre_or_of_two_models_are_refused(self, tmp_path: Path) -> None:
        tables, others = centre_tables(150, 1), centre_tables(150, 2)
        north = written(share(tables), tmp_path / "north.json")
        for name, other, words in (
            ("twice", share(others, "NORTH "[:5]), "each centre once"),
            ("renamed", share(tables, "South"), "under two names"),
            ("model", share(others, "South", bundle_id="ffffffffffff"), "another model"),
            ("plan", share(others, "South", plan_hash="b" * 64), "another plan"),
            ("target", share(others, "South", alpha={"sln": 0.05, "nsln": 0.1}), "other targets"),
        ):
            with pytest.raises(DataError, match=words):
                read_shares([north, written(other, tmp_path / f"{name}.json")])
        with pytest.raises(DataError, match="at least one"):
            read_shares([])

    def test_the_areas_scale_is_the_one_they_are_pooled_on(self) -> None:
        auc = share(centre_tables(300, 4))["stages"]["sln"]["estimates"]["auc"]
        ends = logit([auc["low"], auc["value"], auc["high"]])
        assert ends[1] - ends[0] == pytest.approx(ends[2] - ends[1], abs=1e-4)
