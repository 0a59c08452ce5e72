"""Create a virtual environment and install usdlr with everything the demo and the tests need.

    python .ci/install.py [--venv .venv] [--python python3.12]

Needs Python 3.11-3.13 with its headers and nothing else: uv is fetched from the package registry, and where no C
compiler is found the `ziglang` wheel compiles PyRadiomics. A second call with an unchanged lock does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.8"
ZIG = "ziglang==0.15.1"
INPUTS = ("requirements.lock", "pyproject.toml", ".ci/install.py")

# PyRadiomics 3.0.1 ships a versioneer that calls two names removed in Python 3.12. Python imports `sitecustomize`
# from PYTHONPATH in the build process only, so nothing of this reaches the installed environment.
SITECUSTOMIZE = """\
import configparser
if not hasattr(configparser, "SafeConfigParser"):
    configparser.SafeConfigParser = configparser.ConfigParser
    configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
"""


def fingerprint() -> str:
    """Hash of what decides the environment's content."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def has_compiler() -> bool:
    return any(shutil.which(name) for name in ((os.environ.get("CC") or "cc").split()[0], "gcc", "clang"))


def zig_compiler(python: Path, folder: Path) -> dict[str, str]:
    """A `cc` made of the ziglang wheel: the build variables that point at it."""
    script = folder / "cc"
    script.write_text(f'#!/bin/sh\nexec "{python}" -m ziglang cc "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return {"CC": str(script), "LDSHARED": f"{script} -shared"}


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    print("+", " ".join(str(part) for part in command), flush=True)
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=env)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--python", default=sys.executable, help="the interpreter the environment is made from")
    options = parser.parse_args()
    venv = options.venv.resolve()
    stamp, python = venv / ".usdlr-installed", venv / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint():
        print(f"environment is up to date: {venv}")
        return 0
    version = subprocess.run(
        [options.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    if version not in ("3.11", "3.12", "3.13"):
        print(f"error: found Python {version}, usdlr needs 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 demo")
        return 2
    stamp.unlink(missing_ok=True)
    run(options.python, "-m", "venv", venv)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    env = dict(os.environ, UV_COMPILE_BYTECODE="1", VIRTUAL_ENV=str(venv))
    uv = (python, "-m", "uv", "pip", "install", "--quiet", "--python", python)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        env["PYTHONPATH"] = folder
        if not has_compiler():
            run(*uv, ZIG, env=env)
            env |= zig_compiler(python, Path(folder))
        run(*uv, "--require-hashes", "-r", "requirements.lock", env=env)
    env.pop("PYTHONPATH")
    run(*uv, "--no-deps", "--no-build-isolation", "--editable", ".", env=env)
    stamp.write_text(fingerprint(), encoding="utf-8")
    print(f"environment is ready: {venv}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
