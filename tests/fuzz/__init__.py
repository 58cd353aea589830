"""Random damage: inputs of every kind, of which each is refused with a `BayesrError`, or gives a result.

``python -m tests.fuzz --seconds 600 --seed 1`` runs it; see `tests.fuzz.__main__`.
"""
