"""Networks in the files of TensorFlow.js."""

import json

import numpy as np
import pytest
import torch
from tfjs_helpers import convolution, layer, repeating, write

from bayesr.errors import InvalidModel
from bayesr_bench import tfjs


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_pixels_are_repeated_whatever_the_shards(tmp_path, shards):
    net = tfjs.read(write(tmp_path, *repeating(), shards))
    x = torch.rand(2, 3, 5, 7)
    torch.testing.assert_close(net(x), x.repeat_interleave(4, -1).repeat_interleave(4, -2))
    assert net.parameters == sum(values.size for values in repeating()[1].values())
    assert [file.name for file in tfjs.files(tmp_path)] == ["model.json", *(f"part{k}.bin" for k in range(shards))]


def test_channels_vary_fastest_as_in_tensorflow():
    """TensorFlow states its definition as ``out[y s + i, x s + j, c] = in[y, x, (i s + j) C + c]``."""
    x, s, bands = torch.rand(1, 2 * 9, 3, 4), 3, 2
    out = tfjs.depth_to_space(x, s)
    for i, j, c in np.ndindex(s, s, bands):
        torch.testing.assert_close(out[0, c, i::s, j::s], x[0, (i * s + j) * bands + c])


def test_a_convolution_has_the_kernel_of_the_file_at_the_centre():
    """A kernel that looks one pixel up and two channels aside shifts the image, with zeros at the border."""
    kernel = torch.zeros(3, 3, 3, 1)
    kernel[0, 1, 2, 0] = 1
    weights = {"a/kernel": kernel, "a/bias": torch.ones(1)}
    net = tfjs.Layers([layer("InputLayer", "in", []), convolution("a", "in")], weights)
    x = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(net(x)[0, 0, 1:], x[0, 2, :-1] + 1)
    assert (net(x)[0, 0, 0] == 1).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["weightsManifest"][0]["paths"].append("../part0.bin"), "outside"),
        (lambda m: m["weightsManifest"][0]["paths"].pop(), "bytes"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(dtype="uint8"), "uint8"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(quantization={"scale": 1}), "quantised"),
        (lambda m: m["weightsManifest"][0]["weights"][0].update(name="other/kernel"), "wide/kernel"),
        (lambda m: layers(m)[1]["config"].update(activation="tanh"), "positive is a Activation"),
        (lambda m: layers(m)[3]["config"].update(strides=[2, 2]), "another strides"),
        (lambda m: layers(m)[3]["config"].update(padding="valid"), "another padding"),
        (lambda m: layers(m)[3]["config"].update(kernel_size=[2, 3]), "another kernel_size"),
        (lambda m: layers(m)[3]["inbound_nodes"].append([]), "shared"),
        (lambda m: layers(m)[3]["inbound_nodes"][0][0].__setitem__(0, "later"), "later"),
        (lambda m: layers(m).clear(), "no layers"),
        (lambda m: m.pop("weightsManifest"), "weightsManifest"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, change, said):
    write(tmp_path, *repeating())
    model = json.loads((tmp_path / "model.json").read_text())
    change(model)
    (tmp_path / "model.json").write_text(json.dumps(model))
    with pytest.raises(InvalidModel, match=said):
        tfjs.read(tmp_path)


def layers(model):
    return model["modelTopology"]["model_config"]["config"]["layers"]


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(InvalidModel, match="Install the package again"):
        tfjs.read(tmp_path)
    write(tmp_path, *repeating())
    (tmp_path / "part1.bin").unlink()
    with pytest.raises(InvalidModel, match=r"part1\.bin"):
        tfjs.read(tmp_path)
