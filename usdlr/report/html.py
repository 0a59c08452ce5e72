"""A page as one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from usdlr.decision.numbers import NBSP
from usdlr.report.document import Document


def render(document: Document) -> str:
    """The page as HTML; equal documents give equal text."""
    return _environment().get_template("document.html.j2").render(page=document)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("usdlr.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_tied,
    )
    environment.filters["embedded"] = _embedded
    return environment


def _tied(value: object) -> object:
    """Plain text whose per cent signs never begin a line."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return re.sub(r"(?<=\d) %", f"{NBSP}%", value)
    return value


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
