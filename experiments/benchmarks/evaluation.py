"""How long the statistics of a large cohort take: everything a report shows of one stage, by the patient bootstrap.

    python experiments/benchmarks/evaluation.py [--patients 100000] [--replicates 2000]

Made-up patients, every tenth with two axillae. One JSON line per part: wall seconds, processor seconds and the peak of
the memory of the process so far, in MiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from usdlr.core.pool import one_thread
from usdlr.evaluation import weighted
from usdlr.evaluation.comparison import paired_difference, swap_test
from usdlr.evaluation.discrimination import discrimination
from usdlr.evaluation.net_benefit import decision_curve
from usdlr.evaluation.operating import rates_by_patient
from usdlr.evaluation.resampling import REPLICATES
from usdlr.evaluation.stage_metrics import stage_estimates


def main() -> None:
    """Make the axillae, time every part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    who = np.concatenate([np.arange(options.patients), np.arange(options.patients // 10)])
    side = np.repeat(["left", "right"], [options.patients, options.patients // 10])
    risk = random.normal(-1, 1.5, len(who))
    y = (random.random(len(who)) < expit(risk)).astype(float)
    model, other = risk + random.normal(0, 1, len(who)), risk + random.normal(0, 1.5, len(who))
    index = pd.MultiIndex.from_arrays([[f"p{name:07d}" for name in who], side], names=["patient_id", "side"])
    rows = pd.DataFrame({"logit": model, "probability": expit(model), "fold": (who % 5).astype(str)}, index=index)
    names = index.get_level_values("patient_id")
    more = {"replicates": options.replicates}
    probability, limit = rows["probability"], np.full(len(rows), 0.2)
    parts: dict[str, Callable[[], object]] = {
        "discrimination, four measures": lambda: discrimination(y, model, names, **more),
        "the same, BCa": lambda: discrimination(y, model, names, interval="bca", **more),
        "rates at a threshold": lambda: rates_by_patient(y, probability, limit, names, **more),
        "difference of two AUCs": lambda: paired_difference(weighted.auc, "AUC", y, model, other, names, **more),
        "permutation test of two AUCs": lambda: swap_test(weighted.auc, "AUC", y, model, other, names, **more),
        "decision curve, 99 thresholds": lambda: decision_curve(y, probability, names, **more),
        "everything a report shows of a stage": lambda: stage_estimates(rows, 0.2, pd.Series(y, index=index)),
    }
    with one_thread():
        for name, part in parts.items():
            wall, cpu = time.perf_counter(), time.process_time()
            part()
            line = {
                "part": name,
                "axillae": len(rows),
                "wall_s": round(time.perf_counter() - wall, 1),
                "cpu_s": round(time.process_time() - cpu, 1),
                "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
