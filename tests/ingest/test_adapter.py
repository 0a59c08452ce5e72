from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import SpacingSource
from usdlr.ingest import pipeline  # noqa: F401 - registers the adapters that come with usdlr
from usdlr.ingest.adapter import (
    ADAPTERS,
    Adapter,
    adapter_named,
    register,
    require_folder,
    require_usable_ids,
)
from usdlr.ingest.source import SourceRow

ROW = SourceRow("img1", "north-1", "north", {}, None, SpacingSource.NONE)


def test_the_adapters_that_come_with_usdlr() -> None:
    assert {"breast_lesions_usg", "simulated"} <= set(ADAPTERS)
    assert {name for name, adapter in ADAPTERS.items() if adapter.simulated} == {"simulated"}
    assert all(adapter_named(name).name == name for name in ADAPTERS)


def test_the_nearest_adapter_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'breast_lesions', expected one of .*did you mean breast_lesions_usg\?"):
        adapter_named("breast_lesions")
    with pytest.raises(ConfigError, match=r"expected one of breast_lesions_usg, .*simulated$"):
        adapter_named("zzz")


def test_an_adapter_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("usdlr.ingest.adapter.ADAPTERS", dict(ADAPTERS))

    @register
    class OurHospital(Adapter):
        name = "our_hospital"

        def rows(self, source: Path) -> list[SourceRow]:
            return [ROW]

    adapter = adapter_named("our_hospital")
    assert isinstance(adapter, OurHospital)
    assert adapter.rows(tmp_path) == [ROW]
    assert adapter.inputs(tmp_path) == {}
    assert not adapter.simulated
    with pytest.raises(ValueError, match="'our_hospital' is registered already"):
        register(OurHospital)


def test_the_folder_of_an_export(tmp_path: Path) -> None:
    assert require_folder(tmp_path) == tmp_path
    with pytest.raises(DataError, match=r"found no folder at .*expected the folder of the export"):
        require_folder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="found a file at"):
        require_folder(tmp_path / "file")


def rows(*ids: str) -> list[Any]:
    return [replace(ROW, source_id=source_id) for source_id in ids]


def test_ids_that_can_name_files() -> None:
    require_usable_ids(rows("case001", "BUS-0012", "1.2.840.113619.2", "Müller 3", "a_b"))


def test_a_repeated_id_is_named_with_both_rows() -> None:
    with pytest.raises(DataError, match="found the id 'b' in rows 2 and 4 of the export"):
        require_usable_ids(rows("a", "b", "c", "b"))


@pytest.mark.parametrize(
    "bad", ["", "..", ".hidden", "../../elsewhere", "/etc/passwd", "a/b", "a\\b", "a\n", "C:x", " a"]
)
def test_an_id_must_not_lead_out_of_the_folder(bad: str) -> None:
    with pytest.raises(DataError, match="in row 2 of the export, expected letters"):
        require_usable_ids(rows("a", bad))
