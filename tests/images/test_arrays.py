import dask.array
import numpy as np
import pytest
import torch
import xarray as xr

from bayesr import images
from bayesr.images.arrays import DASK_ARRAY, DATA_ARRAY, NDARRAY, TENSOR, from_tensor


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_tensors_share_their_memory_and_need_no_gradient(dtype):
    tensor = torch.zeros(3, 4, 5, dtype=dtype)
    array = from_tensor(tensor)
    tensor[1, 2, 3] = 7
    assert float(array[1, 2, 3]) == 7 and array.shape == (3, 4, 5)
    assert from_tensor(torch.ones(2, 2, requires_grad=True)).sum() == 4


def test_each_kind_of_array_has_one_reader(rgb):
    kinds = {
        DATA_ARRAY: xr.DataArray(rgb),
        NDARRAY: rgb,
        TENSOR: torch.from_numpy(rgb),
        DASK_ARRAY: dask.array.from_array(rgb, chunks=4),
    }
    for reader in kinds:
        assert [kind for kind, img in kinds.items() if reader.recognises(img)] == [reader]
    assert len({images.read(img).sha256 for img in kinds.values()}) == 1


def test_dask_arrays_stay_lazy():
    def fail(block):
        raise AssertionError("computed")

    array = dask.array.zeros((4, 5, 3), chunks=2).map_blocks(fail, dtype=float, meta=np.empty((0, 0, 0)))
    assert images.source(array, "yxb").shape == (3, 4, 5)
