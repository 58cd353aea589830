"""Known forward operators of an image, beside that of the model: their checks, and the choice of one for each mask.

A model that was trained over a range of blur infers the blur from the image, and its members include that it may be
wrong. Where the operator is known, members are moved by the least change with which they imply its blur, which leaves
the noise alone (`bayesr.observe.agreement`). ``A+`` in the model stays: the network learnt what to add to it.
"""

from __future__ import annotations

import xarray as xr

from bayesr.errors import InvalidArgument, InvalidForwardOperator
from bayesr.model.model import Model
from bayesr.observe import ForwardOperator, Unconstrained, posteriors
from bayesr.sampling import noise
from bayesr.sampling.plan import Plan

Known = tuple[ForwardOperator, ...] | xr.Dataset
"""Operators, one for each mask or one for all, or the posterior that they are drawn from."""

_ATTEMPTS = 16
"""Draws that a mask tries until one lies in the range of the model; hardly any of the posterior lies outside."""


def check(model: Model, given: ForwardOperator | tuple[ForwardOperator, ...] | xr.Dataset | None) -> Known:
    """Check that a model can use what is known of the forward operator; return it, without the model's own.

    Raises
    ------
    InvalidForwardOperator
        When the operator has another scale factor, or blurs more or less than those that the model was trained with.
    """
    if given is None:
        return ()
    if isinstance(given, xr.Dataset):
        posteriors.require_posterior(given)
        known: Known = given
        scale = int(given.attrs["scale"])
    else:
        known = given if isinstance(given, tuple) else (given,)
        if all(operator == model.forward_operator for operator in known):
            return ()
        known = tuple(_with_noise(model, operator) for operator in known)
        scale = next((operator.scale for operator in known if operator.scale != model.scale), model.scale)
    if scale != model.scale:
        raise InvalidForwardOperator(
            f"The forward operator has the scale factor {scale}, and {model.name} has {model.scale}: fit it for "
            f"scale={model.scale}, or use a model of its scale factor."
        )
    _check_widths(model, known)
    return known


def _with_noise(model: Model, operator: ForwardOperator) -> ForwardOperator:
    """Return an operator with the noise that it states, or else with the largest noise that the model records."""
    if not isinstance(operator, Unconstrained):
        return posteriors.with_noise(operator, posteriors.recorded_noise(model.forward_operator))
    if type(operator) is not Unconstrained or operator.blur or operator.photon:
        raise InvalidForwardOperator(
            "A forward operator that is known has no range of blur: give it without, and state the noise of the image, "
            "relative to its value range, as in observe.gaussian(4, sigma=1.6).unconstrained(noise=0.01)."
        )
    return operator if operator.noise else operator.of


def _range_of(model: Model) -> tuple[float, float]:
    return posteriors.width_range(model.forward_operator, model.card.get("degradation") or {})


def _check_widths(model: Model, known: Known) -> None:
    least, most = _range_of(model)
    narrowest, widest = posteriors.widths(known)
    trained = isinstance(model.forward_operator, Unconstrained) and model.forward_operator.blur > 0
    if trained and posteriors.inside((least, most), (narrowest, widest)):
        return
    width = f"{narrowest:.3g}" if widest - narrowest < 0.005 else f"{narrowest:.3g} to {widest:.3g}"
    training = (
        f"was trained over widths of {least:.3g} to {most:.3g}"
        if trained
        else f"was trained with one forward operator, of the width {least:.3g}"
    )
    raise InvalidForwardOperator(
        f"The forward operator is {width} high-resolution pixels wide, and {model.name} {training}: leave "
        "forward_operator= out, or use a model that was trained over a range of blur with this width in it (train with "
        "degradation=, --blur)."
    )


def choose_masks(known: Known, n: int, masks: int | None) -> int | None:
    """Return the number of dropout masks: that of the operators, if there are several, else as given.

    Raises
    ------
    InvalidArgument
        When there are more or fewer operators than masks, or they do not divide the members.
    """
    count = 1 if isinstance(known, xr.Dataset) else len(known)
    if count < 2:
        return masks
    if masks not in (None, count) or n % count:
        raise InvalidArgument(
            f"{count} forward operators are for {count} dropout masks: leave masks= out, and draw a multiple of "
            f"{count} members, not {n}; or give a single operator."
        )
    return count


def number_of_kernels(known: Known) -> int:
    """Return how many kernels there are to draw from."""
    return posteriors.number_of_draws(known) if isinstance(known, xr.Dataset) else 1


def by_mask(model: Model, known: Known, plan: Plan, value_range: tuple[float, float]) -> tuple[ForwardOperator, ...]:
    """Return the operators of all masks, or a single one of all: for a posterior a function of seed and mask number."""
    if not isinstance(known, xr.Dataset):
        return known
    width = value_range[1] - value_range[0]
    if posteriors.number_of_draws(known) == 1:
        return (_draw_operator(model, known, 0, width),)
    return tuple(_operator_of_mask(model, known, plan.seed, mask, width) for mask in range(plan.masks))


def _draw_operator(model: Model, posterior: xr.Dataset, index: int, width: float) -> ForwardOperator:
    return posteriors.drawn(posterior, index, posteriors.noise_of(posterior, index, model.forward_operator, width))


def _operator_of_mask(model: Model, posterior: xr.Dataset, seed: int, mask: int, width: float) -> ForwardOperator:
    """Return the first of several drawn operators that lies in the range of the model, or else the last."""
    for index in noise.kernel_draws(seed, mask, posteriors.number_of_draws(posterior), _ATTEMPTS):
        operator = _draw_operator(model, posterior, index, width)
        size = posteriors.width_of(operator)
        if posteriors.inside(_range_of(model), (size, size)):
            break
    return operator
