"""CLAIM, 2024 update: what a report of artificial intelligence in medical imaging tells, 44 items.

Numbers and order are those of the update, which differ from those of 2020 (42 items); what each item asks is put in
words of this project and shortened, so the checklist itself decides in doubt. Its terms are kept: *reference
standard*, *internal testing*, *external testing*.

References
----------
Mongan, Moy and Kahn, Checklist for artificial intelligence in medical imaging (CLAIM), Radiol Artif Intell 2 (2020)
e200029, doi:10.1148/ryai.2020200029. Tejani et al., CLAIM: 2024 update, Radiol Artif Intell 6 (2024) e240300,
doi:10.1148/ryai.240300.
"""

from __future__ import annotations

from usdlr.report.checklists import on_model as model
from usdlr.report.checklists import on_people as people
from usdlr.report.checklists import on_results as results
from usdlr.report.checklists.answers import Item, by_author

NAME = "CLAIM (2024 update)"

_TITLE, _INTRODUCTION, _DESIGN, _DATA = "Title and abstract", "Introduction", "Study design", "Data"
_REFERENCE, _PARTS, _MODEL, _TRAINING = "Reference standard", "Data partitions", "Model", "Training"
_EVALUATION, _RESULTS, _DISCUSSION, _OTHER = "Evaluation", "Results", "Discussion", "Other information"

ITEMS: tuple[Item, ...] = (
    Item("1", _TITLE, "That artificial intelligence is studied, and of what kind", results.title),
    Item("2", _TITLE, "Summary of design, methods, results and conclusions", results.abstract),
    Item("3", _INTRODUCTION, "Background, intended use and clinical role", results.rationale),
    Item("4", _INTRODUCTION, "Aims and hypotheses", model.objectives),
    Item("5", _DESIGN, "Prospective or retrospective", by_author("whether data were collected for this study")),
    Item("6", _DESIGN, "Goal of the study", model.objectives),
    Item("7", _DATA, "Sources of the data", people.sources),
    Item("8", _DATA, "Who was included and excluded", people.eligibility),
    Item("9", _DATA, "Preprocessing", model.preparation),
    Item("10", _DATA, "Which part of the data was selected", people.subsets),
    Item("11", _DATA, "De-identification", by_author("how the centres removed identifying data before the export")),
    Item("12", _DATA, "Handling of missing data", people.missing),
    Item("13", _DATA, "How images were acquired", people.acquisition),
    Item("14", _REFERENCE, "How the reference standard was obtained", people.outcome),
    Item("15", _REFERENCE, "Why this reference standard", people.why_reference),
    Item(
        "16", _REFERENCE, "Who provided the reference standard", by_author("who judged the nodes, and their training")
    ),
    Item("17", _REFERENCE, "Annotation of the test data", people.annotators),
    Item("18", _REFERENCE, "Variability within and between readers", by_author("variability of contours and labels")),
    Item("19", _PARTS, "How data were assigned to partitions", model.partition),
    Item("20", _PARTS, "Level at which partitions are disjoint", model.level_of_partition),
    Item("21", _PARTS, "Intended sample size", people.sample_size),
    Item("22", _MODEL, "The model in detail, its inputs and outputs", model.model),
    Item("23", _MODEL, "Software", model.software),
    Item("24", _MODEL, "How parameters were initialised", model.start),
    Item("25", _TRAINING, "Training in detail", model.training),
    Item("26", _TRAINING, "How the final model was chosen", model.final_model),
    Item("27", _TRAINING, "Ensembles", model.ensemble),
    Item("28", _EVALUATION, "Measures of performance", results.measures),
    Item("29", _EVALUATION, "Measures of significance and uncertainty", results.uncertainty),
    Item("30", _EVALUATION, "Robustness and sensitivity analyses", results.robustness),
    Item("31", _EVALUATION, "Explainability", model.explanations),
    Item("32", _EVALUATION, "Internal testing", results.internal),
    Item("33", _EVALUATION, "External testing", results.external),
    Item("34", _EVALUATION, "Registration of a clinical trial", by_author("register and number, if it is a trial")),
    Item("35", _RESULTS, "Numbers included and excluded", people.flow),
    Item("36", _RESULTS, "Characteristics of the patients of each partition", people.characteristics_by_part),
    Item("37", _RESULTS, "Performance with its uncertainty", results.performance_and_groups),
    Item("38", _RESULTS, "Diagnostic performance and its precision", results.diagnostic),
    Item("39", _RESULTS, "Analysis of failures", results.failures),
    Item("40", _DISCUSSION, "Limitations", results.limits),
    Item("41", _DISCUSSION, "Implications for practice", results.implications),
    Item("42", _OTHER, "Protocol and further technical detail", by_author("where protocol and further detail are")),
    Item("43", _OTHER, "Availability of software, model and data", model.code),
    Item("44", _OTHER, "Funding and the role of funders", by_author("funding, and what funders decided")),
)
