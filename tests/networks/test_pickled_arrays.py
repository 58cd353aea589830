"""Reading pickles without running code."""

import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from bayesr.errors import InvalidModel
from bayesr.networks.features.pickled_arrays import read_arrays
from tests.networks.lpips_helpers import WIDTHS, as_file, weights


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read_as_they_were_written(protocol):
    content = weights()
    found = read_arrays(as_file(content, protocol))
    for k in range(len(WIDTHS)):
        for part in ("kernel", "bias"):
            expected = content["AlexNet_0"][f"Conv_{k}"][part]
            np.testing.assert_array_equal(found["AlexNet_0"][f"Conv_{k}"][part], expected)


def test_the_old_name_of_the_module_is_read_too():
    """Files of NumPy 1 name ``numpy.core``, which must neither fail nor warn."""
    written = as_file(weights(), 3).getvalue()
    old = written.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != written
    np.testing.assert_array_equal(
        read_arrays(io.BytesIO(old))["AlexNet_0"]["Conv_0"]["kernel"], weights()["AlexNet_0"]["Conv_0"]["kernel"]
    )


class Runs:
    """An object whose pickle makes a folder when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_does_not_run(tmp_path, protocol):
    made = tmp_path / "made"
    file = as_file({"more": Runs(made), "AlexNet_0": np.zeros(3, np.float32)}, protocol)
    with pytest.raises(InvalidModel, match="mkdir"):
        read_arrays(file)
    assert not made.exists()
    file.seek(0)
    pickle.load(file)  # it would have run
    assert made.exists()


def test_arrays_of_objects_are_no_way_in(tmp_path):
    made = tmp_path / "made"
    objects = np.empty(1, object)
    objects[0] = Runs(made)
    with pytest.raises(InvalidModel, match="mkdir"):
        read_arrays(as_file({"a": objects}))
    objects[0] = "text"
    with pytest.raises(InvalidModel, match="real numbers"):
        read_arrays(as_file({"a": objects}))
    assert not made.exists()


@pytest.mark.parametrize("content", [[1, 2], np.zeros(3), {"a": 3}, {"a": {"b": "text"}}, {"a": np.array(["x"])}])
def test_other_contents_are_refused(content):
    with pytest.raises(InvalidModel, match="NumPy arrays"):
        read_arrays(as_file(content))


def test_damaged_files_are_refused():
    whole = as_file(weights()).getvalue()
    ends = [position for _, _, position in pickletools.genops(whole)]
    for end in ends[::20]:
        with pytest.raises(InvalidModel):
            read_arrays(io.BytesIO(whole[:end]))
    with pytest.raises(InvalidModel):
        read_arrays(io.BytesIO(b"PK\x03\x04 not a pickle"))


def test_a_dictionary_in_itself_is_refused():
    content = {"a": np.zeros(2)}
    content["b"] = content
    with pytest.raises(InvalidModel, match="recursion"):
        read_arrays(as_file(content))
