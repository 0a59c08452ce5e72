"""A network with fitted weights from a file of unknown origin: nothing is built before the file's header fits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from usdlr.core.errors import BundleError, ConfigError
from usdlr.inference.tensor_files import tensor_header
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings

# No branch or hidden layer is wider and no fusion deeper; far beyond it, already the description takes the memory.
WIDEST, DEEPEST = 1 << 16, 64
DEPTHS: Final = ("layers",)
# What impossible settings raise while a network is built of them.
UNBUILDABLE = (ConfigError, RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError, AssertionError)


def fitted_network(
    path: Path, settings: NetworkSettings, columns: Sequence[str], size_px: int, *, scored: Sequence[str]
) -> FusionNetwork:
    """The network of a weights file, in evaluation mode.

    Parameters
    ----------
    path : Path
        safetensors.
    settings : NetworkSettings
        What the network is made of. Where its first weights came from is not looked at: the fitted ones replace them
        all.
    columns, size_px, scored
        As :class:`usdlr.models.network.FusionNetwork` takes them.

    Raises
    ------
    BundleError
        If the settings describe no network, or the file holds other tensors, or a weight that is not finite.
    """
    settings = settings.without_start()
    found = {name: entry.shape for name, entry in tensor_header(path, path.name).items()}
    try:
        _require_moderate(settings)
        expected = _shapes(settings, columns, size_px, scored)
    except UNBUILDABLE as error:
        raise BundleError(
            f"found settings of {path.name} that describe no network ({_line(error)}); use the bundle's own settings"
        ) from error
    if expected is not None and expected != found:
        unlike = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))[0]
        raise _unfit(
            path, settings, f"{unlike[:80]}: found {_shape(found, unlike)}, expected {_shape(expected, unlike)}"
        )
    try:
        weights = load(path.read_bytes())
        network = FusionNetwork(settings, columns, size_px, scored=scored)
        network.load_state_dict(weights)
    except (SafetensorError, *UNBUILDABLE) as error:
        raise _unfit(path, settings, _line(error)) from error
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BundleError(
                f"found a weight that is no finite number in {path.name} ({name}), expected finite weights; get the "
                "bundle again from its owner"
            )
    return network.eval()


def _shapes(
    settings: NetworkSettings, columns: Sequence[str], size_px: int, scored: Sequence[str]
) -> dict[str, tuple[int, ...]] | None:
    """Shape of every weight by name, without any memory for them; ``None``: this network cannot be laid out so."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = FusionNetwork(settings, columns, size_px, scored=scored)
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, NotImplementedError) or "meta" in str(error):
            return None  # a few backbones need values to be built
        raise
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _require_moderate(settings: NetworkSettings) -> None:
    """Refuse sizes that would exhaust the memory before any weight is looked at."""
    sizes: dict[str, Any] = {"embedding_dim": settings.embedding_dim, "tabular_hidden": settings.tabular_hidden}
    for part in (settings.pooling, settings.fusion, settings.head):
        for options in part.values() if isinstance(part, Mapping) else ():
            sizes |= dict(options or {})
    for name, value in sizes.items():
        most = DEEPEST if name in DEPTHS else WIDEST
        if isinstance(value, int | float) and value > most:
            raise ConfigError(f"found {name} = {value}, expected at most {most}")


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return f"shape {list(shapes[name])}" if name in shapes else "none"


def _unfit(path: Path, settings: NetworkSettings, why: str) -> BundleError:
    return BundleError(
        f"found weights in {path.name} that do not fit {settings.backbone} ({why}); use the bundle's own settings"
    )


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
