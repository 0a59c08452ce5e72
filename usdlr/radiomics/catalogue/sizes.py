"""Runs, patches and equal neighbours: three families that share their formulas, one entry per feature."""

from __future__ import annotations

from dataclasses import dataclass

from usdlr.radiomics.catalogue.entries import TEXTURE, TEXTURE_OF_LEVELS, entry
from usdlr.radiomics.catalogue.terms import Feature


@dataclass(frozen=True)
class _Words:
    """How a family speaks of what it counts."""

    family: str
    element: str  # in PyRadiomics' names of the grey level emphases
    small: str  # in PyRadiomics' names of the size emphases
    large: str
    things: str  # what is counted
    size: str  # its size
    short: str
    long: str
    fine: str  # the picture with many short ones
    coarse: str


_RUNS = _Words(
    "glrlm", "Run", "ShortRun", "LongRun", "runs", "length of runs", "short runs", "long runs",
    "grey levels change after a pixel or two along a line", "lines of one grey level are long",
)  # fmt: skip
_ZONES = _Words(
    "glszm", "Zone", "SmallArea", "LargeArea", "patches", "size of patches", "small patches", "large patches",
    "patches of one grey level are small", "patches of one grey level are large",
)  # fmt: skip
_NEIGHBOURS = _Words(
    "gldm", "", "SmallDependence", "LargeDependence", "pixels", "number of equal neighbours",
    "pixels unlike their neighbours", "pixels like their neighbours",
    "most pixels differ from those around them", "most pixels have many equal neighbours",
)  # fmt: skip


def _emphases(words: _Words, codes: dict[str, str], levels_of_pixels: bool) -> tuple[Feature, ...]:
    """The eight weighted shares: small, large, low, high and their pairs."""
    by_level = TEXTURE_OF_LEVELS if levels_of_pixels else TEXTURE
    out = []
    for name, unit, invariances, title, meaning, definition in (
        ("{small}Emphasis", "1/pixel^2", TEXTURE, "fine texture: {short}", "Large where {fine}.", "n(i,j) / j^2"),
        ("{large}Emphasis", "pixel^2", TEXTURE, "coarse texture: {long}", "Large where {coarse}.", "n(i,j) j^2"),
        ("LowGrayLevel{element}Emphasis", "1/level^2", by_level, "weight of dark {things}",
         "Large where {things} at the dark end of the region's grey levels are many.", "n(i,j) / i^2"),
        ("HighGrayLevel{element}Emphasis", "level^2", by_level, "weight of bright {things}",
         "Large where {things} at the bright end of the region's grey levels are many.", "n(i,j) i^2"),
        ("{small}LowGrayLevelEmphasis", "1/(level^2 pixel^2)", TEXTURE, "weight of dark {short}",
         "Large where dark parts are finely textured.", "n(i,j) / (i^2 j^2)"),
        ("{small}HighGrayLevelEmphasis", "level^2/pixel^2", TEXTURE, "weight of bright {short}",
         "Large where bright parts are finely textured.", "n(i,j) i^2 / j^2"),
        ("{large}LowGrayLevelEmphasis", "pixel^2/level^2", TEXTURE, "weight of dark {long}",
         "Large where dark parts are evenly grey.", "n(i,j) j^2 / i^2"),
        ("{large}HighGrayLevelEmphasis", "level^2 pixel^2", TEXTURE, "weight of bright {long}",
         "Large where bright parts are evenly grey.", "n(i,j) i^2 j^2"),
    ):  # fmt: skip
        filled = (text.format_map(vars(words)) for text in (name, title, meaning))
        key, plain, sentence = filled
        out.append(entry(words.family, key, codes[key], unit, invariances, plain, sentence, f"sum {definition} / N"))
    return tuple(out)


_LEVELS_UNEVEN = "Large where a few grey levels hold most {things}, and with the size of the region."
_SIZES_UNEVEN = "Large where most {things} are alike in {size}, and with the size of the region."
_SHARE = "Large where a few grey levels hold most {things}, whatever the size of the region."
_SIZE_SHARE = "Large where most {things} are alike in {size}, whatever the size of the region."
_SUM_I = "sum over i of (sum over j of n(i,j))^2"
_SUM_J = "sum over j of (sum over i of n(i,j))^2"
_VAR_I = "sum p(i,j) (i - m)^2 with m = sum p(i,j) i"
_VAR_J = "sum p(i,j) (j - m)^2 with m = sum p(i,j) j"
_ENTROPY = "-sum p(i,j) log2 p(i,j)"

GLRLM = (
    *_emphases(
        _RUNS,
        {
            "ShortRunEmphasis": "22OV",
            "LongRunEmphasis": "W4KF",
            "LowGrayLevelRunEmphasis": "V3SW",
            "HighGrayLevelRunEmphasis": "G3QZ",
            "ShortRunLowGrayLevelEmphasis": "HTZT",
            "ShortRunHighGrayLevelEmphasis": "GD3A",
            "LongRunLowGrayLevelEmphasis": "IVPO",
            "LongRunHighGrayLevelEmphasis": "3KUM",
        },
        levels_of_pixels=False,
    ),
    entry("glrlm", "GrayLevelNonUniformity", "R5YN", "1", TEXTURE, "unevenness of grey levels over runs",
          _LEVELS_UNEVEN.format(things="runs"), f"{_SUM_I} / N"),
    entry("glrlm", "GrayLevelNonUniformityNormalized", "OVBL", "1", TEXTURE,
          "unevenness of grey levels over runs, for their number", _SHARE.format(things="runs"), f"{_SUM_I} / N^2"),
    entry("glrlm", "GrayLevelVariance", "8CE5", "level^2", TEXTURE, "variance of grey levels over runs",
          "Large where dark runs and bright runs both occur.", _VAR_I),
    entry("glrlm", "RunEntropy", "HJ9O", "bit", TEXTURE, "disorder of runs",
          "Large where runs of every grey level and length occur equally often.", _ENTROPY),
    entry("glrlm", "RunLengthNonUniformity", "W92Y", "1", TEXTURE, "likeness of runs in length",
          _SIZES_UNEVEN.format(things="runs", size="length"), f"{_SUM_J} / N"),
    entry("glrlm", "RunLengthNonUniformityNormalized", "IC23", "1", TEXTURE,
          "likeness of runs in length, for their number",
          _SIZE_SHARE.format(things="runs", size="length"), f"{_SUM_J} / N^2"),
    entry("glrlm", "RunPercentage", "9ZK5", "1/pixel", TEXTURE, "number of runs per pixel",
          "1 where every pixel differs from the next, smaller the longer the runs.", "N / number of pixels",
          "a share from 0 to 1, not a percentage"),
    entry("glrlm", "RunVariance", "SXLW", "pixel^2", TEXTURE, "variance of the length of runs",
          "Large where short runs and long runs both occur.", _VAR_J),
)  # fmt: skip

GLSZM = (
    *_emphases(
        _ZONES,
        {
            "SmallAreaEmphasis": "9SAK",
            "LargeAreaEmphasis": "48P8",
            "LowGrayLevelZoneEmphasis": "XMSY",
            "HighGrayLevelZoneEmphasis": "5GN9",
            "SmallAreaLowGrayLevelEmphasis": "5RAI",
            "SmallAreaHighGrayLevelEmphasis": "HW1V",
            "LargeAreaLowGrayLevelEmphasis": "YH51",
            "LargeAreaHighGrayLevelEmphasis": "J17V",
        },
        levels_of_pixels=True,
    ),
    entry("glszm", "GrayLevelNonUniformity", "JNSA", "1", TEXTURE_OF_LEVELS, "unevenness of grey levels over patches",
          _LEVELS_UNEVEN.format(things="patches"), f"{_SUM_I} / N"),
    entry("glszm", "GrayLevelNonUniformityNormalized", "Y1RO", "1", TEXTURE_OF_LEVELS,
          "unevenness of grey levels over patches, for their number",
          _SHARE.format(things="patches"), f"{_SUM_I} / N^2"),
    entry("glszm", "GrayLevelVariance", "BYLV", "level^2", TEXTURE_OF_LEVELS, "variance of grey levels over patches",
          "Large where dark patches and bright patches both occur.", _VAR_I),
    entry("glszm", "SizeZoneNonUniformity", "4JP3", "1", TEXTURE_OF_LEVELS, "likeness of patches in size",
          _SIZES_UNEVEN.format(things="patches", size="size"), f"{_SUM_J} / N"),
    entry("glszm", "SizeZoneNonUniformityNormalized", "VB3A", "1", TEXTURE_OF_LEVELS,
          "likeness of patches in size, for their number",
          _SIZE_SHARE.format(things="patches", size="size"), f"{_SUM_J} / N^2"),
    entry("glszm", "ZoneEntropy", "GU8N", "bit", TEXTURE_OF_LEVELS, "disorder of patches",
          "Large where patches of every grey level and size occur equally often.", _ENTROPY),
    entry("glszm", "ZonePercentage", "P30P", "1/pixel", TEXTURE, "number of patches per pixel",
          "1 where every pixel differs from all around it, smaller the larger the patches.", "N / number of pixels",
          "a share from 0 to 1, not a percentage"),
    entry("glszm", "ZoneVariance", "3NSA", "pixel^2", TEXTURE, "variance of the size of patches",
          "Large where small patches and large patches both occur.", _VAR_J),
)  # fmt: skip

GLDM = (
    *_emphases(
        _NEIGHBOURS,
        {
            "SmallDependenceEmphasis": "SODN",
            "LargeDependenceEmphasis": "IMOQ",
            "LowGrayLevelEmphasis": "TL9H",
            "HighGrayLevelEmphasis": "OAE7",
            "SmallDependenceLowGrayLevelEmphasis": "EQ3F",
            "SmallDependenceHighGrayLevelEmphasis": "JA6D",
            "LargeDependenceLowGrayLevelEmphasis": "NBZI",
            "LargeDependenceHighGrayLevelEmphasis": "9QMG",
        },
        levels_of_pixels=True,
    ),
    entry("gldm", "DependenceEntropy", "FCBV", "bit", TEXTURE, "disorder of equal neighbours",
          "Large where pixels of every grey level and number of equal neighbours occur equally often.", _ENTROPY),
    entry("gldm", "DependenceNonUniformity", "Z87G", "1", TEXTURE, "likeness of pixels in their equal neighbours",
          _SIZES_UNEVEN.format(things="pixels", size="the number of equal neighbours"), f"{_SUM_J} / N"),
    entry("gldm", "DependenceNonUniformityNormalized", "OKJI", "1", TEXTURE,
          "likeness of pixels in their equal neighbours, for their number",
          _SIZE_SHARE.format(things="pixels", size="the number of equal neighbours"), f"{_SUM_J} / N^2"),
    entry("gldm", "DependenceVariance", "DNX2", "pixel^2", TEXTURE, "variance of the number of equal neighbours",
          "Large where even parts and finely textured parts both occur.", _VAR_J),
    entry("gldm", "GrayLevelNonUniformity", "FP8K", "1", TEXTURE, "unevenness of grey levels over pixels",
          _LEVELS_UNEVEN.format(things="pixels"), f"{_SUM_I} / N"),
    entry("gldm", "GrayLevelVariance", "1PFV", "level^2", TEXTURE_OF_LEVELS, "variance of grey levels over pixels",
          "Large where dark pixels and bright pixels both occur.", _VAR_I),
)  # fmt: skip
