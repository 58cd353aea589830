import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.segmentation.evaluation import dice, jaccard
from bayesr.segmentation.losses import FALSE_NEGATIVES, FALSE_POSITIVES, LOSSES

OVERLAPS = ("dice", "tversky", "jaccard")
SURE = 40.0
seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, outputs: int = 2, side: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, masks and positive weights of three images."""
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, outputs, side, side, generator=g)
    targets = (torch.rand(3, outputs, side, side, generator=g) < torch.rand((), generator=g)).float()
    return logits, targets, 0.1 + torch.rand(3, 1, side, side, generator=g)


@pytest.mark.parametrize("name", LOSSES)
@given(seed=seeds)
def test_the_loss_is_zero_for_the_truth_and_large_for_its_complement(name, seed):
    _, targets, weight = draw(seed)
    sure = SURE * (2 * targets - 1)
    assert float(LOSSES[name](sure, targets, weight)) < 1e-5
    assert float(LOSSES[name](-sure, targets, weight)) > 0.8


@pytest.mark.parametrize("name", OVERLAPS)
@given(seed=seeds)
def test_overlap_losses_are_between_0_and_1(name, seed):
    assert 0 <= float(LOSSES[name](*draw(seed))) <= 1


@pytest.mark.parametrize("name", LOSSES)
@given(seed=seeds)
def test_pixels_without_weight_do_not_influence_the_loss(name, seed):
    logits, targets, weight = draw(seed)
    ignored = torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < 0.3
    weight = weight.masked_fill(ignored, 0)
    other = torch.where(ignored, -logits, logits), torch.where(ignored, 1 - targets, targets)
    torch.testing.assert_close(LOSSES[name](*other, weight), LOSSES[name](logits, targets, weight))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("filled", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_gradients_are_finite(name, filled, logit):
    """For certain and wrong predictions, and for images without any object or any background."""
    logits = torch.full((2, 1, 5, 5), logit, requires_grad=True)
    LOSSES[name](logits, torch.full((2, 1, 5, 5), filled), torch.ones(2, 1, 5, 5)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_batch_without_weight_is_finite(name):
    logits, targets, weight = draw(0)
    assert math.isfinite(float(LOSSES[name](logits, targets, 0 * weight)))


@given(seed=seeds)
def test_soft_overlaps_equal_hard_overlaps_for_binary_predictions(seed):
    """They differ by the pixel that is added to numerator and denominator."""
    logits, targets, _ = draw(seed, outputs=1, side=40)
    sure, plain = SURE * logits.sign(), torch.ones(3, 1, 40, 40)
    a, b = (logits > 0).numpy(), (targets > 0).numpy()
    for name, figure in (("dice", dice), ("jaccard", jaccard)):
        assert float(LOSSES[name](sure, targets, plain)) == pytest.approx(1 - figure(a, b), abs=1.5 / (a | b).sum())


@given(seed=seeds)
def test_tversky_weights_errors_by_kind(seed):
    logits, targets, weight = (part.double() for part in draw(seed, outputs=1))
    p = torch.sigmoid(logits)
    both, extra, missed = (float((weight * v).sum()) for v in (p * targets, p * (1 - targets), (1 - p) * targets))
    expected = 1 - (both + 1) / (both + FALSE_POSITIVES * extra + FALSE_NEGATIVES * missed + 1)
    assert float(LOSSES["tversky"](logits, targets, weight)) == pytest.approx(expected, abs=1e-9)


@given(seed=seeds, share=st.floats(0.05, 0.95))
def test_cross_entropy_is_a_proper_score(seed, share):
    """Among constant predictions, the weighted fraction of the foreground has the smallest loss."""
    _, _, weight = draw(seed, outputs=1)
    targets = (torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(seed)) < share).float()
    p = float((weight * targets).sum() / weight.sum())
    if not 0.01 < p < 0.99:
        return
    best, *others = (
        float(LOSSES["bce"](torch.full_like(targets, math.log(q / (1 - q))), targets, weight))
        for q in (p, 0.9 * p, p + 0.1 * (1 - p))
    )
    assert best == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), rel=1e-4)
    assert best < min(others)


def test_bce_dice_is_the_sum_of_both():
    given_ = draw(3)
    total = LOSSES["bce"](*given_) + LOSSES["dice"](*given_)
    torch.testing.assert_close(LOSSES["bce_dice"](*given_), total)
