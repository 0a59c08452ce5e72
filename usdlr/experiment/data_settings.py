"""Where an experiment's cases come from, and what its two stages predict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from usdlr.core.columns import CASES, PROXY_PREFIX
from usdlr.core.errors import ConfigError
from usdlr.core.types import Site, Stage
from usdlr.core.where import checked_conditions
from usdlr.ingest.settings import IngestSettings
from usdlr.models.settings import checked_sites
from usdlr.radiomics.design import require_preoperative

# What is stated in millimetres, and has no meaning where lengths are relative to the lesion.
LENGTHS = tuple(column.name for column in CASES if column.unit == "mm")


@dataclass(frozen=True)
class EndpointSettings:
    """What one stage predicts.

    Parameters
    ----------
    column : str
        Boolean column of ``cases``.
    positive : str
        Words for the positive class.
    proxy : str or None
        A sentence when the column only stands in for node status.
    """

    column: str
    positive: str
    proxy: str | None = None


@dataclass(frozen=True)
class DataSettings:
    """Where the cases come from.

    Parameters
    ----------
    centre : str
        Name of the centre adapter.
    root : str or None
        Folder of the centre's export; machines differ, so it is given on the command line.
    sln, nsln : EndpointSettings
        Endpoints of the two stages.
    clinical : list of str
        Pre-operative variables that join the radiomics block, numbers and words in an order (``cn_stage``, ``birads``,
        which become ranks); see :func:`usdlr.radiomics.design.require_preoperative`.
    where : dict of str to list or dict
        Who belongs to the cohort: by pre-operative column the values that do, e.g. ``{cn_stage: [cN0]}``, or ``min``
        and ``max`` of a number, e.g. ``{age_years: {min: 18}}``; all must hold, see :mod:`usdlr.core.where`. Everybody
        else is left out before patients are divided, with a code of its own where the value is not known, from
        external sources too; the bundle carries the conditions and gives nobody else an answer.
    sites : list of str
        Whose images are read: ``[tumour]``, or ``[tumour, axilla]`` for lymph nodes too. A node's image needs an
        outline and spacing as a tumour's does, and joins its axilla in image blocks of its own; radiomics and clinical
        variables stay the tumour's. An axilla without any image of the tumour is left out.
    ingest : IngestSettings
        Field of view, drawn marks, repair of contours, millimetres or a scale relative to the lesion.
    segmenter : str or None
        A bundle of ``usdlr fit_segmenter``: every tumour is then outlined by it, the readers' outlines count for
        nothing, and each row says so. It must not have learned from any of the patients. Machines differ: its content
        decides, not its path. External sources are outlined by it too.
    external : dict of str to str or None
        Further sources, folder of the export by centre adapter, whose patients never train: the bundle judges them,
        and nothing of them reaches a selector, score, network, calibrator or threshold. Folders are given on the
        command line, as ``data.root`` is.
    """

    centre: str
    root: str | None = None
    sln: EndpointSettings = field(
        default_factory=lambda: EndpointSettings("sln_positive", "positive sentinel lymph node")
    )
    nsln: EndpointSettings = field(
        default_factory=lambda: EndpointSettings("nsln_positive", "positive non-sentinel lymph node")
    )
    clinical: list[str] = field(default_factory=lambda: ["tumour_size_mm"])
    where: dict[str, Any] = field(default_factory=dict)
    sites: list[str] = field(default_factory=lambda: [str(Site.TUMOUR)])
    ingest: IngestSettings = field(default_factory=IngestSettings)
    segmenter: str | None = None
    external: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_preoperative(self.clinical)
        object.__setattr__(self, "where", checked_conditions(self.where))
        self._check_proxies()
        object.__setattr__(self, "sites", checked_sites(self.sites, "data.sites"))
        measured = [name for name in (*self.clinical, *self.where) if name in LENGTHS]
        if self.ingest.relative_diameter is not None and measured:
            key = "clinical" if measured[0] in self.clinical else "where"
            raise ConfigError(
                f"found data.{key} = {measured[0]} with data.ingest.relative_diameter, under which every length is "
                "relative to the lesion and no size in millimetres is kept, expected variables without a length; leave "
                "it out, e.g. data.clinical = []"
            )
        if self.sln.column == self.nsln.column:
            raise ConfigError(f"found data.sln.column = data.nsln.column = {self.sln.column!r}, expected two endpoints")

    def _check_proxies(self) -> None:
        """Refuse an input, or a condition, that an endpoint is made of: ``proxy_birads5`` says what ``birads`` says."""
        for stage in Stage:
            endpoint = self.endpoint(stage).column
            for key, names in (("clinical", list(self.clinical)), ("where", list(self.where))):
                for name in names:
                    if endpoint.startswith(PROXY_PREFIX + name):
                        raise ConfigError(
                            f"found data.{key} with {name} and data.{stage}.column = {endpoint}, which is made of it, "
                            "expected other variables than the endpoint's own; leave one of them out"
                        )

    def endpoint(self, stage: Stage) -> EndpointSettings:
        """The endpoint of a stage."""
        return self.sln if stage is Stage.SLN else self.nsln
