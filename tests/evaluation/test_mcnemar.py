from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.stats.contingency_tables as tables

from tests.evaluation.cohorts import doubled, random_cohort
from usdlr.core.errors import InputError
from usdlr.evaluation import mcnemar


def test_published_example() -> None:
    """Airway responsiveness before and after transplantation: 1 and 7 discordant pairs of 21.

    Fagerland, Lydersen and Laake, BMC Med Res Methodol 13 (2013) 91, and their supplement: exact p = 0.0703, mid-p =
    0.0391.
    """
    before = [1, 1] + [0] * 7 + [0] * 12
    after = [1, 0] + [1] * 7 + [0] * 12
    assert mcnemar.mcnemar(before, after) == pytest.approx((0.0703, 0.0391), abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (3, 3), (2, 9), (40, 17), (4000, 3800)])
def test_exact_p_is_that_of_statsmodels(first: int, second: int) -> None:
    ours = np.concatenate([np.ones(first), np.zeros(second), np.ones(50)])
    theirs = np.concatenate([np.zeros(first), np.ones(second), np.ones(50)])
    exact, middle = mcnemar.mcnemar(ours, theirs)
    assert exact == pytest.approx(tables.mcnemar([[50, first], [second, 0]], exact=True).pvalue, rel=1e-9)
    assert (middle < exact) == (first + second > 0)


@pytest.mark.parametrize("net", [[1, -1, 2, 2, 0], [2, 2, 2], [1, 2, -3, 3, 1, 1, -2], [-1, 1], [4, -1, -1, 1, 2]])
def test_signs_of_whole_patients_by_counting_every_case(net: list[int]) -> None:
    sums = [
        abs(sum(s * v for s, v in zip(signs, net, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(net))
    ]
    seen = abs(sum(net))
    exact = sum(value >= seen for value in sums) / len(sums)
    middle = exact - sum(value == seen for value in sums) / len(sums) / 2
    assert mcnemar.sign_flip(np.array(net, dtype=float)) == pytest.approx((exact, middle))


def test_rows_given_twice_are_no_evidence() -> None:
    made = random_cohort(150, 6)
    columns = [made.y, (made.score > 0.4).astype(float), (made.other > 0.4).astype(float), made.patient]
    one, two = (mcnemar.compare_calls(*rows) for rows in (columns, [doubled(column) for column in columns]))
    for name, found in one.items():
        again = two[name]
        assert (again.exact.value, again.mid_p.value) == pytest.approx((found.exact.value, found.mid_p.value))
        assert (again.difference.low, again.difference.high) == pytest.approx(
            (found.difference.low, found.difference.high)
        )
        assert again.first_only == 2 * found.first_only
    naive = mcnemar.mcnemar(*(doubled(columns[0] == column) for column in columns[1:3]))
    assert one["accuracy"].exact.value is not None
    assert naive[0] < one["accuracy"].exact.value


def test_calls_are_counted_within_their_class() -> None:
    y = [1, 1, 1, 0, 0, np.nan]
    found = mcnemar.compare_calls(y, [1, 1, 0, 0, 1, 1], [1, 0, 1, 1, 1, 0], list("abcdef"))
    cells = {name: (t.both, t.first_only, t.second_only, t.neither) for name, t in found.items()}
    assert cells == {"sensitivity": (1, 1, 1, 0), "specificity": (0, 1, 0, 1), "accuracy": (1, 2, 1, 1)}
    assert found["specificity"].difference.value == 0.5
    assert found["specificity"].as_dict()["exact"]["value"] == 1.0


def test_degenerate_input() -> None:
    none = mcnemar.compare_calls([1, 1, 1], [1, 1, 0], [1, 1, 0], list("abc"))
    assert none["specificity"].exact.value is None
    assert none["specificity"].difference.value is None
    assert (none["sensitivity"].exact.value, none["sensitivity"].mid_p.value) == (1.0, 1.0)
    for empty in mcnemar.compare_calls([np.nan] * 3, [1, 1, 0], [1, 1, 0], list("abc")).values():
        assert empty.exact.value is None
    with pytest.raises(InputError, match="call of second that is missing"):
        mcnemar.compare_calls([1, 0], [1, 0], [1, np.nan], ["a", "b"])
    with pytest.raises(InputError, match="label first"):
        mcnemar.compare_calls([1, 0], [0.4, 0], [1, 0], ["a", "b"])
