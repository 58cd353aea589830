import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import bayesr
from bayesr import observe
from bayesr.errors import InvalidArgument, InvalidForwardOperator
from bayesr.observe import registry
from tests.conftest import make_model

PSF = np.random.default_rng(0).random((7, 5))
EXAMPLES = {
    "bicubic": [observe.bicubic(4), observe.bicubic(2)],
    "gaussian": [observe.gaussian(4, sigma=1.6)],
    "box": [observe.box(3)],
    "airy": [observe.airy(2, na=0.3, wavelength=0.5, pixel=0.25), observe.airy(1, na=0.3, wavelength=0.5, pixel=0.5)],
    "measured": [observe.measured(PSF, 3)],
    "blind": [observe.Blind(observe.bicubic(2)), observe.Blind(observe.box(4).unconstrained(noise=0.1), noise=0.1)],
}
OPERATORS = [operator for kernel in observe.kernels() for operator in EXAMPLES[kernel]]
OPERATORS += [operator.unconstrained(blur=1.0, noise=0.1) for operator in OPERATORS]


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def every(test):
    return pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: f"{o.describe()['kernel']}-{o.scale}")(test)


@every
def test_descriptions_are_read_back(operator):
    again = observe.from_description(json.loads(json.dumps(operator.describe())))
    assert again == operator and hash(again) == hash(operator) and type(again) is type(operator)
    assert again.describe() == operator.describe() and operator.describe()["kernel"] in observe.kernels()


@every
def test_shapes_and_types(operator):
    s = operator.scale
    x, y = torch.rand(2, 3, 6 * s, 7 * s), torch.rand(2, 3, 6, 7)
    assert operator.observe(x).shape == y.shape and operator.invert(y).shape == x.shape
    assert operator.project(x).shape == x.shape and operator.null_space_variance(6, 7).shape == x.shape[-2:]
    assert operator.observe(x).dtype == operator.invert(y).dtype == torch.float32


@every
def test_exact_operators_reproduce_the_input(operator):
    y = torch.rand(3, 12, 13, dtype=torch.float64)
    difference = (operator.observe(operator.invert(y)) - y).abs().max()
    assert difference < 1e-6 if operator.exact else difference > 1e-6 or isinstance(operator, observe.Unconstrained)
    assert operator.unconstrained().exact is False


@every
def test_the_operator_is_linear_and_has_an_adjoint(operator):
    """``<A x, y> = <x, A^T y>`` with ``A^T y`` by automatic differentiation."""
    x = torch.rand(1, 9 * operator.scale, 8 * operator.scale, dtype=torch.float64, requires_grad=True)
    y = torch.rand(1, 9, 8, dtype=torch.float64)
    (adjoint,) = torch.autograd.grad((operator.observe(x) * y).sum(), x)
    other = torch.rand_like(x)
    torch.testing.assert_close((operator.observe(other) * y).sum(), (other * adjoint).sum())


def members(operator, y, detail):
    """Return clipped members with this detail in addition to ``A+ y``."""
    x = operator.project_onto_data_(detail[None].clone(), y)
    return operator.clip_consistently_(x, y, 0.0, 1.0)[0]


@every
@pytest.mark.parametrize("changed", ["input", "detail"])
def test_the_declared_reach_bounds_the_influence_of_a_pixel(operator, changed):
    """A change of the input or the detail moves clipped members beyond the reach by at most 1e-6 of the range."""
    s, reach = operator.scale, operator.reach + operator.clipping_reach
    side = 2 * reach + 9
    centre = side // 2
    truth = (torch.rand(1, side * s, side * s, dtype=torch.float64) * 1.4 - 0.2).clamp(0, 1)
    y, detail = operator.observe(truth).clamp(0, 1), 0.2 * torch.randn(truth.shape, dtype=torch.float64)
    before = members(operator, y, detail)
    if changed == "input":
        y[:, centre, centre] = 1 - y[:, centre, centre]
    else:
        detail[:, centre * s : (centre + 1) * s, centre * s : (centre + 1) * s] += torch.randn(s, s)
    difference = (members(operator, y, detail) - before).abs()[0]
    steps = (torch.arange(side * s) // s - centre).abs()
    far = torch.maximum(steps[:, None], steps) > reach
    assert difference[far].max() < 1e-6 < difference[~far].max()


@every
def test_the_halo_of_a_model_is_what_the_operator_declares(operator):
    model = replace(make_model(bands=1), forward_operator=operator)
    assert model.halo == model.generator.reach + operator.reach + operator.clipping_reach


def test_halos_of_bundled_models_do_not_change():
    assert {name: bayesr.load(name).halo for name in ("natural-x4-fast", "fluorescence-x4", "aerial-x4")} == {
        "natural-x4-fast": 44, "fluorescence-x4": 44, "aerial-x4": 44,
    }  # fmt: skip


def test_an_operator_of_your_own(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

    @observe.register("decimation")
    @dataclass(frozen=True)
    class Decimation(observe.ForwardOperator):
        scale: int = 4
        reach = 0

        def observe(self, x):
            return x[..., :: self.scale, :: self.scale]

        def invert(self, y):
            return y.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)

        def describe(self):
            return {"kernel": "decimation"} | super().describe()

    operator = Decimation(4)
    for one in (operator, operator.unconstrained(noise=0.1), observe.Blind(operator)):
        assert observe.from_description(json.loads(json.dumps(one.describe()))) == one
    path = replace(make_model(bands=1), forward_operator=operator).save(tmp_path / "own.safetensors")
    assert bayesr.load(path).forward_operator == operator
    with pytest.raises(InvalidArgument, match="belongs to Decimation"):
        observe.register("decimation")(observe.Separable)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(InvalidForwardOperator, match=r"Unknown kernel 'sinc'.*bicubic.*register"):
        observe.from_description({"kernel": "sinc", "scale": 4})
    with pytest.raises(InvalidForwardOperator, match="size"):
        observe.from_description({"kernel": "box", "size": 4})
