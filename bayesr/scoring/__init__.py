"""Scores of a product against its truth; every figure through a named library or a formula with its source."""
