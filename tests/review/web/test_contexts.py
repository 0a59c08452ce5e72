"""Every page is a documented dataclass, and shows all of it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest

from usdlr.review import contexts
from usdlr.review.web.pages import TEMPLATES

NAMES = [
    (module.name, name)
    for module in pkgutil.iter_modules(contexts.__path__)
    for name, kind in inspect.getmembers(importlib.import_module(f"{contexts.__name__}.{module.name}"))
    if dataclasses.is_dataclass(kind) and kind.__module__ == f"{contexts.__name__}.{module.name}"
]
TEXT = "\n".join(path.read_text() for path in sorted(TEMPLATES.glob("*.j2")))
PAGES = {
    "SignInPage": ["sign_in"],
    "SignedOnPage": ["signed_on"],
    "FirstPage": ["first"],
    "AccountPage": ["account"],
    "ListPage": ["worklist", "list"],
    "MessagePage": ["message"],
    "ConflictPage": ["conflict"],
    "KeptPage": ["kept"],
    "HelpPage": ["help"],
    "AccountsPage": ["accounts"],
    "AuditPage": ["audit"],
    "ExportsPage": ["exports"],
    "AxillaPage": [
        "axilla",
        "axilla_alerts",
        "axilla_archive",
        "axilla_below",
        "axilla_images",
        "axilla_side",
        "axilla_status",
    ],
}


def kind_of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{contexts.__name__}.{module}"), name)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_field_has_help_text(module: str, name: str) -> None:
    kind = kind_of(module, name)
    text = inspect.getdoc(kind) or ""
    documented: set[str] = set()
    for line in re.findall(r"^(\w[\w, ]*) : .+\n    \S.+", text, flags=re.MULTILINE):
        documented |= {one.strip() for one in line.split(",")}
    assert documented == {field.name for field in dataclasses.fields(kind)}
    assert kind.__dataclass_params__.frozen


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_field_is_shown(module: str, name: str) -> None:
    kind = kind_of(module, name)
    if name in PAGES:
        text = "\n".join((TEMPLATES / f"{one}.html.j2").read_text() for one in PAGES[name])
        unused = [f.name for f in dataclasses.fields(kind) if f.name != "frame" and f"page.{f.name}" not in text]
    else:
        unused = [f.name for f in dataclasses.fields(kind) if not re.search(rf"\w\.{f.name}\b", TEXT)]
    assert not unused


def test_nothing_runs_inside_a_page() -> None:
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|<style|\| *safe\b", TEXT)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", TEXT))
    assert "http://" not in TEXT.replace("http://www.w3.org", "")
    assert "https://" not in TEXT


def test_every_page_of_the_list_is_a_page() -> None:
    assert {name for _, name in NAMES if name.endswith("Page")} == set(PAGES)
