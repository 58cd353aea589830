import numpy as np
import pytest

from bayesr.report.pictures import decode_picture, encode_picture, to_codes
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
