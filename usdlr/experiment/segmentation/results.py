"""What becomes of the outlines: tables, metrics, the bundle and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.torch import load_file

from usdlr.core import tables
from usdlr.core.files import write_atomic, write_json
from usdlr.core.hashing import derive_seed
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance, code_state, package_versions
from usdlr.core.types import Site
from usdlr.data.segmentation import Frame
from usdlr.decision import wording_outlines as words
from usdlr.evaluation.outline_means import paired_difference
from usdlr.evaluation.outline_quality import OutlinedImage, judge_images, outline_metrics, score_curve
from usdlr.evaluation.outline_scores import SCORES, by_least_score
from usdlr.experiment.segmentation.config import SegmentationConfig
from usdlr.experiment.segmentation.jobs import BOX, CLOSER, LESION, LIKELIEST, WAYS, WHOLE, OutlineJob, largest_lesion
from usdlr.experiment.segmentation.layout import DEVELOPMENT, OutlineLayout
from usdlr.inference.segmentation import Expected, write_segmenter
from usdlr.report.outline_page import OutlineReport, OutlineSource, write_outline_report
from usdlr.report.outline_pictures import OutlinePicture

# The way that the bundle goes.
MAIN = CLOSER


def write_outline_results(config: SegmentationConfig, layout: OutlineLayout, provenance: Provenance) -> None:
    """Judge every source, and write ``images_* objects_* metrics.json bundle report.html provenance.json``."""
    folds = [str(fold) for fold in range(config.folds)]
    parts = {DEVELOPMENT: folds, **{name: [name] for name in config.data.external}}
    sources, metrics = [], {}
    expected: Expected | None = None
    for name, of_source in parts.items():
        source, told = _judged(config, layout, name, of_source)
        sources.append(source)
        metrics[name] = told
        if name == DEVELOPMENT:
            found = source.images[(source.images["lesions"] > 0) & source.images["score"].notna()]
            if found["boundary_error_share"].notna().any():
                expected = Expected.fit(found["score"], found["dice"], found["boundary_error_share"])
            else:
                say("found no lesion outlined in any development image; the bundle knows of no quality")
    write_json(layout.metrics, {"sources": metrics, "expected": None if expected is None else expected.as_dict()})
    write_segmenter(
        layout.bundle,
        members={fold: load_file(layout.weights(fold)) for fold in folds},
        network=config.network,
        rules=config.lesions,
        expected=expected,
        card=_card(config, layout, metrics),
        site=Site(config.data.site),
        learned=tables.CASES.read(layout.cases(DEVELOPMENT))["image_id"].astype(str),
    )
    write_outline_report(
        OutlineReport(
            title=config.name,
            question=config.question,
            main=MAIN,
            sources=sources,
            least_score=config.lesions.least_score,
            covered=config.judge.covered,
            origin=_origin(config),
        ),
        layout.out,
    )
    write_json(layout.provenance, provenance.as_dict())


def _judged(
    config: SegmentationConfig, layout: OutlineLayout, name: str, parts: Sequence[str]
) -> tuple[OutlineSource, dict[str, Any]]:
    """One source: its judged tables, written, and what is told of it."""
    shown = list(_outlined(config, layout, name, parts))
    groups = config.data.groups
    told: dict[str, Any] = {}
    by_way: dict[str, pd.DataFrame] = {}
    objects = pd.DataFrame()
    given = {"replicates": config.judge.replicates, "seed": derive_seed(config.seed, "judge", name)}
    for way in WAYS:
        own = [image for _, of_way, image in shown if of_way == way]
        images, matched, found = judge_images(
            own, covered=config.judge.covered, smallest_mm=config.judge.smallest_mm, match=way == MAIN
        )
        if way == LIKELIEST:
            told["least_scores"] = by_least_score(images, _scores(config), **given)
            # Who asks for the likeliest lesion says that there is one.
            images = images[images["kind"] == LESION]
        told[way] = outline_metrics(images, matched, found, groups=groups, **given)
        by_way[way] = images
        if way == MAIN:
            objects = found
            write_atomic(layout.images(name), partial(images.to_parquet, index=False))
            write_atomic(layout.objects(name), partial(found.to_parquet, index=False))
    lesions = {way: images[images["lesions"] > 0] for way, images in by_way.items()}
    # A box is drawn around one lesion: the ways are compared where there is no other.
    alone = lesions[MAIN][lesions[MAIN]["lesions"] == 1]
    told["differences"] = {
        f"{MAIN}_minus_{way}": paired_difference(ours, lesions[way], "dice", **given).as_dict()
        for way, ours in ((WHOLE, lesions[MAIN]), (BOX, alone))
    }
    main = [(frame, image) for frame, way, image in shown if way == MAIN]
    images = by_way[MAIN]
    worst, chance, invented = _gallery(main, images, config.judge.gallery, given["seed"])
    source = OutlineSource(
        name=name,
        note=words.DEVELOPMENT_NOTE if name == DEVELOPMENT else words.EXTERNAL_NOTE,
        metrics={way: told[way] for way in WAYS},
        images=images,
        objects=objects,
        curve=score_curve([image for _, image in main], covered=config.judge.covered),
        worst=worst,
        chance=chance,
        invented=invented,
        facts=_facts(layout, name, images),
        differences=told["differences"],
        least_scores=told["least_scores"],
    )
    return source, told


def _scores(config: SegmentationConfig) -> list[float]:
    return sorted({*SCORES, config.lesions.least_score})


def _outlined(
    config: SegmentationConfig, layout: OutlineLayout, name: str, parts: Sequence[str]
) -> Iterable[tuple[Frame, str, OutlinedImage]]:
    """Every image of a source in every way that it was outlined."""
    cases = tables.CASES.read(layout.cases(name))
    known = {str(column) for column in cases}
    groups = [column for column in config.data.groups if column in known]
    values = {
        str(row["image_id"]): {name: "unknown" if pd.isna(row[name]) else str(row[name]) for name in groups}
        for row in cases.to_dict("records")
    }
    for part in parts:
        job = OutlineJob(config, layout.out, part)
        table = pd.read_parquet(layout.outlines(part))
        scores = {
            key: dict(zip(own["number"].astype(int), own["score"].astype(float), strict=True))
            for key, own in table[table["number"] > 0].groupby(["image_id", "way"])
        }
        with np.load(layout.masks(part)) as masks:
            for kind, frame in job.frames():
                for way in WAYS:
                    key = f"{way}/{frame.image_id}"
                    if key not in masks:
                        continue
                    yield (
                        frame,
                        way,
                        OutlinedImage(
                            patient_id=frame.patient_id,
                            image_id=frame.image_id,
                            kind=kind,
                            reference=_asked_for(frame, kind, way),
                            predicted=masks[key],
                            scores=scores.get((frame.image_id, way), {}),
                            spacing=frame.spacing,
                            groups=values.get(frame.image_id, {}),
                        ),
                    )


def _asked_for(frame: Frame, kind: str, way: str) -> npt.NDArray[np.uint8]:
    """What an outline is compared with: all lesions, or the one that the box was drawn around."""
    if way == BOX and kind == LESION:
        return largest_lesion(frame).astype(np.uint8)
    return frame.lesions


def _gallery(
    shown: Sequence[tuple[Frame, OutlinedImage]], images: pd.DataFrame, count: int, seed: int
) -> tuple[list[OutlinePicture], list[OutlinePicture], list[OutlinePicture]]:
    """The worst images, as many drawn by chance, and those on which a lesion was invented."""
    lesions = np.flatnonzero((images["kind"] == LESION).to_numpy())
    order = lesions[np.argsort(images["dice"].to_numpy(dtype=np.float64)[lesions], kind="stable")]
    drawn = np.random.default_rng(derive_seed(seed, "gallery")).permutation(lesions)[:count]
    invented = np.flatnonzero(((images["lesions"] == 0) & (images["found_lesions"] > 0)).to_numpy())[:count]

    def pictures(places: npt.NDArray[np.intp]) -> list[OutlinePicture]:
        return [
            OutlinePicture(
                int(place) + 1,
                shown[place][0].grey,
                np.asarray(shown[place][1].reference) > 0,
                np.asarray(shown[place][1].predicted) > 0,
                shown[place][1].spacing,
                float(images["dice"].iloc[place]),
                float(images["score"].iloc[place]),
            )
            for place in places.tolist()
        ]

    return pictures(order[:count]), pictures(np.sort(drawn)), pictures(invented)


def _facts(layout: OutlineLayout, name: str, images: pd.DataFrame) -> dict[str, str]:
    excluded = tables.EXCLUSIONS.read(layout.exclusions(name))
    shown = images[images["kind"] == LESION]
    return {
        "patients": str(shown["patient_id"].nunique()),
        "images with a lesion": str(len(shown)),
        "lesions": str(int(shown["lesions"].sum())),
        **{
            f"{str(kind).replace('_', ' ')} images": str(int(count))
            for kind, count in images.loc[images["kind"] != LESION, "kind"].value_counts().items()
        },
        **{f"excluded: {code}": str(int(count)) for code, count in excluded["code"].value_counts().items()},
    }


def _card(config: SegmentationConfig, layout: OutlineLayout, metrics: Mapping[str, Any]) -> dict[str, Any]:
    cases = tables.CASES.read(layout.cases(DEVELOPMENT))
    return {
        "name": config.name,
        "question": config.question,
        "centres": sorted(cases["centre_id"].astype(str).unique().tolist()),
        "patients": int(cases["patient_id"].nunique()),
        "images": len(cases),
        "dice": {name: told[MAIN]["dice"] for name, told in metrics.items()},
    }


def _origin(config: SegmentationConfig) -> dict[str, str]:
    versions, code = package_versions(), code_state()
    network = config.network
    decoder = network.decoder if isinstance(network.decoder, str) else next(iter(network.decoder))
    return {
        "networks": f"{config.folds} x {decoder} over {network.encoder}, {network.size_px} pixels",
        "epochs": str(config.fit.epochs),
        "seed": str(config.seed),
        "usdlr": str(versions["usdlr"]),
        "torch": str(versions.get("torch", "")),
        "code": str(code.get("commit", "")),
    }
