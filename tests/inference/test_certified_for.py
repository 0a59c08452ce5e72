"""A contract speaks of one model: whatever was fitted or prepared in another way afterwards is noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from usdlr.core.errors import BundleError
from usdlr.core.hashing import file_hash
from usdlr.core.types import OnUncertified
from usdlr.decision.strata import StratumRule
from usdlr.inference.bundle import load_bundle
from usdlr.inference.bundle_files import MANIFEST, write_bundle
from usdlr.inference.member import CONTRACT
from usdlr.inference.strata import axilla_strata


@pytest.fixture
def bundle(run_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may refit."""
    return Path(shutil.copytree(run_folder / "bundle", tmp_path / "bundle"))


def change(path: Path, **values: Any) -> None:
    """Replace values of a JSON file; ``None`` takes the key away."""
    content = json.loads(path.read_text())
    kept = {key: value for key, value in content.items() if key not in values}
    path.write_text(json.dumps(kept | {key: value for key, value in values.items() if value is not None}))


def export_again(bundle: Path, name: str) -> None:
    """Write the file's new hash into the manifest, as a new export would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = file_hash(bundle / name)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def test_every_member_says_what_it_was_certified_for(bundle: Path) -> None:
    seen = {load_bundle(bundle, member=name).member.contract.certified_for for name in (None, "0", "1")}
    assert len(seen) == 3
    assert None not in seen


def test_a_calibrator_refitted_after_certification_is_refused(bundle: Path) -> None:
    change(bundle / "sln" / "calibrator.json", intercept=-0.7)
    export_again(bundle, "sln/calibrator.json")
    with pytest.raises(BundleError, match=r"member 'bundle' other than .* certify anew"):
        load_bundle(bundle)
    assert load_bundle(bundle, member="0").member.name == "0"


def test_weights_refitted_after_certification_are_refused(bundle: Path) -> None:
    path = bundle / "nsln" / "network_0.safetensors"
    weights = load_file(path)
    first = next(name for name in sorted(weights) if weights[name].size and weights[name].dtype.kind == "f")
    weights[first] = weights[first] + weights[first].dtype.type(1e-3)
    save_file(weights, path, metadata=_metadata(path))
    export_again(bundle, "nsln/network_0.safetensors")
    with pytest.raises(BundleError, match="certify anew"):
        load_bundle(bundle)


def _metadata(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header.get("__metadata__", {}))


def test_another_preparation_after_certification_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(bundle / MANIFEST, preparation=manifest["preparation"] | {"views": 5})
    with pytest.raises(BundleError, match="a preparation of the member"):
        load_bundle(bundle)


def test_a_refitted_member_cannot_be_exported(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    target = tmp_path / "again"
    options: dict[str, Any] = {
        "members": {"bundle": bundle},
        "preparation": loaded.preparation,
        "on_uncertified": OnUncertified.DEFER,
        "card": {},
    }
    write_bundle(target, **options)
    change(bundle / "sln" / "calibrator.json", intercept=-0.7)
    with pytest.raises(BundleError, match="nothing may be refitted after certification"):
        write_bundle(target, **options)
    assert (target / MANIFEST).is_file()  # the older export is not lost for it


def test_a_contract_from_before_there_was_a_hash_still_loads(bundle: Path) -> None:
    change(bundle / CONTRACT, certified_for=None)
    export_again(bundle, CONTRACT)
    assert load_bundle(bundle).member.contract.certified_for is None


def test_strata_of_axillae() -> None:
    cases = pd.DataFrame(
        {
            "patient_id": ["a", "a", "a", "b", "c"],
            "side": ["left", "left", "right", "left", "left"],
            "centre_id": ["east", "east", "east", "west", None],
            "tumour_size_mm": pd.array([12.0, 25.0, None, None, 60.0], dtype="Float64"),
            "elasto_path": [None, "x.png", None, None, "y.png"],
        }
    )
    axillae = pd.DataFrame({"patient_id": ["c", "a", "b", "a", "z"], "side": ["left", "right", "left", "left", "left"]})
    found = {by: axilla_strata(cases, axillae, StratumRule(by, (20.0,))) for by in ("centre", "tumour_size")}
    assert found["centre"] == [None, "east", "west", "east", None]
    assert found["tumour_size"] == ["over 20 mm", None, None, "over 20 mm", None]
    with_map, without = "with elastography", "without elastography"
    assert axilla_strata(cases, axillae, StratumRule("elastography")) == [with_map, without, without, with_map, None]
