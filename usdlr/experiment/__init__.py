"""One typed configuration becomes features, folds, fits, a cascade, a report and a bundle."""
