"""Compute tiles of an image in this process or on a dask.distributed cluster."""

from bayesr.workers.running import run
from bayesr.workers.work import Work

__all__ = ["Work", "run"]
