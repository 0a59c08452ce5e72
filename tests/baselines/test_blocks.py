"""Blocks of plain models: which columns they are, what they are called, and what is refused."""

from __future__ import annotations

import pytest

from usdlr.baselines.blocks import Block
from usdlr.core.errors import ConfigError
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Roi

COLUMNS = [
    "bmode.intratumoral.original.glcm.Contrast",
    "bmode.peritumoral.wavelet-HL.glcm.Contrast",
    "elasto.intratumoral.original.firstorder.Mean",
    "clinical.tumour_size_mm",
    "clinical.age_years",
    "embedding.bmode.intratumoral.000",
    "embedding.bmode.peritumoral-2.5mm.011",
    "embedding.elasto.context.000",
    "embedding.radiomics.000",
    "embedding.radiomics.bmode.intratumoral.001",
    "embedding.clinical.000",
]


@pytest.mark.parametrize(
    ("name", "own", "title", "chosen"),
    [
        ("radiomics", "radiomics", "radiomics of all images", [0, 1, 2]),
        ("bmode", "bmode", "radiomics of B-mode", [0, 1]),
        ("elasto", "elasto", "radiomics of elastography", [2]),
        ("bmode.intratumoral", "bmode-intratumoral", "radiomics of the B-mode lesion", [0]),
        ("bmode.peritumoral", "bmode-peritumoral", "radiomics of the B-mode ring", [1]),
        ("elasto.combined", "elasto-combined", "radiomics of the elastography lesion and ring", []),
        ("clinical", "clinical", "clinical variables", [3, 4]),
        ("embedding", "embedding", "embeddings", [5, 6, 7]),
        ("embedding.bmode", "embedding-bmode", "embeddings of B-mode", [5, 6]),
        (
            "embedding.bmode.peritumoral-2.5mm", "embedding-bmode-peritumoral-2-5mm",
            "embeddings of the B-mode 2.5 mm ring", [6],
        ),
        ("embedding.elasto.context", "embedding-elasto-context", "embeddings of the elastography whole crop", [7]),
    ],
)  # fmt: skip
def test_name_title_and_columns(name: str, own: str, title: str, chosen: list[int]) -> None:
    block = Block.named(name)
    assert block.name == own
    assert block.title == title
    assert block.columns(COLUMNS) == [COLUMNS[place] for place in chosen]
    assert Block.named(own) == block, "the safe name is read too"


def test_every_modality_and_region_has_words() -> None:
    for modality in MODALITIES:
        for region in Roi:
            block = Block.named(f"{modality}.{region}")
            assert MODALITIES[modality].title in block.title
            assert "." not in block.name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("bmode.peritumorl", "'bmode.peritumoral'"),
        ("elast", "'elasto'"),
        ("clincal", "'clinical'"),
        ("embeding", "'embedding'"),
        ("bmode-peritumorl", "'bmode.peritumoral'"),
        ("", ""),
        ("bmode.context", ""),  # radiomics has no such region
        ("bmode.peritumoral-3mm", ""),  # its margin is the experiment's
        ("doppler.intratumoral", ""),
        ("embedding.doppler", ""),
        ("embedding.bmode.peritumoral-xmm", ""),
        ("bmode.intratumoral.original", ""),
    ],
)
def test_unknown_blocks_name_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match="found the block") as error:
        Block.named(name)
    assert nearest in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clinical", r"found the baseline x without data\.clinical"),
        ("bmode.combined", r"radiomics\.rois = intratumoral, peritumoral, expected combined among them"),
        ("embedding.elasto", r"the image blocks bmode\.intratumoral, expected elasto among them"),
        (
            "embedding.bmode.peritumoral",
            r"the image blocks bmode\.intratumoral, expected bmode\.peritumoral among them; did you mean 'bmode\.intra",
        ),
    ],
)
def test_what_an_experiment_does_not_measure_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Block.named(name).require_measured(
            "x", clinical=[], rois=["intratumoral", "peritumoral"], images=["bmode.intratumoral"]
        )


def test_what_it_measures_is_not() -> None:
    for name in ("radiomics", "elasto", "bmode.peritumoral", "clinical", "embedding", "embedding.bmode.intratumoral"):
        Block.named(name).require_measured(
            "x", clinical=["age_years"], rois=["intratumoral", "peritumoral"], images=["bmode.intratumoral"]
        )
