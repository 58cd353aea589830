import math

import numpy as np
import pytest
import torch

import bayesr
from bayesr.observe import bicubic


def test_consistency_with_the_input(ds, truth, scores, low, model):
    x = torch.from_numpy(np.rint(ds["samples"].values).astype(float))
    seen = bicubic(4).observe(x).clamp(0, 255).round().numpy()
    worst = ((seen - low.transpose(2, 0, 1)) ** 2).mean((1, 2, 3)).max()
    given_input = bayesr.score(ds, truth, dims="byx", img=low, model=model)
    assert float(given_input["lr_psnr"]) == pytest.approx(10 * math.log10(255**2 / worst) if worst else math.inf)
    assert float(scores["lr_psnr"]) < 50, "the input was not made from this truth"
    assert "reference" in scores["lr_psnr"].attrs["estimator"]
    assert "was sampled" in given_input["lr_psnr"].attrs["estimator"]
