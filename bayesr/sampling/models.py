"""The model of a product, found by what the product records."""

from __future__ import annotations

from pathlib import Path

from bayesr.errors import BayesrError, InvalidProduct
from bayesr.model.catalogue import recorded
from bayesr.model.model import Model, load
from bayesr.product import Provenance
from bayesr.store.layout import Store
from bayesr.store.replacing import recover, write_place


def model_of(provenance: Provenance, model: str | Path | Model | None) -> Model:
    """Load a product's model: `model`, or the bundled one with the recorded checksum, or the one of the recorded name.

    Raises
    ------
    UnknownModel
        When there is none.
    InvalidProduct
        When it is another model; the message has both checksums.
    """
    name, checksum = provenance.model, provenance.model_sha256
    loaded = load(model or recorded(name, checksum, provenance.calibration_source) or name)
    if loaded.sha256 != checksum:
        where = "" if model else ", and no bundled model has the recorded one"
        raise InvalidProduct(
            f"The product was drawn from another version of {name}: the checksum of its weights is {checksum[:12]}, "
            f"that of {loaded.name} is {loaded.sha256[:12]}{where}. Give the model file that the product was drawn "
            "from as model=, or sample the image again."
        )
    return loaded


def model_to_resume(place: str, model: str | Path | Model) -> Model:
    """Load the model that finishes a store.

    Where `model` is the name that the store records, it is the recorded model (see `model_of`): the name may have other
    weights by now.

    Raises
    ------
    UnknownModel, InvalidProduct
        See `model_of`.
    """
    if isinstance(model, Model):
        return load(model)
    try:
        recover(place)
        store = Store(write_place(place, overwrite=False))
        provenance = store.provenance if store.declared else None
    except BayesrError:  # the store is damaged or missing: later checks report this
        provenance = None
    return load(model) if provenance is None or provenance.model != str(model) else model_of(provenance, None)
