"""Few-case fine-tuning: the last linear layer of a stage's networks, drawn towards its old weights.

The branches stay as they are. What is fitted again is what reads them: the linear heads of the fusion, the factors of
the radiomics and clinical scores, and the base log-odds. A ridge penalty draws every weight towards its old value;
the base alone is free. Every choice is compared after a shift and a slope of its own, which recalibration gives
anyway. How strong the penalty is, cross-validation by patient inside the adaptation part decides, and the old weights
stay unless another choice is better by a standard error. The scores of the adaptation part that calibrate afterwards
are those of models that did not see the patient.

References
----------
Van Houwelingen and Thorogood, Stat Med 14 (1995) 1999, doi:10.1002/sim.4780141806 (shrinkage towards the old model).
Kumar et al., Fine-tuning can distort pretrained features, ICLR 2022, arXiv 2202.10054 (the linear layer first).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.data.batch import collate
from usdlr.data.dataset import AxillaDataset, Axillae
from usdlr.data.samples import SampleStore
from usdlr.decision.calibration_choice import compared, patient_folds
from usdlr.inference.stage import StageModel, axilla_data, input_form
from usdlr.models.network import FusionNetwork

# Of each class: below this, a few patients would decide weights that a thousand have taught.
FEWEST_PATIENTS = 25
# Precision of the prior around the old weights; without end, only the base moves.
STRENGTHS = (float("inf"), 1000.0, 100.0, 30.0, 10.0, 3.0)
FOLDS = 5
_LAST = ("head", "read")
_BASE = "base"
_SCORES = "scores"
# Of all log-odds alike; what a line of recalibration gives anyway, and no part of the networks.
_SLOPE = "slope"
_SLOPE_STRENGTH = 1.0  # as in Platt scaling: without it a few separable patients would carry it off
_STEPS = 100

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FineTuned:
    """A stage after fine-tuning.

    Parameters
    ----------
    model : StageModel
        With the new weights.
    held_out : (n,) float64 array
        Raw log-odds of the adaptation rows by models that did not see their patients.
    record : dict
        ``changed``, ``strength`` (null: the old weights stay), ``axillae``, ``patients_positive``,
        ``patients_negative`` and ``held_out``, by strength the log loss on held-out patients.
    """

    model: StageModel
    held_out: Floats
    record: dict[str, Any]


def fine_tune(
    model: StageModel,
    cases: pd.DataFrame,
    store: SampleStore,
    design: pd.DataFrame,
    labels: npt.ArrayLike,
    *,
    rows: Rows,
    batch_size: int,
    seed: int,
) -> FineTuned:
    """Fit the last layer again on the adaptation part.

    Parameters
    ----------
    model : StageModel
        The bundle's, harmonised or not.
    cases, store, design : DataFrame, SampleStore, DataFrame
        Image sets of the adaptation axillae with a known outcome, as for
        :meth:`usdlr.inference.stage.StageModel.predict_axillae`.
    labels : (n,) array_like
        1 positive, 0 negative, axillae in the order of the cases.
    rows : Rows
        Whose axillae they are.
    batch_size : int
        Axillae per forward pass.
    seed : int
        Of the division for cross-validation.

    Raises
    ------
    LeakError
        If an axilla is of another part.
    DataError
        If a class has fewer than ``FEWEST_PATIENTS`` patients.
    ConfigError
        If the stage's log-odds are not its networks' own.
    """
    require_split(rows, [Split.TUNING], "fine-tuning of the last layer")
    if model.readout is not None:
        raise ConfigError(
            "found adapt.fine_tune with a bundle whose signature readout makes the log-odds, expected one whose "
            "networks do; recalibrate instead"
        )
    y, patient = np.asarray(labels, dtype=np.float64), np.asarray(rows.patient_id, dtype=object).astype(str)
    counts = {kind: len(set(patient[y == kind].tolist())) for kind in (1.0, 0.0)}
    if min(counts.values()) < FEWEST_PATIENTS:
        raise DataError(
            f"found {int(counts[1.0])} positive and {int(counts[0.0])} negative patients in the adaptation part, "
            f"expected at least {FEWEST_PATIENTS} of each to fine-tune with; recalibrate instead, or collect more"
        )
    layers = [
        _LastLayer(network, model.target, *_read(model, place, cases, store, design, batch_size))
        for place, network in enumerate(model.networks)
    ]
    _, group, count = np.unique(patient, return_inverse=True, return_counts=True)
    weight = 1.0 / count[group]
    fold = patient_folds(patient, y, FOLDS, np.random.default_rng(seed))
    raw = {strength: np.zeros(len(y)) for strength in STRENGTHS}
    judged = {strength: np.zeros(len(y)) for strength in STRENGTHS}
    for part in range(FOLDS):
        test = fold == part
        for strength in STRENGTHS:
            for layer in layers:
                found = layer.fit(y, weight * ~test, strength)
                raw[strength][test] += layer.log_odds(found)[test] / len(layers)
                judged[strength][test] += layer.log_odds(found, scaled=True)[test] / len(layers)
    losses = {str(strength): np.logaddexp(0.0, z) - y * z for strength, z in judged.items()}
    old = str(STRENGTHS[0])
    table = compared(losses, patient, reference=old)
    better = [name for name in table if name != old and table[name]["difference"] < -table[name]["standard_error"]]
    chosen = float(min(better, key=lambda name: table[name]["log_loss"]) if better else old)
    record = {
        "changed": bool(better),
        "strength": chosen if better else None,
        "axillae": len(y),
        "patients_positive": counts[1.0],
        "patients_negative": counts[0.0],
        "held_out": {"old weights" if name == old else f"{float(name):g}": entry for name, entry in table.items()},
    }
    if not better:  # the old weights have seen nobody here
        return FineTuned(model, np.mean([layer.log_odds({}) for layer in layers], axis=0), record)
    networks = tuple(layer.network_with(layer.fit(y, weight, chosen)) for layer in layers)
    return FineTuned(replace(model, networks=networks), raw[chosen], record)


def _read(
    model: StageModel, place: int, cases: pd.DataFrame, store: SampleStore, design: pd.DataFrame, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What one network's last layer reads of every axilla: embeddings, which blocks are there, and their scores."""
    network, axillae = model.networks[place], Axillae.of(cases)
    scores = model.scores.score(design.loc[list(cases["image_id"])], network.head.width)
    crops = store.select(cases["image_id"]).crop(model.crop_of(place))
    data = axilla_data(axillae, crops, design, model.selector, scores, network.settings)
    dataset = AxillaDataset(data, input_form(network.settings))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(dataset), batch_size):
            batch = collate([dataset[row] for row in range(start, min(start + batch_size, len(dataset)))])
            out = network(batch["images"], batch["table"], batch["scores"], batch["present"], batch["place"])
            # Nothing stands in place of an absent block.
            there = out.present[..., None]
            parts.append((torch.where(there, out.embeddings, 0.0).double(), out.present, out.direct.double()))
    embeddings, present, direct = (torch.cat(each) for each in zip(*parts, strict=True))
    # Tensors of inference mode take no part in a fit.
    return embeddings.clone(), present.clone(), direct.clone()


class _LastLayer:
    """What reads one network's embeddings, in double precision, with weights that may be replaced.

    Parameters
    ----------
    network : FusionNetwork
        Whose last layer it is; never changed.
    target : int
        Which of the head's answers counts.
    embeddings, present, direct : Tensor, (axillae, blocks, dim), (axillae, blocks), (axillae, blocks, width)
        From :func:`_read`.
    """

    def __init__(
        self, network: FusionNetwork, target: int, embeddings: Tensor, present: Tensor, direct: Tensor
    ) -> None:
        self.network, self.target = network, target
        self.embeddings, self.present, self.direct = embeddings, present, direct
        self.fusion, self.head = copy.deepcopy(network.fusion).double(), copy.deepcopy(network.head).double()
        self.fusion.requires_grad_(False)
        self.head.requires_grad_(False)
        named: dict[str, Tensor] = dict(self.fusion.named_parameters())
        one = torch.ones((), dtype=torch.float64)
        self.old: dict[str, Tensor] = {
            name: value for name, value in named.items() if name.rpartition(".")[2] in (*_LAST, _BASE)
        }
        # Factors of the scores and the slope start from 1, which changes nothing.
        self.old |= {_SCORES: one.expand(network.score_scale.shape).clone(), _SLOPE: one}

    def log_odds(self, moved: Mapping[str, Tensor], *, scaled: bool = False) -> Floats:
        """Raw log-odds of the stage, (axillae,); ``scaled`` by the slope that was fitted with them."""
        found: Floats = self._logits(moved, scaled=scaled).detach().numpy()
        return found

    def fit(self, y: Floats, weight: Floats, strength: float) -> dict[str, Tensor]:
        """Weights of the smallest penalised log loss."""
        drawn = [name for name in self.old if name != _SLOPE and name.rpartition(".")[2] != _BASE]
        free = [name for name in self.old if np.isfinite(strength) or name not in drawn]
        moved = {
            name: value.clone().requires_grad_(name in free and value.numel() > 0) for name, value in self.old.items()
        }
        truth, counts = torch.tensor(y), torch.tensor(weight)
        optimiser = torch.optim.LBFGS(
            [value for value in moved.values() if value.requires_grad],
            max_iter=_STEPS,
            tolerance_grad=1e-7,
            tolerance_change=1e-10,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            logits = self._logits(moved, scaled=True)
            loss = (counts * (torch.nn.functional.softplus(logits) - truth * logits)).sum()
            loss = loss + 0.5 * _SLOPE_STRENGTH * (moved[_SLOPE] - 1) ** 2
            if np.isfinite(strength):
                apart = [((moved[name] - self.old[name]) ** 2).sum() for name in drawn]
                loss = loss + 0.5 * strength * torch.stack(apart).sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]  # nor for this
        return {name: value.detach() for name, value in moved.items()}

    def network_with(self, moved: Mapping[str, Tensor]) -> FusionNetwork:
        """A copy of the network with new weights in its last layer; the slope is left to recalibration."""
        new = copy.deepcopy(self.network)
        parameters = dict(new.fusion.named_parameters())
        with torch.no_grad():
            new.score_scale.mul_(moved[_SCORES].to(new.score_scale.dtype))
            for name, value in moved.items():
                if name in parameters:
                    parameters[name].copy_(value.to(parameters[name].dtype))
        return new.eval()

    def _logits(self, moved: Mapping[str, Tensor], *, scaled: bool) -> Tensor:
        weights = {name: value for name, value in moved.items() if name not in (_SCORES, _SLOPE)}
        fused = torch.func.functional_call(self.fusion, weights, (self.embeddings, self.present)).logits
        direct, places = self.direct, self.network.scored
        if places and _SCORES in moved:
            factor = torch.ones(direct.shape[1:], dtype=torch.float64)
            direct = direct * factor.index_copy(0, torch.tensor(places), moved[_SCORES])
        logits: Tensor = self.head.stage_logits(fused + direct.sum(dim=1))[:, self.target]
        return moved[_SLOPE] * logits if scaled and _SLOPE in moved else logits
