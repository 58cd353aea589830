import numpy as np
import pytest
import torch

from bayesr.errors import InvalidModel
from bayesr.networks.outputs import StagedOutput, SubPixelOutput


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 6, 8])
def test_the_declared_reach_of_a_staged_output_is_exact(scale):
    torch.manual_seed(0)
    out = StagedOutput(2, 2, scale).double()
    torch.nn.init.normal_(out.last.weight)
    f = torch.rand(1, 2, 13, 13, dtype=torch.float64, requires_grad=True)
    folded = out(f)
    assert folded.shape == (1, 2 * scale**2, 13, 13)
    (slope,) = torch.autograd.grad(folded[0, :, 6, 6].sum(), f)
    for axis in (0, 1):
        touched = np.nonzero(slope[0].abs().sum((0, 1 + axis)).numpy())[0]
        assert (6 - touched.min(), touched.max() - 6) == (out.reach, out.reach)


@pytest.mark.parametrize("make", [StagedOutput, SubPixelOutput])
def test_detail_starts_at_zero_and_learns_from_the_first_step(make):
    out = make(4, 2, 2)
    detail = out(1e3 * torch.rand(1, 4, 5, 6))
    assert detail.shape == (1, 8, 5, 6) and not detail.any()
    (detail - 1).square().sum().backward()
    assert sum(float(parameter.grad.abs().sum()) for parameter in out.parameters() if parameter.grad is not None) > 0


def test_a_staged_output_refuses_other_scale_factors():
    for scale in (0, 5, 10):
        with pytest.raises(InvalidModel, match="sub-pixel"):
            StagedOutput(4, 1, scale)
