"""The product: names, axes, units and attributes of the Dataset, without torch and zarr."""

from bayesr.product.frame import Frame, attribute, dataset, frame, realizations, require, units_of, value_range_of
from bayesr.product.provenance import Provenance, extended_history, history_entry
from bayesr.product.variables import (
    DIMS,
    MAPS,
    MASK_MEANS,
    SAMPLES,
    VARIABLES,
    Arrays,
    bytes_per_pixel,
    choose_variables,
    leading_shape,
)

__all__ = [
    "DIMS",
    "MAPS",
    "MASK_MEANS",
    "SAMPLES",
    "VARIABLES",
    "Arrays",
    "Frame",
    "Provenance",
    "attribute",
    "bytes_per_pixel",
    "choose_variables",
    "dataset",
    "extended_history",
    "frame",
    "history_entry",
    "leading_shape",
    "realizations",
    "require",
    "units_of",
    "value_range_of",
]
