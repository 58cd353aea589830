import numpy as np
import pytest

from bayesr.errors import InvalidArgument
from bayesr.segmentation import conformal


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_have_the_promised_coverage(level):
    """Coverage holds for intervals that are too narrow, too wide or biased."""
    rng = np.random.default_rng(0)
    for width, bias in ((0.3, 0.0), (3.0, 0.0), (1.0, 4.0)):
        shares = []
        for _ in range(300):
            mean = rng.uniform(1, 60, 60)
            truth = rng.poisson(mean)
            half = width * np.sqrt(mean)
            fitted = conformal.fit(mean[:40] + bias - half[:40], mean[:40] + bias + half[:40], truth[:40], level=level)
            low, high = fitted.apply(mean[40:] + bias - half[40:], mean[40:] + bias + half[40:])
            shares.append(np.mean((truth[40:] >= low) & (truth[40:] <= high)))
        error = 4 * np.std(shares) / np.sqrt(len(shares))
        assert level - error < np.mean(shares) < level + 1 / 41 + 0.01 + error


def test_intervals_that_are_too_wide_shrink():
    truth = np.arange(40.0)
    fitted = conformal.fit(truth - 10, truth + 10, truth, level=0.9, scale=np.ones(40))
    assert fitted.margin == -10
    low, high = fitted.apply(3, 5, 1)
    assert low == high == 4  # its middle, not inside out


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (dict(lower=[1.0] * 5, upper=[2.0] * 5, truth=[1.0] * 5), "at least 9"),
        (dict(lower=[1.0] * 20, upper=[2.0] * 20, truth=[1.0] * 19), "one finite truth"),
        (dict(lower=[3.0] * 20, upper=[2.0] * 20, truth=[1.0] * 20), "lower ends"),
        (dict(lower=[np.nan] * 20, upper=[2.0] * 20, truth=[1.0] * 20), "finite"),
        (dict(lower=[1.0] * 20, upper=[2.0] * 20, truth=[1.0] * 20, level=1.0), "level"),
        (dict(lower=[1.0] * 20, upper=[2.0] * 20, truth=[1.0] * 20, scale=[0.0] * 20), "positive"),
    ],
)
def test_invalid_arguments_are_refused(given, what):
    with pytest.raises(InvalidArgument, match=what):
        conformal.fit(**given)
