"""From an architecture, as a model file describes it, to a network."""

from __future__ import annotations

from typing import Any

from bayesr.networks.ensemble import Ensemble
from bayesr.networks.fixed import Interpolation
from bayesr.networks.generator import Generator


def build(**architecture: Any) -> Generator:
    """The network of an architecture: an interpolation, an ensemble, or a generator.

    Raises
    ------
    InvalidModel
        For a part that is not known here.
    """
    if "interpolation" in architecture:
        return Interpolation(**architecture)
    return (Ensemble if "networks" in architecture else Generator)(**architecture)
