"""A PostgreSQL server of one's own, on loopback, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, if it is installed."""
    for name in ("initdb", "pg_config"):
        found = shutil.which(name)
        if found and name == "initdb":
            return Path(found).parent
        if found:
            told = subprocess.run([found, "--bindir"], capture_output=True, text=True, check=False)
            if (Path(told.stdout.strip()) / "initdb").is_file():
                return Path(told.stdout.strip())
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


class Server:
    """A server with a folder and a port of its own.

    Parameters
    ----------
    folder : Path
        An empty one that other users may enter.
    programs : Path
        Where PostgreSQL's programs are.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.databases = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # PostgreSQL refuses to run as root.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder), "-A", "trust", "-U", "usdlr", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        # Servers are stopped here, machines are not: flushing to the disk would only cost time.
        options = f"-c fsync=off -p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=40"
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-m", how, "stop")

    def database(self) -> str:
        """The address of a new, empty database."""
        self.databases += 1
        name = f"review{self.databases}"
        with psycopg.connect(f"postgresql://usdlr@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://usdlr@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *words: str) -> None:
        command = [*self.user, str(self.programs / program), *words]
        # Not a pipe: the server inherits it, and the call would wait for the server to end.
        with (self.folder.parent / f"{self.folder.name}.out").open("w") as out:
            subprocess.run(command, check=True, stdout=out, stderr=out, cwd=self.folder)
