"""Annotations as JSON, XML and CSV, after the published descriptions of their formats."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.ingest.annotations.circles import SHAPE

Points = npt.NDArray[np.float64]

VIA_COLUMNS = ("region_shape_attributes", "region_attributes")


def labelme_shape(points: Points, label: str = "lesion", kind: str = "polygon", **values: Any) -> dict[str, Any]:
    shape = {"label": label, "points": points.tolist(), "group_id": None, "shape_type": kind, "flags": {}}
    return {**shape, **values}


def labelme_mask(pixels: npt.NDArray[np.bool_], row: int, col: int, label: str = "lesion") -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    corners = np.array([[col, row], [col + pixels.shape[1] - 1, row + pixels.shape[0] - 1]], dtype=np.float64)
    return labelme_shape(corners, label, "mask", mask=base64.b64encode(stream.getvalue()).decode())


def labelme(path: Path, shapes: list[dict[str, Any]], /, **values: Any) -> Path:
    content: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "..\\images\\a.png",
        "imageData": None,
        "imageHeight": SHAPE[0],
        "imageWidth": SHAPE[1],
    }
    path.write_text(json.dumps({**content, **values}))
    return path


def coco(path: Path, annotations: list[dict[str, Any]], images: int = 1, **values: Any) -> Path:
    """Images a0.png, a1.png, ... with ids from 1; categories 1 lesion and 2 node."""
    content = {
        "images": [
            {"id": number + 1, "file_name": f"set/a{number}.png", "height": SHAPE[0], "width": SHAPE[1]}
            for number in range(images)
        ],
        "categories": [{"id": 1, "name": "lesion"}, {"id": 2, "name": "node"}],
        "annotations": [
            {"id": 100 + number, "image_id": 1, "category_id": 1, "iscrowd": 0, **annotation}
            for number, annotation in enumerate(annotations)
        ],
    }
    path.write_text(json.dumps({**content, **values}))
    return path


def cvat(path: Path, shapes: str, images: str = "") -> Path:
    path.write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>1</id><name>task</name><owner><username>somebody</username></owner></task></meta>
  <image id="0" name="set/a0.png" width="{SHAPE[1]}" height="{SHAPE[0]}">{shapes}</image>{images}
</annotations>
"""
    )
    return path


def cvat_points(points: Points) -> str:
    return ";".join(f"{x},{y}" for x, y in points.tolist())


def cvat_mask(pixels: npt.NDArray[np.bool_], attributes: str = "") -> str:
    """The runs of a mask, cut to its box, along the rows and background first."""
    rows, cols = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    inside = pixels[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    counts, value = [0], False
    for pixel in inside.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return (
        f'<mask label="lesion" rle="{", ".join(map(str, counts))}" left="{cols[0]}" top="{rows[0]}" '
        f'width="{inside.shape[1]}" height="{inside.shape[0]}" z_order="0" {attributes}/>'
    )


def via_region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def via_polygon(points: Points) -> dict[str, Any]:
    return {"name": "polygon", "all_points_x": points[:, 0].tolist(), "all_points_y": points[:, 1].tolist()}


def via_json(path: Path, *images: list[dict[str, Any]], project: bool = False) -> Path:
    content: dict[str, Any] = {
        f"a{number}.png{1000 + number}": {
            "filename": f"a{number}.png",
            "size": 1000 + number,
            "regions": regions,
            "file_attributes": {},
        }
        for number, regions in enumerate(images)
    }
    if project:
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
    path.write_text(json.dumps(content))
    return path


def via_csv(path: Path, *images: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "file_size", "file_attributes", "region_count", "region_id", *VIA_COLUMNS])
        for number, regions in enumerate(images):
            head = [f"a{number}.png", 1000 + number, "{}", len(regions)]
            for index, region in enumerate(regions):
                shape, attributes = region["shape_attributes"], region["region_attributes"]
                writer.writerow([*head, index, json.dumps(shape), json.dumps(attributes)])
            if not regions:
                writer.writerow([*head, 0, "{}", "{}"])
    return path


def table(path: Path, header: str, rows: list[tuple[Any, ...]], delimiter: str = ",") -> Path:
    lines = [header.replace(",", delimiter), *(delimiter.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
