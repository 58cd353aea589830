import numpy as np
import PIL.Image
import pytest

from bayesr import images
from bayesr.errors import NotAnImage


def test_jpeg(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(
        images.read(tmp_path / "a.jpg").data.values, np.asarray(PIL.Image.open(tmp_path / "a.jpg")).transpose(2, 0, 1)
    )


def test_alpha(rgb):
    opaque = np.dstack([rgb, np.full((7, 9), 255, np.uint8)])
    assert images.read(PIL.Image.fromarray(opaque)).sha256 == images.read(rgb).sha256
    opaque[0, 0, 3] = 7
    with pytest.raises(NotAnImage, match="transparent"):
        images.read(PIL.Image.fromarray(opaque))
