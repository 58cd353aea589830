import math
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import TrainingFailed
from bayesr.networks.features.mini_vgg import MiniVGG
from bayesr.training import losses
from bayesr.training.terms import SpreadReward, classification, content, rewarded, structure


class Seen(NamedTuple):
    """The attributes of a batch that terms use."""

    x: torch.Tensor
    truth: torch.Tensor
    labels: Any = None
    networks: Any = None


def images(seed, *shape, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stripes(angle, size=24):
    """A plane wave whose crests run at `angle` degrees from the x axis."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    turn = math.radians(angle)
    return (0.5 + 0.4 * torch.sin(0.8 * (y * math.cos(turn) - x * math.sin(turn)))).double()[None, None]


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), bands=st.integers(1, 3), height=st.integers(1, 9))
def test_structure_is_convex(seed, share, bands, height):
    """Jensen's inequality holds between any two images."""
    truth, a, b = images(seed, 3, 2, bands, height, 7)
    a, b = a[:, None], b[:, None]
    between = structure(Seen(share * a + (1 - share) * b, truth))
    ends = share * structure(Seen(a, truth)) + (1 - share) * structure(Seen(b, truth))
    assert between <= ends + 1e-12


def test_weights_that_follow_the_image_would_not_be_convex():
    """Two images with texture in one half each; between them there is texture everywhere, if fainter."""
    truth = torch.full((1, 1, 8, 16), 0.5, dtype=torch.float64)
    one, two = torch.ones(2, 1, 1, 1, 8, 16, dtype=torch.float64)
    one[..., :8] += images(0, 8, 8) / 10
    two[..., 8:] += images(1, 8, 8) / 10

    def excess(loss):
        return float(loss((one + two) / 2) / (loss(one) + loss(two)) * 2 - 1)

    assert excess(lambda x: structure(Seen(x, truth))) <= 1e-12
    # The roles swapped: the same error, with the weights of x.
    assert excess(lambda x: structure(Seen(truth[:, None], x[:, 0]))) > 0.05


@given(seed=st.integers(0, 10_000), row=st.integers(0, 5), column=st.integers(0, 6), change=st.floats(1e-3, 1))
def test_structure_is_zero_at_the_truth_alone(seed, row, column, change):
    """The loss is at least the mean absolute error, even where the truth is flat."""
    for truth in (images(seed, 1, 2, 6, 7), torch.full((1, 2, 6, 7), 0.5, dtype=torch.float64)):
        x = truth[:, None].repeat(1, 2, 1, 1, 1)
        assert structure(Seen(x, truth)) == 0
        x[0, 1, 0, row, column] += change
        assert structure(Seen(x, truth)) >= losses.absolute_error(x, truth) * (1 - 1e-9) > 0


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_structure_knows_where_edges_run(angle):
    """Of errors of equal size and frequency those cost most that change along the truth's stripes, and those that
    change across them least, yet more than where the truth is flat."""
    truth = stripes(angle)
    errors = [0.1 * (stripes(angle + turn) - 0.5) for turn in (0, 45, 90)]
    cost = lambda error, t: float(structure(Seen((t + error)[:, None], t)) / error.abs().mean())  # noqa: E731
    across, between, along = (cost(error, truth) for error in errors)
    assert along > 1.05 * between > 1.05 * 1.05 * across
    flat = [cost(error, torch.full_like(truth, 0.5)) for error in errors]
    assert flat == pytest.approx([1, 1, 1], abs=1e-3) and across > 1.1


def test_structure_has_gradients_for_images_only():
    truth = images(0, 2, 1, 8, 8).requires_grad_()
    x = images(1, 2, 3, 1, 8, 8).requires_grad_()
    structure(Seen(x, truth)).backward()
    assert truth.grad is None and (x.grad != 0).any()
    each = [structure(Seen(member[:, None], truth)) for member in x.unbind(1)]
    torch.testing.assert_close(structure(Seen(x, truth)), sum(each) / 3)


def seen_with_content(bands=1, members=2):
    torch.manual_seed(0)
    network = MiniVGG(bands, 3, width=4)
    network(images(0, 4, bands, 32, 32, dtype=torch.float32))
    truth = images(1, 2, bands, 32, 32, dtype=torch.float32)
    x = truth[:, None] + 0.1 * torch.randn(2, members, bands, 32, 32)
    return Seen(x.requires_grad_(), truth, torch.tensor([0, 2]), {"content": network})


def test_content_loss_is_the_difference_of_features():
    scene = seen_with_content()
    network = scene.networks["content"]
    value = content(scene)
    value.backward()
    assert (scene.x.grad != 0).any() and all(p.grad is None for p in network.parameters())
    assert content(scene._replace(x=scene.truth[:, None])) == 0
    with torch.no_grad():  # the mode of a network does not matter, its weights do
        same = content(scene._replace(networks={"content": network.eval()}))
        other = content(seen_with_content()._replace(x=scene.x, networks={"content": MiniVGG(1, 3, width=4)}))
    assert same == value and not torch.isclose(other, value, rtol=0.01)


def test_content_is_in_units_of_the_squared_error():
    """The loss does not depend on the scale of features; where features are the pixels, it is the pixel loss."""

    class Pixels(MiniVGG):
        def features(self, x):
            return [3 * x] * 5

    scene = seen_with_content()
    error = (scene.x - scene.truth[:, None]).pow(2).mean()
    torch.testing.assert_close(content(scene._replace(networks={"content": Pixels(1, 3, width=2)})), error)
    assert 0.1 * error < content(scene) < 10 * error
    torch.testing.assert_close(
        content(scene._replace(x=2 * scene.x, truth=2 * scene.truth, networks={"content": Pixels(1, 3, width=2)})),
        4 * error,
    )


def test_content_falls_when_images_follow_it():
    """Minimising it from a blurred image restores the features of the truth."""
    scene = seen_with_content(members=1)
    blurred = F.avg_pool2d(F.pad(scene.truth, (1, 1, 1, 1), mode="replicate"), 3, 1)[:, None]
    x = blurred.clone().requires_grad_()
    optimiser = torch.optim.Adam([x], 0.02)
    values = []
    for _ in range(12):
        optimiser.zero_grad()
        value = content(scene._replace(x=x))
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]


def test_classification_trains_the_network_on_the_truth():
    scene = seen_with_content()
    value = classification(scene)
    value.backward()
    network = scene.networks["content"]
    assert all(p.grad is not None for p in network.parameters()) and scene.x.grad is None
    torch.testing.assert_close(value, F.cross_entropy(network(scene.truth), scene.labels))
    large = F.pad(scene.truth, (40, 41, 41, 42))
    middle = classification(scene._replace(truth=large))
    torch.testing.assert_close(middle, F.cross_entropy(network(large[..., 9:105, 8:104]), scene.labels))


def sampler(truth_of, steps, reward, start=0.5, rate=0.05):
    """Train the spread of a sampler of single numbers; return its mean over the last third of the steps."""
    random = torch.Generator().manual_seed(0)
    spread = torch.tensor(math.log(start), requires_grad=True)
    optimiser = torch.optim.Adam([spread], rate)
    found = []
    for _ in range(steps):
        normal = torch.randn(3, 2000, 1, 1, 1, generator=random)
        members = (spread.exp() * normal[:2]).transpose(0, 1)
        scene = Seen(members, truth_of(normal[2]), networks={"reward": reward})
        optimiser.zero_grad()
        rewarded(scene).backward()
        optimiser.step()
        found.append(spread.exp().item())
    last = found[-steps // 3 :]
    return sum(last) / len(last)


@pytest.mark.parametrize("weight", [0.7, 1.0, 1.3])
def test_spread_follows_the_reward(weight):
    """At a fixed weight k, the spread of two members is ``k sqrt(2 / (3 - k^2))`` of that of a normal truth."""
    reward = SpreadReward(gain=0)
    reward.weight.fill_(weight)
    expected = weight * math.sqrt(2 / (3 - weight**2))
    assert sampler(lambda normal: normal, 150, reward) == pytest.approx(expected, rel=0.05)
    assert reward.weight.item() == pytest.approx(weight)


def heavy(normal):
    """A Laplace truth of unit variance."""
    return torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.special.ndtr(normal.double()).float())


@pytest.mark.parametrize("truth_of", [lambda normal: normal, heavy], ids=["normal", "heavy-tailed"])
def test_a_reward_that_tunes_itself_finds_the_true_spread(truth_of):
    """The weight for Gaussians would find 0.8 for a heavy-tailed truth."""
    tuned = SpreadReward(gain=0.1, decay=0.9)
    tuned.weight.fill_(0.3)
    assert sampler(truth_of, 240, tuned) == pytest.approx(1, abs=0.05)


@given(count=st.integers(2, 6), spread=st.floats(0.0, 3.0))
def test_the_weight_moves_towards_the_true_ratio_of_errors(count, spread):
    random = torch.Generator().manual_seed(0)
    truth, members = torch.randn(1000, 1, 1, 1, generator=random), torch.randn(1000, count, 1, 1, 1, generator=random)
    reward = SpreadReward(gain=0.1)
    reward(spread * members, truth)
    if spread < 0.8:
        assert reward.weight > 1
    elif spread > 1.2:
        assert reward.weight < 1
    for _ in range(40):
        reward(spread * members, truth)
    assert 0 <= reward.weight < math.sqrt(count + 1)


def test_the_reward_is_that_of_gaussians_at_first_and_part_of_checkpoints():
    members, truth = torch.rand(4, 3, 1, 8, 8), torch.rand(4, 1, 8, 8)
    reward = SpreadReward()
    torch.testing.assert_close(reward.eval()(members, truth), losses.rewarded_error(members, truth))
    assert reward.weight == 1 and not reward.errors.any(), "evaluation changes nothing"
    reward.train()(members, truth)
    assert reward.weight != 1 and reward.errors[0] > reward.errors[1] > 0
    other = SpreadReward()
    other.load_state_dict(reward.state_dict())
    assert other.weight == reward.weight and not list(reward.parameters())
    with pytest.raises(TrainingFailed, match="2 or more"):
        reward(members[:, :1], truth)
