"""A Zarr store in a folder, which reads regular files only, and no chunk that would fill the memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from bayesr.errors import NotAnImage
from bayesr.images import limits

_ZSTD, _GZIP, _BLOSC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\x02"
_START, _END = 32, 4


class RegularStore(LocalStore):
    """A folder that is read, and never written.

    A codec makes as many bytes of a chunk as the chunk says, whatever the metadata of the array say. So chunks whose
    first or last bytes tell their size are refused where it is more than `limits.LARGEST`.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=True)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        path = self.root / key
        if not await asyncio.to_thread(_may_be_read, path):
            raise NotAnImage(f"{path} is no regular file: check that the store is whole.")
        found = await super().get(key, prototype, byte_range)
        if found is not None:
            limits.check_part(inflated(found), str(path), "Write the store again, with smaller chunks.")
        return found


def _may_be_read(path: Path) -> bool:
    return path.is_file() or not path.exists()


def inflated(chunk: Any) -> int:
    """Return the size in bytes to which a compressed chunk says it expands; 0 if it does not say so."""
    size = len(chunk)
    start, end = chunk[:_START].to_bytes(), chunk[max(0, size - _END) :].to_bytes()
    if start.startswith(_ZSTD) and size > 5:
        return _zstd(start)
    if start.startswith(_GZIP):
        return int.from_bytes(end, "little")
    if start.startswith(_BLOSC) and int.from_bytes(start[12:16], "little") == size:
        return int.from_bytes(start[4:8], "little")
    return 0


def _zstd(start: bytes) -> int:
    """Return the content size of a Zstandard frame (RFC 8878, 3.1.1.1)."""
    descriptor = start[4]
    single = descriptor >> 5 & 1
    length = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(start[at : at + length], "little") + (256 if length == 2 else 0)
