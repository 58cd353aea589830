"""Forward operators ``y = S(h * x) + n`` from high- to low-resolution images, their inverses, and fits to images."""

from bayesr.observe.base import ForwardOperator, Unconstrained
from bayesr.observe.beads import fit_beads
from bayesr.observe.blind import Blind
from bayesr.observe.constructors import airy, bicubic, box, gaussian, measured
from bayesr.observe.fitting import fit, fitted
from bayesr.observe.fourier import Fourier
from bayesr.observe.noise import estimate_noise
from bayesr.observe.point_spread import Airy, Measured
from bayesr.observe.registry import from_description, kernels, register
from bayesr.observe.separable import Separable

__all__ = [
    "Airy",
    "Blind",
    "ForwardOperator",
    "Fourier",
    "Measured",
    "Separable",
    "Unconstrained",
    "airy",
    "bicubic",
    "box",
    "estimate_noise",
    "fit",
    "fit_beads",
    "fitted",
    "from_description",
    "gaussian",
    "kernels",
    "measured",
    "register",
]
