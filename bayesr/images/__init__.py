"""Read images of any kind as one array ``(band, y, x)``, as a whole or by window."""

from bayesr.images.axes import DIMS
from bayesr.images.image import Image
from bayesr.images.limits import existing
from bayesr.images.ranges import ValueRange
from bayesr.images.sources import looks_like_image, source
from bayesr.images.survey import bounds_of, loaded, read, survey
from bayesr.images.values import quantisation_step

__all__ = [
    "DIMS",
    "Image",
    "ValueRange",
    "bounds_of",
    "existing",
    "loaded",
    "looks_like_image",
    "quantisation_step",
    "read",
    "source",
    "survey",
]
