"""The check of LPIPS."""

import numpy as np
import PIL.Image
import pytest

from bayesr.errors import WrongProtocol
from bayesr.networks.features.lpips import NETWORKS, Lpips
from bayesr_bench import lpips
from tests.networks.lpips_helpers import weights


def photographs(root):
    random = np.random.default_rng(0)
    for name in ("set5", "set14"):
        (root / name).mkdir(parents=True)
        for k in range(2):
            pixels = random.integers(0, 256, (64, 48, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(root / name / f"{k}.png")
    return root


def test_a_network_that_is_off_is_refused(tmp_path, monkeypatch):
    root, network = photographs(tmp_path), Lpips(NETWORKS["alexnet"], weights(), "alexnet")
    with pytest.raises(WrongProtocol, match=r"on 2 images of set5; the known value is 0\.3407"):
        lpips.check(network, root)
    monkeypatch.setattr(lpips, "TOLERANCE", np.inf)
    found = lpips.check(network, root)
    monkeypatch.undo()
    monkeypatch.setitem(lpips.KNOWN, "alexnet", {name: value + 0.0029 for name, value in found.items()})
    assert lpips.check(network, root) == found
    monkeypatch.setitem(lpips.KNOWN, "alexnet", {name: value + 0.0031 for name, value in found.items()})
    with pytest.raises(WrongProtocol, match="Nothing was measured"):
        lpips.check(network, root)
