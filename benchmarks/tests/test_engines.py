"""Engines of published networks. Those of real packages are tested in test_published.py."""

from bayesr_bench import engines


def test_parameters_of_ncnn_are_those_of_convolutions():
    listed = (
        "7767517\n3 3\nInput in 0 1 data\nConvolution a 1 1 data b 0=8 1=3 5=1 6=216\nConvolution c 1 1 b d 0=2 6=16"
    )
    assert engines.ncnn_parameters(listed) == 216 + 8 + 16
