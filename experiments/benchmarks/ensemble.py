"""Whether networks of one make are faster in one batched pass (torch.func) than one after the other, on this processor.

Prints one JSON line per batch size: seconds of both ways, best of the repeats, and their largest difference.
"""

from __future__ import annotations

import argparse
import copy
import json
import time

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from usdlr.models.backbones import build_backbone


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size_px", type=int, default=224)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    networks: list[nn.Module] = []
    for seed in range(options.networks):
        torch.manual_seed(seed)
        networks.append(build_backbone(options.backbone, size_px=options.size_px).eval())
    parameters, buffers = stack_module_state(networks)
    base = copy.deepcopy(networks[0]).to("meta")

    def one(own: dict[str, Tensor], rest: dict[str, Tensor], images: Tensor) -> Tensor:
        found: Tensor = functional_call(base, (own, rest), (images,))
        return found

    batched = vmap(one, in_dims=(0, 0, None))
    with torch.inference_mode():
        for size in options.batches:
            images = torch.randn(size, 1, options.size_px, options.size_px)
            seconds: dict[str, list[float]] = {"apart": [], "batched": []}
            for _ in range(options.repeat + 1):
                start = clock()
                apart = torch.stack([network(images) for network in networks])
                middle = clock()
                together = batched(parameters, buffers, images)
                seconds["apart"].append(middle - start)
                seconds["batched"].append(clock() - middle)
            found = {f"{name}_s": round(min(values[1:]), 4) for name, values in seconds.items()}
            difference = float((apart - together).abs().max())
            print(json.dumps({"images": size, "networks": options.networks, **found, "largest_difference": difference}))


if __name__ == "__main__":
    main()
