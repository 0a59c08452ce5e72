"""TRIPOD+AI: what a report of a prediction model tells, 27 items with their sub-items, 52 in all.

Numbers and order are those of the statement; what each item asks is put in words of this project and shortened, so the
statement itself decides in doubt. The checklist for abstracts is not part of it.

References
----------
Collins et al., TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression or
machine learning methods, BMJ 385 (2024) e078378, doi:10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from usdlr.report.checklists import on_model as model
from usdlr.report.checklists import on_people as people
from usdlr.report.checklists import on_results as results
from usdlr.report.checklists.answers import Item, by_author

NAME = "TRIPOD+AI (2024)"

_TITLE, _INTRODUCTION, _METHODS, _OPEN = "Title and abstract", "Introduction", "Methods", "Open science"
_PUBLIC, _RESULTS, _DISCUSSION = "Patients and public", "Results", "Discussion"

ITEMS: tuple[Item, ...] = (
    Item("1", _TITLE, "That a prediction model is made or tested, for whom and which outcome", results.title),
    Item("2", _TITLE, "A structured summary", results.abstract),
    Item("3a", _INTRODUCTION, "Why the model is needed, and what models exist", results.rationale),
    Item("3b", _INTRODUCTION, "Whom the model is for, where in care, and who uses it", results.purpose),
    Item("3c", _INTRODUCTION, "Known inequalities of health", by_author("known inequalities of health")),
    Item("4", _INTRODUCTION, "Aims, and whether a model is made, tested or both", model.objectives),
    Item("5a", _METHODS, "Sources of the data, why these, and whom they represent", people.sources),
    Item("5b", _METHODS, "Dates of the data", by_author("first and last date of enrolment, and end of follow-up")),
    Item("6a", _METHODS, "Setting of care, number and place of centres", people.setting),
    Item("6b", _METHODS, "Who was eligible", people.eligibility),
    Item("6c", _METHODS, "Treatments that patients had", people.treatments),
    Item("7", _METHODS, "How data were prepared, alike for everybody", model.preparation),
    Item("8a", _METHODS, "The outcome, and how and when it was determined", people.outcome),
    Item("8b", _METHODS, "Who judged the outcome", by_author("training and background of the pathologists")),
    Item("8c", _METHODS, "Blinding of those who judged it", by_author("whether pathologists knew image findings")),
    Item("9a", _METHODS, "Why these predictors were considered", model.predictors),
    Item("9b", _METHODS, "Definition of the predictors, and how and when measured", model.predictor_definitions),
    Item("9c", _METHODS, "Who assessed predictors that need judgement", people.annotators),
    Item("10", _METHODS, "How the size of the study came about", people.sample_size),
    Item("11", _METHODS, "Missing data and their handling", people.missing),
    Item("12a", _METHODS, "How data were used and divided", model.partition),
    Item("12b", _METHODS, "How predictors entered the analysis", model.handling),
    Item("12c", _METHODS, "Type of model, steps of its making, tuning, internal testing", model.model),
    Item("12d", _METHODS, "How differences between clusters were judged", people.subgroup_spread),
    Item("12e", _METHODS, "Measures and plots of performance", results.measures),
    Item("12f", _METHODS, "Updating after evaluation", model.updating),
    Item("12g", _METHODS, "How predictions of the evaluation were calculated", model.predicting),
    Item("13", _METHODS, "Handling of class imbalance, and recalibration after it", model.imbalance),
    Item("14", _METHODS, "What was done about fairness", people.fairness),
    Item("15", _METHODS, "Output of the model, and how risks become answers", model.output),
    Item("16", _METHODS, "How evaluation data differ from development data", people.unlike_development),
    Item("17", _METHODS, "Ethics approval and consent", by_author("ethics committee, approval and consent")),
    Item("18a", _OPEN, "Funding", by_author("funding, and what funders decided")),
    Item("18b", _OPEN, "Conflicts of interest", by_author("conflicts of interest of all authors")),
    Item("18c", _OPEN, "Protocol", by_author("where the protocol is, or that there is none")),
    Item("18d", _OPEN, "Registration", by_author("register and number, or that it was not registered")),
    Item("18e", _OPEN, "Availability of the data", by_author("where the data can be had")),
    Item("18f", _OPEN, "Availability of the code", model.code),
    Item("19", _PUBLIC, "Involvement of patients and public", by_author("who was involved, or that nobody was")),
    Item("20a", _RESULTS, "Flow of participants, with and without the outcome", people.flow),
    Item("20b", _RESULTS, "Characteristics of the participants", people.characteristics),
    Item("20c", _RESULTS, "Evaluation patients beside those of the development", people.unlike_development),
    Item("21", _RESULTS, "Participants and events of every analysis", results.per_analysis),
    Item("22", _RESULTS, "The whole model, so that others can predict", model.full_model),
    Item("23a", _RESULTS, "Performance with intervals, in subgroups too", results.performance_and_groups),
    Item("23b", _RESULTS, "Differences between clusters", people.subgroup_spread),
    Item("24", _RESULTS, "What updating changed", model.updating),
    Item("25", _DISCUSSION, "What the results mean, fairness included", by_author("what the results mean")),
    Item("26", _DISCUSSION, "Limitations", results.limits),
    Item("27a", _DISCUSSION, "How poor or lacking input is handled in use", model.poor_input),
    Item("27b", _DISCUSSION, "What users have to do and to know", model.users),
    Item("27c", _DISCUSSION, "Next steps of research", by_author("next steps, generalisability above all")),
)
