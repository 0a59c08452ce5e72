"""External validation of a frozen bundle on simulated centres: the far-off one, and one like the development's.

    python experiments/benchmarks/validation.py --out OUT [--patients 400] [--local 300] [--repetitions 1]

Makes one small bundle (two centres, both stages), then validates it by a locked plan at the far-off centre, with
adaptation on a part of its patients, and at new patients of the development centres. Prints one JSON line per
validation: whether the shift alarm was raised, whether the page says that the contract is void, the verdicts, and the
contract that was established anew. The targets are wider than in practice, so that so few patients can carry a
contract at all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from usdlr.cli.run import read_config
from usdlr.core.files import read_json
from usdlr.core.types import Stage
from usdlr.decision.settings import ContractSettings
from usdlr.experiment.run import run_experiment
from usdlr.inference.bundle import load_bundle
from usdlr.ingest.pipeline import ingest
from usdlr.simulate.export import simulate
from usdlr.validation.adapt_settings import AdaptSettings
from usdlr.validation.run import Request, make_lock, validate
from usdlr.validation.template import template, template_text

ROOT = Path(__file__).resolve().parents[2]
ALPHA, DELTA = 0.25, 0.1
SETTINGS = {
    "splits.folds": "2",
    "splits.tuning": "0.25",
    "splits.calibration": "0.35",
    "crop.size_px": "64",
    "model.backbone": "test_resnet",
    "model.embedding_dim": "8",
    "fit.epochs": "3",
    "fit.wandb": "disabled",
    "gallery": "4",
    "radiomics.pixel_mm": "0.25",
    "radiomics.min_pixels": "16",
    "selection.bootstraps": "2",
    "contract.alpha_sln": str(ALPHA),
    "contract.alpha_nsln": str(ALPHA),
    "contract.delta": str(DELTA),
}
# The bundle is of both centres: new patients of one of them alone are others than the mixture, and are told apart.
FAR, DEVELOPMENT = ["overseas"], ["north", "south"]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=400, help="development patients")
    parser.add_argument("--local", type=int, default=300, help="patients of every validation")
    parser.add_argument("--repetitions", type=int, default=1, help="cohorts of new patients of the development centres")
    options = parser.parse_args()
    bundle = _bundle(options.out, options.patients)
    print(json.dumps(_validation(options.out, bundle, FAR, options.local, 1000, adapt=True)), flush=True)
    for number in range(options.repetitions):
        print(json.dumps(_validation(options.out, bundle, DEVELOPMENT, options.local, 2000 + number)), flush=True)


def _bundle(out: Path, patients: int) -> Path:
    cohort, run = out / "development", out / "run"
    simulate(cohort, patients=patients, seed=11, jobs=2, centres=DEVELOPMENT)
    words = [word for key, value in SETTINGS.items() for word in (f"--{key}", value)]
    demo = ROOT / "experiments" / "demo" / "experiment.yaml"
    config, _ = read_config([str(demo), *words, "--data.root", str(cohort), "--jobs", "2", "--out", str(run)])
    run_experiment(config, run)
    return run / "bundle"


def _validation(
    out: Path, bundle: Path, centres: list[str], patients: int, seed: int, *, adapt: bool = False
) -> dict[str, Any]:
    folder = out / f"{'-'.join(centres)}-{seed}"
    simulate(folder / "export", patients=patients, seed=seed, jobs=2, centres=centres)
    ingest(folder / "export", "simulated", folder / "tables", jobs=2)
    plan = folder / "plan.yaml"
    if not plan.exists():
        plan.write_text(template_text(template(load_bundle(bundle))), encoding="utf-8")
    asked = Request(
        bundle,
        plan,
        folder / "validation",
        cases=(folder / "tables" / "cases.parquet",),
        jobs=2,
        adapt=AdaptSettings(contract=ContractSettings(ALPHA, ALPHA, DELTA)) if adapt else None,
    )
    if not asked.lock_file.exists():
        make_lock(asked)
    validate(asked)
    found = read_json(asked.out / "validation.json")
    page = (asked.out / "report.md").read_text(encoding="utf-8")
    told: dict[str, Any] = {
        "centres": centres,
        "axillae": found["cohort"]["axillae"],
        "shift_alarm": found["shift"]["alarm"],
        "shift_p": found["shift"]["p_value"],
        "development_contract": found["development"]["contract"]["status"],
        "page_says_void": "is void for" in page,
        "verdicts": {str(stage): found["verdicts"][stage]["standing"] for stage in Stage},
        "auc": {str(stage): found["stages"][stage]["auc"]["value"] for stage in Stage},
    }
    if adapt:
        record = found["adaptation"]
        told["established_anew"] = {
            "status": record["contract"]["status"],
            "positives": record["contract"]["positives"],
            "misses": record["contract"]["misses"],
            "needed": record["needed"],
        }
    return told


if __name__ == "__main__":
    main()
