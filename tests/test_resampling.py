import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import InvalidArgument
from bayesr.resampling import KINDS, Banded, extend, resize, upsampling_matrix

kinds, sizes, scales = st.sampled_from(KINDS), st.integers(1, 20), st.integers(1, 6)


@given(kinds, sizes, scales)
def test_weights_sum_to_one_and_keep_the_mirror_image(kind, size, scale):
    matrix = upsampling_matrix(kind, size, scale)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


@given(kinds, sizes, scales, st.floats(-100, 100))
def test_constants_stay_as_they_are(kind, size, scale, value):
    y = torch.full((2, size, size + 3), value, dtype=torch.float64)
    x = resize(y, kind, scale)
    assert x.shape == (2, scale * size, scale * (size + 3))
    torch.testing.assert_close(x, torch.full_like(x, value))


@given(kinds, sizes, st.sampled_from([1, 3, 5]))
def test_odd_scales_keep_the_pixels_themselves(kind, size, scale):
    y = torch.rand(size, 7, dtype=torch.float64)
    x = resize(y, kind, scale)
    torch.testing.assert_close(x[scale // 2 :: scale, scale // 2 :: scale], y)


@pytest.mark.parametrize(("kind", "degree", "border"), [("bilinear", 1, 1), ("bicubic", 1, 2), ("bicubic", 2, 2)])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_polynomials_are_exact_away_from_borders(kind, degree, border, scale):
    low = np.arange(12.0)
    high = (np.arange(12 * scale) + 0.5) / scale - 0.5
    found = upsampling_matrix(kind, 12, scale) @ low**degree
    inside = slice(border * scale, -border * scale)
    np.testing.assert_allclose(found[inside], (high**degree)[inside], atol=1e-10)
    assert np.abs(found - high**degree).max() > 0.01, "borders are mirrored, not extrapolated"


@given(st.sampled_from(["nearest", "bilinear"]), sizes, sizes, scales)
def test_torch_interpolates_the_same(kind, height, width, scale):
    y = torch.rand(1, 2, height, width, dtype=torch.float64)
    options = {} if kind == "nearest" else {"align_corners": False}
    torch.testing.assert_close(resize(y, kind, scale), F.interpolate(y, scale_factor=scale, mode=kind, **options))


def test_lanczos_is_sharper_than_bicubic():
    """A wave of four pixels keeps more of its contrast."""
    wave = np.cos(np.pi / 2 * (np.arange(32) + 0.5))
    high = np.cos(np.pi / 2 * ((np.arange(128) + 0.5) / 4))
    inside = slice(16, -16)
    error = [np.abs(upsampling_matrix(kind, 32, 4) @ wave - high)[inside].max() for kind in KINDS]
    assert (np.diff(error) < 0).all(), dict(zip(KINDS, error, strict=True))


def test_gradients_pass_after_inference():
    with torch.inference_mode():
        resize(torch.rand(9, 9), "lanczos", 2)
    y = torch.rand(9, 9, requires_grad=True)
    resize(y, "lanczos", 2).sum().backward()
    # Away from borders each pixel weighs as much as the pixels that it becomes.
    torch.testing.assert_close(y.grad[4, 4], torch.tensor(4.0), rtol=0.02, atol=0)


@pytest.mark.parametrize("arguments", [("cubic", 4, 2), ("bicubic", 0, 2), ("bicubic", 4, 0)])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(InvalidArgument):
        upsampling_matrix(*arguments)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 8))
def test_extended_images_continue_as_their_mirror_image(height, width, multiple):
    y = torch.rand(2, height, width)
    x = extend(y, multiple)
    expected = np.pad(y.numpy(), ((0, 0), (0, -height % multiple), (0, -width % multiple)), "symmetric")
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(("size", "scale", "step"), [(5, 4, 16), (40, 3, 7), (64, 4, 16), (33, 2, 64)])
@pytest.mark.parametrize("transposed", [False, True])
def test_all_blocks_at_once_give_the_same_products(size, scale, step, transposed):
    """As devices other than a CPU compute them."""
    matrix = upsampling_matrix("bicubic", size, scale)
    matrix = matrix.T if transposed else matrix
    cpu = torch.device("cpu")
    by_block, at_once = (Banded(matrix, step, cpu, torch.float64) for _ in range(2))
    at_once._stack(matrix, step, cpu, torch.float64)
    at_once.at_once = True
    dense = torch.from_numpy(matrix.copy())
    x = torch.randn(2, 3, matrix.shape[1], 9, dtype=torch.float64)
    for banded in (by_block, at_once):
        torch.testing.assert_close(banded.down(x), dense @ x, rtol=0, atol=1e-6)
        torch.testing.assert_close(banded.across(x.mT), x.mT @ dense.mT, rtol=0, atol=1e-6)
        base = torch.randn(6, len(matrix), 9, dtype=torch.float64)
        expected = base + dense @ x.flatten(0, 1)
        banded.add_down(base, x.flatten(0, 1), base)
        torch.testing.assert_close(base, expected, rtol=0, atol=1e-6)
