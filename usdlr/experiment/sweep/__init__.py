"""Many runs from one file: an ablation grid that reports all of its points, or a search that chooses one.

What is nested and what is not
------------------------------
*Within a fold*, of every point: weights, scalers and the selection of features see training patients; the epoch at
which the fit stops, the calibrators and the path of thresholds see tuning patients; the thresholds see calibration
patients, once; the fold's test patients are seen by nothing.

*A search* adds one choice: the settings whose AUC on **tuning** patients, averaged over the folds, is best. It never
reads a test row, and an objective of test results (``stages.*``) is refused. Still, in cross-validation the tuning
patients of one fold are the test patients of another, so one choice for all folds has seen everybody's outcome through
the tuning rows. The test AUC of the chosen point is therefore **not** nested, and somewhat too good. With one outer
fold (``splits.by: date``) this does not arise.

*The nested estimate* (``nested.json``, :mod:`usdlr.experiment.sweep.nested`) lets every outer fold choose for itself:
fold k takes the point with the best AUC on fold k's own tuning patients, and that point's predictions are what fold k's
test patients are judged by. The inner evaluation is one split into training and tuning patients, not an inner
cross-validation, and the tuning rows that choose the settings are those that chose the epoch: that makes the choice
less sharp, and the tuning AUC itself too good, but lets no test patient in. For a grid the estimate is nested exactly.
For a search by Optuna the *choice* is nested, the *list of settings to choose from* is not: which settings were tried
followed the mean over all folds.

*A grid* chooses nothing. Whoever picks its best row by test AUC has selected on the test patients.
"""
