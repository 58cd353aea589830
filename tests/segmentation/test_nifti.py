import sys

import numpy as np
import pytest

from bayesr.errors import InvalidArgument, NotAnImage
from bayesr.segmentation.nifti import read_slice

nibabel = pytest.importorskip("nibabel")


def written(path, values):
    nibabel.save(nibabel.Nifti1Image(np.asarray(values, np.float32), np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((9, 7), (1, 7, 9)), ((9, 7, 1), (1, 7, 9)), ((9, 7, 3), (3, 7, 9)), ((3, 9, 7), (3, 7, 9)),
     ((9, 7, 1, 4), (4, 7, 9))],
)  # fmt: skip
def test_bands_come_first_and_rows_before_columns(tmp_path, shape, expected):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    found = read_slice(written(tmp_path / "a.nii.gz", values))
    assert found.shape == expected and found.flags.c_contiguous and found.dtype == np.float32
    np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(values, axis=None))
    if len(shape) == 2:
        np.testing.assert_array_equal(found[0], values.T)


def test_volumes_and_missing_values_are_refused(tmp_path):
    with pytest.raises(NotAnImage, match="one slice first"):
        read_slice(written(tmp_path / "volume.nii", np.zeros((12, 11, 9))))
    with pytest.raises(NotAnImage, match="finite"):
        read_slice(written(tmp_path / "nan.nii", np.full((4, 5), np.nan)))
    (tmp_path / "broken.nii").write_bytes(b"nothing")
    with pytest.raises(NotAnImage, match="NIfTI"):
        read_slice(tmp_path / "broken.nii")


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InvalidArgument, match=r"bayesr\[medical\]"):
        read_slice(tmp_path / "a.nii")
