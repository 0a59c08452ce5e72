"""Where a table or model came from: inputs, configuration, versions, seed and the state of the code."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import usdlr
from usdlr.core.hashing import data_hash

# What can change a number in a table. Absent packages are left out.
PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "pandera",
    "pyarrow",
    "scikit-learn",
    "opencv-python-headless",
    "pillow",
    "pydicom",
    "python-gdcm",
    "pyjpegls",
    "pylibjpeg-openjpeg",
    "highdicom",
    "nibabel",
    "pynrrd",
    "pyradiomics",
    "simpleitk",
    "torch",
    "pytorch-lightning",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
)


@dataclass(frozen=True)
class Provenance:
    """The origin of one written result.

    Parameters
    ----------
    command : str
        The step that wrote it, e.g. ``"usdlr features"``.
    inputs : mapping of str to str
        Name of each input and the SHA-256 of its content. Names carry no path of the machine and no patient.
    config : mapping
        The resolved settings that shaped the result.
    seed : int or None
        Seed of every random draw, ``None`` where nothing is random.
    """

    command: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            **asdict(self),
            "config_hash": data_hash(self.config),
            "versions": package_versions(),
            "code": code_state(),
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


@cache
def package_versions() -> dict[str, str]:
    """Versions of Python, usdlr and the packages that can change a number."""
    found = {"python": platform.python_version(), "usdlr": usdlr.__version__, "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_state() -> dict[str, Any]:
    """Git commit of the code and whether files differ from it; empty outside a checkout."""
    root = Path(usdlr.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "dirty": bool(_git(root, "status", "--porcelain", "--", "usdlr", "configs", "experiments")),
        }
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
