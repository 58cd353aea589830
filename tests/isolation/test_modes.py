import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bayesr.isolation import isolation
from bayesr.isolation.modes import Float32Convolutions, Float32Defaults, Float32Products, OwnRandomNumbers, required
from tests.isolation.helpers import default_dtype


@pytest.fixture
def reduced():
    """The precision of products that users are advised to set, for speed."""
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


def test_modes_are_only_required_by_settings_other_than_the_defaults(reduced):
    with default_dtype(torch.float64):
        assert [type(mode) for mode in required()] == [Float32Defaults, Float32Products]
    torch.set_float32_matmul_precision("highest")
    assert required() == []


def test_unclear_settings_of_products_count_as_reduced():
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if matmul is None:
        pytest.skip("this version of torch has one interface to the setting")
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        assert [type(mode) for mode in required()] == [Float32Products]
    finally:
        matmul.fp32_precision = before
        torch.set_float32_matmul_precision("highest")


def test_tf32_is_left_out_where_there_is_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [type(mode) for mode in required()] == [Float32Convolutions]
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = False
        assert required() == []
    finally:
        torch.backends.cudnn.allow_tf32 = before


LAYERS = [
    nn.Conv1d(3, 4, 3, padding=1),
    nn.Conv2d(3, 4, 3, padding=1),
    nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
    nn.Conv2d(3, 6, 4, padding="same", dilation=2, groups=3),
    nn.Conv2d(3, 4, 3, padding="valid"),
    nn.Conv3d(3, 4, 3, padding=1),
    nn.ConvTranspose1d(3, 4, 3, stride=2),
    nn.ConvTranspose2d(3, 6, 4, stride=2, padding=1, output_padding=1, groups=3),
    nn.ConvTranspose3d(3, 4, 2, stride=2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_convolutions_without_tf32_are_those_of_torch(layer, monkeypatch):
    """The operator below them takes the same arguments, by position, by name and without a batch axis."""
    monkeypatch.setattr(Float32Convolutions, "applies_to", staticmethod(lambda device: True))
    asked = []
    whole = torch._convolution
    monkeypatch.setattr(torch, "_convolution", lambda *args: asked.append(args[-1]) or whole(*args))
    axes = layer.weight.dim() - 2
    for x in (torch.randn(2, 3, *(9, 10, 8)[:axes]), torch.randn(3, *(9, 10, 8)[:axes])):
        expected = layer(x)
        with Float32Convolutions():
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-6)
            layer.double()(x.double()), layer.float()
    function = F.conv2d
    x = torch.randn(1, 3, 8, 8)
    with Float32Convolutions():
        named = function(input=x, weight=torch.ones(1, 3, 3, 3), bias=torch.ones(1), padding=1)
    torch.testing.assert_close(named, function(x, torch.ones(1, 3, 3, 3), torch.ones(1), 1, 1))
    assert asked == [False] * 3, "TF32, once for each float32 convolution"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_convolutions_on_cuda_are_those_of_the_cpu():
    layer, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 32, 32)
    with isolation():
        expected, found = layer(x), layer.cuda()(x.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_float32_is_made_where_no_type_is_given(dtype):
    with default_dtype(dtype), isolation():
        made = [
            torch.zeros(2), torch.ones(2), torch.empty(2), torch.rand(2), torch.randn(2), torch.eye(2),
            torch.linspace(0, 1, 3), torch.hann_window(3), torch.full((2,), 0.1), torch.arange(0.0, 1.0, 0.1),
            torch.tensor(0.1), torch.tensor([[0.1]]), torch.as_tensor([0.1]), torch.asarray(0.1), torch.tensor([]),
            nn.Conv2d(1, 1, 3).weight, nn.BatchNorm2d(1).running_var,
        ]  # fmt: skip
        assert {values.dtype for values in made} == {torch.float32}
        assert float(torch.tensor(0.1)) == float(np.float32(0.1)), "not rounded to another type in between"


def test_given_types_are_kept():
    with default_dtype(torch.float64), isolation():
        assert torch.arange(3).dtype == torch.tensor([1]).dtype == torch.full((2,), 1).dtype == torch.int64
        assert torch.tensor(True).dtype == torch.bool
        assert torch.zeros(2, dtype=torch.float64).dtype == torch.float64
        assert torch.as_tensor([1.0], dtype=torch.float64).dtype == torch.float64
        assert torch.tensor(np.ones(2)).dtype == torch.tensor([np.float64(1)]).dtype == torch.float64
        assert torch.zeros(2, out=torch.empty(2, dtype=torch.float64)).dtype == torch.float64


def test_random_numbers_do_not_depend_on_the_default_type():
    with isolation():
        expected = torch.randn(5, generator=torch.Generator().manual_seed(1))
    with default_dtype(torch.float64), isolation():
        assert torch.equal(torch.randn(5, generator=torch.Generator().manual_seed(1)), expected)


A = torch.randn(1, 90, 90, generator=torch.Generator().manual_seed(0))
PRODUCTS = {
    "@": lambda: A @ A,
    "matmul": lambda: torch.matmul(A, A),
    "method": lambda: A.matmul(A),
    "mm": lambda: torch.mm(A[0], A[0])[None],
    "bmm": lambda: torch.bmm(A, A),
    "baddbmm": lambda: torch.baddbmm(torch.zeros_like(A), A, A),
    "out": lambda: torch.baddbmm(torch.zeros_like(A), A, A, out=torch.empty_like(A)),
    "einsum": lambda: torch.einsum("nij,njk->nik", A, A),
    "linear": lambda: F.linear(A, A[0].T),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_keep_their_precision(reduced, name):
    with isolation():
        found = PRODUCTS[name]()
    torch.testing.assert_close(found, (A.double() @ A.double()).float(), rtol=0, atol=0)


def test_attention_keeps_its_precision_and_its_mask(reduced):
    mask = torch.ones(90, 90, dtype=torch.bool).tril()
    with isolation():
        found = F.scaled_dot_product_attention(A, A, A, mask)
    expected = F.scaled_dot_product_attention(A.double(), A.double(), A.double(), mask)
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=0)


def test_products_have_gradients(reduced):
    weight = A[0].clone().requires_grad_()
    with isolation():
        (A @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, A[0].double().sum(0)[:, None].expand(90, 90).float())


def test_products_of_other_types_and_under_autocast_are_left_alone(reduced):
    with isolation():
        assert (A.double() @ A.double()).dtype == torch.float64 and (A.half() @ A.half()).dtype == torch.float16
        with torch.autocast("cpu"):
            assert (A @ A).dtype == torch.bfloat16


def test_members_keep_their_precision(reduced, model, photo):
    found = model.sample(photo[:12, :13], 2)["samples"]
    torch.set_float32_matmul_precision("highest")
    assert float(abs(found - model.sample(photo[:12, :13], 2)["samples"]).max()) < 1e-5 * 255


def test_own_random_numbers_leave_the_caller_s_alone():
    torch.manual_seed(5)
    before, expected = torch.get_rng_state(), nn.Linear(3, 4)
    torch.set_rng_state(before)
    with OwnRandomNumbers(5):
        made = nn.Linear(3, 4)
        for draw in (nn.init.trunc_normal_, nn.init.orthogonal_, nn.init.xavier_normal_, nn.init.kaiming_normal_):
            draw(nn.Linear(3, 4).weight)
        torch.rand(2), torch.randint(4, (2,)), torch.randperm(4)
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made.weight, expected.weight), "as after torch.manual_seed"
