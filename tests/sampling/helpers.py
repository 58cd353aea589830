"""Computations that several tests of sampling share."""

import numpy as np
import torch

from bayesr import images
from bayesr.product import MAPS
from bayesr.sampling.job import Job
from bayesr.sampling.plan import Plan
from bayesr.sampling.running_moments import RunningMoments


def disagreement(found, expected, name):
    """Return the largest difference of a variable, in value ranges; for the factor, that of the standard deviation."""
    low, high = expected.attrs["value_range"]
    if name == "calibration":
        error = np.abs(found[name] / expected[name] - 1) * expected["std"] / (high - low)
    else:
        power = 2 if name in ("variance", "aleatoric", "epistemic") else 1
        error = np.abs(found[name] - expected[name]) / (high - low) ** power
    return float(error.max())


def running(values, masks, first=0, before=None, n=None):
    """Return the moments of members `member x ...`, accumulated mask by mask as in sampling."""
    members = torch.from_numpy(values.astype(np.float32)).reshape(len(values), 1, 1, -1)
    moments = RunningMoments(Plan(n or len(values), masks, 0, 8, first), before, True)
    for mask in range(masks):
        moments.add(members[mask::masks])
    return moments.result()


def job_of(model, photo, tile, n=2):
    """Return the job that samples an image."""
    return Job(model, images.read(photo), Plan(n, 1, 0, tile), "cpu", 0.9, MAPS)
