"""The way from the rows of the centres' exports to the tested axillae, step by step, in numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from usdlr.decision.numbers import count
from usdlr.decision.wording_page import conflict_sentence
from usdlr.report.facts import cohort_axillae, kept, setting, tally
from usdlr.report.inputs import StudyInputs
from usdlr.report.tables import exclusion_words

INGEST, COHORT, FEATURES, TEST = "ingest", "cohort", "features", "test"
STEPS = (INGEST, COHORT, FEATURES)
NOT_TESTED = "never tested"
BY_DATE = "examined earlier, never tested (split by date)"


@dataclass(frozen=True)
class FlowRow:
    """What is there after one step.

    Parameters
    ----------
    step : str
        ``exports ingest cohort features test``.
    title : str
        What is counted.
    rows : int or None
        Rows of the exports, one per image set; ``None`` where only axillae are counted.
    axillae, patients : int or None
        ``None`` before the step that knows them.
    left : tuple of (str, int)
        What this step left out, in words, the commonest first: rows, and at ``test`` axillae.
    """

    step: str
    title: str
    rows: int | None
    axillae: int | None
    patients: int | None
    left: tuple[tuple[str, int], ...] = ()

    @property
    def lost(self) -> int:
        """How many this step left out."""
        return sum(n for _, n in self.left)


def flow_rows(inputs: StudyInputs) -> tuple[FlowRow, ...]:
    """Every step from the exports to the tested axillae.

    Rows are those of the exports of the cohort's own centres; patients of other sources have tables of their own. A
    step's ``rows`` are those of the step before less what it left out.

    Parameters
    ----------
    inputs : StudyInputs
        The study.

    Returns
    -------
    tuple of FlowRow
        ``exports ingest cohort features test``, always five.
    """
    return kept(inputs, "_flow", _flow)


def _flow(inputs: StudyInputs) -> tuple[FlowRow, ...]:
    cohort, left = inputs.metrics["cohort"], {step: _reasons(inputs, step) for step in STEPS}
    rows = int(cohort.get("image_sets_with_untested", cohort["image_sets"])) + len(inputs.exclusions)
    flow = [FlowRow("exports", "Rows of the centres' exports", rows, None, None)]
    every = cohort_axillae(inputs)
    tested, patients = int(cohort["axillae"]), int(cohort["patients"])
    for step, title in ((INGEST, "Read"), (COHORT, "In the cohort"), (FEATURES, "Measured")):
        rows -= sum(n for _, n in left[step])
        last = step == FEATURES
        flow.append(
            FlowRow(
                step,
                title,
                rows,
                max(len(every), tested) if last else None,
                max(every["patient_id"].nunique(), patients) if last else None,
                left[step],
            )
        )
    untested = max(len(every) - tested, 0)
    why = BY_DATE if setting(inputs, "splits.by") == "date" else NOT_TESTED
    flow.append(FlowRow(TEST, "Tested", None, tested, patients, ((why, untested),) if untested else ()))
    return tuple(flow)


def lost_patients(inputs: StudyInputs) -> int:
    """Patients of the exports none of whose rows could be used, of those whose id is known."""
    named = set(inputs.exclusions["patient_id"].dropna().astype(str))
    return len(named - set(cohort_axillae(inputs)["patient_id"].astype(str)))


def flow_conflicts(inputs: StudyInputs) -> tuple[str, ...]:
    """One sentence per disagreement between the exclusions and what the metrics say of them; none where all agree."""
    told: dict[str, Any] = {str(code): int(n) for code, n in inputs.metrics["cohort"]["exclusions"].items()}
    listed = tally(inputs.exclusions["code"])
    pairs = [("rows left out", int(inputs.metrics["cohort"]["excluded"]), len(inputs.exclusions))]
    pairs += [
        (f"rows left out, {exclusion_words(code)}", told.get(code, 0), listed.get(code, 0))
        for code in sorted({*told, *listed})
    ]
    other = int((~inputs.exclusions["step"].astype(str).isin(STEPS)).sum())
    pairs.append(("rows left out at a step that is none of ingest, cohort and features", 0, other))
    return tuple(
        conflict_sentence(
            what,
            count(first),
            count(second),
            source="the table of exclusions gives",
            adjective=inputs.marks.adjective,
        )
        for what, first, second in pairs
        if first != second
    )


def _reasons(inputs: StudyInputs, step: str) -> tuple[tuple[str, int], ...]:
    part = inputs.exclusions[inputs.exclusions["step"].astype(str) == step]
    return tuple((exclusion_words(code), n) for code, n in tally(part["code"]).items())
