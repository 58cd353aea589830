"""The product: names, axes, units and attributes of the Dataset, without torch and zarr."""

from bayesr.product import stacks
from bayesr.product.form import canonical, part_of_product
from bayesr.product.frame import (
    Frame,
    attribute,
    dataset,
    frame,
    quantisation_step_of,
    realizations,
    require,
    units_of,
    value_range_of,
)
from bayesr.product.georeference import axis_of
from bayesr.product.placement import covers, difference, half_placed
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
    "axis_of",
    "bytes_per_pixel",
    "canonical",
    "choose_variables",
    "covers",
    "dataset",
    "difference",
    "extended_history",
    "frame",
    "half_placed",
    "history_entry",
    "leading_shape",
    "part_of_product",
    "quantisation_step_of",
    "realizations",
    "require",
    "stacks",
    "units_of",
    "value_range_of",
]
