"""The version of bayesr. It stands alone, so that every module can record it."""

__version__ = "0.1.0"
