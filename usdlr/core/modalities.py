"""The registry of imaging modalities. Nothing outside it may count on there being two."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Modality:
    """What usdlr knows about one kind of image before it has seen any.

    Parameters
    ----------
    name : str
        Column prefix and first part of every feature name.
    title : str
        The word that reports use.
    required : bool
        Whether a case without it is unusable; otherwise its absence is a state of the case.
    reader : str
        Name of the pixel reader in :mod:`usdlr.imaging.store`.
    intensity : str
        What a pixel value means.
    value_range : tuple of float
        Values that are mapped to 0 and 1 before a network sees them, in the unit of ``intensity``.
    augmentation : str
        Name of the default intensity augmentation in :mod:`usdlr.data.augment`.
    """

    name: str
    title: str
    required: bool
    reader: str
    intensity: str
    value_range: tuple[float, float]
    augmentation: str

    @property
    def path_column(self) -> str:
        """Column of ``cases`` that holds the image's path."""
        return f"{self.name}_path"


BMODE = "bmode"
ELASTO = "elasto"

MODALITIES: dict[str, Modality] = {
    modality.name: modality
    for modality in (
        Modality(
            name=BMODE,
            title="B-mode",
            required=True,
            reader="grey",
            intensity="log-compressed echo amplitude, 0-255 grey levels, no physical unit",
            value_range=(0.0, 255.0),
            augmentation="echo",
        ),
        Modality(
            name=ELASTO,
            title="elastography",
            required=False,
            reader="stiffness",
            intensity="Young's modulus in kPa; NaN where the scanner gave no value",
            value_range=(0.0, 300.0),
            augmentation="stiffness",
        ),
    )
}
