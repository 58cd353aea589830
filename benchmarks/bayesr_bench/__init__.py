"""The benchmarks of bayesr: what it claims, measured and recorded."""

__version__ = "0.1.0"
