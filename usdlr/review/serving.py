"""What the worker process of a live bundle does with a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usdlr.core.errors import DataError
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.review.anew import Request, What, predict_anew, warm_up
from usdlr.review.explaining import explained


class Served:
    """What the worker process does: it holds a bundle from the first request on.

    Parameters
    ----------
    bundle : Path
        Folder or file.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.
    public_key : Path or None
        Of the key that must have signed it.
    """

    def __init__(self, bundle: Path, on_uncertified: Any = None, public_key: Path | None = None) -> None:
        self.path, self.on_uncertified, self.public_key = bundle, on_uncertified, public_key
        self._bundle: Bundle | None = None

    def __call__(self, request: Request) -> Any:
        """The answer to one request.

        Raises
        ------
        InputError
            What is wrong with it.
        """
        bundle = self._bundle = self._bundle or load_bundle(self.path, public_key=self.public_key)
        if request.record is None:
            return warm_up(bundle)
        if request.record.digest != bundle.digest:
            raise DataError(
                f"found an axilla that was loaded with the model {request.record.bundle_id}, expected "
                f"{bundle.bundle_id}, which is at hand; load the cases with it"
            )
        if request.what is What.PREDICT:
            return predict_anew(bundle, request, self.on_uncertified)
        return explained(bundle, request, self.on_uncertified)
