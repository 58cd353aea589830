"""The groups and arrays of a store, their attributes, and whether there is a store at all."""

from __future__ import annotations

import json
import warnings
from functools import cached_property
from typing import Any

import zarr

from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.files import zarr_store
from bayesr.product import MASK_MEANS, Provenance, schema
from bayesr.store import places
from bayesr.store.access import StoredArray, check_members, reading
from bayesr.store.places import PROGRESS, files

NEXT = "next"
"""In the progress group, while members are added: the attribute with their final number, and the array of tiles that
replace others."""

NEXT_CHECKSUMS = "next_checksum"
"""In the progress group: the checksums of these tiles, and their number of members."""

_PROGRESS_ARRAYS = (MASK_MEANS, "input", "done", "checksum", NEXT, NEXT_CHECKSUMS)

READING = "reading"
"""In the progress group: the attribute of a store whose tiles are drawn during the first pass over its image. The image
is not known to be valid yet, so that such a store is not resumed, but written again from the beginning."""

IDENTITY = "identity"
"""In the progress group of a segmentation: the attribute that records what was segmented, and how."""


class Groups:
    """The group of a product, and its progress group.

    It is pickled as its place, a path or a URL, and opens itself where it is unpickled.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._arrays: dict[str, StoredArray] = {}  # each read of an array's metadata is a request

    def __reduce__(self) -> tuple[type[Groups], tuple[str]]:
        return type(self), (self.place,)

    def clear(self) -> None:
        """Remove everything inside; the directory stays, because it may be locked."""
        vars(self).pop("root", None)
        self._arrays.clear()
        places.clear(self.place)

    @cached_property
    def root(self) -> zarr.Group:
        with reading(self.place, "The metadata"):
            return zarr.open_group(zarr_store(self.place), mode="r+", use_consolidated=False)

    @property
    def progress(self) -> zarr.Group:
        with reading(self.place, f"The group {PROGRESS!r}"):
            group = self.root[PROGRESS]
            if not isinstance(group, zarr.Group):
                raise TypeError("it is an array")
            return group

    def array(self, name: str) -> StoredArray:
        """Return a variable, or an array of the progress group."""
        if name not in self._arrays:
            group = self.progress if name in _PROGRESS_ARRAYS else self.root
            with reading(self.place, name):
                array = group.get(name)
            if not isinstance(array, zarr.Array):
                raise InvalidProduct(f"{self.place} is no whole store of bayesr: it lacks {name!r}.")
            self._arrays[name] = StoredArray(self.place, array)
        return self._arrays[name]

    def reload(self, *names: str) -> None:
        """Read the metadata of arrays again where they are next used."""
        for name in names:
            self._arrays.pop(name, None)

    @property
    def declared(self) -> bool:
        """Whether the template is complete; it is not if the first pass over the image was interrupted.

        Raises
        ------
        StoreFailed
            When there is no store of bayesr.
        InvalidProduct
            When there is one, and it is damaged.
        """
        try:
            is_store = places.is_bayesr_store(self.place)
        except OSError as error:
            raise StoreFailed(f"There is no store {self.place}: check the path.") from error
        if not is_store:
            raise StoreFailed(f"{self.place} is no store of bayesr that can be continued.")
        system, path = files(self.place)
        metadata = self.metadata if system.exists(f"{path}/{PROGRESS}/zarr.json") else {}
        if IDENTITY in metadata:
            raise StoreFailed(f"{self.place} holds a segmentation, and no product: give the store of bayesr.sample.")
        if "tile" in metadata:
            return READING not in metadata
        # A killed process cannot leave finished tiles without the metadata, so these are damaged.
        if system.find(f"{path}/{PROGRESS}/done/c"):
            raise InvalidProduct(
                f"{self.place} is damaged: it lacks the metadata of its finished tiles. Restore "
                f"{PROGRESS}/zarr.json, or use overwrite=True."
            )
        return False

    def require(self) -> None:
        """Check that there is a store with a template.

        Raises
        ------
        StoreFailed
            When there is none.
        InvalidProduct
            When there is one, and it is damaged.
        """
        if not self.declared:
            raise StoreFailed(f"{self.place} is not complete: finish it with bayesr.sample(..., resume=True).")

    @property
    def attributes(self) -> dict[str, Any]:
        return self.root.attrs.asdict()

    @property
    def provenance(self) -> Provenance:
        with reading(self.place, "The metadata"):
            return Provenance.from_attrs(self.attributes)

    @property
    def metadata(self) -> dict[str, Any]:
        """Attributes of the progress group: ``tile``, ``nodata``, ``keepbits``, as they are stored."""
        return self.progress.attrs.asdict()

    @property
    def settings(self) -> dict[str, Any]:
        """The same attributes, checked, as plain values; with ``next`` while members are added.

        Raises
        ------
        InvalidProduct
            When one is missing or damaged.
        """
        settings = schema.checked(self.metadata, self.place)
        lacking = {"tile", "nodata", "keepbits"} - settings.keys()
        if lacking:
            raise InvalidProduct(f"{self.place} is no whole store of bayesr: it lacks {', '.join(sorted(lacking))}.")
        return settings

    def failed(self, error: OSError) -> StoreFailed:
        """Return the error for a tile that cannot be written."""
        return StoreFailed(
            f"Writing to {self.place} failed ({error}). What was finished stays: mend the cause (free some space) "
            "and call again; sample takes resume=True then."
        )

    def not_created(self, error: OSError) -> StoreFailed:
        """Return the error for a store that cannot be created."""
        return StoreFailed(f"{self.place} could not be created ({error}); nothing is left behind.")

    def consolidate(self) -> None:
        """Gather all metadata in one file.

        Raises
        ------
        StoreFailed
            When it cannot be written.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Zarr v3 does not specify consolidation yet
            try:
                check_members(self.place, self.root)
                with reading(self.place, "The metadata"):
                    zarr.consolidate_metadata(self.root.store)
            except StoreFailed as error:
                raise (self.failed(error.__cause__) if isinstance(error.__cause__, OSError) else error) from error

    @property
    def consolidated(self) -> bool:
        """Whether all metadata are in one file; a store lacks them until it is finished, or extended anew."""
        system, path = files(self.place)
        with reading(self.place, "The metadata"):
            gathered = json.loads(system.cat_file(f"{path}/zarr.json")).get("consolidated_metadata")
            return bool(gathered and gathered["metadata"])
