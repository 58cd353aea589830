"""Read images of any kind as one array ``(band, y, x)``, as a whole or by window."""

from bayesr.images.axes import DIMS
from bayesr.images.image import Image, Slice
from bayesr.images.limits import existing
from bayesr.images.ranges import ValueRange
from bayesr.images.sources import looks_like_image, source
from bayesr.images.stacks import leading, places, slice_at
from bayesr.images.survey import bounds_of, loaded, provisional, read, survey
from bayesr.images.values import quantisation_step

__all__ = [
    "DIMS",
    "Image",
    "Slice",
    "ValueRange",
    "bounds_of",
    "existing",
    "provisional",
    "leading",
    "loaded",
    "looks_like_image",
    "places",
    "quantisation_step",
    "read",
    "slice_at",
    "source",
    "survey",
]
