import torch

from bayesr_bench.problems import Mixture


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_candidates_of_a_mixture_share_their_observation_and_nothing_else():
    problem = Mixture()
    low, found, probability = problem.scenes(40, random())
    torch.testing.assert_close(
        problem.operator.observe(found), low[:, None].expand(-1, problem.candidates, -1, -1, -1), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(probability.sum(1), torch.ones(40, dtype=torch.float64))
    apart = (found[:, 0] - found[:, 1]).pow(2).mean((1, 2, 3)).sqrt()
    assert apart.min() > 0.02
    assert probability.std(0).max() > 0.1, "probabilities depend on the data"


def test_a_mixture_draws_candidates_with_their_probabilities():
    problem = Mixture()
    _, found, probability = problem.scenes(2, random(3))
    drawn = problem.posterior(found, probability, 5000, random(4))
    distance = (drawn[:, :, None] - found[:, None]).abs().amax((3, 4, 5))
    assert distance.amin(2).max() == 0
    frequency = torch.nn.functional.one_hot(distance.argmin(2)).double().mean(1)
    torch.testing.assert_close(frequency, probability, atol=0.03, rtol=0)
    torch.testing.assert_close(problem.batch(8, random(5))[0], problem.operator.observe(problem.batch(8, random(5))[1]))
