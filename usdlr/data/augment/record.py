"""What was done to a sample, as plain data from which it can be done again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from usdlr.core.errors import DataError
from usdlr.core.modalities import MODALITIES
from usdlr.data.augment.geometry import Geometry
from usdlr.data.augment.parts import PARTS, Part, Values


@dataclass(frozen=True)
class Change:
    """One intensity change.

    Parameters
    ----------
    part : str
        Which, of the modality's parts in :data:`usdlr.data.augment.parts.PARTS`.
    values : dict
        All that describes it, as numbers and lists of numbers.
    """

    part: str
    values: Values


@dataclass(frozen=True)
class Record:
    """All that was done to one sample; it names no patient and no image.

    Parameters
    ----------
    geometry : Geometry
        Done last, to everything.
    intensity : mapping of str to tuple of Change
        By modality, in the order of doing; frames of a clip share their modality's.
    """

    geometry: Geometry = field(default_factory=Geometry)
    intensity: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON types.

        Examples
        --------
        >>> Record(intensity={"bmode": (Change("gain", {"db": 3.0}),)}).to_dict()["intensity"]
        {'bmode': [{'part': 'gain', 'values': {'db': 3.0}}]}
        """
        changes = {name: [asdict(change) for change in done] for name, done in self.intensity.items()}
        return {"geometry": asdict(self.geometry), "intensity": changes}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The record that :meth:`to_dict` wrote.

        Raises
        ------
        DataError
            If it is not one: something is missing, unknown or no finite number.
        """
        _expect_keys(stored, ["geometry", "intensity"], "a record")
        geometry = stored["geometry"]
        _expect_keys(geometry, [one.name for one in fields(Geometry)], "a record's geometry")
        if not isinstance(geometry["flip"], bool):
            raise DataError(f"found flip = {geometry['flip']!r} in a record's geometry, expected true or false")
        moved = {name: _number(value, name) for name, value in geometry.items() if name != "flip"}
        if not moved["zoom"] > 0:
            raise DataError(f"found zoom = {moved['zoom']} in a record's geometry, expected above 0")
        if not isinstance(stored["intensity"], Mapping):
            raise DataError(f"found {stored['intensity']!r} as the intensity of a record, expected a table by modality")
        intensity = {}
        for name, done in stored["intensity"].items():
            if name not in MODALITIES:
                raise DataError(f"found the modality {name!r} in a record, expected one of {', '.join(MODALITIES)}")
            if not isinstance(done, list):
                raise DataError(f"found {done!r} as the changes of {name} in a record, expected a list")
            parts = PARTS[MODALITIES[name].augmentation]
            intensity[name] = tuple(_change(one, parts) for one in done)
        return cls(Geometry(flip=geometry["flip"], **moved), intensity)


def _change(stored: Mapping[str, Any], parts: Mapping[str, Part]) -> Change:
    _expect_keys(stored, ["part", "values"], "a record's change")
    name, values = stored["part"], stored["values"]
    if name not in parts:
        raise DataError(f"found the change {name!r} in a record, expected one of {', '.join(parts)}")
    like = parts[name].example
    _expect_keys(values, list(like), f"a record's change {name!r}")
    return Change(name, {key: _value(value, like[key], key) for key, value in values.items()})


def _expect_keys(stored: Any, expected: list[str], what: str) -> None:
    if not isinstance(stored, Mapping) or set(stored) != set(expected):
        found = ", ".join(map(str, stored)) if isinstance(stored, Mapping) else repr(stored)
        raise DataError(f"found {found or 'nothing'} in {what}, expected {', '.join(expected)}")


def _value(value: Any, like: Any, name: str) -> Any:
    """The value, once it is a number, a whole number or a list of as many numbers, as the example is."""
    if isinstance(like, list):
        if not isinstance(value, list) or len(value) != len(like):
            raise DataError(f"found {name} = {value!r} in a record, expected a list of {len(like)} numbers")
        return [_number(one, name) for one in value]
    if isinstance(like, int) and (not isinstance(value, int) or value < 0):
        raise DataError(f"found {name} = {value!r} in a record, expected a whole number, at least 0")
    return _number(value, name)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"found {name} = {value!r} in a record, expected a finite number")
    return value
