"""What an administrator takes out: all tables in one file."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from usdlr.review.acts import Role
from usdlr.review.contexts.admin import ExportsPage
from usdlr.review.store.exports import write_exports
from usdlr.review.web.pages import frame, page
from usdlr.review.web.security import VisitNow, read, write
from usdlr.review.web.site import site_of

router = APIRouter()
TABLES = (
    ("reviews", "One row per axilla and reader: the model's answer, the verdict, the reader's own opinion."),
    ("events", "The audit log, entry by entry, with its hashes."),
    ("reader_scores", "Scores of readers alone, readers with usdlr, and usdlr, for a reader study."),
    ("anchor", "Number and hash of the log's last entry: a later cut of the log shows against it."),
)


@router.get("/admin/exports", **read(Role.ADMINISTRATOR))
def exports_page(request: Request, visit: VisitNow) -> Response:
    """What can be taken out."""
    site = site_of(request)
    return page("exports", ExportsPage(frame(site, visit, "Exports", "admin"), TABLES, site.hidden))


@router.post("/admin/exports", **write(Role.ADMINISTRATOR))
def exported(request: Request, visit: VisitNow) -> Response:
    """All tables as a ZIP file; the log tells who took them."""
    held = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="usdlr-export-") as folder:
        written = write_exports(site_of(request).store, Path(folder), account=visit.reader)
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in written:
                archive.write(path, path.name)
    named = {"Content-Disposition": 'attachment; filename="usdlr-reviews.zip"'}
    return Response(held.getvalue(), media_type="application/zip", headers=named)
