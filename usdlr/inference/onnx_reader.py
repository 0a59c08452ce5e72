"""ONNX Runtime in place of torch: a bundle's graph is believed only as far as it agrees with the fitted network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from usdlr.core.errors import BundleError, DataError
from usdlr.data.batch import Batch
from usdlr.inference.onnx_graph import INPUTS, OUTPUTS, image_names, network_input
from usdlr.inference.reader import TorchReader, masked
from usdlr.inference.reading import Reading
from usdlr.models.network import FusionNetwork

# Log-odds: at most 0.0025 percentage points of a probability.
TOLERANCE = 1e-4
# Operators of the standard alone, and all weights inside the file.
STANDARD = ("", "ai.onnx")


class OnnxReader:
    """A network's graph in ONNX Runtime, on the processor.

    Parameters
    ----------
    content : bytes
        From :func:`usdlr.inference.onnx_graph.graph`.
    network : FusionNetwork
        The network that it stands for.
    threads : int
        Threads of one pass.

    Raises
    ------
    BundleError
        If the graph cannot be read, reaches outside itself, or has other inputs and outputs.
    DataError
        If the packages that run it are missing.
    """

    def __init__(self, content: bytes, network: FusionNetwork, *, threads: int) -> None:
        runtime = _package("onnxruntime")
        _require_closed(content)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        options.use_deterministic_compute = True
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has a dozen kinds of its own, none with a public base
            raise _unusable(str(error)) from error
        self.images = dict(zip(image_names(network), network.settings.image_blocks, strict=True))
        found = ({one.name for one in self.session.get_inputs()}, {one.name for one in self.session.get_outputs()})
        if found != ({*self.images, *INPUTS}, set(OUTPUTS)):
            raise _unusable("other inputs or outputs")

    def __call__(self, batch: Batch, keep: Tensor) -> Reading:
        """As :meth:`usdlr.inference.reader.Reader.__call__`."""
        given: dict[str, Any] = {name: batch["images"][block] for name, block in self.images.items()}
        given |= {"table": batch["table"], "scores": batch["scores"], "place": batch["place"]}
        feed = {name: value.numpy() for name, value in given.items()} | {"present": (batch["present"] & keep).numpy()}
        try:
            return masked(*self.session.run(list(OUTPUTS), feed))
        except Exception as error:  # see above
            raise _unusable(str(error)) from error


def difference(reader: OnnxReader, network: FusionNetwork, target: int, batch: Batch) -> float:
    """Largest |difference| from torch: of shares, base, their sum and every block's own logit, in log-odds.

    Embeddings, which a signature reads, count too; they have no unit, and values about 1. Infinite where one of them
    finds a block absent, or no number, that the other does not.
    """
    keep = torch.ones(len(network.blocks), dtype=torch.bool)
    ours, theirs = TorchReader(network, target)(batch, keep), reader(batch, keep)
    found = [np.abs(np.nansum(ours.shares, axis=1) - np.nansum(theirs.shares, axis=1)).max(initial=0.0)]
    pairs = zip(map(np.asarray, ours), map(np.asarray, theirs), strict=True)
    for one, other in pairs:
        if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
            return float("inf")
        found.append(np.abs(np.nan_to_num(one) - np.nan_to_num(other)).max(initial=0.0))
    return float(max(found))


def require_equal(reader: OnnxReader, network: FusionNetwork, target: int, batch: Batch, what: str) -> float:
    """The difference from torch, which must be small.

    Raises
    ------
    BundleError
        If it is above :data:`TOLERANCE`, or not a number.
    """
    found = difference(reader, network, target, batch)
    if not found <= TOLERANCE:
        parts = {name: getattr(network.settings, name) for name in ("backbone", "pooling", "fusion", "head")}
        words = ", ".join(f"{name} {value}" for name, value in parts.items())
        raise BundleError(
            f"found a graph of {what} that differs from torch by {found:.2g} in log-odds, expected at most "
            f"{TOLERANCE:g} ({words}); predict with --runtime torch"
        )
    return found


def check_input(network: FusionNetwork, size_px: int, *, columns: int, scored: int, seed: int = 0) -> Batch:
    """Stored random input: five axillae with one to three images, blocks absent here and there, one without any.

    The numbers come from a generator whose stream numpy keeps for good, so that they are the same on every machine.
    """
    places = torch.tensor([[0, 1, 2], [3, 4, -1], [5, -1, -1], [6, -1, -1], [7, 8, -1]])
    blocks = len(network.blocks)
    draw = np.random.RandomState(seed)
    present = torch.from_numpy(draw.uniform(size=(9, blocks)) > 0.3)
    present[0], present[6] = True, False
    return network_input(network, size_px, places, present, columns=columns, scored=scored, seed=seed)


def read_graph(path: Path) -> bytes:
    """A graph's bytes, from a bundle's verified folder.

    Raises
    ------
    BundleError
        If it is not there.
    """
    if not path.is_file():
        raise _unusable(f"no file {path.name}")
    return path.read_bytes()


def _require_closed(content: bytes) -> None:
    """Refuse a graph that reads other files, or that asks for operators beyond the standard."""
    onnx = _package("onnx")
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's errors have no public base
        raise _unusable(str(error)) from error
    graphs, nodes = [model.graph], [node for function in model.functions for node in function.node]
    tensors: list[Any] = []
    while graphs:
        one = graphs.pop()
        nodes += one.node
        tensors += one.initializer
        if len(one.sparse_initializer):
            raise _unusable("sparse weights")
        graphs += [
            graph for node in one.node for item in node.attribute for graph in (*item.graphs, *_given(item, "g"))
        ]
    tensors += [tensor for node in nodes for item in node.attribute for tensor in (*item.tensors, *_given(item, "t"))]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) for tensor in tensors):
        raise _unusable("weights in another file")
    domains = {one.domain for one in model.opset_import} | {node.domain for node in nodes}
    if not domains <= set(STANDARD):
        raise _unusable(f"operators of {', '.join(sorted(domains - set(STANDARD)))[:80]}")


def _given(attribute: Any, field: str) -> list[Any]:
    """An attribute's field where it has one."""
    return [getattr(attribute, field)] if attribute.HasField(field) else []


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(
            f"found no package {name}, expected it to predict with ONNX Runtime; pip install 'usdlr[onnx]', or "
            "predict with --runtime torch"
        ) from error


def _unusable(why: str) -> BundleError:
    line = (why.splitlines() or [""])[0][:200]
    return BundleError(
        f"found a graph that cannot be used ({line}), expected one that `usdlr bundle export --onnx` wrote; export it "
        "again, or predict with --runtime torch"
    )
