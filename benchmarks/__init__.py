"""Benchmarks: one file a table, run as ``python -m benchmarks.NAME``; recorded results lie in ``results/``."""
