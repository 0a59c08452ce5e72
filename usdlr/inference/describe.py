"""What a bundle is, for those who are asked to trust it: in words, and as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usdlr.core.types import Stage
from usdlr.core.where import condition_words
from usdlr.decision import wording
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.onnx_bundle import graph_summary

MIB = 1 << 20


def describe_bundle(path: Path, *, public_key: Path | None = None) -> dict[str, Any]:
    """A verified bundle as plain data.

    Parameters
    ----------
    path : Path
        The bundle, a folder or a zip.
    public_key : Path, optional
        PEM file of the key that must have signed it.

    Raises
    ------
    DataError, BundleError
        As :func:`usdlr.inference.bundle.load_bundle`.
    """
    bundle = load_bundle(path, public_key=public_key)
    assert bundle.source is not None
    source, card, preparation = bundle.source, bundle.card, bundle.preparation
    proxies = {Stage(name): text for name, text in card["proxies"].items() if text}
    endpoints = card.get("endpoints") if isinstance(card.get("endpoints"), dict) else {}
    known = wording.known_nsln(proxy=Stage.NSLN in proxies)
    return {
        "id": bundle.bundle_id,
        "sha256": bundle.digest,
        "schema": source.manifest["schema"],
        "signed_by": bundle.signed_by,
        "experiment": card.get("experiment"),
        "question": card.get("question"),
        "simulated": card["simulated"],
        "predicts": {str(stage): (endpoints or {}).get(stage) for stage in Stage},
        "proxies": {str(stage): text for stage, text in proxies.items()},
        "cohort": wording.cohort_line(card["cohort"]),
        "contract": {
            "status": str(bundle.member.contract.status),
            "sentences": wording.contract_lines(bundle.member.contract, known_nsln=known),
            "without_certificate": str(bundle.on_uncertified),
        },
        "preparation": {
            "crops": [crop.as_dict() for crop in preparation.crops],
            "radiomics": preparation.radiomics.as_dict() if preparation.measures else None,
            "engine": preparation.engine,
            "clinical": list(preparation.clinical),
            "where": dict(preparation.where),
            "views": preparation.views,
            "relative_diameter": preparation.relative_diameter,
        },
        "stages": {str(stage): _stage(bundle, stage) for stage in Stage},
        "folds": source.folds,
        "extras": sorted(bundle.extras),
        "graphs": graph_summary(bundle),
        "versions": source.manifest.get("versions"),
        "code": source.manifest.get("code"),
        "files": {name: {"bytes": source.sizes[name], "sha256": sha} for name, sha in source.manifest["files"].items()},
        "bytes": sum(source.sizes.values()),
    }


def bundle_lines(found: dict[str, Any]) -> list[str]:
    """The same in words, one line each.

    Parameters
    ----------
    found : dict
        From :func:`describe_bundle`.
    """
    signed = f"signed by {found['signed_by']}" if found["signed_by"] else "not signed"
    lines = [wording.NOT_A_MEDICAL_DEVICE]
    lines += [wording.SIMULATED] if found["simulated"] else []
    lines += [wording.proxy_notice(Stage(stage), text) for stage, text in found["proxies"].items()]
    lines += [f"Bundle {found['id']} (schema {found['schema']}, {signed})"]
    lines += [f"Made by the experiment {found['experiment']}: {found['question']}"] if found["question"] else []
    lines += ["Predicts"]
    for stage, endpoint in found["predicts"].items():
        known = isinstance(endpoint, dict)
        lines += [f"  {stage}: {endpoint.get('positive')} (column {endpoint.get('column')})" if known else f"  {stage}"]
    lines += [found["cohort"], "Contract", *(f"  {line}" for line in found["contract"]["sentences"])]
    lines += [f"  without a certificate: {found['contract']['without_certificate']}"]
    lines += ["Reads", *(f"  {line}" for line in _preparation_lines(found["preparation"]))]
    lines += ["Networks"]
    for stage, networks in found["stages"].items():
        for one in networks["networks"]:
            lines += [
                f"  {stage}: {one['backbone']}, {one['parameters'] / 1e6:.2f} million parameters, "
                f"pooling {one['pooling']}, fusion {one['fusion']}, blocks {', '.join(one['blocks'])}"
            ]
        lines += [f"  {stage}: {networks['columns']} chosen columns, calibrator {networks['calibrator']}"]
    if found["graphs"] is not None:
        lines += [f"  {len(found['graphs'].get('graphs', {}))} of them as ONNX too"]
    lines += [f"Folds: {', '.join(found['folds']) or 'none'}", f"Further parts: {', '.join(found['extras']) or 'none'}"]
    lines += [f"Files: {len(found['files'])}, {found['bytes'] / MIB:.1f} MiB"]
    return lines + [
        f"  {one['bytes']:>12,} bytes  {one['sha256'][:12]}  {name}" for name, one in found["files"].items()
    ]


def _preparation_lines(preparation: dict[str, Any]) -> list[str]:
    scale = preparation["relative_diameter"]
    unit = "mm" if scale is None else f"units, {scale:g} across every lesion"
    lines = []
    for crop in preparation["crops"]:
        fixed = crop["policy"] == "fixed"
        extent = f"a square of {crop['side_mm']:g} {unit}" if fixed else "the lesion's box"
        extent += "" if fixed else f" and {crop['context_mm']:g} {unit} around it"
        lines.append(f"crop: {extent}, {crop['size_px']} x {crop['size_px']} pixels")
    radiomics = preparation["radiomics"]
    if radiomics is not None:
        side = radiomics["pixel_mm"]
        pixel = "the image's own grid" if side is None else f"pixels of {side:g} {unit}"
        lines.append(
            f"radiomics: {', '.join(radiomics['rois'])} of {', '.join(radiomics['modalities'])}, ring of "
            f"{radiomics['margin_mm']:g} {unit}, {pixel}, engine {preparation['engine']}"
        )
    lines.append(f"clinical variables: {', '.join(preparation['clinical']) or 'none'}")
    if preparation["where"]:
        lines.append(f"only: {condition_words(preparation['where'])}")
    return lines


def _stage(bundle: Bundle, stage: Stage) -> dict[str, Any]:
    model = bundle.member.models[stage]
    return {
        "model_id": model.model_id,
        "networks": [
            {
                "backbone": network.settings.backbone,
                "parameters": sum(weight.numel() for weight in network.parameters()),
                "pooling": network.settings.pooling,
                "fusion": network.settings.fusion,
                "head": network.settings.head,
                "blocks": list(network.blocks),
            }
            for network in model.networks
        ],
        "columns": len(model.selector.columns_),
        "calibrator": bundle.member.calibrators[stage].kind,
    }
