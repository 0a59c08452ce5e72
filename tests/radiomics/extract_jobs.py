"""What worker processes do in ``test_extract.py``: spawned processes must be able to import it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdlr.radiomics.settings import RadiomicsSettings


def die_and_stall(row: Mapping[str, Any], root: Path, settings: RadiomicsSettings, engine: str) -> dict[str, Any]:
    """The second case kills its worker, the fourth never ends."""
    if row["image_id"] == "case1":
        os._exit(9)
    if row["image_id"] == "case3":
        time.sleep(600)
    return {"image_id": row["image_id"], "status": "ok", "bmode.combined.original.odd.Third": 1 / 3}
