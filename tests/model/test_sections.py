import pytest

import bayesr
from bayesr.errors import InvalidModel
from bayesr.model.catalogue import SEGMENTERS
from bayesr.model.sections import read_sections


def test_sections_are_those_of_the_model(file, model):
    found, loaded = read_sections(file), bayesr.load(file)
    assert found.halo == model.halo and found.inputs is None
    assert found.architecture["trunk" if "trunk" in found.architecture else "width"]
    assert found.calibration.describe() == loaded.calibration.describe()
    assert dict(found.forward_operator) == model.forward_operator.describe()


def test_a_segmenter_is_no_model():
    with pytest.raises(InvalidModel, match=r"nuclei.*give it to bayesr\.segment"):
        read_sections(SEGMENTERS / "nuclei.safetensors")
