"""A plan filled in from a bundle, with comments, for somebody to complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from usdlr.core.errors import BundleError
from usdlr.core.types import Stage
from usdlr.evaluation.levels import VARIABLES
from usdlr.inference.bundle import Bundle
from usdlr.ingest.settings import IngestSettings
from usdlr.validation.plan import SCHEMA, Endpoint, Expected, Hypotheses, Plan
from usdlr.validation.size import needed_lines

_COMMENTS: Mapping[str, str] = {
    "schema": "Plan of an external validation. Complete it, then lock it before anybody looks at an outcome:\n"
    "  usdlr validate lock --bundle BUNDLE --plan THIS_FILE --cases cases.parquet\n"
    "Lines that begin with # are comments and no part of the plan.",
    "title": "Heading and question of the page.",
    "bundle": "The frozen model; another one is refused.",
    "registered_by": "Who plans this, and when; printed, not checked. A number of a registry fits here too.",
    "endpoints": "Columns of cases.parquet, or of the file of outcomes (--outcomes), true or false; empty is unknown.",
    "hypotheses": "alpha: largest tolerated false-negative rates; held, broken or undetermined is said of these.\n"
    "auc: area that the lower end of the 95 % interval should exceed, or null. slope: range for the calibration slope.",
    "sample_size": "What is expected here, as shares (0.3, not 30).",
    "centres": "centre_id of those who take part; empty: everybody in the files.",
    "development_centres": "Of these, centres at which the model was made (validation in time).\n"
    "The contract is void at all others, whatever they are called.",
    "sources": "Adapter of every raw export: a name of yours, and how it is read; then give --data.NAME FOLDER.",
    "ingest": "How raw exports are read; as the model's own patients were.",
    "where": "Whom the plan is about, by what is known before surgery, e.g. {age_years: {min: 18}}.",
    "subgroups": "Figures are divided by these and by nothing else.",
    "shift_rate": "How often a centre like the training patients may be called different.",
    "gallery": "Cases shown, missed ones first.",
}


def template(bundle: Bundle) -> Plan:
    """A plan whose endpoints, targets and reading are the bundle's own.

    Raises
    ------
    BundleError
        If the bundle's card does not name its endpoints.
    """
    card, contract = bundle.card, bundle.member.contract
    try:
        ends = {
            str(stage): Endpoint(
                card["endpoints"][stage]["column"], card["endpoints"][stage]["positive"], card["proxies"][stage]
            )
            for stage in map(str, Stage)
        }
        counts: Mapping[str, Any] = card["cohort"]
    except KeyError as error:
        raise BundleError(
            f"found no {error} in the card of the bundle, expected its endpoints; export it again with this version"
        ) from error
    reading = card.get("ingest") or {"relative_diameter": bundle.preparation.relative_diameter}
    alpha = {str(stage): contract.alpha[str(stage)] for stage in Stage}
    made_of = [one.column for one in ends.values()]
    return Plan(
        title=f"External validation of {card['experiment']}",
        question="Does the frozen model keep its false-negative targets at this centre, and are its risks right?",
        bundle=bundle.bundle_id,
        endpoints=ends,
        hypotheses=Hypotheses(alpha),
        sample_size=Expected(
            prevalence=_share(counts["sln"]),
            nsln_prevalence=_share(counts["nsln"]),
            dissected=_known(counts["nsln"]),
            fnr=round(min(alpha.values()) / 2, 4),
        ),
        ingest=IngestSettings(**reading),
        subgroups=[
            one.name for one in VARIABLES if not any(column.startswith(f"proxy_{one.name}") for column in made_of)
        ],
    )


def template_text(plan: Plan) -> str:
    """A plan as YAML with a comment above every key, and how many patients it needs."""
    content = plan.as_dict()
    order = ["schema", "title", "question", "bundle", "registered_by", "registered_on"]
    order += [key for key in content if key not in order]
    assert content["schema"] == SCHEMA
    parts = []
    for key in order:
        comment = "".join(f"# {line}\n" for line in _COMMENTS.get(key, "").split("\n") if line)
        if key == "sample_size":
            comment += "".join(f"# {line}\n" for line in needed_lines(plan))
        text = yaml.safe_dump({key: _plain(content[key])}, sort_keys=False, allow_unicode=True, width=110)
        parts.append(comment + text)
    return "\n".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _share(counts: Mapping[str, int]) -> float:
    known = counts["positive"] + counts["negative"]
    return round(min(0.95, max(0.05, counts["positive"] / known)), 3) if known else 0.3


def _known(counts: Mapping[str, int]) -> float:
    every = sum(counts[name] for name in ("positive", "negative", "unknown"))
    return round(max(0.05, 1 - counts["unknown"] / every), 3) if every else 1.0
