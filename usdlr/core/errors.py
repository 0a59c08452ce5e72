"""One error tree. A message says what was found, what was expected, and how to mend it.

::

    UsdlrError
    └── InputError            the user's input or configuration: exit code 2, one line, no traceback
        ├── ConfigError       a key, a value or a combination in a configuration
        ├── DataError         a file or folder that cannot be used at all
        ├── TableError        a table that breaks its schema
        ├── CaseError         one case that cannot be used: becomes a row in ``exclusions.csv``
        ├── LeakError         information would cross a split boundary
        ├── LockError         a validation that is not the one that was planned
        └── BundleError       a bundle that is damaged, altered or of another version

Anything that is not an :class:`UsdlrError` is a defect of usdlr and keeps its traceback (exit code 1).
"""

from __future__ import annotations

from usdlr.core.types import ExclusionCode


class UsdlrError(Exception):
    """Base of every error that usdlr raises on purpose."""


class InputError(UsdlrError):
    """The user's input is wrong; the message names what, where, and how to mend it."""


class ConfigError(InputError):
    """A configuration key, value or combination that cannot work."""


class DataError(InputError):
    """A file or folder that is missing, unreadable or not what it claims to be."""


class TableError(InputError):
    """A table that breaks its schema."""


class CaseError(InputError):
    """One case that cannot be used.

    Parameters
    ----------
    code : ExclusionCode
        Machine-readable reason.
    sentence : str
        What was found, what was expected, how to mend it.
    """

    def __init__(self, code: ExclusionCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence

    def __reduce__(self) -> tuple[type[CaseError], tuple[ExclusionCode, str]]:
        # The default pickles only `args`; worker processes must hand the code back too.
        return type(self), (self.code, self.sentence)


class LeakError(InputError):
    """Information about tuning, calibration or test patients would reach a fit."""


class LockError(InputError):
    """Plan, bundle, patients or outcomes of a validation are others than those that were locked."""


class BundleError(InputError):
    """A model bundle that is damaged, altered or of another schema version."""
