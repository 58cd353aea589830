"""Scores of a product against a reference, each by a named library or a formula with its source."""
