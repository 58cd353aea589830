"""bayesr in napari: a widget that samples an image layer and counts objects, and a reader of products."""

__version__ = "0.1.0"
"""The version of bayesr-napari."""
