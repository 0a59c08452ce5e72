"""A bundle adapted to a centre: a new bundle with its own contract, judged beside its parent on untouched patients.

Local patients are divided once, by patient. The adaptation part (split ``tuning``) harmonises, fine-tunes, recalibrates
and fixes the path of thresholds; the calibration part is read once, for the thresholds and their contract; on the test
part both models are compared and nothing else is done with it. The parent is never changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import BundleError, LeakError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.leak import require_disjoint
from usdlr.core.provenance import Provenance
from usdlr.core.types import Split
from usdlr.decision.contract import Contract
from usdlr.evaluation.alignment import endpoint_counts
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.bundle_files import write_bundle
from usdlr.inference.member import SHIPPED, USED, image_key, member_files
from usdlr.inference.predictor import Prepared, patient_splits
from usdlr.inference.stage import StageModel, prepare_torch
from usdlr.inference.stage_files import (
    SCORES,
    SELECTOR,
    load_stage,
    save_calibrator,
    save_interval,
    save_readout,
    weights_name,
)
from usdlr.inference.verified import verified
from usdlr.models.weights import named
from usdlr.validation.adapt_harmonise import development_moments, fit_harmonisation, harmonised
from usdlr.validation.adapt_local import LocalPatients
from usdlr.validation.adapt_need import positives_needed
from usdlr.validation.adapt_settings import (
    AdaptSettings,
    local_splits,
    plain,
)

BUNDLE, RECORD, SPLITS = "bundle", "adaptation.json", "splits.csv"
# Folders of the parent that still say the truth after an adaptation; a network exported elsewhere would not.
KEPT_EXTRAS = ("reference", "neighbours")
_MEMBER = ".member"


@dataclass(frozen=True)
class Adapted:
    """What an adaptation left behind.

    Parameters
    ----------
    bundle : Path
        The new bundle.
    contract : Contract
        Its contract.
    record : dict
        The content of ``adaptation.json``; no patient is in it.
    splits : DataFrame
        The ``splits`` table of the local patients.
    """

    bundle: Path
    contract: Contract
    record: dict[str, Any]
    splits: pd.DataFrame


def adapt(path: Path, prepared: Prepared, labels: pd.DataFrame, settings: AdaptSettings, out: Path) -> Adapted:
    """Adapt a bundle to local patients.

    Parameters
    ----------
    path : Path
        The parent: a folder or a zip. It is never changed.
    prepared : Prepared
        Local cases as the parent reads them, from :func:`usdlr.inference.predictor.prepare_cases`.
    labels : DataFrame
        ``patient_id side sln nsln`` of these axillae: 1 positive, 0 negative, NaN unknown.
    settings : AdaptSettings
        What to do.
    out : Path
        Folder for ``bundle/``, ``adaptation.json`` and ``splits.csv``.

    Raises
    ------
    LeakError
        If a local patient made the parent, or anything sees a part that it must not see.
    DataError
        If there are too few patients for what is asked.
    """
    parent, files = load_bundle(path), verified(path)
    if files.digest != parent.digest:
        raise BundleError(f"found {path} changed while it was read, expected one bundle; copy it first")
    cases = prepared.cases
    made = patient_splits(cases, parent.member)
    if (known := made[made != str(Split.EXTERNAL)]).size:
        raise LeakError(
            f"found {known.size} of {made.size} local patients among those who made the model, expected none; an "
            "adaptation and its contract need patients whom the model has never seen: leave them out"
        )
    prepare_torch(parent.preparation.threads)
    labels = cases[AXILLA_KEY].drop_duplicates().merge(labels, on=AXILLA_KEY, how="left", validate="one_to_one")
    splits = local_splits(labels, settings)
    local = LocalPatients(parent, prepared, labels, splits.set_index("patient_id")["split"], settings)
    member = out / _MEMBER
    _copy_member(files.folder, member)
    done: dict[str, Any] = {"recalibration": {}}
    models = dict(parent.member.models)
    if settings.harmonise:
        found = fit_harmonisation(
            prepared.design.loc[list(local.images[Split.TUNING])],
            development_moments(models),
            rows=local.image_rows(Split.TUNING),
        )
        models = {stage: harmonised(model, found) for stage, model in models.items()}
        done["harmonisation"] = found.as_dict()
    before, after = {}, {}
    for stage, old in parent.member.models.items():
        raw = local.predict(old)
        before[stage] = local.stage(stage, old, parent.member.calibrators[stage], parent.member.intervals[stage], raw)
        model, held_out = models[stage], None
        if str(stage) in settings.fine_tune:
            tuned = local.fine_tune(stage, model)
            model, held_out = tuned.model, tuned.held_out
            done.setdefault("fine_tuning", {})[str(stage)] = tuned.record
        new = raw if model is old else local.predict(model)
        calibrator, interval, told = local.recalibrate(stage, new["logit"].to_numpy(np.float64), held_out)
        done["recalibration"][str(stage)] = told
        _write_stage(member / str(stage), old, model)
        save_calibrator(member / str(stage), calibrator)
        save_interval(member / str(stage), interval)
        written = load_stage(member / str(stage), parent.preparation.ensemble)
        after[stage] = local.stage(stage, written, calibrator, interval, new, held_out)
    contract = local.certify(after, member)
    record = {
        "parent": parent.bundle_id,
        "settings": plain(settings),
        "parts": local.counts(),
        **done,
        "contract": contract.to_dict(),
        "needed": positives_needed(contract, labels),
        **local.compared(before, after, contract),
    }
    bundle = _write(parent, files.folder, member, local, record, out)
    record |= {"bundle": load_bundle(bundle).bundle_id}
    write_json(out / RECORD, record)
    provenance = Provenance("usdlr adaptation", {"parent": parent.bundle_id}, record["settings"], settings.seed)
    tables.SPLITS.write(splits, out / SPLITS, provenance)
    shutil.rmtree(member)
    return Adapted(bundle, contract, record, splits)


def _copy_member(folder: Path, member: Path) -> None:
    if member.exists():
        shutil.rmtree(member)
    for path in member_files(folder):
        target = member / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _write_stage(target: Path, old: StageModel, new: StageModel) -> None:
    """Write over what an adaptation changed of a copied stage."""
    if new is old:
        return
    write_json(target / SELECTOR, new.selector.to_dict())
    write_json(target / SCORES, new.scores.to_dict())
    if new.readout is not None:
        save_readout(target, new.readout)
    for place, (before, after) in enumerate(zip(old.networks, new.networks, strict=True)):
        if after is not before:
            content = {name: value.contiguous() for name, value in after.state_dict().items()}
            write_bytes(target / weights_name(place), save(content, metadata=named(after.settings.backbone)))


def _write(
    parent: Bundle,
    folder: Path,
    member: Path,
    local: LocalPatients,
    record: Mapping[str, Any],
    out: Path,
) -> Path:
    """The new bundle: its contract speaks of the local centres and of no others."""
    cases = local.prepared.cases
    keys = [image_key(str(name)) for name in cases["image_id"]]
    used = dict(zip(keys, local.split.loc[list(cases["patient_id"].astype(str))], strict=True))
    require_disjoint(set(parent.member.used), set(used), "parent's images")
    write_json(member / USED, {**read_json(folder / USED), **{key: str(split) for key, split in used.items()}})
    card = {name: value for name, value in parent.card.items() if name != "contract"}
    cohort = {
        "centres": sorted(map(str, cases["centre_id"].unique())),
        "image_sets": len(cases),
        "excluded": len(local.prepared.exclusions),
        "exclusions": {
            str(c): int(n) for c, n in local.prepared.exclusions["code"].value_counts().sort_index().items()
        },
        "patients": int(local.labels["patient_id"].nunique()),
        "axillae": len(local.labels),
        **endpoint_counts(local.labels),
    }
    steps = {key: record[key] for key in ("parent", "settings", "parts") if key in record}
    card |= {"cohort": cohort, "developed_on": parent.card["cohort"], "adapted": steps}
    found = {name: (parent.extras or {}).get(name) for name in KEPT_EXTRAS}
    extras = {name: path for name, path in found.items() if path is not None}
    target = out / BUNDLE
    write_bundle(
        target,
        members={SHIPPED: member},
        preparation=parent.preparation,
        on_uncertified=parent.on_uncertified,
        card=card,
        extras=extras,
    )
    return target
