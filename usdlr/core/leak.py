"""Who may be seen by what is fitted: the guard that every fitted object calls first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from usdlr.core.errors import LeakError
from usdlr.core.types import Split


@dataclass(frozen=True)
class Rows:
    """Whose rows an array holds, in its order.

    Parameters
    ----------
    patient_id : tuple of str
        One per row.
    split : tuple of str
        The patient's :class:`~usdlr.core.types.Split` in the fold at hand, one per row.
    side : tuple of str
        Which axilla of the patient, one per row; empty where a patient counts as one.
    """

    patient_id: tuple[str, ...]
    split: tuple[str, ...]
    side: tuple[str, ...] = ()
    patients: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.patient_id) != len(self.split):
            raise ValueError(f"{len(self.patient_id)} patient ids but {len(self.split)} splits")
        if self.side and len(self.side) != len(self.patient_id):
            raise ValueError(f"{len(self.patient_id)} patient ids but {len(self.side)} sides")
        object.__setattr__(self, "patients", frozenset(self.patient_id))

    @classmethod
    def of(cls, patient_id: Iterable[str], split: Iterable[str], side: Iterable[str] = ()) -> Rows:
        """Build from any columns."""
        return cls(tuple(map(str, patient_id)), tuple(map(str, split)), tuple(map(str, side)))

    def take(self, use: Iterable[bool]) -> Rows:
        """The rows where ``use`` is true; one truth value per row."""
        kept = [place for place, keep in zip(range(len(self)), use, strict=True) if keep]
        return Rows(*(tuple(one[place] for place in kept) if one else () for one in self._columns()))

    @property
    def axillae(self) -> list[tuple[str, str]]:
        """Whose axilla every row shows: the patient, and the side where it is told."""
        return list(zip(self.patient_id, self.side or ("",) * len(self), strict=True))

    def _columns(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        return self.patient_id, self.split, self.side

    def __len__(self) -> int:
        return len(self.patient_id)


def require_split(rows: Rows, allowed: Collection[Split], what: str) -> None:
    """Refuse rows that ``what`` must not see.

    Raises
    ------
    LeakError
        If any row's split is not among ``allowed``, or one patient carries two splits.
    """
    wrong = sorted({name for name in rows.split if name not in set(allowed)})
    if wrong:
        counts = ", ".join(f"{rows.split.count(name)} {name}" for name in wrong)
        raise LeakError(
            f"found {counts} rows in the fit of the {what}, expected only "
            f"{' and '.join(str(name) for name in allowed)}; pass the rows of that split alone"
        )
    seen: dict[str, str] = {}
    for patient, split in zip(rows.patient_id, rows.split, strict=True):
        if seen.setdefault(patient, split) != split:
            raise LeakError(
                f"found a patient in the splits {seen[patient]} and {split} of one fold while fitting the {what}; "
                "a patient belongs to exactly one split: make the splits again"
            )


def require_disjoint(fitted_on: Collection[str], judged_on: Collection[str], what: str) -> None:
    """Refuse to judge ``what`` on patients that it was fitted on.

    Raises
    ------
    LeakError
        If the two sets of patients share a member.
    """
    shared = set(fitted_on) & set(judged_on)
    if shared:
        raise LeakError(
            f"found {len(shared)} of {len(set(judged_on))} patients both in the fit of the {what} and among those it "
            "is judged on; fit it again without them"
        )
