"""A page as a PDF for the file cabinet: A4, searchable, with an outline, links and vector figures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import cast

from usdlr.core.errors import ConfigError
from usdlr.core.progress import say
from usdlr.report.document import Document
from usdlr.report.style import Drawing, drawings_pdf


def pdf_or_say(document: Document) -> bytes | None:
    """As :func:`pdf_bytes`, but without the libraries for it there is none, which is said."""
    try:
        return pdf_bytes(document)
    except ConfigError as error:
        say(f"report.pdf is left out: {error}")
        return None


def pdf_bytes(document: Document) -> bytes:
    """A document as the content of a PDF file.

    The first page is the summary: head, tiles, notices and opening. Contents with page numbers and all sections
    follow; what is folded on a screen stands open. Tables and figures are numbered as on the screen.

    Returns
    -------
    bytes
        Equal documents give equal bytes; no date and no patient id is added.

    Raises
    ------
    ConfigError
        If reportlab or pypdf is not installed.
    """
    try:
        import pypdf  # noqa: F401  # asked for here, so that nothing is laid out in vain
        import reportlab  # type: ignore[import-untyped]  # noqa: F401  # publishes no types
    except ImportError as error:
        raise ConfigError(
            f"found no package {error.name}, expected it for a report as PDF; pip install 'usdlr[report]'"
        ) from error
    from usdlr.report.pdf_pages import lay_out

    pages, drawings = lay_out(document)
    return _with_figures(document, pages, drawings)


def _with_figures(document: Document, pages: bytes, drawings: Mapping[str, Drawing]) -> bytes:
    """The pages with every empty form replaced by its drawing, and with the words that a catalogue shows."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, BooleanObject, DictionaryObject, NameObject, StreamObject

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pages)))
    painted = PdfReader(io.BytesIO(drawings_pdf(list(drawings.values())))).pages if drawings else ()
    forms = {f"/FormXob.{name}": figure for name, figure in zip(drawings, painted, strict=True)}
    for page in writer.pages:
        resources = cast(DictionaryObject, page["/Resources"])
        shown = cast(DictionaryObject, resources.get("/XObject", DictionaryObject()).get_object())
        for name in [key for key in shown if key in forms]:
            figure = forms[name]
            form = cast(StreamObject, figure["/Contents"])
            form[NameObject("/Type")] = NameObject("/XObject")
            form[NameObject("/Subtype")] = NameObject("/Form")
            form[NameObject("/BBox")] = ArrayObject(figure.mediabox)
            for key in ("/Resources", "/Group"):
                if key in figure:
                    form[NameObject(key)] = figure[key]
            shown[NameObject(name)] = form.clone(writer).indirect_reference
    viewer = {NameObject("/DisplayDocTitle"): BooleanObject(True)}
    writer.root_object[NameObject("/ViewerPreferences")] = DictionaryObject(viewer)
    words = {"/Title": document.title, "/Subject": document.question, "/Author": "usdlr", "/Creator": "usdlr"}
    writer.metadata = words | {"/Producer": "usdlr"}
    writer.pdf_header = "%PDF-1.7"  # figures are see-through in places, which the page setter's own version is not
    writer.compress_identical_objects()
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()
