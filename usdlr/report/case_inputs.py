"""From an explained axilla to what its page shows: the same for a command, a batch of pages and a web page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.modalities import MODALITIES
from usdlr.core.types import ContractStatus, Site, Stage
from usdlr.data.samples import SampleStore
from usdlr.decision.contract import Contract
from usdlr.decision.explanation import Explanation
from usdlr.decision.wording import cohort_line, contract_lines, known_nsln, proxy_notice, standing_mark
from usdlr.decision.wording_explanation import variable_words
from usdlr.report.case import CaseInputs
from usdlr.report.case_pictures import other_maps, stage_heat
from usdlr.report.figures_heatmap import HeatCase
from usdlr.report.gallery import GalleryCase
from usdlr.report.heat_cases import MapLike
from usdlr.report.tables import Marks, quality_words

GRAD_CAM, OCCLUSION = "Grad-CAM", "Occlusion"
Arrays = Mapping[tuple[int, str, int], npt.NDArray[np.floating[Any]]]


class MapsLike(Protocol):
    """One stage's maps; see ``usdlr.inference.explain.StageMaps``."""

    @property
    def signed(self) -> Sequence[MapLike]:
        """Signed maps; empty where there are none."""

    @property
    def grad_cam(self) -> Arrays:
        """By position of the image, block and crop."""

    @property
    def occlusion_maps(self) -> Arrays:
        """Likewise."""


class ExplainedLike(Protocol):
    """One explained axilla; see ``usdlr.inference.explain.Explained``."""

    @property
    def explanation(self) -> Explanation:
        """The numbers."""

    @property
    def cases(self) -> pd.DataFrame:
        """Its rows of ``cases``, as the maps count them."""

    @property
    def maps(self) -> Mapping[Stage, MapsLike]:
        """Empty where none were asked for."""


def case_inputs(
    number: int,
    explained: ExplainedLike,
    *,
    store: SampleStore,
    image: GalleryCase | None,
    card: Mapping[str, Any],
    contract: Contract,
    bundle_id: str,
    margin_mm: float,
    modalities: Sequence[str],
    warnings: Sequence[str] = (),
    comparators: Sequence[tuple[str, str]] = (),
) -> CaseInputs:
    """What the page of one axilla shows.

    Parameters
    ----------
    number : int
        Pseudonymous, unique within the output.
    explained : ExplainedLike
        The axilla.
    store : SampleStore
        Crops of its images at least.
    image : GalleryCase or None
        The first image of its tumour.
    card : mapping
        The bundle's card.
    contract : Contract
        Of the cascade in use.
    bundle_id : str
        First digits of the bundle's hash.
    margin_mm : float
        Width of the ring that is drawn.
    modalities : sequence of str
        Those that the model reads.
    warnings : sequence of str
        What must not be overlooked.
    comparators : sequence of (str, str)
        Published scores: name and value.
    """
    explanation, rows = explained.explanation, explained.cases
    proxies = {Stage(name): text for name, text in card["proxies"].items() if text}
    status = ContractStatus(explanation.contract)
    marks = Marks(bool(card["simulated"]), bool(proxies), status is not ContractStatus.CERTIFIED, standing_mark(status))
    heat: dict[Stage, HeatCase] = {}
    others: dict[tuple[str, Stage], HeatCase] = {}
    first = int(np.flatnonzero((rows["site"] == str(Site.TUMOUR)).to_numpy())[0])
    samples = [crop[store.image_id.index(str(rows.at[first, "image_id"]))] for crop in store.crops]
    for stage in explanation.stages:
        maps = explained.maps.get(stage.stage)
        if maps is None:
            continue
        drawn = stage_heat(
            number, stage.stage, rows, store, maps.signed, margin_mm=margin_mm, probability=stage.probability
        )
        if maps.signed:
            heat[stage.stage] = drawn
        for name, found in ((GRAD_CAM, maps.grad_cam), (OCCLUSION, maps.occlusion_maps)):
            if found:
                others[name, stage.stage] = other_maps(drawn, first, samples, found, in_nat=name == OCCLUSION)
    flags = dict.fromkeys(word for text in rows["quality_flags"].dropna() for word in str(text).split())
    return CaseInputs(
        number=number,
        explanation=explanation,
        variables={change.name: variable_words(change.name) for one in explanation.stages for change in one.changes
                   if change.name in rows.columns},
        marks=marks,
        contract=tuple(contract_lines(contract, known_nsln=known_nsln(proxy=Stage.NSLN in proxies))),
        cohort=cohort_line(card["cohort"]),
        bundle_id=bundle_id,
        images=len(rows),
        image=image,
        heat=heat,
        others=others,
        flags=tuple(quality_words(flag) for flag in flags),
        absent=tuple(
            MODALITIES[name].title for name in modalities if rows[MODALITIES[name].path_column].isna().all()
        ),
        warnings=tuple(warnings),
        comparators=tuple(comparators),
        proxies=tuple(proxy_notice(stage, text) for stage, text in proxies.items()),
    )  # fmt: skip
