from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from usdlr.core.hashing import bytes_hash, data_hash, derive_seed, file_hash, table_hash

TABLE = pd.DataFrame(
    {
        "name": pd.Series(["a", "b", None], dtype="str"),
        "flag": pd.Series([True, False, None], dtype="boolean"),
        "count": pd.Series([1, 0, None], dtype="Int64"),
        "value": [0.5, float("nan"), 2.0],
    }
)


def test_file_hash_is_sha_256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # The first test vector of FIPS 180-2.
    assert file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_file_hash_reads_beyond_one_block(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    path = tmp_path / "long"
    path.write_bytes(content)
    assert file_hash(path) == hashlib.sha256(content).hexdigest()


def test_byte_strings_do_not_run_into_each_other() -> None:
    hashes = {bytes_hash(b"ab", b"c"), bytes_hash(b"a", b"bc"), bytes_hash(b"abc"), bytes_hash(b"abc", b"")}
    assert len(hashes) == 4
    assert bytes_hash(b"a", b"b") != bytes_hash(b"b", b"a")


def test_data_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert data_hash({"a": 1, "b": [1, 2]}) == data_hash({"b": [1, 2], "a": 1})
    assert data_hash({"a": [1, 2]}) != data_hash({"a": [2, 1]})
    assert data_hash({"a": 1}) != data_hash({"a": 2})
    assert data_hash({"path": Path("x")}) == data_hash({"path": Path("x")})


def test_table_hash_does_not_see_the_index() -> None:
    assert table_hash(TABLE) == table_hash(TABLE.set_axis([7, 8, 9]))


@pytest.mark.parametrize(
    "changed",
    [
        TABLE.iloc[::-1],
        TABLE[["flag", "name", "count", "value"]],
        TABLE.rename(columns={"value": "values"}),
        TABLE.assign(value=[0.5, 0.0, 2.0]),
        TABLE.assign(value=[0.5 + 1e-15, float("nan"), 2.0]),
        TABLE.assign(flag=pd.Series([True, False, False], dtype="boolean")),
        TABLE.assign(flag=pd.Series([None, False, None], dtype="boolean")),
        TABLE.assign(count=pd.Series([1, None, None], dtype="Int64")),
        TABLE.assign(count=[1.0, 0.0, float("nan")]),
        TABLE.assign(name=pd.Series(["a", "b", ""], dtype="str")),
        TABLE.iloc[:2],
    ],
)
def test_table_hash_sees_order_names_dtypes_values_and_nulls(changed: pd.DataFrame) -> None:
    assert table_hash(changed) != table_hash(TABLE)


def test_a_seed_is_the_first_32_bits_of_the_hash_of_its_parts() -> None:
    digest = hashlib.sha256(b"\x00" * 7 + b"\x01" + b"7" + b"\x00" * 7 + b"\x04" + b"fold").digest()
    assert derive_seed(7, "fold") == int.from_bytes(digest[:4], "big")


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    seeds = [derive_seed(*parts) for parts in ((0, "a", 1), (0, "a", 2), (1, "a", 0), (0, 1, "a"), (0, "a1"), (0,))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
