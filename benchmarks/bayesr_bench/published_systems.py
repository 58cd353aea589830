"""The systems that `bayesr bench published` compares: models, published networks, and networks with uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import bayesr
from bayesr.observe import bicubic
from bayesr_bench import published
from bayesr_bench.published import CHECKED
from bayesr_bench.sets import SCALE, Answer, Picture, answer, observe, sample
from bayesr_bench.training import LEVEL, Array
from bayesr_bench.wrapping import SPREADS, Calibrated, HeldOut, activity_of, calibrate, moved, std_of_members

WRAPPED, CENTRE = ("DAT-light", "SPAN"), "DAT-light"
"""Networks that get calibrated intervals, and the one that is the mean of moved members."""


@dataclass(frozen=True)
class System:
    """A row of the table in each set.

    Attributes
    ----------
    label : str
    sha256 : str
        Checksum of its weights.
    parameters : int
    answer : callable
        Returns the answer to the picture of this set and name.
    terms : str
        On what its answers depend besides weights and picture.
    draw : callable, optional
        Draws this many outputs of a low-resolution image, to be timed. Systems that are made of others are not timed.
    probabilistic : bool
        Whether it has members.
    crps : callable, optional
        The CRPS of an answer, where it is not that of the members.
    judged : bool
        Whether its mean is judged by LPIPS. It is not where another row has the same output.
    """

    label: str
    sha256: str
    parameters: int
    answer: Callable[[str, str, Picture], Answer]
    terms: str = "one output"
    draw: Callable[[Array, int], object] | None = None
    probabilistic: bool = False
    crps: Callable[[str, str, Answer], float] | None = None
    judged: bool = True


def last(function: Callable[[str, str, Picture], Any]) -> Callable[[str, str, Picture], Any]:
    """Return a function of a picture that remembers its last result: several systems need it, one after the other."""
    known: dict[tuple[str, str], Any] = {}

    def remembered(of_set: str, name: str, picture: Picture) -> Any:
        if (of_set, name) not in known:
            known.clear()
            known[of_set, name] = function(of_set, name, picture)
        return known[of_set, name]

    return remembered


def of_model(label: str, model: bayesr.Model, n: int, seed: int) -> System:
    """Return the system of a model of bayesr with n members, or with one output if it is a point estimator."""
    n = n if model.generator.stochastic else 1

    def draw(low: Array, count: int) -> object:
        return sample(model, low, count, seed=seed)

    parameters = sum(one.numel() for one in model.generator.parameters())
    return System(
        label, model.sha256, parameters, last(lambda of_set, name, picture: answer(model, picture, n, seed, LEVEL)),
        f"n {n}, seed {seed}, level {LEVEL:g}", draw, model.generator.stochastic,
    )  # fmt: skip


def of_network(found: published.Found, checked: published.Checked) -> System:
    """Return the system of a published network. The images of its check are not upsampled again."""
    opened, known = checked.opened, {(CHECKED, name): image for name, image in checked.outputs.items()}

    def point(of_set: str, name: str, picture: Picture) -> Answer:
        low = observe(picture.pixels)
        image = known[of_set, name] if (of_set, name) in known else published.output(opened, low)
        unknown = np.full_like(image, np.nan)
        truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
        return Answer(low, image[None], image, unknown, unknown, unknown, truth)

    def draw(low: Array, count: int) -> object:
        return published.output(opened, low)

    return System(found.label, found.sha256, opened.parameters, last(point), draw=draw)


class Wrapping:
    """Systems that put uncertainty around networks.

    Parameters
    ----------
    base : System
        A model of bayesr, whose members give a spread, or are moved.
    held : HeldOut
        The images that calibrate. They are upsampled when a calibration is first wanted.
    even : callable
        Whether the picture of this set and name is an even one of its set, counted from 0.
    """

    def __init__(self, base: System, held: HeldOut, even: Callable[[str, str], bool]) -> None:
        self.base, self.held, self.even = base, held, even
        self._outputs: dict[tuple[str, int, int], Array] = {}
        self._spreads: dict[tuple[int, int], Array] = {}
        self._calibrated: dict[tuple[str, str, int], Calibrated] = {}

    def conformal(self, of: System, kind: str) -> System:
        """Return the system of a network's output with calibrated intervals; `kind` is a name in `SPREADS`."""
        sampled = kind == "std"

        def chosen(of_set: str, name: str) -> Calibrated:
            return self.calibrated(of, kind, 0 if self.even(of_set, name) else 1)

        def with_interval(of_set: str, name: str, picture: Picture) -> Answer:
            calibrated, found = chosen(of_set, name), of.answer(of_set, name, picture)
            sample = self.base.answer(of_set, name, picture) if sampled else None
            spread = activity_of(found.mean) if sample is None else std_of_members(sample)
            return calibrated.around(found.mean, spread, found.low, found.truth)

        terms = f"{kind}, level {LEVEL:g}, calibrated on {self.held.sha256[:16]}"
        return System(
            f"conformal around {of.label}: {f'std of {self.base.label}' if sampled else kind}",
            of.sha256[:16] + (self.base.sha256[:16] if sampled else ""),
            of.parameters + (self.base.parameters if sampled else 0), with_interval,
            f"{terms}, {self.base.terms}" if sampled else terms,
            crps=lambda of_set, name, found: chosen(of_set, name).crps(found), judged=False,
        )  # fmt: skip

    def calibrated(self, of: System, kind: str, half: int) -> Calibrated:
        """Return a spread around a network, calibrated on the images for even (0) or odd (1) pictures."""
        if self.held.halves[0] is self.held.halves[1]:
            half = 0
        key = of.label, kind, half
        if key not in self._calibrated:
            cases = [self._case(of, kind, half, k) for k in range(len(self.held.halves[half]))]
            self._calibrated[key] = calibrate(cases)
        return self._calibrated[key]

    def _case(self, of: System, kind: str, half: int, k: int) -> tuple[Array, Array]:
        """Return the spread and the error of a held-out image. Outputs and spreads of members are computed once."""
        place, picture = ("held out", f"{half} {k}"), self.held.halves[half][k]
        output = self._outputs.get((of.label, half, k))
        if output is None:
            output = self._outputs[of.label, half, k] = of.answer(*place, picture).mean
        if kind != "std":
            spread = activity_of(output)
        elif (half, k) in self._spreads:
            spread = self._spreads[half, k]
        else:
            spread = self._spreads[half, k] = std_of_members(self.base.answer(*place, picture))
        return spread, picture.pixels.transpose(2, 0, 1).astype(np.float64) - output


def around(of: System, base: System) -> System:
    """Return the system of the members of a model of bayesr, moved to a network's output as their mean."""

    def members(of_set: str, name: str, picture: Picture) -> Answer:
        output = of.answer(of_set, name, picture).mean
        return moved(base.answer(of_set, name, picture), output, bicubic(SCALE))

    return System(
        f"{base.label} around {of.label}", of.sha256[:16] + base.sha256[:16], of.parameters + base.parameters, members,
        f"members around, {base.terms}", probabilistic=True,
    )  # fmt: skip


def derived(
    networks: Mapping[str, System], base: System, held: HeldOut | None, even: Callable[[str, str], bool]
) -> list[System]:
    """Return the systems that put uncertainty around networks: without held-out images, moved members alone."""
    found = []
    if held is not None:
        wrapping = Wrapping(base, held, even)
        found = [wrapping.conformal(networks[name], kind) for name in WRAPPED if name in networks for kind in SPREADS]
    return found + ([around(networks[CENTRE], base)] if CENTRE in networks else [])
