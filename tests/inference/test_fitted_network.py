"""Weights are built into a network only when they fit it, are finite, and the network is one of moderate size."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.inference.made_stage import NETWORK, SIDE, made_cohort, made_network, made_selector
from usdlr.core.errors import BundleError
from usdlr.inference.fitted_network import fitted_network
from usdlr.inference.stage import network_columns
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings


@pytest.fixture(scope="module")
def columns() -> list[str]:
    return network_columns(made_selector(made_cohort()))


@pytest.fixture(scope="module")
def network() -> FusionNetwork:
    return made_network(NETWORK, made_selector(made_cohort()), 3)


def saved(folder: Path, network: FusionNetwork, **changed: torch.Tensor) -> Path:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    save_file(state | {name.replace("__", "."): value for name, value in changed.items()}, folder / "n.safetensors")
    return folder / "n.safetensors"


def test_the_weights_come_back(tmp_path: Path, network: FusionNetwork, columns: list[str]) -> None:
    found = fitted_network(saved(tmp_path, network), NETWORK, columns, SIDE, scored=())
    assert not found.training
    assert found.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_weight_that_is_no_number_is_refused(
    tmp_path: Path, network: FusionNetwork, columns: list[str], value: float
) -> None:
    base = network.state_dict()["fusion.base"].clone()
    base[0] = value
    with pytest.raises(BundleError, match=r"no finite number in n\.safetensors \(fusion\.base\)"):
        fitted_network(saved(tmp_path, network, fusion__base=base), NETWORK, columns, SIDE, scored=())


def test_weights_of_another_shape_or_name_are_refused(
    tmp_path: Path, network: FusionNetwork, columns: list[str]
) -> None:
    path = saved(tmp_path, network, fusion__base=torch.zeros(7))
    with pytest.raises(BundleError, match=r"test_resnet \(fusion\.base: found shape \[7\], expected shape \[1\]\)"):
        fitted_network(path, NETWORK, columns, SIDE, scored=())
    path = saved(tmp_path, network, further=torch.zeros(7))
    with pytest.raises(BundleError, match=r"further: found shape \[7\], expected none"):
        fitted_network(path, NETWORK, columns, SIDE, scored=())


@pytest.mark.parametrize(
    "changed",
    [
        {"embedding_dim": 10**9},
        {"tabular_hidden": 10**12},
        {"embedding_dim": 60_000, "tabular_hidden": 60_000},
        {"fusion": {"cross_attention": {"layers": 10**6}}},
        {"fusion": {"concat": {"hidden": 10**11}}},
        {"pooling": {"attention": {"hidden": 10**11}}},
        {"backbone": "vit_giant_patch14_dinov2"},
    ],
)
def test_settings_of_a_giant_allocate_nothing(
    tmp_path: Path, network: FusionNetwork, columns: list[str], changed: dict[str, Any]
) -> None:
    path = saved(tmp_path, network)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 518 if "backbone" in changed else SIDE
    with pytest.raises(BundleError, match=r"do not fit|describe no network"):
        fitted_network(path, replace(NETWORK, **changed), columns, size, scored=())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


@pytest.mark.parametrize(
    "backbone",
    ["hf_hub:usdlr/evil", "hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp", "os.system", "../resnet18", "resnet18.x"],
)
def test_backbones_that_would_be_fetched_are_refused_without_a_network(
    tmp_path: Path, network: FusionNetwork, columns: list[str], backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("asked for the network")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    settings: NetworkSettings = replace(NETWORK, backbone=backbone)
    with pytest.raises(BundleError, match=r"timm model name|Invalid pretrained tag"):
        fitted_network(saved(tmp_path, network), settings, columns, SIDE, scored=())
    # Where the first weights came from is not looked at either.
    start = replace(NETWORK, weights_file="/nowhere/else.pth")
    assert fitted_network(saved(tmp_path, network), start, columns, SIDE, scored=()).blocks == network.blocks
    start = replace(NETWORK, pretrained=True)
    assert fitted_network(saved(tmp_path, network), start, columns, SIDE, scored=()).blocks == network.blocks


def test_settings_that_describe_nothing_are_refused(tmp_path: Path, network: FusionNetwork, columns: list[str]) -> None:
    path = saved(tmp_path, network)
    for changed in ({"embedding_dim": 2.5}, {"fusion": {"cross_attention": {"heads": 3}}}, {"backbone": 7}):
        with pytest.raises(BundleError, match=r"describe no network|do not fit"):
            fitted_network(path, replace(NETWORK, **changed), columns, SIDE, scored=())
