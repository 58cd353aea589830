"""A text file of whole lines, to which several processes append, and which no failure leaves with half a line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayesr.errors import InvalidArgument

if sys.platform != "win32":
    import fcntl


class Lines:
    """An open file, locked against the other processes that use this class.

    Parameters
    ----------
    descriptor : int

    Attributes
    ----------
    whole : list of bytes
        The lines, without their ends.
    rest : bytes
        What follows the last line end: a line that a failure cut short, or nothing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        with open(descriptor, "rb", closefd=False) as file:
            *self.whole, self.rest = file.read().split(b"\n")

    def drop_rest(self) -> None:
        """Remove the line that was cut short."""
        if self.rest:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(self.rest))
            self.rest = b""

    def append(self, *lines: str) -> None:
        """Append lines in one piece, and flush them to the disk; after a failure the file is as it was."""
        data = memoryview("".join(f"{line}\n" for line in lines).encode())
        size = os.fstat(self._descriptor).st_size
        try:
            while data:  # once, unless the disk is full, which the second call tells
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise


@contextmanager
def opened(path: Path, *, append: bool) -> Iterator[Lines]:
    """Open a file for reading, or for appending, where it is created if it does not exist.

    Raises
    ------
    InvalidArgument
        If it is no regular file, which could hang.
    OSError
        If it cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT if append else os.O_RDONLY
    # A pipe would wait for its other end. On Windows, line ends would be changed.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidArgument(f"{path} is not a regular file: name one that is, or a new one.")
        if sys.platform != "win32":
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX if append else fcntl.LOCK_SH)
        yield Lines(descriptor)
    finally:
        os.close(descriptor)
