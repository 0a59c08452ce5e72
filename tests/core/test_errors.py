from __future__ import annotations

import copy
import pickle
import re

import pytest

from usdlr.core import errors
from usdlr.core.errors import CaseError, InputError, UsdlrError
from usdlr.core.types import ExclusionCode, RiskGroup, Split


def defined_errors() -> dict[str, type[BaseException]]:
    return {
        name: member
        for name, member in vars(errors).items()
        if isinstance(member, type) and issubclass(member, BaseException)
    }


def drawn_tree() -> dict[str, str | None]:
    """Parent of every class in the tree that the module's docstring draws, by depth of indentation."""
    open_branches: list[tuple[int, str]] = []
    parents: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(?P<branch>[\s│├└─]*)(?P<name>\w+Error)\b", line)
        if not found:
            continue
        depth = len(found["branch"])
        open_branches = [branch for branch in open_branches if branch[0] < depth]
        parents[found["name"]] = open_branches[-1][1] if open_branches else None
        open_branches.append((depth, found["name"]))
    return parents


def test_the_docstring_draws_exactly_the_error_tree() -> None:
    defined = defined_errors()
    parents = {name: None if cls is UsdlrError else cls.__mro__[1].__name__ for name, cls in defined.items()}
    assert drawn_tree() == parents


def test_every_refusal_of_input_is_an_input_error_with_its_own_documentation() -> None:
    for name, error in defined_errors().items():
        assert error.__doc__, name
        assert error is UsdlrError or issubclass(error, InputError)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_case_error_survives_pickling(protocol: int) -> None:
    error = CaseError(ExclusionCode.SPACING_ABSURD, "found 0.3 mm, expected 1 to 150 mm; check the unit")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert (type(back), back.code, back.sentence, str(back)) == (CaseError, error.code, error.sentence, str(error))
    assert copy.copy(error).code is ExclusionCode.SPACING_ABSURD


def test_exclusion_codes_are_never_renamed() -> None:
    # Exported tables carry these words. Add to the list; change nothing in it.
    published = {
        "image_missing",
        "image_unreadable",
        "mask_missing",
        "mask_unreadable",
        "mask_empty",
        "mask_size_mismatch",
        "no_lesion",
        "spacing_missing",
        "spacing_absurd",
        "elastography_unreadable",
        "endpoint_missing",
        "neoadjuvant",
        "roi_too_small",
        "features_failed",
        "worker_died",
    }
    assert published <= {str(code) for code in ExclusionCode}
    assert all(code.name.lower() == code.value for code in ExclusionCode)


def test_the_words_of_the_cascade() -> None:
    assert [str(group) for group in RiskGroup] == ["LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"]
    assert [str(split) for split in Split] == ["train", "tuning", "calibration", "test", "external"]
