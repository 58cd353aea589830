import pytest

from bayesr.errors import InvalidModel
from bayesr.model.architecture import check_architecture


def test_options_of_a_size_that_networks_have():
    good = {"bands": 3, "scale": 4, "width": 4096, "trunk_options": {"heads": 6, "ratio": 2.0, "list": [1, 2]}}
    assert check_architecture(good) == good
    for name, value in {
        "blocks": 10**8, "bands": 0, "scale": 65, "width": -1, "ratio": float("nan"), "decoder": list(range(65)),
        "nested": {"a": {"b": 1}}, "inner": {"a": 10**9},
    }.items():  # fmt: skip
        with pytest.raises(InvalidModel, match=rf"architecture\.{name}"):
            check_architecture(good | {name: value})
    with pytest.raises(InvalidModel, match="architecture must be a mapping"):
        check_architecture([])
