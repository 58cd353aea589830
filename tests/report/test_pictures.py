import base64
import io

import numpy as np
import PIL.Image
import pytest

from bayesr.report.pictures import decode_picture, encode_picture, still, to_codes
from tests.report.conftest import data_for


def test_members_are_pictures_within_the_error_that_is_stated(ds, tmp_path):
    drawn = data_for(ds, tmp=tmp_path / "x.html")["members"]
    assert drawn["numbers"] == list(range(8)) and drawn["of"] == 8
    assert 0 < drawn["error"] < 25
    shift = decode_picture(encode_picture(to_codes(ds["samples"][3].to_numpy(), 0, 255), 92), (3, 64, 96))
    assert np.sqrt(np.mean((shift - ds["samples"][3].to_numpy()) ** 2)) < 2 * drawn["error"] + 1


@pytest.mark.parametrize("shape", [(32, 48), (48, 32)], ids=["wide", "tall"])
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_pictures_of_any_number_of_bands_are_read_back_band_by_band(bands, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    codes = np.stack([(y * (band + 1) + 2 * x) % 160 + 40 for band in range(bands)]).astype(np.uint8)
    back = decode_picture(encode_picture(codes, 92), codes.shape)
    assert back.shape == codes.shape
    assert np.abs(back.astype(int) - codes).mean() < 6


@pytest.mark.parametrize("shape", [(2048, 512), (512, 2048)])
def test_twelve_bands_of_a_long_image_fit_into_a_picture(shape):
    codes = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None] * 20, (12, *shape))
    back = decode_picture(encode_picture(codes, 60), codes.shape)
    np.testing.assert_allclose(back.mean((1, 2)), np.arange(12) * 20, atol=3)


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_the_still_picture_is_small_and_shows_the_mean(bands):
    mean = np.broadcast_to(np.linspace(0, 50, 1200)[None, None], (bands, 40, 1200)).copy()
    mean[:, :, :90] = np.nan
    head, _, packed = still(mean, 0, 50).partition(",")
    with PIL.Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(float)
    assert head == "data:image/webp;base64" and pixels.shape == (14, 400, 3)
    expected = np.nan_to_num(mean[0, ::3, ::3]) / 50 * 255
    assert np.abs(pixels[..., 1] - expected)[:, 40:].mean() < 4
