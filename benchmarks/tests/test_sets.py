"""Sets of images, and the products of models for them."""

from dataclasses import replace

import numpy as np
import pytest

from bayesr.errors import DataNotFound, UnknownData
from bayesr_bench.protocol import check_protocol
from bayesr_bench.sets import answer, labels, observe, read_set


def test_nuclei_are_the_dark_grey_ones(data):
    pictures = read_set(data, "nuclei", 3)
    assert list(pictures) == ["dark0", "dark1", "dark2"]
    assert all(p.grey and p.pixels.shape == (111, 102, 1) for p in pictures.values())
    with pytest.raises(DataNotFound, match="set5"):
        read_set(data, "set5")


@pytest.mark.parametrize("bands", [1, 3])
def test_every_model_samples_every_picture(data, model, grey_model, bands):
    network = grey_model if bands == 1 else model
    for name, shown in (("nuclei", 1), ("aerial", 3)):
        picture = next(iter(read_set(data, name).values()))
        found = answer(network, picture, 4)
        shape = (shown, *picture.pixels.shape[:2])
        assert found.members.shape == (4, *shape)
        maps = found.mean, found.std, found.lower, found.upper, found.truth, found.calibration
        assert all(a is not None and a.shape == shape for a in maps)
        np.testing.assert_array_equal(found.truth, picture.pixels.transpose(2, 0, 1))
        np.testing.assert_allclose(found.members.mean(0), found.mean, atol=1e-3)
        seen = observe(found.members[0].transpose(1, 2, 0).round().astype(np.uint8), network.forward_operator)
        assert np.abs(seen.astype(int) - found.low).max() <= 3


def test_labels_distinguish_models_of_equal_names(model):
    other = replace(model, sha256="1" * 64)
    assert labels([model]) == ["tiny"] and labels([model, other]) == ["tiny 000000", "tiny 111111"]


def test_missing_sets_are_errors(tmp_path):
    with pytest.raises(DataNotFound, match=r"no folder bsd100 or bsd100_jpg.*bayesr data fetch"):
        read_set(tmp_path, "bsd100")
    (tmp_path / "set5").mkdir()
    with pytest.raises(DataNotFound, match="has no image"):
        read_set(tmp_path, "set5")
    for call in (read_set, lambda root, name: check_protocol(root, [name])):
        with pytest.raises(UnknownData, match=r"urban100.*set5, set14, bsd100"):
            call(tmp_path, "urban100")
