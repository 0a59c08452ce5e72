"""Where a bundle is read from: a folder, or one zip. Neither is believed; names, kinds and sizes are checked."""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from usdlr.core.errors import BundleError, DataError

ARCHIVE_SUFFIX = ".usdlr"
MOST_FILES, MOST_LEVELS, LONGEST_NAME = 10_000, 6, 200
# Bytes: of one file, and of all of them.
LARGEST_FILE, LARGEST_BUNDLE = 4 << 30, 16 << 30
# Deflate reaches 1032; fitted weights hardly shrink, and tables of numbers by less than ten.
HIGHEST_RATIO, RATIO_FROM = 100, 1 << 20
# Signs that some file system gives a meaning to.
SPECIAL = frozenset('\\:*?"<>|')
END: Final = struct.Struct("<4s4H2LH")
LOCAL: Final = struct.Struct("<4s5H3L2H")
END_SIGNATURE, LOCAL_SIGNATURE = b"PK\x05\x06", b"PK\x03\x04"
ENCRYPTED = 0x1
# Never through a link, and never waiting for what a pipe may bring; a system without such flags has the checks alone.
READ_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Source(Protocol):
    """Files of a bundle, by names that :func:`require_names` let pass."""

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file by its name, with forward slashes."""

    def open(self, name: str) -> BinaryIO:
        """A file's bytes from its beginning."""


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """A bundle's files, checked as far as names, kinds and sizes go; nothing is read or unpacked yet.

    Raises
    ------
    DataError
        If there is neither a folder nor a zip.
    BundleError
        If anything in it is no plain file, or its names, numbers or sizes are not those of a bundle.
    """
    if path.is_dir():
        yield FolderSource(path)
        return
    if not path.is_file():
        raise DataError(f"found no bundle at {path}, expected a folder or a {ARCHIVE_SUFFIX} file; check the path")
    with path.open("rb") as stream:
        yield ZipSource(path, stream)


class FolderSource:
    """A folder that `usdlr run` wrote, or a copy of it.

    Parameters
    ----------
    folder : Path
        It may itself be reached by a link; nothing inside it may be one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, int] = {}
        waiting = [folder]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    name = Path(entry.path).relative_to(folder).as_posix()
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(state.st_mode) and name.count("/") + 1 < MOST_LEVELS:
                        waiting.append(Path(entry.path))
                        continue
                    # A second name could change the file from outside the folder.
                    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
                        raise _irregular(name, str(folder))
                    self.sizes[name] = state.st_size
                    if len(self.sizes) > MOST_FILES:
                        waiting.clear()
                        break
        if len(self.sizes) > MOST_FILES:
            raise _crowded(str(folder))
        require_sizes(self.sizes, str(folder))

    def open(self, name: str) -> BinaryIO:
        """A file's bytes; what has become a link or a device since is refused."""
        try:
            handle = os.open(self.folder / name, READ_FILE)
        except OSError as error:
            raise BundleError(
                f"found no readable {name} in {self.folder} ({error.strerror}), expected every listed file; copy the "
                "bundle again"
            ) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _irregular(name, str(self.folder))
        return os.fdopen(handle, "rb")


class ZipSource:
    """One zip with the files of a bundle at its top.

    Parameters
    ----------
    path : Path
        For messages.
    stream : binary file
        Its bytes.

    References
    ----------
    PKWARE, .ZIP File Format Specification 6.3.10; Fifield, A better zip bomb, USENIX WOOT 2019 (entries that overlap).
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.stream = path, stream
        end = _require_one_directory(path, stream)
        try:
            self.archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError) as error:
            raise _damaged(path, str(error)) from error
        infos = [info for info in self.archive.infolist() if not _is_folder(info)]
        self.sizes = {info.filename: info.file_size for info in infos}
        for info in infos:
            if info.filename != info.orig_filename:  # cut at a zero byte
                raise _damaged(path, f"an entry is named {info.orig_filename[:LONGEST_NAME]!r}")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise _irregular(info.filename, str(path))
            if info.flag_bits & ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _damaged(path, f"{info.filename!r} is encrypted or packed in an unusual way")
            if info.file_size > max(RATIO_FROM, HIGHEST_RATIO * info.compress_size):
                raise BundleError(
                    f"found {info.filename!r} in {path.name} that unpacks {info.compress_size} bytes to "
                    f"{info.file_size}, expected at most {HIGHEST_RATIO} times as many; get the bundle from its owner"
                )
        require_names([info.filename for info in infos], path.name)
        require_sizes(self.sizes, path.name)
        _require_apart(path, stream, self.archive.infolist(), end)

    def open(self, name: str) -> BinaryIO:
        """A file's bytes, unpacked as they are read: never more than the zip declares."""
        return _Unpacked(self.path, self.archive, name)  # type: ignore[return-value]  # read and close, all that is used


class _Unpacked:
    """An entry of a zip whose damage is told in one line."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, name: str) -> None:
        self.path, self.name = path, name
        try:
            self.entry = archive.open(name)
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            raise _damaged(path, str(error)) from error

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        try:
            return self.entry.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _damaged(self.path, f"{self.name}: {error}") from error

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self.entry.close()


def require_names(names: Iterable[str], where: str) -> None:
    """Refuse names that lead out of a folder, or that two file systems could read as two things.

    Parameters
    ----------
    names : iterable of str
        Of files, with forward slashes.
    where : str
        What holds them, for the message.

    Raises
    ------
    BundleError
        Naming the first.

    Examples
    --------
    >>> require_names(["bundle.json", "sln/stage.json"], "here")
    >>> require_names(["../.bashrc"], "here")
    Traceback (most recent call last):
    ...
    usdlr.core.errors.BundleError: found the file name '../.bashrc' in here, expected a name inside the bundle...
    """
    seen: dict[str, str] = {}
    for count, name in enumerate(names, 1):
        if count > MOST_FILES:
            raise _crowded(where)
        if not _plain(name):
            raise BundleError(
                f"found the file name {name[:LONGEST_NAME]!r} in {where}, expected a name inside the bundle without "
                "special signs; get the bundle from its owner"
            )
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            raise BundleError(
                f"found {seen[folded]!r} and {name!r} in {where}, which are one file on some systems, expected "
                "different names; get the bundle from its owner"
            )
        seen[folded] = name
    for folded, name in seen.items():
        above = folded.rpartition("/")[0]
        while above:
            if above in seen:
                raise BundleError(
                    f"found {seen[above]!r} as a file and as the folder of {name!r} in {where}, expected one of them; "
                    "get the bundle from its owner"
                )
            above = above.rpartition("/")[0]


def _plain(name: str) -> bool:
    parts = name.split("/")
    return (
        0 < len(name) <= LONGEST_NAME
        and len(parts) <= MOST_LEVELS
        and name.isprintable()
        and unicodedata.is_normalized("NFC", name)
        and not SPECIAL & set(name)
        # An empty part is an absolute name or a doubled slash; a dot in front is `..` or a hidden file.
        and all(part and part[0] not in ". " and part[-1] not in ". " for part in parts)
    )


def require_sizes(sizes: dict[str, int], where: str) -> None:
    """Refuse files that are larger than a model is.

    Raises
    ------
    BundleError
        Naming the largest.
    """
    if not sizes:
        return
    name, largest = max(sizes.items(), key=lambda item: item[1])
    if largest > LARGEST_FILE or sum(sizes.values()) > LARGEST_BUNDLE:
        raise BundleError(
            f"found {sum(sizes.values())} bytes in {where}, {largest} of them in {name!r}, expected at most "
            f"{LARGEST_FILE} in one file and {LARGEST_BUNDLE} in all; get the bundle from its owner"
        )


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Whether an entry only names a folder; one with content is none."""
    return info.is_dir() and info.file_size == 0 and info.compress_size <= 2


def _require_one_directory(path: Path, stream: BinaryIO) -> int:
    """Refuse a zip with anything behind its directory, or too many entries, before the directory is parsed.

    Returns where the central directory begins. Zip64, for more than 4 GiB, is not read: share the folder then.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - END.size, 0))
    tail = stream.read(END.size)
    if len(tail) < END.size or not tail.startswith(END_SIGNATURE):
        raise _damaged(path, "it does not end as a zip does")
    _, disk, first_disk, here, count, length, start, comment = END.unpack(tail)
    if (disk, first_disk, comment) != (0, 0, 0) or here != count or start + length + END.size != size:
        raise _damaged(path, "its directory is not where it says")
    if count > MOST_FILES:
        raise _crowded(path.name)
    stream.seek(0)
    return int(start)


def _require_apart(path: Path, stream: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> None:
    """Refuse entries that share bytes, or that are named otherwise where they lie."""
    reached = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        stream.seek(info.header_offset)
        head = stream.read(LOCAL.size)
        if info.header_offset < reached or len(head) < LOCAL.size or not head.startswith(LOCAL_SIGNATURE):
            raise _damaged(path, f"{info.filename!r} overlaps another entry or is not where the directory says")
        *_, name_length, extra_length = LOCAL.unpack(head)
        name = stream.read(name_length)
        if name not in (info.orig_filename.encode("utf-8"), info.orig_filename.encode("cp437", "replace")):
            raise _damaged(path, f"{info.filename!r} has another name where it lies")
        reached = info.header_offset + LOCAL.size + name_length + extra_length + info.compress_size
    if reached > end:
        raise _damaged(path, "an entry reaches into the directory")


def _damaged(path: Path, why: str) -> BundleError:
    return BundleError(
        f"found {path.name} that is no sound bundle ({why}), expected a zip that `usdlr bundle export` wrote; get the "
        "bundle again"
    )


def _crowded(where: str) -> BundleError:
    return BundleError(f"found more than {MOST_FILES} files in {where}, expected a bundle; check the path")


def _irregular(name: str, where: str) -> BundleError:
    return BundleError(
        f"found {name[:LONGEST_NAME]!r} in {where}, which is no regular file of its own (a link or a device), expected "
        "plain files; copy the bundle again"
    )
