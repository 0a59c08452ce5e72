"""What every value of a network's feature maps adds to its answer on the way from empty images to those it sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usdlr.data.batch import Batch
from usdlr.inference.heatmap_sites import Tail, with_tails
from usdlr.models.network import FusionNetwork, Output

# The gradient is taken at so many points of every piece of the path (Gauss-Legendre). A piece whose gradients do not
# add up to what the logit changes along it, to so many nat, is halved, until there were so many pieces: behind a
# normalisation the logit of an almost empty image can change within a thousandth of the path.
POINTS, TOLERANCE, PIECES = 4, 1e-3, 64

# From what every network gives for the same axillae to a number per axilla, (axillae,).
Objective = Callable[[Sequence[Output]], Tensor]
# (image of the batch, block) of every row of a backbone, and its axilla in the batch.
_Rows = tuple[list[tuple[int, str]], Tensor]
# A backbone: the network's position, and its name there.
_Name = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Cells:
    """What one image adds through one block.

    Parameters
    ----------
    adds : float64 array, (height, width)
        By cell of the feature map, in nat.
    unplaced : float
        By tokens without a place, in nat.
    """

    adds: npt.NDArray[np.float64]
    unplaced: float


@dataclass(frozen=True, eq=False)
class Part:
    """What is found for one batch.

    Parameters
    ----------
    cells : mapping of (int, int, str) to Cells
        By position of the network, position of the image in the batch, and block.
    change : float64 array, (axillae,)
        What all images together change in the objective.
    """

    cells: Mapping[tuple[int, int, str], Cells]
    change: npt.NDArray[np.float64]


def explain(networks: Sequence[FusionNetwork], batches: Sequence[Batch], objective: Objective) -> Part:
    """What the images of a batch add to what some networks say together, place by place.

    Parameters
    ----------
    networks : sequence of FusionNetwork
        In evaluation mode; left as they are.
    batches : sequence of Batch
        The same axillae with their images, as each network reads them.
    objective : callable
        What the networks say together.

    Raises
    ------
    ConfigError
        If a backbone's features have no known place in the image.
    """
    twins: list[FusionNetwork] = []
    tails: dict[_Name, Tail] = {}
    for place, network in enumerate(networks):
        twin, own = with_tails(network)
        twins.append(twin)
        tails |= {(place, name): tail for name, tail in own.items()}

    def run(share: float | None) -> Tensor:
        for tail in tails.values():
            tail.share = share
        return objective(
            [
                twin(batch["images"], batch["table"], batch["scores"], batch["present"], batch["place"])
                for twin, batch in zip(twins, batches, strict=True)
            ]
        )

    with torch.no_grad():
        full, empty = run(None), run(0.0)  # first, the tails keep the values that they come by
    filled = {name: tail for name, tail in tails.items() if tail.filled}
    rows = {name: _rows(networks[name[0]], batches[name[0]], name[1]) for name in filled}
    added = _integrate(run, filled, rows, empty, full)
    cells: dict[tuple[int, int, str], Cells] = {}
    for name, (images, _) in rows.items():
        placed, unplaced = (part.double().numpy() for part in filled[name].by_place(added[name]))
        cells |= {(name[0], *image): Cells(placed[row], float(unplaced[row])) for row, image in enumerate(images)}
    return Part(cells, (full.double() - empty.double()).numpy())


def _integrate(
    run: Callable[[float | None], Tensor],
    tails: Mapping[_Name, Tail],
    rows: Mapping[_Name, _Rows],
    empty: Tensor,
    full: Tensor,
) -> dict[_Name, Tensor]:
    """What every value at the tails adds to the objective between nothing and everything, by tail."""
    moved = {name: tail.given - tail.empty for name, tail in tails.items()}
    out = {name: torch.zeros_like(values) for name, values in moved.items()}
    places, weights = np.polynomial.legendre.leggauss(POINTS)
    pieces = deque([(0.0, 1.0, empty, full)] if tails else [])
    tried = 0
    while pieces:
        start, end, before, after = pieces.popleft()
        tried += 1
        slopes = {name: torch.zeros_like(values) for name, values in moved.items()}
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
            value = run(start + (end - start) * float(place))
            # Of values that the objective does not read there is no gradient.
            found = torch.autograd.grad(value.sum(), [tail.now for tail in tails.values()], allow_unused=True)
            for name, slope in zip(tails, found, strict=True):
                if slope is not None:
                    slopes[name] += float(weight) * (end - start) * slope
        parts = {name: slopes[name] * values for name, values in moved.items()}
        total = torch.zeros_like(full)
        for name, part in parts.items():
            total = total.index_add(0, rows[name][1], part.flatten(1).sum(dim=1))
        if tried + len(pieces) < PIECES and float((total - (after - before)).abs().max()) > TOLERANCE:
            middle = (start + end) / 2
            with torch.no_grad():
                between = run(middle)
            pieces += [(start, middle, before, between), (middle, end, between, after)]
            continue
        for name, part in parts.items():
            out[name] += part
    return out


def _rows(network: FusionNetwork, batch: Batch, group: str) -> _Rows:
    """Whose rows go through a backbone: its blocks one after the other, of each the images that have it."""
    owner = torch.zeros(len(batch["present"]), dtype=torch.int64)
    axilla, position = torch.nonzero(batch["place"] >= 0, as_tuple=True)
    owner[batch["place"][axilla, position]] = axilla
    images = [
        (image, block)
        for block in network.encoders.groups[group]
        for image in torch.nonzero(batch["present"][:, network.blocks.index(block)]).squeeze(1).tolist()
    ]
    return images, owner[[image for image, _ in images]]
