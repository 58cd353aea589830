"""Results that are written at once, such as scores: whole or not at all."""

from __future__ import annotations

import warnings

import xarray as xr

from bayesr.errors import StoreFailed
from bayesr.files import zarr_store
from bayesr.store import places, replacing


def write(ds: xr.Dataset, place: str, *, overwrite: bool = False) -> None:
    """Write a Dataset to a new Zarr store. With `overwrite`, an older one stays until the new one is whole.

    Raises
    ------
    StoreExists, StoreFailed
        See `bayesr.store.places.check`. When writing fails, nothing of it is left behind.
    """
    places.check(place, ds.nbytes, overwrite=overwrite, resume=False)
    with replacing.writing(place):
        inside = replacing.new_place(place)
        places.clear(inside)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # consolidated metadata is not in the Zarr v3 specification yet
                ds.to_zarr(zarr_store(inside), mode="w", zarr_format=3)
        except OSError as error:
            places.remove(inside)
            raise StoreFailed(
                f"{place} could not be written ({error.strerror or error}); nothing of it is left behind. Free some "
                "space, or choose another place."
            ) from error
        replacing.commit(place)
