"""Anything a user has becomes one image ``(band, y, x)``, read whole or by window."""

from bayesr.images.axes import DIMS
from bayesr.images.image import Image, loaded, read, source, survey

__all__ = ["DIMS", "Image", "loaded", "read", "source", "survey"]
