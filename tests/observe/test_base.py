import pytest
import torch

from bayesr import observe
from bayesr.errors import InvalidForwardOperator
from bayesr.training.degradation import Degradation, effective_operator


def test_noise_unbinds():
    operator = observe.airy(4, na=0.3, wavelength=0.5, pixel=0.25, sharp_na=0.7)
    noisy = effective_operator(operator, Degradation(noise=(0.0, 0.1)))
    assert noisy == operator.unconstrained(noise=0.1, blur=0.0, photon=0.0) != operator
    assert effective_operator(operator, Degradation()) is operator and noisy.unconstrained() == noisy
    x, y = torch.rand(1, 1, 16, 16), torch.rand(1, 4, 4)
    assert noisy.project(x) is x
    torch.testing.assert_close(noisy.project_onto_data_(x.clone(), y), x + operator.invert(y))
    torch.testing.assert_close(noisy.observe(x), operator.observe(x))


def test_unconstrained_operators_do_not_nest():
    operator = observe.bicubic(4).unconstrained(noise=0.1)
    assert operator.unconstrained(noise=0.2) == observe.Unconstrained(observe.bicubic(4), noise=0.2)
    with pytest.raises(InvalidForwardOperator, match="unconstrained already"):
        observe.Unconstrained(operator)
