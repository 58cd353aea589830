"""How a scene becomes a low-resolution image, ``y = S(h * x) + n``: operators, their inverses, fits to pairs."""

from bayesr.observe.base import ForwardOperator
from bayesr.observe.blind import Blind
from bayesr.observe.fitting import fit, fitted
from bayesr.observe.fourier import Airy, Fourier, InexactAiry, InexactMeasured, Measured
from bayesr.observe.kinds import airy, bicubic, box, from_description, gaussian, measured
from bayesr.observe.separable import Inexact, Separable

__all__ = [
    "Airy",
    "Blind",
    "Fourier",
    "Inexact",
    "InexactAiry",
    "InexactMeasured",
    "Measured",
    "ForwardOperator",
    "Separable",
    "airy",
    "bicubic",
    "box",
    "fit",
    "fitted",
    "from_description",
    "gaussian",
    "measured",
]
