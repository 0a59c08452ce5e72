"""The picture of the review page in the README: a real page, a real browser, simulated patients.

    python experiments/review/screenshots.py --bundle BUNDLE --cases CASES [--out experiments/review]

Starts ``usdlr review`` with both in a folder of its own, signs in, and photographs a case whose explanation is
there. Needs an installed Chromium. Give it simulated patients only: what it writes is published.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_MS = 180_000


def main() -> None:
    """Start, photograph, stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("error: found no Chromium, expected one; install it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "usdlr.cli.main", "review", "--bundle", str(options.bundle)]
        command += ["--cases", str(options.cases), "--out", f"{folder}/review", "--port", str(port)]
        command += ["--on_uncertified", "zero_miss"]
        page_process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            code = ""
            for line in page_process.stdout or ():
                if found := re.search(r"give the code (\S+)", line):
                    code = found[1]
                if line.startswith("review page:"):
                    break
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=program, args=ARGUMENTS)
                tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
                photograph(tab, f"http://localhost:{port}", code, options.out)
                browser.close()
        finally:
            page_process.send_signal(signal.SIGINT)
            page_process.wait(60)


def photograph(tab: Page, address: str, code: str, out: Path) -> None:
    """Sign in as the first administrator; the first case, once it is explained."""
    password = secrets.token_urlsafe(16)
    tab.goto(f"{address}/first")
    for name, value in {"code": code, "name": "anna", "display": "Dr Anna", "password": password}.items():
        tab.fill(f"input[name={name}]", value)
    tab.click("main form button")
    tab.wait_for_selector("text=Read the next case")
    tab.click("text=Read the next case")
    tab.wait_for_selector("text=Features that matter", timeout=WAIT_MS)
    tab.reload()
    tab.wait_for_load_state("networkidle")
    tab.click("button:has-text('Calipers')")
    tab.screenshot(path=out / "case.png")
    # The result of the script.
    print(out / "case.png")


if __name__ == "__main__":
    main()
