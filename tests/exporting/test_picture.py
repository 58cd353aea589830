import numpy as np
import PIL.Image

import bayesr


def test_a_member_is_the_picture_that_a_person_would_see(model, photo, tmp_path):
    """Upright, in colour."""
    ds = model.sample(photo, 4)
    path = bayesr.export(ds, tmp_path / "m.png", member=2)
    with PIL.Image.open(path) as picture:
        found = np.asarray(picture)
    np.testing.assert_allclose(found, ds["samples"][2].transpose("y", "x", "band"), atol=0.5 + 1e-4)


def test_grey_pictures_have_one_channel(grey_model, photo, tmp_path):
    path = bayesr.export(grey_model.sample(photo[..., 0], 2), tmp_path / "g.png")
    with PIL.Image.open(path) as picture:
        assert picture.mode == "L"
