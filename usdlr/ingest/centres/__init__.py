"""One adapter per kind of export."""

from __future__ import annotations

import importlib

MODULES = ("breast_lesions_usg", "bus_bra", "busi", "dicom", "manifest", "simulated")


def load_all() -> None:
    """Import every adapter that comes with usdlr, which registers it."""
    for name in MODULES:
        importlib.import_module(f"{__name__}.{name}")
