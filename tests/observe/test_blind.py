import numpy as np
import pytest
import torch

from bayesr import observe
from bayesr.errors import InvalidForwardOperator
from bayesr.observe.base import Unconstrained
from bayesr.observe.blind import Blind
from bayesr.observe.registry import from_description
from bayesr.resampling import resize


@pytest.mark.parametrize("of", [observe.bicubic(4), observe.box(2), observe.gaussian(1, sigma=0.5)], ids=str)
def test_the_base_image_is_an_interpolation_whatever_made_the_input(of):
    y = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    blind = Blind(of)
    torch.testing.assert_close(blind.invert(y), resize(y, "bicubic", of.scale))
    if of.scale == 1:
        torch.testing.assert_close(blind.invert(y), y)
    x = torch.rand(2, 3, 6 * of.scale, 7 * of.scale, dtype=torch.float64)
    torch.testing.assert_close(blind.observe(x), of.observe(x))
    assert torch.equal(blind.project(x), x), "members are not constrained"


def test_a_pixel_of_the_base_image_depends_on_pixels_within_reach():
    blind, y = Blind(observe.bicubic(4)), torch.zeros(1, 1, 11, 11, dtype=torch.float64)
    y[..., 5, 5] = 1
    rows = np.nonzero(blind.invert(y)[0, 0].abs().amax(1).numpy())[0]
    assert 5 - rows.min() // 4 <= blind.reach and rows.max() // 4 - 5 <= blind.reach


def test_the_description_names_the_operator_that_made_the_input():
    blind = Blind(observe.gaussian(2, sigma=1.5).unconstrained(noise=0.1), noise=0.2)
    plain = blind.describe()
    assert plain["kernel"] == "blind" and plain["noise"] == 0.2 and plain["of"]["noise"] == 0.1
    assert from_description(plain) == blind and blind.scale == 2


def test_further_constraints_do_not_matter():
    blind = Blind(observe.bicubic(4))
    assert blind.unconstrained(noise=0.1) == Blind(observe.bicubic(4), noise=0.1)
    with pytest.raises(InvalidForwardOperator, match="unconstrained already"):
        Unconstrained(observe.bicubic(4).unconstrained())
