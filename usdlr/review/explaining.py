"""What an axilla's answer is made of, as plain data and pictures for a page: words, numbers, and maps on the image.

All that a clinician reads of it comes from :mod:`usdlr.decision.wording_explanation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.regions import block_words, split_block
from usdlr.core.types import ContractStatus, OnUncertified, RiskGroup, Roi, Stage
from usdlr.data.samples import Sample
from usdlr.decision.explanation import BlockShare, Explanation, StageExplanation
from usdlr.decision.wording import P_NSLN, P_SLN
from usdlr.decision.wording_explanation import (
    ABOUT_THE_MODEL,
    MAPS_SHOW,
    NO_OTHER_GROUP,
    NOT_CAUSES,
    agreement_sentence,
    changes_lines,
    leading_sentence,
    maps_sentence,
    neighbours_sentence,
    number,
    signed,
    step_sentence,
    term_words,
    variable_words,
)
from usdlr.imaging.crop import lesion_grid
from usdlr.imaging.regions import distance_map
from usdlr.inference.bundle import Bundle
from usdlr.inference.explain import Explained, explain
from usdlr.inference.explain_occlusion import PATCH_MM
from usdlr.inference.heatmap import HeatMap, place_on_image
from usdlr.inference.predictor import predict_prepared
from usdlr.report.case_figures import reached, share_words
from usdlr.report.figures_heatmap import HeatCase, HeatPanel, full_colour, overlay
from usdlr.report.heat_cases import on_crop
from usdlr.review.anew import Anew, Request, take_anew
from usdlr.review.pictures import encoded
from usdlr.review.plain import to_plain
from usdlr.review.records import AxillaRecord

FEATURES: Final = 8
"""Single values that are told of a stage."""
_LABELS: Final = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}


def explained(
    bundle: Bundle, request: Request, on_uncertified: OnUncertified | None, *, patch_mm: float | None = PATCH_MM
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Explain one axilla for its page.

    Parameters
    ----------
    bundle : Bundle
        The model.
    request : Request
        The axilla with the contours and images that count.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.
    patch_mm : float or None
        Side of an occluded patch in mm; ``None``: maps are not compared with occlusion, which takes most of the time.

    Returns
    -------
    tuple of dict and dict of str to bytes
        Plain data that JSON can hold: ``group reason contract stages maps maps_show neighbours not_causes about
        explanation``, every stage with ``stage label reached sentence leading base logit sum blocks sources features
        families changes maps agreement image_weights notes``; and PNG pictures by name, red, green, blue and alpha on
        the whole grid of their image. ``maps`` says which picture lies on which image.

    Raises
    ------
    InputError
        If there is nothing to explain.
    """
    record = request.record
    assert record is not None
    anew = take_anew(bundle, request)
    prediction = predict_prepared(bundle, anew.prepared, on_uncertified=on_uncertified)
    key = record.patient_id, str(record.side)
    found = explain(bundle, anew.prepared, prediction, key, maps=True, patch_mm=patch_mm)
    if not anew.redrawn and len(anew.cases) == len(record.images):
        found = replace(found, explanation=_as_loaded(found.explanation, record))
    uncertified = ContractStatus(found.explanation.contract) is not ContractStatus.CERTIFIED
    maps, pictures = _maps(bundle, record, anew, found)
    explanation = found.explanation
    columns = set(map(str, found.cases.columns))
    no_other = explanation.group is RiskGroup.DEFER and uncertified
    plain = {
        "group": str(explanation.group),
        "reason": explanation.reason,
        "contract": explanation.contract,
        "stages": [_stage(explanation, one, columns) for one in explanation.stages],
        "maps": maps,
        "maps_show": MAPS_SHOW if maps else "",
        "neighbours": neighbours_sentence(explanation.neighbours),
        "not_causes": NOT_CAUSES,
        "about": NO_OTHER_GROUP if no_other else ABOUT_THE_MODEL,
        "explanation": to_plain(_short(explanation)),
    }
    return plain, pictures


def words_of(explanation: Explanation, columns: set[str] | None = None) -> dict[str, str]:
    """Every variable, block and modality that a change of an explanation names, in words.

    Parameters
    ----------
    explanation : Explanation
        With its changes.
    columns : set of str, optional
        Names of ``cases``; by default those whose words are known.
    """
    names = [change.name for one in explanation.stages for change in one.changes]
    return {
        name: variable_words(name)
        if (_is_variable(name) if columns is None else name in columns)
        else share_words(name)
        for name in names
    }


def _is_variable(name: str) -> bool:
    return variable_words(name) != name.replace("_", " ")


def _as_loaded(explanation: Explanation, record: AxillaRecord) -> Explanation:
    """With the numbers of the loaded tables: predicted in other company, the last of their digits may differ."""
    answer = record.answer
    values = {one.stage: one for one in answer.stages}
    stages = tuple(
        replace(
            one,
            probability=values[one.stage].probability,
            low=values[one.stage].low,
            high=values[one.stage].high,
            threshold=values[one.stage].threshold,
        )
        for one in explanation.stages
    )
    return replace(
        explanation, group=answer.group, stage_reached=answer.stage_reached, reason=answer.reason, stages=stages
    )


def _short(explanation: Explanation) -> Explanation:
    """Without the hundreds of columns that add next to nothing."""
    stages = tuple(
        replace(one, terms=one.terms[:FEATURES], families=one.families[:FEATURES]) for one in explanation.stages
    )
    return replace(explanation, stages=stages)


def _stage(explanation: Explanation, found: StageExplanation, columns: set[str]) -> dict[str, Any]:
    leading = found.leading
    images = sum(one.adds or 0.0 for one in found.blocks if one.name not in ("radiomics", "clinical"))
    return {
        "stage": str(found.stage),
        "label": _LABELS[found.stage],
        "reached": reached(explanation, found.stage),
        "sentence": step_sentence(found, reached=reached(explanation, found.stage)),
        "leading": leading_sentence(found, None if leading is None else _share_words(leading, found)),
        "base": _share("base value", found.base),
        "sum": _share("sum: calibrated log-odds", found.logit),
        "blocks": [_share(share_words(one.name), one.adds, one.name) for one in found.blocks],
        "sources": [_share(_source_words(one), one.adds, one.name) for one in found.sources],
        "features": [
            {
                "words": term.words,
                "value": "not known" if term.value is None else number(term.value),
                "usual": number(term.usual),
                "adds": float(term.adds),
                "adds_text": signed(term.adds),
                "text": term_words(term),
            }
            for term in found.terms[:FEATURES]
        ],
        "families": [_share(one.words, one.adds, f"{one.block}.{one.family}") for one in found.families[:FEATURES]],
        "changes": changes_lines(found, words_of(explanation, columns)),
        "maps": maps_sentence(images, found.logit - found.base),
        "agreement": agreement_sentence(found.agreements),
        "image_weights": [
            {"block": share_words(one.block), "image": one.image + 1, "weight": float(one.weight)}
            for one in found.image_weights
        ],
        "notes": [f"{note[:1].upper()}{note[1:]}." for note in found.notes],
    }


def _share(words: str, adds: float | None, name: str = "") -> dict[str, Any]:
    text = "absent" if adds is None else signed(adds)
    return {"name": name, "words": words, "adds": None if adds is None else float(adds), "adds_text": text}


def _share_words(name: str, found: StageExplanation) -> str:
    source = next((one for one in found.sources if one.name == name), None)
    return share_words(name) if source is None else _source_words(source)


def _source_words(one: BlockShare) -> str:
    return share_words(one.name) if one.name == "clinical" else f"{block_words(one.name)}, with its radiomics"


def _maps(
    bundle: Bundle, record: AxillaRecord, anew: Anew, found: Explained
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Signed maps of every stage, image and modality on the image's own grid, with what each of them is."""
    ids = [str(name) for name in found.cases["image_id"]]
    images = {image.image_id: image for image in record.images}
    told: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    for stage in found.explanation.stages:
        drawn = found.maps.get(stage.stage)
        if drawn is None or not drawn.signed:
            continue
        cases = {
            place: _heat_case(bundle, anew, name, [one for one in drawn.signed if one.image == place], stage)
            for place, name in enumerate(ids)
        }
        # One scale for all images of a stage, so that they can be compared.
        full = max(full_colour(case) for case in cases.values())
        for place, name in enumerate(ids):
            image = images[name]
            grid = lesion_grid(anew.loaded[name].images.mask, bundle.preparation.crops[0])
            for panel in cases[place].panels:
                named = f"map-{stage.stage}-{panel.block}-{image.number}"
                values = place_on_image(panel.values, grid, (image.rows, image.columns))
                pictures[named] = encoded(np.rint(255 * overlay(values, full)).astype(np.uint8))
                told.append(
                    {
                        "picture": named,
                        "stage": str(stage.stage),
                        "modality": panel.block,
                        "words": MODALITIES[panel.block].title,
                        "image": image.token,
                        "number": image.number,
                        "adds": float(panel.adds),
                        "adds_text": signed(panel.adds),
                        "inside": float(panel.inside),
                        "full_colour": float(full),
                    }
                )
    return told, pictures


def _heat_case(bundle: Bundle, anew: Anew, image_id: str, maps: Sequence[HeatMap], stage: StageExplanation) -> HeatCase:
    """The maps of one image, a panel per modality, on its first crop."""
    store = anew.prepared.store
    samples = [crop[store.image_id.index(image_id)] for crop in store.crops]
    shown = samples[0]
    groups: dict[str, list[HeatMap]] = {}
    for one in maps:
        groups.setdefault(split_block(one.block)[0], []).append(one)
    panels = [_panel(modality, group, samples) for modality, group in groups.items()]
    away = distance_map(shown.lesion, shown.pixel_mm)
    margin = bundle.preparation.radiomics.margin_mm
    ring = shown.rois.get(str(Roi.PERITUMORAL), (away > 0) & (away <= margin))
    return HeatCase(
        1,
        stage.stage,
        shown.images[BMODE],
        shown.lesion,
        ring,
        panels,
        stage.probability,
        None,
        area=shown.lesion.size * shown.pixel_mm**2,
    )


def _panel(modality: str, maps: Sequence[HeatMap], samples: Sequence[Sample]) -> HeatPanel:
    values: npt.NDArray[np.floating[Any]] = np.sum(
        [on_crop(one.values, samples[one.crop].pixel_mm, samples[0]) for one in maps], axis=0
    )
    weights = [max(float(np.abs(one.values).sum()), 1e-12) for one in maps]
    inside = float(np.average([one.inside for one in maps], weights=weights))
    return HeatPanel(modality, values, adds=float(sum(one.total for one in maps)), inside=inside)
