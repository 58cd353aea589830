"""Calls of commands."""

from __future__ import annotations

from click.testing import CliRunner, Result

from bayesr.cli import main


def run(*args: object) -> Result:
    """Call ``bayesr`` in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args])
