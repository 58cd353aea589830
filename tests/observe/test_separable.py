import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr import observe
from bayesr.errors import InvalidForwardOperator

OPERATORS = [observe.bicubic(4), observe.bicubic(2), observe.bicubic(3), observe.box(4), observe.gaussian(4, sigma=1.6)]


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@given(size=st.integers(1, 40))
def test_moore_penrose(operator, size):
    """The four conditions that single out the pseudo-inverse: A A+ A = A, A+ A A+ = A+, both products symmetric."""
    a, inverse = operator.matrices(size)
    np.testing.assert_allclose(a @ inverse @ a, a, atol=1e-10)
    np.testing.assert_allclose(inverse @ a @ inverse, inverse, atol=1e-10)
    np.testing.assert_allclose(a @ inverse, (a @ inverse).T, atol=1e-10)
    np.testing.assert_allclose(inverse @ a, (inverse @ a).T, atol=1e-10)


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_projection_is_invisible_and_idempotent(operator):
    x = torch.rand(2, 3, 7 * operator.scale, 9 * operator.scale, dtype=torch.float64)
    p = operator.project(x)
    assert operator.observe(p).abs().max() < 1e-10
    torch.testing.assert_close(operator.project(p), p)
    y = torch.rand(3, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(operator.observe(operator.invert(y) + p), y.expand(2, -1, -1, -1))
    torch.testing.assert_close(operator.project_onto_data_(x.clone(), y), operator.invert(y) + p)


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_products_by_blocks_are_those_of_whole_matrices(operator, height, width):
    (rows, back), (columns, across) = (map(torch.from_numpy, operator.matrices(size)) for size in (height, width))
    x = torch.rand(2, height * operator.scale, width * operator.scale, dtype=torch.float64)
    y = torch.rand(2, height, width, dtype=torch.float64)
    torch.testing.assert_close(operator.observe(x), rows @ x @ columns.mT, rtol=0, atol=1e-6)
    torch.testing.assert_close(operator.invert(y), back @ y @ across.mT, rtol=0, atol=1e-6)
    torch.testing.assert_close(operator.project_onto_data_(x.clone(), y), operator.invert(y) + operator.project(x))


def test_pseudo_inverse_has_least_norm():
    operator = observe.bicubic(4)
    y, x = torch.rand(5, 6, dtype=torch.float64), torch.rand(20, 24, dtype=torch.float64)
    least = operator.invert(y)
    assert least.norm() < (least + operator.project(x)).norm()


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_constants_are_kept(operator):
    y = torch.full((6, 5), 3.7, dtype=torch.float64)
    x = torch.full((6 * operator.scale, 5 * operator.scale), 3.7, dtype=torch.float64)
    torch.testing.assert_close(operator.observe(x), y)
    if operator.kernel != "gaussian":  # whose rows do not add up to a constant, so least norm bends it
        torch.testing.assert_close(operator.invert(y), x)


def test_bicubic_weights_are_those_of_keys():
    """An interior row of the x2 operator, computed by hand from Keys' cubic at quarter steps."""
    row = observe.bicubic(2).matrices(9)[0][4, 5:13]
    expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(row, expected, atol=1e-12)


def test_box_is_the_mean():
    x = torch.rand(12, 8, dtype=torch.float64)
    torch.testing.assert_close(observe.box(4).observe(x), x.reshape(3, 4, 2, 4).mean((1, 3)))


def test_clipped_members_are_in_range_and_consistent():
    """Members are clipped to the range, and stay consistent where the input is not saturated."""
    operator, random = observe.bicubic(4), torch.Generator().manual_seed(0)
    truth = (torch.rand(3, 16, 16, generator=random) * 1.6 - 0.3).clamp(0, 1)
    truth = truth.repeat_interleave(4, 1).repeat_interleave(4, 2)
    y = operator.observe(truth).clamp(0, 1)
    x = operator.invert(y) + operator.project(0.1 * torch.randn(2, 3, 64, 64, generator=random))
    assert x.max() > 1 and x.min() < 0
    inside = operator.clip_consistently_(x.clone(), y, 0.0, 1.0)
    assert inside.min() >= 0 and inside.max() <= 1
    clipped = (operator.observe(x.clamp(0, 1)) - y).pow(2).mean()
    assert (operator.observe(inside) - y).pow(2).mean() < 0.01 * clipped


def test_clipping_does_not_change_images_in_range():
    operator = observe.bicubic(4)
    x = torch.rand(1, 1, 16, 16)
    assert operator.clip_consistently_(x, operator.observe(x)[0], 0.0, 1.0) is x


def test_gradients_pass():
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(observe.bicubic(4).project, (x,))


def test_reach_bounds_influence():
    operator = observe.bicubic(4)
    y = torch.zeros(1, 96, dtype=torch.float64)
    y[0, 48] = 1
    far = operator.invert(y)[0].abs()
    assert far[: 4 * (48 - operator.reach)].max() < 1e-6
    assert operator.reach < 20


def test_bad_operators_say_what_to_do():
    with pytest.raises(InvalidForwardOperator, match="bicubic, gaussian, box"):
        observe.Separable("lanczos")
    with pytest.raises(InvalidForwardOperator, match="sigma > 0"):
        observe.Separable("gaussian", 4)
    with pytest.raises(InvalidForwardOperator, match="narrower"):
        observe.gaussian(2, sigma=8)
    with pytest.raises(InvalidForwardOperator, match="at least 1"):
        observe.box(0)


def test_sampling_first_and_training_after():
    """Matrices cached in inference mode must serve gradients later."""
    operator = observe.gaussian(4, sigma=1.234)
    with torch.inference_mode():
        operator.project(torch.zeros(28, 28))
    x = torch.rand(28, 28, requires_grad=True)
    operator.project(x).pow(2).sum().backward()
    assert x.grad is not None


def test_null_space_variance_is_the_diagonal_of_the_projection():
    for operator in (observe.bicubic(4), observe.gaussian(2, sigma=1.0), observe.box(3)):
        side = 3 * operator.scale
        every = torch.eye(side * side, dtype=torch.float64).reshape(-1, 1, side, side)
        diagonal = operator.project(every).flatten(1).diagonal().reshape(side, side)
        torch.testing.assert_close(operator.null_space_variance(3, 3), diagonal.float(), atol=1e-6, rtol=0)


@given(st.sampled_from(["bicubic", "gaussian", "box"]), st.floats(0.01, 2.0), st.integers(0, 2**32 - 1))
def test_a_regularisation_shrinks_constants_and_noise(kernel, regularisation, seed):
    exact = observe.Separable(kernel, 3, 1.2 if kernel == "gaussian" else 0.0)
    operator = replace(exact, regularisation=regularisation)
    assert exact.exact and not operator.exact and operator.reach <= exact.reach + 1
    constant = torch.ones(1, 12, 13, dtype=torch.float64)
    kept = float(operator.observe(operator.invert(constant)).mean())
    assert kept == pytest.approx(1 / (1 + regularisation), rel=0.02)
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 12, 13)))
    assert operator.invert(noise).norm() < exact.invert(noise).norm()
    again = observe.from_description(json.loads(json.dumps(operator.describe())))
    assert again == operator != exact and "regularisation" not in exact.describe()


def test_a_small_regularisation_hardly_changes_the_inverse():
    y = torch.from_numpy(np.random.default_rng(0).random((1, 12, 13)))
    exact, operator = observe.gaussian(4, sigma=1.6), observe.gaussian(4, sigma=1.6, regularisation=1e-6)
    assert operator.invert(y).numpy() == pytest.approx(exact.invert(y).numpy(), abs=1e-3)
    x = torch.rand(1, 1, 48, 52, dtype=torch.float64) * 3 - 1
    assert operator.clip_consistently_(x.clone(), y, 0.0, 1.0).equal(x.clamp(0, 1)) and not operator.clipping_reach


def test_wide_gaussians_need_a_regularisation():
    with pytest.raises(InvalidForwardOperator, match="up to 8 with a regularisation"):
        observe.gaussian(4, sigma=4.0)
    operator = observe.gaussian(4, sigma=4.0, regularisation=0.01)
    assert operator.reach < 40 and operator.null_space_variance(8, 8).min() > 0.8
