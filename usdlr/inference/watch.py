"""A folder that is watched: every study that appears in it is predicted once.

A study is a folder of its own, in the form that the centre's adapter reads. It is read when its files have not changed
between two looks. What was predicted survives a restart; a study that cannot be read becomes an exclusion, and the next
one is taken up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import SHORT, data_hash, file_hash
from usdlr.core.journal import Journal
from usdlr.core.progress import say
from usdlr.core.provenance import package_versions
from usdlr.core.types import ExclusionCode, OnUncertified, Side
from usdlr.inference.bundle import Bundle
from usdlr.inference.contour import require_millimetres
from usdlr.inference.predictor import Prediction, exclusion_table
from usdlr.inference.stream import StreamSettings, predict_stream, read_part, together, write_part
from usdlr.ingest.adapter import adapter_named
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.settings import IngestSettings

# Names, sizes and times of a study's files.
Look = tuple[tuple[str, int, int], ...]
STEP, MADE_BY = "study-", "made_by.json"


@dataclass
class Watch:
    """A watched folder.

    Parameters
    ----------
    folder : Path
        Where studies appear, each in a folder of its own.
    centre : str
        Name of the adapter.
    out : Path
        Where canonical images and finished studies are kept.
    bundle : Bundle
        The model.
    settings : StreamSettings
        As for :func:`usdlr.inference.stream.predict_stream`.
    on_uncertified : OnUncertified or None
        Instead of the bundle's own choice.
    key_file : Path or None
        Secret key of the pseudonyms.

    Raises
    ------
    ConfigError
        If there is no such adapter, or ``out`` holds studies that another bundle answered, or the same one in another
        way: answers of two kinds never share a table.
    """

    folder: Path
    centre: str
    out: Path
    bundle: Bundle
    settings: StreamSettings
    on_uncertified: OnUncertified | None = None
    key_file: Path | None = None
    _seen: dict[str, Look] = field(default_factory=dict, init=False)
    _done: dict[str, Look] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DataError(f"found no folder at {self.folder}, expected one in which studies appear; check the path")
        bundle = self.bundle
        if self.settings.contours:  # here, lest every study is refused for it
            require_millimetres(bundle)
        # Here too: an error of the command is not one of every study.
        adapter_named(self.centre)
        made_by = self._made_by()
        _require_same(self.out / ".watch" / MADE_BY, made_by)
        self._journal = Journal(self.out / ".watch", made_by)

    def _made_by(self) -> dict[str, Any]:
        """Everything but a study's own files that its answer depends on."""
        bundle, settings = self.bundle, self.settings
        return {
            "bundle": bundle.bundle_id,
            "member": bundle.member.name,
            "runtime": bundle.runtime,
            "on_uncertified": str(self.on_uncertified or bundle.on_uncertified),
            "centre": self.centre,
            "key_file": None if self.key_file is None else file_hash(self.key_file),
            "contours": [settings.contours, asdict(settings.disagreement)] if settings.contours else 0,
            "usdlr": package_versions().get("usdlr"),
        }

    def poll(self) -> int:
        """Look once; returns how many studies were taken up."""
        taken = 0
        found = {path.name: path for path in sorted(self.folder.iterdir()) if path.is_dir() and path.name[0] != "."}
        looks = {name: _look(path) for name, path in found.items()}
        for name, path in found.items():
            look = looks[name]
            stable = bool(look) and self._seen.get(name) == look
            if not stable or self._done.get(name) == look:
                continue
            key = _content(path)
            if _look(path) != look:  # still being written after all
                continue
            if not self._journal.is_done(STEP + key[: 2 * SHORT], key):
                self._take(path, key)
                taken += 1
            self._done[name] = look
        self._seen = looks
        return taken

    def run(
        self,
        *,
        every_s: float,
        polls: int,
        on_taken: Callable[[Prediction], object],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Look again and again.

        Parameters
        ----------
        every_s : float
            Seconds between two looks.
        polls : int
            How many looks; 0 for ever.
        on_taken : callable
            Gets everything that is predicted so far: at the start, and whenever there is more.
        sleep : callable
            Waits so many seconds.
        """
        on_taken(self.everything())
        number = 0
        while True:
            if self.poll():
                on_taken(self.everything())
            number += 1
            if number == polls:
                return
            sleep(every_s)

    def everything(self) -> Prediction:
        """All studies so far, in the order in which they were taken up."""
        names = [name for name in self._journal.times() if name.startswith(STEP)]
        parts = [read_part(self.out / ".watch" / name) for name in names]
        if not parts:
            empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty(), tables.EXCLUSIONS.empty()
            return Prediction(*empty, foreign_centres=(), seen=0)
        return Prediction(
            tables.PREDICTIONS.conform(together([part.predictions for part in parts])),
            tables.DECISIONS.conform(together([part.decisions for part in parts])),
            tables.EXCLUSIONS.conform(together([part.exclusions for part in parts])),
            tuple(sorted({centre for part in parts for centre in part.foreign_centres})),
            sum(part.seen for part in parts),
            tables.RELIABILITY.conform(together([part.reliability for part in parts])),
        )

    def _take(self, path: Path, key: str) -> None:
        name = STEP + key[: 2 * SHORT]
        began = time.time()
        try:
            found = self._predicted(path, key[: 2 * SHORT])
        except InputError as error:
            found = self._refused(path, key, error)
        written = write_part(found, self.out / ".watch" / name)
        self._journal.mark_done(name, key, written, (began, time.time()))
        say(f"study {key[:SHORT]}: {len(found.decisions)} axillae, {len(found.exclusions)} excluded")

    def _predicted(self, path: Path, name: str) -> Prediction:
        root = self.out / "studies" / name
        taken = ingest(
            path,
            self.centre,
            root,
            jobs=self.settings.jobs,
            settings=ingest_settings(self.bundle),
            key_file=self.key_file,
        )
        known = self.everything().decisions[AXILLA_KEY]
        again = taken.cases[AXILLA_KEY].merge(known.assign(again=True), on=AXILLA_KEY, how="left")["again"].notna()
        reason = (
            str(ExclusionCode.ALREADY_PREDICTED),
            "found an axilla that an earlier study was predicted for, expected each once; predict both studies "
            "together in another folder",
        )
        twice = taken.cases[again.to_numpy()]
        repeated = exclusion_table(twice, dict.fromkeys(map(str, twice["image_id"]), reason), "cohort")
        exclusions = [taken.exclusions, repeated]
        fresh = taken.cases[~again.to_numpy()].reset_index(drop=True)
        if fresh.empty:
            empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty()
            found = Prediction(*empty, tables.EXCLUSIONS.empty(), foreign_centres=(), seen=0)
        else:
            found = predict_stream(
                self.bundle,
                fresh,
                root,
                folder=root / ".predicted",
                settings=self.settings,
                on_uncertified=self.on_uncertified,
                none_is_fine=True,
            )
        told = together([*exclusions, found.exclusions])
        return Prediction(
            found.predictions, found.decisions, told, found.foreign_centres, found.seen, found.reliability
        )

    def _refused(self, path: Path, key: str, error: InputError) -> Prediction:
        # The folder's name may be a patient's.
        named = rf"(?<!\w)(?:{re.escape(str(path))}|{re.escape(path.name)})(?!\w)"
        sentence = re.sub(named, "the study", str(error))
        row = {
            "centre_id": self.centre,
            "patient_id": f"study-{key[:SHORT]}",
            "side": str(Side.UNKNOWN),
            "source_id": f"study-{key[:SHORT]}",
            "step": "ingest",
            "code": str(ExclusionCode.STUDY_REFUSED),
            "sentence": sentence,
        }
        empty = tables.PREDICTIONS.empty(), tables.DECISIONS.empty()
        return Prediction(*empty, tables.EXCLUSIONS.conform(pd.DataFrame([row])), foreign_centres=(), seen=0)


def _require_same(file: Path, made_by: dict[str, Any]) -> None:
    if not file.is_file():
        write_json(file, made_by)
        return
    before = read_json(file)
    before = before if isinstance(before, dict) else {}
    for name, value in made_by.items():
        if before.get(name) != value:
            raise ConfigError(
                f"found a folder of studies answered with {name} = {before.get(name)}, expected {value} as now; give "
                "another --out, so that answers of two kinds do not mix"
            )


def ingest_settings(bundle: Bundle) -> IngestSettings:
    """How an export is read for a model: in its scale, and with a clip's neighbouring frames where it reads them."""
    preparation = bundle.preparation
    stems = {variant.network.stem for variant in preparation.ensemble}
    return IngestSettings(adjacent_frames="frames" in stems, relative_diameter=preparation.relative_diameter)


def _look(study: Path) -> Look:
    """Names, sizes and times of all files of a study; empty while one of them cannot be looked at."""
    try:
        stats = [(path, path.stat()) for path in sorted(study.rglob("*")) if path.is_file()]
    except OSError:
        return ()
    return tuple((str(path.relative_to(study)), stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def _content(study: Path) -> str:
    """Hash of the names and bytes of all files of a study."""
    files = [path for path in sorted(study.rglob("*")) if path.is_file()]
    return data_hash([(str(path.relative_to(study)), file_hash(path)) for path in files])
