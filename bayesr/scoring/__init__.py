"""Scores of a product against a reference, each by a named library or by a formula with its source."""
