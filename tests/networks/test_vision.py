"""Each test runs in an interpreter of its own, because imports happen once."""

import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from bayesr.networks import vision

RUN = """
import warnings
warnings.simplefilter("error")
import torch
try:
    import torchvision
    loads = True
except RuntimeError:
    loads = False
from bayesr.networks import vision
module = vision.torchvision()
assert module is vision.torchvision()
from torchvision.models import mobilenet_v2
from torchvision.transforms import v2
with torch.no_grad():
    made = mobilenet_v2(width_mult=0.25).eval()(v2.functional.hflip(torch.rand(1, 3, 32, 32)))
assert made.shape == (1, 1000) and made.isfinite().all()
boxes, scores = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0]]), torch.tensor([0.5, 0.9])
try:
    kept = torch.ops.torchvision.nms(boxes, scores, 0.5)
    assert loads and kept.tolist() == [1], "an operator that nobody wrote has an answer"
except NotImplementedError:
    assert not loads
"""
OPERATORS = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl(name, lambda dets, scores, limit: torch.arange(len(dets)), "CPU")
from bayesr.networks import vision
vision.torchvision()
assert torch.ops.torchvision.nms(torch.zeros(3, 4), torch.zeros(3), 0.5).tolist() == [0, 1, 2]
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_torchvision_works_and_missing_operators_raise():
    """Networks and transforms run, whether or not the operators load, and missing operators raise an error."""
    done = run(RUN)
    assert done.returncode == 0, done.stderr


def test_nothing_is_declared_if_operators_are_available():
    """Operators that were registered before, as the compiled ones are, stay the only ones."""
    vision.torchvision()
    with suppress(NotImplementedError):
        torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        pytest.skip("torchvision's own operators load here, which the other test covers")
    done = run(OPERATORS)
    assert done.returncode == 0, done.stderr
