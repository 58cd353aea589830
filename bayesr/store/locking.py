"""One writer per store: the kernel locks a local directory, a renewed lease any other place."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from bayesr.errors import StoreBusy, StoreFailed
from bayesr.store.places import files

if sys.platform != "win32":
    import fcntl

LEASE = ".writer.json"
"""Suffix of the object that names the writer, beside a store that the kernel cannot lock."""

_RENEWAL_INTERVAL = 10.0
"""Seconds between renewals of a lease."""

_VALID = 60.0
"""Seconds after which an unrenewed lease is taken over."""

_SETTLE = 1.0
"""Seconds until a lease is read back: of two writers that take it over at once, the later one keeps it."""


@contextmanager
def lock(place: str) -> Iterator[None]:
    """Lock a store for writing. Readers are not affected.

    The kernel locks a directory on a local disk, and unlocks it when the process ends in any way. Object stores,
    network file systems without locks, and Windows have no such lock. There, a small object beside the store names the
    writer, which renews it every 10 seconds. A lease not renewed for 60 seconds, or of a process known to be dead, is
    taken over. Where neither can be told, the message says what to remove. The clocks of machines that share a store
    must agree to the minute.

    Parameters
    ----------
    place : str
        A path, or a URL that fsspec knows. Missing directories are created, and removed if nothing is in them at the
        end. While locked, the directory may be emptied but not replaced.

    Raises
    ------
    StoreBusy
        When another writer, or another thread of this process, holds the store; or when another writer took the lease
        over, because this process was halted for more than a minute.
    StoreFailed
        When the place cannot be reached.
    """
    missing = [] if "://" in place else [folder for folder in Path(place).parents if not os.path.exists(folder)]  # noqa: PTH110, which returns False for names that are too long
    try:
        folder = None if "://" in place else _locked(Path(place))
    except StoreFailed:
        _remove_empty(missing)
        raise
    try:
        with _Lease(place) if folder is None else nullcontext():
            yield
    finally:
        _remove_empty(missing if "://" in place else [Path(place), *missing])
        if folder is not None:
            _unlock(folder)


def _remove_empty(folders: list[Path]) -> None:
    """Remove directories, each inside the next one, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _locked(path: Path) -> int | None:
    """Return a descriptor of the locked directory, or None where there are no such locks."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir()
            if path.is_symlink() and not path.exists():
                raise StoreFailed(f"{path} is a link to {path.readlink()}, which does not exist: remove the link.")
            if sys.platform == "win32":
                return None
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except StoreFailed:
            raise
        except FileNotFoundError:  # another writer removed the empty directory
            continue
        except OSError as error:
            raise StoreFailed(f"{path} cannot be written to: {error}.") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(folder), path.stat()):
                    return folder
            os.close(folder)  # removed before it was locked
        except BlockingIOError as error:
            holder = _holder(os.fstat(folder))
            os.close(folder)
            raise _busy(str(path), holder) from error
        except OSError:  # some network file systems lock no directories
            os.close(folder)
            return None


def _unlock(folder: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(folder, fcntl.LOCK_UN)  # a forked child may hold the descriptor too
        os.close(folder)


def _holder(directory: os.stat_result) -> str:
    """Name the process that has locked a directory, if the kernel tells."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
            parts = line.split()
            if parts[1] == "FLOCK" and parts[5].rpartition(":")[2] == str(directory.st_ino):
                return f"process {parts[4]} on this machine"
    return "another process"


def _busy(place: str, holder: str, advice: str = "") -> StoreBusy:
    return StoreBusy(
        f"{holder[0].upper()}{holder[1:]} is writing to {place}: wait until it has finished or end it, then call again "
        f"(with resume=True, if it was ended), or choose another store.{advice}"
    )


class _Lease:
    """An object that names a store's writer, and that a thread renews."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._files, path = files(place)
        self._path = path.rstrip("/") + LEASE
        self._own = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
        }
        self._released = Event()
        self._new_holder = ""

    def __enter__(self) -> _Lease:
        try:
            self._claim()
            self._renewing = Thread(target=self._renew, name="bayesr-lease", daemon=True)
            self._renewing.start()
        except OSError as error:
            if isinstance(error, StoreFailed):
                raise
            raise StoreFailed(f"{self._place} cannot be written to: {error}.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._released.set()
        self._renewing.join()
        if not self._new_holder:
            with suppress(OSError):  # the lease expires by itself
                self._files.rm_file(self._path)
        elif kind is None:
            raise StoreBusy(
                f"{self._new_holder} took {self._place} over while this process was halted: check the store, and let "
                "one of them write at a time."
            )

    def _claim(self) -> None:
        current = self._require_free()
        if current is None:
            try:
                self._write(mode="create")  # of several writers at once, one succeeds
                return
            except (OSError, NotImplementedError, TypeError, ValueError):
                pass  # another writer was first, or the file system has no such mode
            self._require_free()
        self._write()
        time.sleep(_SETTLE)
        self._require_free()

    def _require_free(self) -> dict[str, Any] | None:
        """Return the current lease, if any; raise if another writer holds it."""
        current = self._read()
        if current is not None and current["id"] != self._own["id"]:
            advice = self._advice_if_valid(current)
            if advice is not None:
                raise _busy(self._place, f"process {current['pid']} on {current['host']}", advice)
        return current

    def _advice_if_valid(self, lease: dict[str, Any]) -> str | None:
        """Return None if a lease is no longer valid, and otherwise advice for leases that may be leftovers."""
        local = lease["host"] == socket.gethostname()
        alive = _alive(lease["pid"], lease["started"]) if local else None
        age = time.time() - lease["time"] if _is_number(lease["time"]) else math.nan
        if alive is False or age > _VALID:
            return None
        if age >= -_VALID and (alive or not local):
            return ""
        # A clock is wrong, or the lease is damaged, so that it would never expire.
        return f" If none is, the lease {self._path} is a leftover: remove it."

    def _renew(self) -> None:
        while not self._released.wait(_RENEWAL_INTERVAL):
            with suppress(Exception):  # clients raise many kinds of errors when a connection is lost
                current = self._read()
                if current is not None and current["id"] != self._own["id"]:
                    self._new_holder = f"Process {current['pid']} on {current['host']}"
                    return
                self._write()

    def _read(self) -> dict[str, Any] | None:
        try:
            current = json.loads(self._files.cat_file(self._path))
            return current if isinstance(current, dict) and current.keys() >= {*self._own, "time"} else None
        except (FileNotFoundError, ValueError, RecursionError):  # a full disk cut the object short
            return None

    def _write(self, **how: str) -> None:
        if "file" in self._files.protocol:  # object stores have no directories, and no bucket is to be created
            self._files.makedirs(self._path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(self._path, json.dumps(self._own | {"time": time.time()}).encode(), **how)


def _alive(number: Any, started: Any) -> bool | None:
    """Whether a process of this machine is alive; None where that cannot be told."""
    if isinstance(number, bool) or not isinstance(number, int) or not _is_number(started):
        return None
    try:
        return bool(psutil.Process(number).create_time() == started)
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, ValueError, OverflowError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15  # also no NaN
