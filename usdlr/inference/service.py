"""A model in a few lines of Python: one axilla's images in, probabilities, group and what they are worth out.

::

    predictor = Predictor.open("model.usdlr")
    answer = predictor.axilla([Image("a.dcm", mask="a_mask.png")], clinical={"age_years": 54})
    print(answer.group, answer.sentences)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import CONTRIBUTION_PREFIX
from usdlr.core.errors import DataError
from usdlr.core.types import OnUncertified, RiskGroup, Side, Stage
from usdlr.decision import wording
from usdlr.decision.wording_intervals import conformal_sentence, contour_sentence
from usdlr.decision.wording_ood import strangers_line
from usdlr.inference.bundle import TORCH, Bundle, load_bundle
from usdlr.inference.contour import ContourSpread, automatic_disagreement, contour_spread
from usdlr.inference.image_input import Image, load_image
from usdlr.inference.loaded import LoadedCase, prepare_loaded
from usdlr.inference.onnx_bundle import with_runtime
from usdlr.inference.predictor import Prediction, predict_prepared
from usdlr.inference.stream import AUTOMATIC_CONTOURS, StreamSettings, predict_stream
from usdlr.radiomics.design import require_preoperative
from usdlr.radiomics.stability.redraw import ReaderDisagreement

__all__ = ["Answer", "Image", "Predictor", "StageAnswer"]


@dataclass(frozen=True)
class StageAnswer:
    """What the model says of one question.

    Parameters
    ----------
    probability : float
        Of a positive (sentinel; or, given a positive sentinel, non-sentinel) node.
    threshold : float
        Below it the axilla counts as low-risk.
    low, high : float
        90 % interval of the estimate; about the model, not the patient.
    conformal : tuple of float
        Ends of the conformal interval; not-a-number where the bundle has none.
    contributions : mapping of str to float
        Share of every block in the log-odds, and ``base``; they add up to it. An absent block has none.
    """

    probability: float
    threshold: float
    low: float
    high: float
    conformal: tuple[float, float]
    contributions: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """What the model says of one axilla.

    Parameters
    ----------
    group : RiskGroup
        The cascade's answer.
    stages : mapping of Stage to StageAnswer
        Both questions.
    contract : str
        Standing of the contract behind the thresholds.
    flags : tuple of str
        Quality flags of the images used.
    left_out : tuple of str
        Why images were not used, a sentence each.
    contours : ContourSpread or None
        Answers over redrawn contours, where asked for.
    sentences : tuple of str
        Everything that a reader must know, the decision among it.
    reliability : mapping of str to object
        The axilla's row of ``reliability``.
    """

    group: RiskGroup
    stages: Mapping[Stage, StageAnswer]
    contract: str
    flags: tuple[str, ...]
    left_out: tuple[str, ...]
    contours: ContourSpread | None
    sentences: tuple[str, ...]
    reliability: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictor:
    """A bundle in use.

    Parameters
    ----------
    bundle : Bundle
        The model.
    on_uncertified : OnUncertified or None
        What to answer without a certified contract, instead of the bundle's own choice.
    """

    bundle: Bundle
    on_uncertified: OnUncertified | None = None

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        member: str | None = None,
        on_uncertified: OnUncertified | str | None = None,
        public_key: Path | str | None = None,
        runtime: str = TORCH,
    ) -> Self:
        """Read and verify a bundle: a folder or a ``.usdlr`` file.

        Parameters
        ----------
        path : Path
            The bundle.
        member : str, optional
            Name of a fold to use instead of the model that ships.
        on_uncertified : OnUncertified, optional
            What to answer without a certified contract, instead of the bundle's own choice.
        public_key : Path, optional
            PEM file of the key that must have signed the bundle.
        runtime : str
            ``torch``, or ``onnx`` where the bundle holds its networks for ONNX Runtime.

        Raises
        ------
        DataError
            If there is no bundle, no such member, or no such answer.
        BundleError
            If it is damaged, altered or of another version.
        """
        if on_uncertified is not None and str(on_uncertified) not in set(map(str, OnUncertified)):
            known = " or ".join(map(str, OnUncertified))
            raise DataError(f"found on_uncertified = {on_uncertified!r}, expected {known}")
        answer = None if on_uncertified is None else OnUncertified(on_uncertified)
        key = None if public_key is None else Path(public_key)
        return cls(with_runtime(load_bundle(Path(path), member=member, public_key=key), runtime), answer)

    def cohort(
        self, cases: Path | str | pd.DataFrame, root: Path | str | None = None, *, folder: Path | str, **settings: Any
    ) -> Prediction:
        """Predict every axilla of a ``cases`` table.

        Parameters
        ----------
        cases : Path or DataFrame
            The table, or its file.
        root : Path, optional
            Folder its paths are relative to; by default the file's own.
        folder : Path
            Where finished chunks lie, so that an interrupted call continues.
        **settings
            Those of :class:`usdlr.inference.stream.StreamSettings`.

        Raises
        ------
        DataError
            If a table is given without ``root``, or no case can be used.
        """
        if isinstance(cases, pd.DataFrame):
            if root is None:
                raise DataError("found a table without root, expected the folder that its paths are relative to")
            table, place = tables.CASES.conform(cases), Path(root)
        else:
            table, place = tables.CASES.read(Path(cases)), Path(cases).parent if root is None else Path(root)
        return predict_stream(
            self.bundle,
            table,
            place,
            folder=Path(folder),
            settings=StreamSettings(**settings),
            on_uncertified=self.on_uncertified,
        )

    def axilla(
        self,
        images: Sequence[Image],
        *,
        clinical: Mapping[str, Any] | None = None,
        side: Side | str = Side.UNKNOWN,
        centre: str | None = None,
        contours: int = 0,
        automatic_contours: int = AUTOMATIC_CONTOURS,
        disagreement: ReaderDisagreement | None = None,
    ) -> Answer:
        """Predict one axilla.

        Parameters
        ----------
        images : sequence of Image
            All of this patient and side.
        clinical : mapping, optional
            Pre-operative variables by their names in ``cases``, such as ``age_years`` and ``tumour_size_mm``; what is
            not known may be left out.
        side : Side
            Of the body.
        centre : str, optional
            Where the images come from. The contract is void elsewhere than at the model's own centres, and where this
            is not said.
        contours : int
            How many times every contour is redrawn; 0: not at all.
        automatic_contours : int
            How many times at the least where a contour is software's, as far as it is expected to lie from a reader's;
            0: as the others. A model whose lengths are relative to the lesion redraws none.
        disagreement : ReaderDisagreement, optional
            How far redrawn contours lie apart.

        Raises
        ------
        DataError
            If there is no image, or none that can be used; the reason is the first image's.
        ConfigError
            If a clinical variable is unknown, or known only after surgery.
        TableError
            If a value is out of its range.
        CaseError
            If an image's file cannot be read.
        """
        if not images:
            raise DataError("found no image, expected at least one of the tumour")
        known = dict(clinical or {})
        require_preoperative(list(known))
        loaded = [
            load_image(
                image,
                number,
                clinical=known,
                side=Side(side),
                centre=centre or "unstated",
                relative_diameter=self.bundle.preparation.relative_diameter,
            )
            for number, image in enumerate(images, start=1)
        ]
        return self.answer(loaded, contours=contours, automatic_contours=automatic_contours, disagreement=disagreement)

    def answer(
        self,
        loaded: Sequence[LoadedCase],
        *,
        contours: int = 0,
        automatic_contours: int = AUTOMATIC_CONTOURS,
        disagreement: ReaderDisagreement | None = None,
    ) -> Answer:
        """Predict one axilla whose image sets are checked rows of ``cases`` in memory; see :meth:`axilla`.

        Raises
        ------
        DataError
            If they are of several axillae, or none can be used.
        """
        axillae = {(str(case.row["patient_id"]), str(case.row["side"])) for case in loaded}
        if len(axillae) != 1:
            raise DataError(f"found image sets of {len(axillae)} axillae, expected those of one; ask for each apart")
        prepared = prepare_loaded(self.bundle.preparation, loaded, checked=False)
        found = predict_prepared(self.bundle, prepared, on_uncertified=self.on_uncertified)
        spread = None
        disagreement = disagreement or ReaderDisagreement()
        redrawn = automatic_disagreement(found.reliability, self.bundle, automatic_contours, disagreement)
        for far in redrawn.values():  # of this axilla, if there is one
            contours, disagreement = max(contours, automatic_contours), far
        if contours:
            used = set(prepared.cases["image_id"])
            spread = contour_spread(
                self.bundle,
                [case for case in loaded if case.image_id in used],
                count=contours,
                disagreement=disagreement,
                on_uncertified=self.on_uncertified,
            )
        return _answer(self.bundle, found, prepared.cases, spread, disagreement)


def _answer(
    bundle: Bundle,
    found: Prediction,
    cases: pd.DataFrame,
    spread: ContourSpread | None,
    disagreement: ReaderDisagreement,
) -> Answer:
    decision = found.decisions.iloc[0]
    told: dict[str, Any] = {str(name): value for name, value in found.reliability.iloc[0].items()}
    stages = {}
    for stage in Stage:
        row = found.predictions[found.predictions["stage"] == str(stage)].iloc[0]
        low, high = _probabilities(row[["logit_low", "logit_high"]].to_numpy(np.float64))
        stages[stage] = StageAnswer(
            probability=float(row["probability"]),
            threshold=float(decision[f"t_{stage}"]),
            low=low,
            high=high,
            conformal=(float(told[f"conformal_low_{stage}"]), float(told[f"conformal_high_{stage}"])),
            contributions={
                str(name).removeprefix(CONTRIBUTION_PREFIX): float(value)
                for name, value in row.items()
                if str(name).startswith(CONTRIBUTION_PREFIX) and not pd.isna(value)
            },
        )
    group = RiskGroup(decision["risk_group"])
    sentences = [*notices(bundle, found), str(decision["reason"])]
    if not pd.isna(told["ood_why"]):
        sentences.append(str(told["ood_why"]))
    sentences += [conformal_sentence(stage, *stages[stage].conformal) for stage in Stage]
    if spread is not None:
        columns = spread.columns()
        told |= columns
        sentences += [
            contour_sentence(
                stage,
                columns[f"contour_low_{stage}"],
                columns[f"contour_high_{stage}"],
                same=spread.group.count(group),
                n=len(spread.group),
                asked=spread.asked,
                mean_abs_mm=disagreement.mean_abs_mm,
            )
            for stage in Stage
        ]
    flags = sorted({flag for text in cases["quality_flags"].dropna() for flag in str(text).split()})
    return Answer(
        group=group,
        stages=stages,
        contract=str(decision["contract"]),
        flags=tuple(flags),
        left_out=tuple(map(str, found.exclusions["sentence"])),
        contours=spread,
        sentences=tuple(sentences),
        reliability=told,
    )


def notices(bundle: Bundle, found: Prediction) -> list[str]:
    """What a reader must know before the first number."""
    card, lines = bundle.card, [wording.NOT_A_MEDICAL_DEVICE]
    if card["simulated"]:
        lines.append(wording.SIMULATED)
    proxies = {Stage(name): text for name, text in card["proxies"].items() if text}
    lines += [wording.proxy_notice(stage, text) for stage, text in proxies.items()]
    lines.append(wording.cohort_line(card["cohort"]))
    known = wording.known_nsln(proxy=Stage.NSLN in proxies)
    lines += wording.contract_lines(bundle.member.contract, known_nsln=known)
    if found.foreign_centres:
        lines.append(wording.void_sentence(found.foreign_centres))
    if found.seen:
        lines.append(wording.seen_sentence(found.seen, len(found.decisions)))
    alarms = found.reliability["ood_alarm"]
    if alarms.fillna(False).any() and bundle.member.ood is not None:
        lines.append(strangers_line(int(alarms.sum()), int(alarms.notna().sum()), bundle.member.ood.rate))
    return lines


def _probabilities(logits: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = 1 / (1 + np.exp(-logits))
    return float(low), float(high)
