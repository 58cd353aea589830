import pytest

from bayesr.errors import InvalidArgument


def test_unknown_devices_name_those_that_can_be_used(model):
    with pytest.raises(InvalidArgument, match="openvino"):
        model.sample("no such image", 4, device="abacus")
