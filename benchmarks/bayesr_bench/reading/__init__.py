"""Files of many layouts, what independent readers say of them, and whether bayesr agrees."""

from bayesr_bench.reading import georeference, geotiff, microscopy, missing, pictures, scientific
from bayesr_bench.reading.layout import Layout

LAYOUTS: tuple[Layout, ...] = (
    *geotiff.LAYOUTS,
    *georeference.LAYOUTS,
    *missing.LAYOUTS,
    *pictures.LAYOUTS,
    *scientific.LAYOUTS,
    *microscopy.LAYOUTS,
)
"""All layouts; their names are unique."""
