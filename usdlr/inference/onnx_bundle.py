"""The graphs of a bundle: one for every network of the member that ships, held against torch when it is written."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import torch

from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.provenance import package_versions
from usdlr.core.types import Stage
from usdlr.data.batch import Batch
from usdlr.inference.bundle import TORCH, Bundle
from usdlr.inference.member import SHIPPED
from usdlr.inference.onnx_graph import OPSET, graph
from usdlr.inference.onnx_reader import TOLERANCE, OnnxReader, check_input, read_graph, require_equal
from usdlr.inference.reader import Reader, TorchReader
from usdlr.inference.stage import StageModel, network_columns, prepare_torch

ONNX_FOLDER, ONNX_INDEX = "onnx", "onnx.json"
ONNX = "onnx"
RUNTIMES: Final = (TORCH, ONNX)
REPEATS = 5


class Graph(NamedTuple):
    """One written graph.

    Parameters
    ----------
    stage : Stage
        Whose network.
    file : str
        Name in the folder.
    size : int
        Bytes.
    difference : float
        Largest |difference| from torch on the stored random input, in log-odds.
    torch_ms, onnx_ms : float
        Median time of one pass over that input, in ms.
    """

    stage: Stage
    file: str
    size: int
    difference: float
    torch_ms: float
    onnx_ms: float


def write_graphs(folder: Path, bundle: Bundle) -> list[Graph]:
    """Write every network of a bundle as ONNX.

    Parameters
    ----------
    folder : Path
        Where to; made if absent.
    bundle : Bundle
        With the member that ships.

    Returns
    -------
    list of Graph
        In the order of stages and networks.

    Raises
    ------
    ConfigError
        If a network has no form in ONNX.
    BundleError
        If a graph differs from torch by more than 1e-4 in log-odds.
    """
    prepare_torch(bundle.preparation.threads)
    written = []
    for stage, model in bundle.member.models.items():
        for place, network in enumerate(model.networks):
            batch = _batch(bundle, model, place)
            content = graph(network, model.target, batch)
            reader = OnnxReader(content, network, threads=bundle.preparation.threads)
            name = _name(stage, place)
            found = require_equal(reader, network, model.target, batch, name)
            times = [_milliseconds(each, batch) for each in (TorchReader(network, model.target), reader)]
            write_bytes(folder / name, content)
            written.append(Graph(stage, name, len(content), found, *times))
    versions = {name: found for name, found in package_versions().items() if name in ("python", "usdlr", "torch")}
    write_json(
        folder / ONNX_INDEX,
        {
            "opset": OPSET,
            "tolerance_log_odds": TOLERANCE,
            "graphs": {one.file: {"difference_log_odds": one.difference} for one in written},
            "versions": versions,
        },
    )
    return written


def with_runtime(bundle: Bundle, runtime: str) -> Bundle:
    """The bundle, its networks run by torch or by ONNX Runtime.

    Every graph is held against its network once more, on this machine. Explanations need gradients, and always use the
    networks themselves.

    Parameters
    ----------
    bundle : Bundle
        Just loaded.
    runtime : str
        ``torch`` or ``onnx``.

    Raises
    ------
    DataError
        If the runtime is unknown, or the bundle holds no graphs of the member in use.
    BundleError
        If a graph cannot be used, or differs from its network by more than 1e-4 in log-odds.
    """
    if runtime not in RUNTIMES:
        raise DataError(f"found the runtime {runtime!r}, expected {' or '.join(RUNTIMES)}")
    if runtime == TORCH:
        return bundle
    folder = bundle.extra(ONNX_FOLDER)  # noqa: S610  # no Django here
    if folder is None or bundle.member.name != SHIPPED:
        what = "a fold's member" if folder is not None else "a bundle without graphs"
        raise DataError(
            f"found {what}, expected the member that ships with its graphs; write them with `usdlr bundle export "
            "--onnx`, or predict with --runtime torch"
        )
    prepare_torch(bundle.preparation.threads)
    models = {stage: _with_graphs(bundle, model, stage, folder) for stage, model in bundle.member.models.items()}
    return replace(bundle, member=replace(bundle.member, models=models), runtime=ONNX)


def graph_summary(bundle: Bundle) -> dict[str, Any] | None:
    """What a bundle says of its graphs; ``None``: it has none.

    Raises
    ------
    BundleError
        If it is damaged.
    """
    folder = bundle.extra(ONNX_FOLDER)  # noqa: S610  # no Django here
    if folder is None:
        return None
    found = read_json(folder / ONNX_INDEX) if (folder / ONNX_INDEX).is_file() else None
    if not isinstance(found, dict):
        raise BundleError(f"found no {ONNX_INDEX} beside the graphs, expected it; export them again")
    return found


def _with_graphs(bundle: Bundle, model: StageModel, stage: Stage, folder: Path) -> StageModel:
    readers = []
    for place, network in enumerate(model.networks):
        name = _name(stage, place)
        reader = OnnxReader(read_graph(folder / name), network, threads=bundle.preparation.threads)
        require_equal(reader, network, model.target, _batch(bundle, model, place), name)
        readers.append(reader)
    return replace(model, readers=tuple(readers))


def _batch(bundle: Bundle, model: StageModel, place: int) -> Batch:
    size_px = bundle.preparation.crops[model.crop_of(place)].size_px
    columns, scored = len(network_columns(model.selector)), len(model.scores.blocks)
    return check_input(model.networks[place], size_px, columns=columns, scored=scored)


def _name(stage: Stage, place: int) -> str:
    return f"{stage}_network_{place}.onnx"


def _milliseconds(reader: Reader, batch: Batch) -> float:
    """Median time of a pass, after one that warms up."""
    keep = torch.ones(batch["present"].shape[1], dtype=torch.bool)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        reader(batch, keep)
        times.append(1000 * (time.perf_counter() - start))
    return median(times[1:])
