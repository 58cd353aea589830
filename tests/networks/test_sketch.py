import os
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from bayesr import recipes
from bayesr.errors import InvalidModel
from bayesr.networks.registry import build
from bayesr.networks.sketch import Weight, compare, sketch

SMALL = {name: dict(recipes.recipe(name).network) for name in recipes.names()}


def weights_of(network):
    return {name: Weight(tuple(v.shape), v.is_floating_point()) for name, v in network.state_dict().items()}


@pytest.mark.parametrize("name", SMALL)
def test_the_sketch_of_every_recipe_has_the_shapes_of_its_network(name):
    options = {key: min(value, 12) if type(value) is int else value for key, value in SMALL[name].items()}
    if "interpolation" in options:
        options["observation"] = {"kernel": "bicubic", "scale": 4}

    def make():
        return build(bands=3, scale=4, **options)

    expected = weights_of(make())
    before = torch.get_rng_state()
    found = sketch(make, expected)
    assert found == expected and torch.equal(torch.get_rng_state(), before)
    compare(found, expected)


@pytest.mark.parametrize("options", [{"width": 4000}, {"blocks": 4000}, {"head_blocks": 4000}])
def test_larger_networks_are_refused_at_once(options):
    stored, begun = weights_of(build(bands=1, scale=2, width=8, blocks=1)), time.process_time()
    with pytest.raises(InvalidModel, match="larger network than the file"):
        sketch(lambda: build(**{"bands": 1, "scale": 2, "width": 8, "blocks": 1} | options), stored)
    assert time.process_time() - begun < 1
    with pytest.raises(InvalidModel, match="at most"):
        sketch(lambda: build(), {"a": Weight((2**30,), True)})


class NeedsValues(nn.Module):
    """A part that reads values of its tensors while it is built, as schedules of dropout do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Dropout(float(rate)) for rate in torch.linspace(0, 0.5, 3))
        self.weight = nn.Parameter(torch.empty(3))


def test_networks_that_need_values_are_built_in_memory_within_the_same_limits():
    assert sketch(NeedsValues, weights_of(NeedsValues())) == {"weight": Weight((3,), True)}

    def endless():
        while True:
            assert torch.zeros(100)[0].item() == 0

    with pytest.raises(InvalidModel, match="larger"):
        sketch(endless, {})
    with pytest.raises(InvalidModel, match=r"no network .*unexpected keyword"):
        sketch(lambda: build(nothing=1), {})


def test_differences_are_named():
    one = {"a": Weight((2, 3), True), "b": Weight((), False)}
    compare(one, dict(one))
    for other, said in (
        ({"a": one["a"]}, "lacks the weights b"),
        (one | {"c": one["a"]}, "holds the weights c"),
        (one | {"a": Weight((3, 2), True)}, "weights a are 3 x 2, floating-point numbers, and must be 2 x 3"),
        (one | {"b": Weight((), True)}, "weights b are one value, floating-point numbers"),
    ):
        with pytest.raises(InvalidModel, match=said):
            compare(one, other)


def test_torch_does_not_load_its_compiler():
    code = (
        "import sys; from bayesr.networks.registry import build; from bayesr.networks.sketch import Weight, sketch\n"
        "for backbone in ('residual', 'swin', 'attention'):\n"
        "    sketch(lambda: build(backbone=backbone, width=12, head='stochastic'), {'a': Weight((2**20,), True)})\n"
        "print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert ran.stdout == "False\n", ran.stderr
