"""Access to the arrays and groups of a store. What zarr raises on damage and on failing disks becomes our errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bayesr.errors import BayesrError, InvalidProduct, StoreFailed
from bayesr.files import zarr_store
from bayesr.images import datasets, lazy
from bayesr.images.quiet import quiet
from bayesr.product import conventions


@contextmanager
def reading(place: str, what: str) -> Iterator[None]:
    """Turn errors of reading a part of a store, such as ``mean``, into our errors.

    Raises
    ------
    StoreFailed
        When the disk or the network fails.
    InvalidProduct
        When what was read is damaged.
    """
    try:
        yield
    except (BayesrError, MemoryError):
        raise
    except OSError as error:
        raise StoreFailed(f"{what} of {place} could not be read ({error}): mend the cause and call again.") from error
    except Exception as error:  # metadata, codecs and filters raise nearly anything on damaged bytes
        raise InvalidProduct(
            f"{what} of {place} is damaged ({type(error).__name__}: {error}). bayesr.check(store) says what else is, "
            "and check(store, repair=True) draws damaged tiles again; where that is refused, use overwrite=True."
        ) from error


class StoredArray:
    """An array of a store. `OSError` of writing is left to the caller, who knows what to advise."""

    def __init__(self, place: str, array: zarr.Array[Any]) -> None:
        self.place, self.array = place, array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    @property
    def path(self) -> str:
        """The place inside the store."""
        return str(self.array.path)

    @property
    def chunks(self) -> tuple[int, ...]:
        return tuple(self.array.chunks)

    @property
    def sharded(self) -> bool:
        return self.array.shards is not None

    @property
    def files(self) -> tuple[int, ...]:
        """Sizes of the part of the array that one file holds: a shard, or a chunk outside of shards."""
        return tuple(self.array.shards or self.array.chunks)

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes, which all arrays of a store have."""
        names = getattr(self.array.metadata, "dimension_names", None) or ()
        return tuple(map(str, names))

    @property
    def attrs(self) -> dict[str, Any]:
        return self.array.attrs.asdict()

    def file(self, *chunk: int) -> str:
        """The place inside the store of a chunk, or of a shard of chunks."""
        return f"{self.path}/{self.array.metadata.encode_chunk_key(chunk)}"

    def resize(self, shape: tuple[int, ...]) -> None:
        self.array.resize(shape)
        self.shape = shape

    def __getitem__(self, where: Any) -> NDArray[Any]:
        with reading(self.place, self.path):
            return np.asarray(self.array[where])

    def __setitem__(self, where: Any, values: Any) -> None:
        try:
            self.array[where] = values
        except OSError:
            raise
        except Exception:  # a part of a chunk was written, and the rest of it cannot be read
            with reading(self.place, self.path):
                raise


class _Guarded:
    """Values of a variable that xarray opened lazily."""

    def __init__(self, place: str, name: str, variable: xr.Variable) -> None:
        self.place, self.name, self.variable = place, name, variable
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        with reading(self.place, self.name):
            return self.variable[key].to_numpy()


def check_members(place: str, node: zarr.Group, *, nested: bool = True) -> None:
    """Open what is in a group, and if `nested` in groups inside it, one by one.

    Where several are damaged, zarr raises one error when it lists them all, and Python prints the others. Behind URLs,
    nothing is checked, because every member would be requested twice.

    Raises
    ------
    StoreFailed, InvalidProduct
        See `reading`.
    """
    if "://" in place:
        return
    with reading(place, "The metadata"):
        for name, member in datasets.members_of(node, place).items():
            if nested and isinstance(member, zarr.Group):
                check_members(f"{place}/{name}", member)


def opened(place: str, *, consolidated: bool | None = None, leave_out: Sequence[str] = ()) -> xr.Dataset:
    """Open a Zarr group as a Dataset of lazy dask arrays, which raise our errors when damage is read.

    `leave_out` are names of variables that are not opened.

    Raises
    ------
    StoreFailed, InvalidProduct
        See `reading`.
    """
    with reading(place, "The metadata"), quiet():
        store = zarr_store(place)
        check_members(place, zarr.open_group(store, mode="r", use_consolidated=False), nested=False)
        ds: xr.Dataset = xr.open_dataset(
            store, engine="zarr", consolidated=consolidated, cache=False, chunks=None, drop_variables=leave_out
        )
        ds.encoding["source"] = place if "://" in place else str(Path(place).absolute())
        guarded = {
            name: lazy.with_reader(array, _Guarded(place, str(name), array.variable)).chunk(
                array.encoding.get("preferred_chunks", {})
            )
            for name, array in ds.data_vars.items()
            if array.ndim
        }
        return conventions.without_zarr_attributes(ds.assign(guarded))
