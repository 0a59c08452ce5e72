"""One axilla by hand: a picture, a contour, a model's answer and a reader's verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.types import MaskSource, RiskGroup, Side, Site, SpacingSource, Stage
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.review.acts import Act, AxillaState, ReaderVerdict, Status
from usdlr.review.records import Answered, AxillaRecord, ImageRecord, ModelRecord, StageValue

ROWS, COLUMNS = 90, 120
ROW_MM, COL_MM = 0.2, 0.25
# Rows 30 to 59 and columns 40 to 79 inclusive: 6.0 mm high and 10.0 mm wide.
TOP, BOTTOM, LEFT, RIGHT = 30, 60, 40, 80
MARGIN_MM = 2.0
PASSWORD_LIKE = "dr.berger.login"

MODEL = ModelRecord(
    bundle_id="demo-1",
    digest="ab" * 32,
    experiment="demo",
    simulated=True,
    cohort="Cohort: 90 patients, 96 axillae, 120 image sets from 2 centres (east, west); 3 excluded rows.",
    contract=("Not certifiable: too few positives.",),
    contract_status="not_certifiable",
    proxies=(),
    margin_mm=MARGIN_MM,
    modalities=("bmode", "elasto"),
)

ANSWER = Answered(
    group=RiskGroup.HR_SLN_LR_NSLN,
    stage_reached=Stage.NSLN,
    contract="not_certifiable",
    reason="Uncertified: high risk of a positive sentinel lymph node.",
    stages=(
        StageValue(Stage.SLN, 0.23449, 0.12314, 0.11111, 0.45612, reached=True),
        StageValue(Stage.NSLN, 0.0649, 0.3, 0.0201, 0.1399, reached=True),
    ),
    warnings=("This case is unlike the training patients.",),
    flags=("Calipers were left in the image.",),
    diameter_mm=10.04,
    orthogonal_mm=6.0,
)

VERDICT = ReaderVerdict(
    account=PASSWORD_LIKE,
    display="Dr. Anna Bergér",
    act=Act.MODIFY,
    group=RiskGroup.HR_SLN_HR_NSLN,
    reason="Second suspicious node – see clip",
    at="2026-03-01T09:30:15+00:00",
    number=7,
)


def picture() -> npt.NDArray[np.uint8]:
    """Speckle with a darker lesion, (rows, columns)."""
    grey = np.random.default_rng(3).integers(60, 200, (ROWS, COLUMNS)).astype(np.uint8)
    grey[TOP:BOTTOM, LEFT:RIGHT] //= 3
    return grey


def lesion() -> npt.NDArray[np.bool_]:
    mask = np.zeros((ROWS, COLUMNS), dtype=bool)
    mask[TOP:BOTTOM, LEFT:RIGHT] = True
    return mask


def axilla(folder: Path, **image_changes: Any) -> AxillaRecord:
    """The axilla, with its canonical files below ``folder``."""
    write_png(folder / "images" / "b.png", picture())
    write_png(folder / "images" / "m.png", mask_to_png(lesion()))
    corners = ((TOP, LEFT), (TOP, RIGHT), (BOTTOM, RIGHT), (BOTTOM, LEFT))
    image = ImageRecord(
        token="image-token",
        image_id="img-secret",
        number=1,
        site=Site.TUMOUR,
        view="radial",
        rows=ROWS,
        columns=COLUMNS,
        row_mm=ROW_MM,
        col_mm=COL_MM,
        spacing_source=SpacingSource.MANIFEST,
        mask_source=MaskSource.READER,
        modalities=("bmode",),
        unit="",
        limit=None,
        paths={"bmode": "images/b.png", "mask": "images/m.png"},
        root=str(folder),
        contour=(tuple((row - 0.5, col - 0.5) for row, col in corners),),
        calipers=(((44.5, 39.5), (44.5, 79.66)), ((29.5, 59.5), (59.5, 59.5))),
    )
    image = replace(image, **image_changes)
    return AxillaRecord(
        token="axilla-token",
        number=4,
        patient_id="pseudo-4711",
        side=Side.LEFT,
        centre_id="east",
        answer=ANSWER,
        images=(image,),
        bundle_id=MODEL.bundle_id,
        digest=MODEL.digest,
        row={"image_id": "img-secret", "source_row": None, "source_col": None},
    )


STATE = AxillaState(version=3, status=Status.REVIEWED, assigned="", answer=ANSWER, verdicts=(VERDICT,))
