"""The native radiomics engine against PyRadiomics 3.0.1, value by value, on every lesion and ring of real images.

    python experiments/benchmarks/radiomics_parity.py --brest DIR --busbra DIR --volumes DIR --out parity.md [--jobs 2]

The reference is PyRadiomics on a 2-D SimpleITK image with ``force2D=False``; all image types, all classes, fixed bin
count (32) and fixed bin width (5 grey levels). BrEaST in its own millimetres with a ring of 5 mm; BUS-BRA, which has no
pixel size, at a nominal 0.1 mm per pixel with a ring of a quarter of the lesion's equivalent diameter; of PyRadiomics'
own volumes every slice with at least 16 pixels of the mask, without a ring. Images that are not there are counted.
A value counts as equal within 1e-8 of the reference, or 1e-12 near zero. Finished images are kept beside ``--out``: the
same command continues.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.pool import Outcome, run_all
from usdlr.core.types import MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.rings import peritumoral_ring
from usdlr.radiomics.engines import NATIVE, PYRADIOMICS, build_engine
from usdlr.radiomics.settings import IMAGE_TYPES, RadiomicsSettings

RELATIVE, ABSOLUTE = 1e-8, 1e-12
MODES: dict[str, dict[str, Any]] = {"count": {"bin_count": 32}, "width": {"bin_count": None, "bin_width": 5.0}}
SMALLEST_SLICE = 16


def breast_lesions(folder: Path) -> Iterator[dict[str, Any]]:
    """Every tumour that BrEaST lists."""
    table = pd.read_excel(next(folder.glob("*.xlsx")))
    images = folder / "BrEaST-Lesions_USG-images_and_masks"
    for row in table.itertuples():
        if isinstance(row.Mask_tumor_filename, str):
            mm = 10 * float(row.Pixel_size)  # the workbook gives centimetres
            yield {
                "set": "BrEaST", "name": f"BrEaST-{row.CaseID}", "image": images / row.Image_filename,
                "mask": images / row.Mask_tumor_filename, "mm": mm, "margin": 5.0,
            }  # fmt: skip


def bus_bra(folder: Path) -> Iterator[dict[str, Any]]:
    """Every image that BUS-BRA lists."""
    for row in pd.read_csv(folder / "bus_data.csv").itertuples():
        yield {
            "set": "BUS-BRA", "name": f"BUS-BRA-{row.ID}", "image": folder / "Images" / f"{row.ID}.png",
            "mask": folder / "Masks" / f"{str(row.ID).replace('bus_', 'mask_')}.png", "mm": 0.1, "margin": None,
        }  # fmt: skip


def volumes(folder: Path) -> Iterator[dict[str, Any]]:
    """Every slice of PyRadiomics' volumes with enough of the mask."""
    import SimpleITK

    for label in sorted([*folder.glob("*_label.nrrd"), *folder.glob("*-label.nrrd")]):
        image = label.with_name(label.name.replace("_label", "_image").replace("-label", ""))
        mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label))) > 0
        for index in range(len(mask)):
            if mask[index].sum() >= SMALLEST_SLICE:
                yield {
                    "set": "PyRadiomics", "name": f"{image.stem}-{index}", "image": image, "mask": label,
                    "slice": index,
                }  # fmt: skip


def load(item: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray], Spacing]:
    """Image, regions and spacing."""
    if "slice" in item:
        import SimpleITK

        volume, label = SimpleITK.ReadImage(str(item["image"])), SimpleITK.ReadImage(str(item["mask"]))
        col_mm, row_mm, _ = volume.GetSpacing()
        pixels = SimpleITK.GetArrayFromImage(volume)[item["slice"]].astype(np.float64)
        return pixels, {"lesion": SimpleITK.GetArrayFromImage(label)[item["slice"]] > 0}, Spacing(row_mm, col_mm)
    pixels = cv2.imread(str(item["image"]), cv2.IMREAD_GRAYSCALE).astype(np.float64)
    mask = cv2.imread(str(item["mask"]), cv2.IMREAD_GRAYSCALE) > 0
    spacing = Spacing(item["mm"], item["mm"])
    margin = item["margin"]
    if margin is None:
        margin = np.sqrt(4 * mask.sum() / np.pi) / 4 * item["mm"]
    ring = peritumoral_ring(LesionMask(mask, spacing, MaskSource.READER), margin)
    return pixels, {"lesion": mask, "ring": ring.pixels}, spacing


def compare(item: dict[str, Any]) -> dict[str, Any]:
    """Counts of values, and everything that deviates."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    pixels, rois, spacing = load(item)
    out: dict[str, Any] = {"set": item["set"], "values": 0, "rois": 0, "deviations": [], "undefined": 0}
    sigmas = (0.5, 1.0, 2.0) if item["set"] != "PyRadiomics" else (1.0, 2.0, 3.0)
    for mode, bins in MODES.items():
        settings = RadiomicsSettings(image_types=IMAGE_TYPES, min_pixels=2, log_sigma_mm=sigmas, **bins)
        own = build_engine(NATIVE, settings).measure(pixels, rois, spacing, shape=list(rois))
        truth = build_engine(PYRADIOMICS, settings).measure(pixels, rois, spacing, shape=list(rois))
        for roi, values in truth.items():
            out["rois"] += 1
            if list(own[roi]) != list(values):
                raise DataError(f"found other names than PyRadiomics' in {item['name']}, expected the same in order")
            for name, expected in values.items():
                found = own[roi][name]
                out["values"] += 1
                if np.isnan(expected) and np.isnan(found):
                    out["undefined"] += 1
                    continue
                gap = abs(found - expected)
                if not (gap <= RELATIVE * abs(expected) or gap <= ABSOLUTE):
                    relative = gap / abs(expected) if expected else float("inf")
                    out["deviations"].append([mode, roi, name, found, expected, relative])
    return out


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brest", type=Path)
    parser.add_argument("--busbra", type=Path)
    parser.add_argument("--volumes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="take every n-th image only")
    options = parser.parse_args()
    listed = [
        *(breast_lesions(options.brest) if options.brest else ()),
        *(bus_bra(options.busbra) if options.busbra else ()),
        *(volumes(options.volumes) if options.volumes else ()),
    ][:: options.every]
    items = [item for item in listed if item["image"].exists() and item["mask"].exists()]
    kept = options.out.with_suffix(".partial")
    results: dict[str, dict[str, Any]] = {}
    waiting = []
    for item in items:
        path = kept / f"{item['name']}.json"
        if path.exists():
            results[item["name"]] = read_json(path)
        else:
            waiting.append(item)

    def collect(outcome: Outcome[dict[str, Any]]) -> None:
        item = waiting[outcome.position]
        result = outcome.result or {"set": item["set"], "failed": str(outcome.failure)}
        results[item["name"]] = result
        write_json(kept / f"{item['name']}.json", result)

    run_all(compare, waiting, jobs=options.jobs, label="parity", on_outcome=collect)
    text = report(results, len(listed) - len(items))
    options.out.write_text(text, encoding="utf-8")
    print(text)


def report(results: dict[str, dict[str, Any]], absent: int) -> str:
    """The table, in Markdown."""
    lines = ["| images | ROI and modes | values | within 1e-8 | within 1e-5 | beyond | largest relative deviation |"]
    lines.append("|---|---|---|---|---|---|---|")
    offenders: Counter[str] = Counter()
    for name in ("BrEaST", "BUS-BRA", "PyRadiomics"):
        chosen = [result for result in results.values() if result["set"] == name]
        if not chosen:
            continue
        good = [result for result in chosen if "failed" not in result]
        values = sum(result["values"] for result in good)
        gaps = [gap for result in good for gap in result["deviations"]]
        offenders.update(gap[2] for gap in gaps)
        beyond = sum(gap[5] > 1e-5 for gap in gaps)
        worst = max((gap[5] for gap in gaps), default=0.0)
        lines.append(
            f"| {name}: {len(good)} of {len(chosen)} | {sum(r['rois'] for r in good)} | {values:,} | "
            f"{1 - len(gaps) / max(values, 1):.6%} | {1 - beyond / max(values, 1):.6%} | {beyond} | "
            + (f"{worst:.1e} |" if gaps else "none beyond 1e-8 |")
        )
        lines += [f"\n{result['failed']}" for result in chosen if "failed" in result]
    lines.append(f"\n{absent} listed images are not there.")
    if offenders:
        lines.append("\nFeatures beyond 1e-8: " + ", ".join(f"{n} ({c})" for n, c in offenders.most_common(20)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
