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


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", "cuda:7", "vulkan", "hpu", "xla", torch.device("meta")])
def test_devices_that_compute_nothing_here_are_refused(device):
    with pytest.raises(InvalidArgument, match=r"cannot be used \(.+\)\. Use 'auto', 'cpu'.* or 'openvino'\.") as caught:
        resolve(device)
    assert str(device) in str(caught.value) and len(str(caught.value)) < 300, "without pages of torch's own advice"


@pytest.mark.parametrize("device", [None, 5, 2.5, True, ("cpu",)])
def test_a_device_is_a_name(device):
    with pytest.raises(InvalidArgument, match="must be a name"):
        resolve(device)


def test_devices_of_torch_are_names_as_well(model, photo):
    assert resolve(torch.device("cpu")) == "cpu"
    ds = model.sample(photo[:8, :9], 2, device=torch.device("cpu"))
    assert ds.drop_attrs().identical(model.sample(photo[:8, :9], 2, device="cpu").drop_attrs())


def test_a_device_is_described_by_what_runs_there():
    assert describe("cpu") == {"device": "cpu", "torch": torch.__version__}
    assert describe("cuda:1")["device"] == "cuda", "which of them does not matter"


def test_a_placed_model_is_another_object(model):
    placed, device = place(model, "cpu")
    assert device == torch.device("cpu") and placed.sha256 == model.sha256
    assert not any(module.training for module in placed.generator.modules())
