"""ONNX Runtime gives what torch gives, for every fusion and any axillae; a graph that does not is not used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper

from tests.inference.made_bundle import made_bundle, relist
from tests.inference.made_stage import NETWORK, SIDE, Cohort, made_cohort, made_network, made_selector
from usdlr.core.errors import BundleError, ConfigError, DataError
from usdlr.core.types import Stage
from usdlr.data.batch import Batch
from usdlr.inference.bundle import load_bundle
from usdlr.inference.export import export_bundle
from usdlr.inference.onnx_bundle import graph_summary, with_runtime
from usdlr.inference.onnx_graph import graph, network_input
from usdlr.inference.onnx_reader import TOLERANCE, OnnxReader, check_input, difference
from usdlr.inference.stage import network_columns
from usdlr.models.network import FusionNetwork

# One backbone for all branches where sharing is not the question: half the graph, half the time.
SMALL = replace(NETWORK, share="all")
COMBINATIONS = [
    {"fusion": "concat"},
    {"fusion": "gated", "pooling": "attention", "share": "rois", "rois": ["intratumoral", "peritumoral"]},
    {"fusion": "film", "pooling": "max"},
    {"fusion": {"cross_attention": {"heads": 2, "layers": 2}}, "head": "cumulative", "tabular": "split"},
    {"fusion": {"late": {"weights": "learned"}}, "head": "multitask", "channels": ["mask", "distance"], "stem": "rgb"},
    {"fusion": "gated", "tabular": "none"},
]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return made_cohort(10)


def unlike(network: FusionNetwork) -> FusionNetwork:
    """The same network with weights that no part of it starts with: zeros would hide what is wrong."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return network


@pytest.mark.parametrize("changed", COMBINATIONS, ids=lambda changed: "-".join(map(str, changed.values()))[:40])
def test_every_fusion_with_blocks_absent(cohort: Cohort, changed: dict[str, Any]) -> None:
    settings, selector = replace(SMALL, **changed), made_selector(cohort)
    network, columns = unlike(made_network(settings, selector, 0)), len(network_columns(selector))
    target = network.head.targets - 1
    traced = check_input(network, SIDE, columns=columns, scored=0)
    reader = OnnxReader(graph(network, target, traced), network, threads=1)
    assert difference(reader, network, target, traced) < 1e-5
    # Other numbers of axillae and images than those that were traced, down to one image of one axilla.
    draw = np.random.default_rng(3)
    for places in ([[0]], [[0, 1, 2, 3, 4]], [[place, -1] for place in range(7)], [[4, 2], [0, -1], [1, 3]]):
        images = 1 + max(map(max, places))
        present = torch.from_numpy(draw.uniform(size=(images, len(network.blocks))) > 0.4)
        batch = network_input(network, SIDE, torch.tensor(places), present, columns=columns, scored=0, seed=images)
        assert difference(reader, network, target, batch) < 1e-5


def test_scores_and_absent_values_that_are_no_numbers(cohort: Cohort) -> None:
    settings, selector = replace(SMALL, score=True, fusion="gated"), made_selector(cohort)
    torch.manual_seed(0)
    network = unlike(FusionNetwork(settings, network_columns(selector), SIDE, scored=["radiomics"]).eval())
    batch = check_input(network, SIDE, columns=len(network_columns(selector)), scored=1)
    reader = OnnxReader(graph(network, 0, batch), network, threads=1)
    assert difference(reader, network, 0, batch) < 1e-5
    # What stands in place of an absent block may be anything.
    block, place = network.settings.image_blocks[0], network.blocks.index(network.settings.image_blocks[0])
    pixels, scores = batch["images"][block].clone(), batch["scores"].clone()
    pixels[~batch["present"][:, place]] = float("nan")
    scores[~batch["present"][:, -1]] = float("nan")
    holes: Batch = {**batch, "images": {**batch["images"], block: pixels}, "scores": scores}
    assert difference(reader, network, 0, holes) < 1e-5


def test_what_has_no_form_in_onnx_is_refused_in_one_line(cohort: Cohort) -> None:
    class Odd(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(pixels), 512) + float(pixels.sum())  # a number that the graph cannot know

    selector = made_selector(cohort)
    network = made_network(NETWORK, selector, 0)
    batch = check_input(network, SIDE, columns=len(network_columns(selector)), scored=0)
    network.encoders.backbones["bmode_intratumoral"] = Odd()
    with pytest.raises(ConfigError, match=r"without a form in ONNX.*fusion late.*predict with torch") as raised:
        graph(network, 0, batch)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's folder with graphs."""
    folder = tmp_path_factory.mktemp("onnx")
    made_bundle(folder / "bundle", folds=1, settings=replace(SMALL, fusion="gated"))
    written = export_bundle(folder / "bundle", folder / "b.usdlr", onnx=True)
    assert [one.file for one in written] == ["sln_network_0.onnx", "nsln_network_0.onnx"]
    assert all(one.difference <= TOLERANCE for one in written)
    shutil.unpack_archive(folder / "b.usdlr", folder / "unpacked", "zip")
    return folder / "unpacked"


def test_a_bundle_with_graphs(packed: Path, cohort: Cohort) -> None:
    bundle = load_bundle(packed)
    found = graph_summary(bundle)
    assert found is not None
    assert set(found["graphs"]) == {"sln_network_0.onnx", "nsln_network_0.onnx"}
    fast = with_runtime(bundle, "onnx")
    assert (bundle.runtime, fast.runtime, fast.bundle_id) == ("torch", "onnx", bundle.bundle_id)
    assert with_runtime(bundle, "torch") is bundle
    given = (cohort.cases, cohort.store, cohort.design, 4)
    models = [one.member.models[Stage.NSLN] for one in (bundle, fast)]
    for hidden in ((), ("bmode.intratumoral",)):
        ours, theirs = (model.predict_axillae(*given, hidden=hidden) for model in models)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=0, atol=1e-5)
        assert not np.array_equal(ours["logit"], theirs["logit"])  # it was the other runtime
    ours, theirs = (model.embed(*given) for model in models)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=0, atol=1e-4)


def test_graphs_name_nothing_of_the_machine(packed: Path) -> None:
    for path in (packed / "onnx").iterdir():
        content = path.read_bytes()
        assert b"/work" not in content
        assert b".py" not in content
        assert str(Path.home()).encode() not in content


def test_a_bundle_without_graphs_and_a_fold(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a bundle without graphs"):
        with_runtime(load_bundle(made_bundle(tmp_path / "b", folds=0)), "onnx")
    with pytest.raises(DataError, match="a fold's member"):
        with_runtime(load_bundle(packed, member="0"), "onnx")
    with pytest.raises(DataError, match="expected torch or onnx"):
        with_runtime(load_bundle(packed), "tensorrt")


def test_graphs_that_do_harm(packed: Path, tmp_path: Path) -> None:
    """Whoever can write a manifest could list any graph: it is held against the networks, and read closed."""
    folder = Path(shutil.copytree(packed, tmp_path / "bundle"))
    names = [f"onnx/{stage}_network_0.onnx" for stage in Stage]
    kept = (folder / names[0]).read_bytes()

    def use(content: bytes) -> None:
        (folder / names[0]).write_bytes(content)
        relist(folder, names[0])
        with_runtime(load_bundle(folder), "onnx")

    use(kept)
    with pytest.raises(BundleError, match=r"differs from torch by .* in log-odds, expected at most 0\.0001 .*gated"):
        use((folder / names[1]).read_bytes())
    model = onnx.load_from_string(kept)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    with pytest.raises(BundleError, match="weights in another file"):
        use(model.SerializeToString())
    model = onnx.load_from_string(kept)
    model.graph.node[0].domain = "com.evil"
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    with pytest.raises(BundleError, match=r"operators of com\.evil"):
        use(model.SerializeToString())
    for content in (b"", b"\x80\x04.", kept[:1000], b"x" * 1000):
        with pytest.raises(BundleError, match="cannot be used"):
            use(content)
    (folder / names[0]).unlink()
    with pytest.raises(BundleError, match="no regular file"):
        load_bundle(folder)
