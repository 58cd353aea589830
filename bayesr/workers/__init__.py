"""Tiles of one image, drawn and written by this process or by the workers of a dask.distributed cluster."""

from bayesr.workers.running import run
from bayesr.workers.work import Work

__all__ = ["Work", "run"]
