"""Files of many layouts, what independent readers say of them, and whether bayesr agrees.

`bayesr_bench.reading.layout` says what a layout is, `bayesr_bench.reading.comparison` compares, and each other module
has layouts of one kind.
"""

from bayesr_bench.reading import georeference, geotiff, gridded, microscopy, missing, pictures, scientific, stores
from bayesr_bench.reading.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    *geotiff.LAYOUTS,
    *georeference.LAYOUTS,
    *missing.LAYOUTS,
    *pictures.LAYOUTS,
    *scientific.LAYOUTS,
    *microscopy.LAYOUTS,
    *gridded.LAYOUTS,
    *stores.LAYOUTS,
)
"""All layouts; their names are unique."""
