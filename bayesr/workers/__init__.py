"""Compute tiles of an image in this process or on a dask.distributed cluster."""

from bayesr.workers.pipeline import Work
from bayesr.workers.running import run

__all__ = ["Work", "run"]
