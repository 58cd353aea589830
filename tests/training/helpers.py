"""Records of a history, and comparisons of trainings."""

import numpy as np

from bayesr.model import checkpoint

RECORDS = [
    {"step": 2, "stage": "fidelity", "seconds": 1.5, "fidelity": 0.1, "psnr": 20.0},
    {"step": 4, "stage": "score", "seconds": 3.0, "crps": 0.05, "psnr": 21.0, "fair_crps": 0.04, "spread_skill": 0.5},
    {"step": 6, "stage": "score", "seconds": 4.5, "crps": 0.04, "psnr": 22.0, "fair_crps": 0.03, "spread_skill": 0.7},
]


def same_checkpoints(first, second):
    """Check that two checkpoints hold equal networks, optimisers and random states."""
    (arrays, facts), (expected, others) = checkpoint.read(first), checkpoint.read(second)
    assert arrays.keys() == expected.keys() and facts["step"] == others["step"]
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)


def weights_of(trainer):
    """Return copies of the weights of all networks, by network and name."""
    networks = {"generator": trainer.generator, "average": trainer.average, **trainer.networks}
    return {f"{k}/{n}": v.clone() for k, network in networks.items() for n, v in network.state_dict().items()}
