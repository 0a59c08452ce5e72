"""Files that are either whole or absent: write beside, flush, rename."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from usdlr.core.errors import DataError
from usdlr.core.hashing import data_hash


def write_atomic(path: Path, write: Callable[[Path], object], *, private: bool = False) -> None:
    """Let ``write`` fill a temporary sibling, then rename it to ``path``.

    Parameters
    ----------
    path : Path
        Final place; its folder is created.
    write : callable
        Receives the temporary path, which has the same suffix.
    private : bool
        Whether the user alone may ever read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        # mkstemp makes the file private; a result is as readable as the user's umask says.
        if not private:
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write UTF-8 text atomically; a private file is never readable by anybody but the user."""
    write_atomic(path, lambda target: target.write_text(text, encoding="utf-8"), private=private)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda target: target.write_bytes(content))


def write_together(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write several files of which none makes sense without the others: all of them, or none.

    Everything is written beside its place first and then renamed, which takes milliseconds; a full disk or an
    interruption before that changes nothing.

    Parameters
    ----------
    folder : Path
        Made if absent.
    contents : mapping of str to bytes
        By path relative to ``folder``, with forward slashes.

    Returns
    -------
    list of Path
        In the order of ``contents``.

    Raises
    ------
    DataError
        If a folder stands where a file belongs, or the other way round, or nothing can be written there.
    """
    targets = {folder / name: content for name, content in contents.items()}
    try:
        for place in dict.fromkeys(target.parent for target in targets):
            place.mkdir(parents=True, exist_ok=True)
        taken = [target for target in targets if target.is_dir()]
        if taken:
            raise DataError(f"found the folder {taken[0]}, expected a file or nothing there; move it away")
        stage = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    except OSError as error:
        raise DataError(
            f"found no way to write into {folder} ({error.strerror}), expected a folder; choose another path"
        ) from error
    try:
        for number, content in enumerate(targets.values()):
            write_bytes(stage / str(number), content)
        for number, target in enumerate(targets):
            (stage / str(number)).replace(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return list(targets)


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Write plain data as readable JSON; not-a-number becomes null, since JSON has no such number."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n", private=private)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    DataError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"found no file {path}, expected a JSON file there; check the path") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"found {path} is not valid JSON ({error}); restore the file or write it again") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # numpy scalars
        value = value.item()
    if isinstance(value, float) and not (value == value and abs(value) != float("inf")):
        return None
    return value


def write_checked(path: Path, value: Any) -> None:
    """Write plain data as JSON with its own hash beside it, for :func:`read_checked`."""
    plain = _finite(value)
    write_json(path, {"sha256": data_hash(plain), "value": plain})


def read_checked(path: Path) -> Any | None:
    """What :func:`write_checked` wrote, or ``None`` where it is absent, damaged or of another form."""
    try:
        found = read_json(path)
        value, expected = found["value"], found["sha256"]
    except (DataError, OSError, KeyError, TypeError, IndexError):
        return None
    return value if data_hash(value) == expected else None
