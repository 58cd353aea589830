from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr import observe
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from tests.conftest import TINY, make_model

SEEN = dict(na=0.3, wavelength=0.5, pixel=0.25)
RANDOM = np.random.default_rng(0).random((7, 5))
SYMMETRIC = (RANDOM + RANDOM[::-1])[:, :] + (RANDOM + RANDOM[::-1])[:, ::-1]
OPERATORS = [
    observe.airy(4, **SEEN, sharp_na=0.7),
    observe.airy(2, **SEEN),
    observe.airy(1, na=0.3, wavelength=0.5, pixel=0.5, sharp_na=0.7),
    observe.measured(SYMMETRIC, 3),
]
ALL = [*OPERATORS, observe.measured(RANDOM, 2)]


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def names(operator):
    return f"{type(operator).__name__}{operator.scale}"


def dense(operator, height, width):
    """Compute the matrix of the operator, `hw x s^2 hw`, from every offset of the kernel, pixel by pixel."""
    s, kernel = operator.scale, operator.kernel()

    def mirror(i, size):
        i %= 2 * size
        return i if i < size else 2 * size - 1 - i

    found = np.zeros((height, width, s * height, s * width))
    radii = [side // 2 for side in kernel.shape]
    for i, j in np.ndindex(s * height, s * width):
        for (a, b), weight in np.ndenumerate(kernel):
            row, column = mirror(i - a + radii[0], s * height), mirror(j - b + radii[1], s * width)
            found[i // s, j // s, row, column] += weight / s**2
    return torch.from_numpy(found.reshape(height * width, -1))


@pytest.mark.parametrize("operator", ALL, ids=names)
@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_observations_are_those_of_the_matrix(operator, size):
    height, width = size
    x = torch.rand(2, 3, operator.scale * height, operator.scale * width, dtype=torch.float64)
    expected = (x.flatten(2) @ dense(operator, *size).T).reshape(2, 3, *size)
    torch.testing.assert_close(operator.observe(x), expected)


@pytest.mark.parametrize("operator", OPERATORS, ids=names)
@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_the_inverse_is_that_of_tikhonov(operator, size):
    a, y = dense(operator, *size), torch.rand(*size, dtype=torch.float64)
    normal = a @ a.T + operator.regularisation / operator.scale**2 * torch.eye(len(a), dtype=torch.float64)
    expected = a.T @ torch.linalg.solve(normal, y.flatten())
    torch.testing.assert_close(operator.invert(y).flatten(), expected)


def test_without_symmetry_the_inverse_holds_away_from_borders():
    operator = observe.measured(RANDOM, 2, regularisation=0.1)
    a, y = dense(operator, 13, 13), torch.zeros(13, 13, dtype=torch.float64)
    y[5:8, 5:8] = torch.rand(3, 3, dtype=torch.float64)
    normal = a @ a.T + operator.regularisation / 4 * torch.eye(len(a), dtype=torch.float64)
    expected = (a.T @ torch.linalg.solve(normal, y.flatten())).reshape(26, 26)
    inside = slice(8, 18)
    torch.testing.assert_close(operator.invert(y)[inside, inside], expected[inside, inside], rtol=0, atol=3e-3)


def test_the_inverse_minimises_what_tikhonov_minimised():
    operator, y = OPERATORS[0], torch.rand(6, 7, dtype=torch.float64)

    def cost(x):
        return (y - operator.observe(x)).square().sum() + operator.regularisation / 16 * x.square().sum()

    best = operator.invert(y)
    for _ in range(5):
        assert cost(best) < cost(best + 1e-3 * torch.randn(best.shape, dtype=torch.float64))
    assert (operator.observe(best) - y).square().mean() < 0.1 * y.square().mean()


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_constants_are_kept(height, width):
    operator = OPERATORS[0]
    seen = operator.observe(torch.full((4 * height, 4 * width), 3.7))
    torch.testing.assert_close(seen, torch.full((height, width), 3.7))
    back = operator.invert(seen) * (1 + operator.regularisation)
    torch.testing.assert_close(back, torch.full((4 * height, 4 * width), 3.7), rtol=1e-4, atol=0)


@pytest.mark.parametrize("operator", OPERATORS, ids=names)
def test_members_are_projected_onto_the_data(operator):
    truth = torch.rand(1, 2, 16 * operator.scale, 16 * operator.scale)
    y, x = operator.observe(truth)[0], torch.rand(3, *truth.shape[1:])
    before = (y - operator.observe(x)).square().mean()
    projected = operator.invert(y) + operator.project(x)
    moved = operator.project_onto_data_(x.clone(), y)
    torch.testing.assert_close(moved, projected, rtol=0, atol=1e-5)
    assert (y - operator.observe(moved)).square().mean() < 0.2 * before
    assert not operator.exact and torch.equal(
        operator.null_space_variance(2, 3), torch.ones(2 * operator.scale, 3 * operator.scale)
    )
    assert operator.clip_consistently_(2 * x - 0.5, y, 0.0, 1.0).aminmax() == (0.0, 1.0)


def test_a_sharp_beam_sees_as_a_box_does():
    """A point-spread function of one pixel: the Tikhonov inverse of a box tends to its pseudo-inverse."""
    operator, box = observe.measured([[1.0]], 4, regularisation=1e-9), observe.box(4)
    x = torch.rand(20, 24, dtype=torch.float64)
    torch.testing.assert_close(operator.observe(x), box.observe(x), rtol=0, atol=1e-7)
    torch.testing.assert_close(operator.invert(x), box.invert(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("operator", ALL, ids=names)
def test_reach_bounds_influence(operator):
    side = 4 * operator.reach + 1
    y = torch.zeros(side, side, dtype=torch.float64)
    y[2 * operator.reach, 2 * operator.reach] = 1
    far = operator.invert(y).abs()
    near = slice(operator.reach * operator.scale, (3 * operator.reach + 1) * operator.scale)
    assert far.sum() - far[near, near].sum() < 2e-5
    assert operator.reach < (100 if operator.scale < 4 else 25)


def test_tiles_do_not_show():
    model = replace(make_model(bands=1), forward_operator=observe.airy(4, **SEEN, sharp_na=0.7))
    y = np.random.default_rng(2).random((83, 90)).astype(np.float32)
    whole = bayesr.sample(y, 2, model=model, value_range=(0, 1), dims="yx")
    tiled = bayesr.sample(y, 2, model=model, value_range=(0, 1), dims="yx", tile=24)
    assert 2 * model.halo + 24 < 120 and float(whole["samples"].std("realization").mean()) > 0.01
    for name in ("samples", "mean", "std"):
        assert np.abs(tiled[name] - whole[name]).max() < 1e-5, name


def test_gradients_pass_even_after_inference():
    operator = observe.measured(RANDOM, 2, regularisation=0.03)
    with torch.inference_mode():
        operator.project(torch.zeros(8, 10))
    x = torch.rand(8, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator.project, (x,))
    single = torch.rand(8, 10, requires_grad=True)
    operator.project(single).square().sum().backward()
    assert single.grad is not None and operator.observe(single).dtype == torch.float32


def test_training_goes_through_the_operator(folder):
    pairs = Pairs(load_images([folder]), OPERATORS[0], TINY.patch)
    trainer = Trainer(TINY, pairs)
    assert all(np.isfinite(list(trainer.advance().values())).all() for _ in range(trainer.steps))
    low, _ = pairs.batch(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, x = trainer.members(low, 3)
    assert (OPERATORS[0].observe(x[:, 0]) - low).abs().mean() < 0.3 * low.std()
