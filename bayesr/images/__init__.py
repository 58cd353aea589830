"""Read images of any kind as one array ``(band, y, x)``, as a whole or by window."""

from bayesr.images.axes import DIMS
from bayesr.images.image import Image, loaded, read, source, survey

__all__ = ["DIMS", "Image", "loaded", "read", "source", "survey"]
