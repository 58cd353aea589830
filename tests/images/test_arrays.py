import dask.array
import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr import images
from bayesr.errors import NotAnImage
from bayesr.images.arrays import DASK_ARRAY, DATA_ARRAY, NDARRAY, TENSOR, from_tensor, is_tensor
from bayesr.networks.vision import torchvision

VALUES = np.arange(20, dtype=np.float32).reshape(4, 5) - 3
FLOAT8 = [name for name in dir(torch) if name.startswith("float8_") and "e8m0" not in name]


class Labelled(torch.Tensor):
    """A subclass as in MONAI and fastai, whose own functions must not run while it is read."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} was seen")


class Computed(torch.Tensor):
    """A subclass without memory, as of distributed tensors."""

    @staticmethod
    def __new__(cls, size):
        return torch.Tensor._make_wrapper_subclass(cls, size)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return cls(args[0].shape)


def read(tensor):
    assert TENSOR.recognises(tensor)
    return images.source(tensor, "yx")[0].to_numpy()


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, *(getattr(torch, name) for name in FLOAT8)], ids=str)
def test_types_that_numpy_lacks_become_float32(dtype):
    tensor = torch.tensor([[0.0, 0.5, 1.25, 3.0], [16.0, 40.0, 96.0, 224.0]]).to(dtype)
    found = read(tensor)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[float(value) for value in row] for row in tensor])
    if dtype == torch.bfloat16:
        np.testing.assert_array_equal(read(torch.tensor([[1 / 3, 300.7]]).to(dtype)), [[0.333984375, 300.0]])


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16"])
def test_types_of_numpy_are_kept(name):
    dtype = np.dtype(name)
    most = np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max
    values = np.array([[0, 1, 7], [most, 2, 3]], dtype)
    found = read(torch.from_numpy(values))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


PLACES = torch.ones(4, 5).nonzero().T
LAYOUTS = {
    "sparse": lambda t: t.to_sparse(),
    "compressed rows": lambda t: t.to_sparse_csr(),
    "compressed columns": lambda t: t.to_sparse_csc(),
    "blocks": lambda t: t.to_sparse_bsr((2, 5)),
    "repeated entries": lambda t: torch.sparse_coo_tensor(
        PLACES.repeat(1, 2), torch.cat([t.flatten() - 1, torch.ones(20)]), (4, 5)
    ),
    "negative bit": lambda t: torch.complex(torch.zeros(4, 5), -t).conj().imag,
    "real part of a conjugate": lambda t: torch.complex(t, t).conj().real,
    "transposed": lambda t: t.T.contiguous().T,
    "strides": lambda t: t.repeat_interleave(2, 0).repeat_interleave(3, 1)[::2, ::3],
    "flipped": lambda t: t.flip(0).flip(0),
    "expanded": lambda t: t[None].expand(3, -1, -1)[1],
    "channels last": lambda t: t[None, None].contiguous(memory_format=torch.channels_last)[0, 0],
    "gradient": lambda t: t.clone().requires_grad_() * 1,
    "parameter": lambda t: torch.nn.Parameter(t),
    "buffer": lambda t: torch.nn.Buffer(t),
    "subclass": lambda t: t.as_subclass(Labelled),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.5, 20, torch.quint8),
    "shared memory": lambda t: t.clone().share_memory_(),
    "onednn": lambda t: t.to_mkldnn(),
}
if torch.cuda.is_available():
    LAYOUTS["cuda"] = lambda t: t.cuda()
    LAYOUTS["sparse on cuda"] = lambda t: t.cuda().to_sparse()


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning", "ignore:torch.quantize:UserWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_tensors_of_every_layout_are_read_by_value(name):
    np.testing.assert_array_equal(read(LAYOUTS[name](torch.from_numpy(VALUES))), VALUES)


def test_tensors_of_inference_mode_and_under_another_default_device():
    with torch.inference_mode():
        made = torch.from_numpy(VALUES.copy())
        np.testing.assert_array_equal(read(made), VALUES)
    with torch.device("meta"), torch.autocast("cpu"):
        np.testing.assert_array_equal(read(made), VALUES)


def test_tensors_of_torchvision(rgb):
    torchvision()
    from torchvision import tv_tensors

    image = tv_tensors.Image(torch.from_numpy(rgb).permute(2, 0, 1))
    assert is_tensor(image) and not type(image).__module__.startswith("torch.")
    np.testing.assert_array_equal(images.source(image), rgb.transpose(2, 0, 1))


@pytest.mark.filterwarnings("ignore:ComplexHalf:UserWarning")
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: torch.ones(4, 5, device="meta"), "no values"),
        (lambda: torch.ones(4, 5, dtype=torch.complex64), r"tensor\.abs"),
        (lambda: torch.ones(4, 5, dtype=torch.complex32), r"tensor\.abs"),
        (lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=torch.jagged), "unbind"),
        (lambda: torch.empty(4, 5, dtype=torch.uint4), "NumPy array"),
        (lambda: Computed((4, 5)), "plain torch.Tensor"),
        (lambda: torch.ones(4, 5, dtype=torch.bool), "convert them"),
        (lambda: torch.tensor(3.0), "two or three axes"),
        (lambda: torch.ones(0, 5), "empty"),
    ],
)  # fmt: skip
def test_tensors_that_are_no_image_are_refused(make, advice):
    tensor = make()
    assert is_tensor(tensor)
    with pytest.raises(bayesr.BayesrError, match=advice):
        images.source(tensor)


def test_a_tensor_inside_a_transform_of_functions_is_refused():
    with pytest.raises(NotAnImage, match="cannot be read"):
        torch.func.vmap(lambda tensor: images.source(tensor).size)(torch.ones(2, 4, 5))


def test_a_tensor_is_sampled_as_its_values_however_they_lie_in_memory(model, photo):
    expected = model.sample(photo[:8, :9].astype(np.float32), 2)
    tensor = torch.from_numpy(photo[:8, :9].copy()).to(torch.bfloat16)
    for other in (tensor, tensor.permute(2, 0, 1).contiguous(), tensor.flip(1).flip(1)):
        found = model.sample(other.as_subclass(Labelled), 2)
        xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())


class Foreign:
    """An array of another library, such as JAX."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("on a GPU")


@pytest.mark.parametrize(
    ("img", "advice"),
    [
        (VALUES.tolist(), r"np\.asarray\(img\)"),
        ([torch.ones(4, 5)], "one at a time"),
        (Foreign(), r"np\.asarray\(img\.get"),
        (memoryview(b"1234"), "a NumPy array"),
        (torch.float32, "a torch tensor"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(img, advice):
    with pytest.raises(NotAnImage, match=advice):
        images.source(img)


def test_dask_arrays_stay_lazy():
    def fail(block):
        raise AssertionError("computed")

    array = dask.array.zeros((4, 5, 3), chunks=2).map_blocks(fail, dtype=float, meta=np.empty((0, 0, 0)))
    assert images.source(array, "yxb").shape == (3, 4, 5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_masked_arrays_have_missing_pixels(rgb, dtype):
    mask = np.zeros(rgb.shape, bool)
    mask[2, 3], mask[4, 5, 1] = True, True
    image = images.read(np.ma.array(rgb.astype(dtype), mask=mask), per_band=True)
    np.testing.assert_array_equal(image.missing, mask.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.values()[~image.missing], rgb.transpose(2, 0, 1)[~image.missing])
    assert (image.range_source == "type") == (dtype == "u1") and image.bounds == images.bounds_of(np.dtype(dtype))
    unmasked = np.ma.array(rgb, mask=False)
    assert images.read(unmasked).sha256 == images.read(rgb).sha256
