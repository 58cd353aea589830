"""The systems of the table of published networks: what those around networks share."""

import numpy as np

from bayesr_bench import timing
from bayesr_bench.published_systems import System, derived
from bayesr_bench.sets import Answer, Picture, observe
from bayesr_bench.wrapping import FEWEST, HeldOut


def test_a_held_out_image_is_upsampled_once():
    """Both spreads of both networks share what they can."""
    asked = []

    def answer(name):
        def point(of_set, file, picture):
            asked.append((name, of_set, file))
            truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
            members = truth + np.random.default_rng(len(asked)).normal(0, 5, (3, *truth.shape)).astype(np.float32)
            none = np.full_like(truth, np.nan)
            return Answer(observe(picture.pixels), members, members[0], none, none, none, truth)

        return point

    photo = timing.example()
    half = [Picture(photo[k : k + 16, k : k + 16], False) for k in range(FEWEST)]
    base = System("base", "b", 1, answer("base"), probabilistic=True)
    networks = {name: System(name, name, 1, answer(name)) for name in ("DAT-light", "SPAN")}
    found = derived(networks, base, HeldOut((half, half), ""), lambda of_set, name: name == "a")
    assert len(found) == 5
    for name in "ab":
        for one in found:
            one.answer("set5", name, half[0])
    held = [one for one in asked if one[1] == "held out"]
    assert len(held) == len(set(held)) == 3 * FEWEST
