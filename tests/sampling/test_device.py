import pytest
import torch

from bayesr.errors import InvalidArgument
from bayesr.sampling.device import describe, place, resolve


def test_unknown_devices_name_those_that_can_be_used(model):
    with pytest.raises(InvalidArgument, match="openvino"):
        model.sample("no such image", 4, device="abacus")


def test_names_of_devices_mean_the_same_elsewhere():
    assert resolve("cpu") == "cpu" and resolve("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve(resolve("auto")) == resolve("auto")
    with pytest.raises(InvalidArgument, match="'abacus' cannot be used"):
        resolve("abacus")


def test_a_device_is_described_by_what_runs_there():
    assert describe("cpu") == {"device": "cpu", "torch": torch.__version__}
    assert describe("cuda:1")["device"] == "cuda", "which of them does not matter"


def test_a_placed_model_is_another_object(model):
    placed, device = place(model, "cpu")
    assert device == torch.device("cpu") and placed.sha256 == model.sha256
    assert not any(module.training for module in placed.generator.modules())
