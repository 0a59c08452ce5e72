"""The fixed views of a sample whose predictions are averaged at test time."""

from __future__ import annotations

from usdlr.data.augment.geometry import Geometry
from usdlr.data.augment.record import Record
from usdlr.data.augment.settings import ViewSettings

TURN_DEG = 6.0
ZOOM = 1.05
# Half of what training draws at most; the mirror image first, since it costs nothing in sharpness.
VIEWS: tuple[Geometry, ...] = (
    Geometry(),
    Geometry(flip=True),
    Geometry(rotate_deg=TURN_DEG),
    Geometry(rotate_deg=-TURN_DEG),
    Geometry(flip=True, rotate_deg=TURN_DEG),
    Geometry(flip=True, rotate_deg=-TURN_DEG),
    Geometry(zoom=ZOOM),
    Geometry(zoom=1 / ZOOM),
)


def views(settings: ViewSettings | int) -> list[Record]:
    """The first views of the fixed list, the sample as it is first; to be applied and averaged by the caller.

    Parameters
    ----------
    settings : ViewSettings or int
        How many.

    Raises
    ------
    ConfigError
        If there are not as many.

    Examples
    --------
    >>> [record.geometry.flip for record in views(3)]
    [False, True, False]
    """
    chosen = settings if isinstance(settings, ViewSettings) else ViewSettings(settings)
    return [Record(geometry) for geometry in VIEWS[: chosen.count]]
