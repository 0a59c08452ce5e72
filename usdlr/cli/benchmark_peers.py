"""Other packages that measure radiomics, for ``usdlr benchmark radiomics`` where they are installed.

Each measures what it calls its features on the original image: other sets, other definitions, hence no comparison of
values.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.radiomics.benchmark import Sample, Timing, timed

# One image and one region, prepared in the peer's own form; the call gives the number of features.
Prepared = Callable[[], int]


def _nyxus(pixels: FloatArray, roi: BoolArray, sample: Sample, folder: Path) -> Prepared:
    module = importlib.import_module("nyxus")
    engine = module.Nyxus(["*ALL*"], n_feature_calc_threads=1)
    intensities, labels = np.nan_to_num(pixels).astype(np.float64), roi.astype(np.uint32)

    def call() -> int:
        table = engine.featurize(intensities, labels, intensity_names=["i"], label_names=["l"])
        return len(table.select_dtypes("number").columns)

    return call


def _pictologics(pixels: FloatArray, roi: BoolArray, sample: Sample, folder: Path) -> Prepared:
    module = importlib.import_module("pictologics")
    image, mask = (module.load_image(str(path)) for path in _as_files(pixels, roi, sample, folder))
    pipeline = module.RadiomicsPipeline()

    def call() -> int:
        found = pipeline.run(image=image, mask=mask, config_names=["standard_fbn_32"])
        return len(found["standard_fbn_32"])

    return call


def _fastrad(pixels: FloatArray, roi: BoolArray, sample: Sample, folder: Path) -> Prepared:
    module, torch = importlib.import_module("fastrad"), importlib.import_module("torch")
    torch.set_num_threads(1)
    spacing = (1.0, sample.spacing.row_mm, sample.spacing.col_mm)
    image = module.MedicalImage(tensor=torch.as_tensor(np.nan_to_num(pixels)[None]), spacing=spacing)
    mask = module.Mask(tensor=torch.as_tensor(roi[None].astype(np.float32)), spacing=spacing)
    classes = ["firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
    extractor = module.FeatureExtractor(module.FeatureSettings(feature_classes=classes, bin_width=8.0, device="cpu"))
    return lambda: len(extractor.extract(image, mask))


PEERS: dict[str, Callable[[FloatArray, BoolArray, Sample, Path], Prepared]] = {
    "nyxus": _nyxus,
    "pictologics": _pictologics,
    "fastrad": _fastrad,
}


def time_peer(name: str, samples: list[Sample], repeat: int) -> Timing | str:
    """Times of single regions on the original B-mode image, or why there are none."""
    if importlib.util.find_spec(name) is None:
        return "not installed"
    try:
        with tempfile.TemporaryDirectory() as folder:
            calls = []
            for number, sample in enumerate(samples):
                pixels = next(iter(sample.images.values()))
                for region, roi in sample.rois.items():
                    place = Path(folder) / f"{number}-{region}"
                    place.mkdir()
                    calls.append(PEERS[name](pixels, roi, sample, place))
            return timed(lambda call: call(), calls, repeat)
    except Exception as error:  # another version of a package that this one does not control
        return f"installed, but failed: {type(error).__name__}: {error}"


def _as_files(pixels: FloatArray, roi: BoolArray, sample: Sample, folder: Path) -> tuple[Path, Path]:
    import SimpleITK

    arrays: tuple[Any, ...] = (np.nan_to_num(pixels), roi.astype(np.uint8))
    paths = (folder / "image.nii.gz", folder / "mask.nii.gz")
    for path, array in zip(paths, arrays, strict=True):
        volume: Any = SimpleITK.GetImageFromArray(array[None])
        volume.SetSpacing((sample.spacing.col_mm, sample.spacing.row_mm, 1.0))
        SimpleITK.WriteImage(volume, str(path))
    return paths
