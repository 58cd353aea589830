"""Steps that a CUDA graph can hold. Without a GPU, a stand-in calls them, and the host must not see a value."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.degradation import Degradation
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.recipe import Stage
from tests.training.helpers import weights_of
from tests.training.test_objective import RECIPE, STAGE

STAGES = (
    Stage("fidelity", 2, 1e-3, batch=2, members=0, loss="fidelity"),
    dataclasses.replace(STAGE, steps=7, warmup=2),
    Stage("head", 3, 1e-3, batch=2, members=3, patches={4: 0.5}, bands={8: 1.0}, trained="head"),
)
WHAT = dataclasses.replace(RECIPE, stages=STAGES)
DEGRADED = Degradation(blur=(0.2, 1.0), noise=(0.01, 0.05), photon=(0.0, 0.01))


class Calls:
    """Calls steps at once, as `StepGraphs` does before it captures them."""

    def __init__(self):
        self.kinds = []

    def forget(self):
        self.kinds.append("new stage")

    def run(self, kind, function):
        self.kinds.append(kind)
        return function()


class NoHost(TorchDispatchMode):
    """Refuses whatever would copy a value between the host and the device."""

    REFUSED = ("_local_scalar_dense", "lift_fresh", "equal", "is_nonzero", "nonzero")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket.__name__ not in self.REFUSED, func
        return func(*args, **(kwargs or {}))


def unseen(step):
    """Hide what Adam does on a CPU, where its count of steps is read; on CUDA it is capturable."""

    def call(*args):
        with _disable_current_modes():
            return step(*args)

    return call


def new(folder, graphs, degradation=DEGRADED):
    pairs = Pairs(load_images([folder]), bicubic(4), WHAT.patch, degradation=degradation)
    trainer = Trainer(WHAT, pairs)
    trainer.graphs = graphs
    return trainer


def test_no_step_waits_for_the_host(folder):
    new(folder, None).run(folder.parent / "fills caches.npz")  # of matrices, which come from the host once
    trainer = new(folder, Calls())
    while trainer.step < trainer.steps:
        stage, done = trainer.position()
        if done == 0:
            trainer._start_stage()
            for optimiser in (trainer.optimiser, trainer.discriminator_optimiser):
                optimiser.step = unseen(optimiser.step)
        trainer._set_rates(stage, done)
        assert stage.capturable
        with NoHost():
            trainer._step(stage, done)
        trainer.step += 1


def test_the_stand_in_changes_nothing(folder, tmp_path):
    trainers = [new(folder, graphs) for graphs in (None, Calls())]
    for i, trainer in enumerate(trainers):
        assert trainer.run(tmp_path / f"{i}.npz")
    first, second = map(weights_of, trainers)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert trainers[0].history[-1] | {"seconds": 0} == trainers[1].history[-1] | {"seconds": 0}


def test_each_kind_of_step_has_a_graph_of_its_own(folder):
    trainer = new(folder, Calls())
    while trainer.step < trainer.steps:
        trainer.advance()
    penalised, joined = (False, True), (True, False)  # joined after two steps, penalised at every fourth
    expected = [(False, True), (False, False), (True, False), (True, False), (True, True), (True, False), (True, False)]
    kinds = trainer.graphs.kinds
    assert kinds == ["new stage", (), (), "new stage", *expected, "new stage", (), (), ()]
    assert penalised in kinds and joined in kinds


def test_stages_that_may_wait_for_the_host_are_not_captured():
    def term(batch):
        return batch.x.mean()

    assert not dataclasses.replace(STAGES[0], terms={term: 1.0}).capturable
    assert not dataclasses.replace(STAGES[0], loss="pinball").capturable


@pytest.mark.parametrize("failing", [1, 4])
def test_a_loss_that_is_not_finite_is_found_later_with_its_step_and_batch(folder, failing):
    def message(graphs, ahead):
        trainer = new(folder, graphs)
        batch = trainer.pairs.draw_pairs

        def draw(count, random):
            low, high = batch(count, random)
            return low, high * float("nan") if trainer.step == failing else high

        trainer.pairs.draw_pairs = draw
        with pytest.raises(TrainingFailed) as failed:
            for _ in range(ahead):
                trainer.take_step()
            trainer.check_finite()
        return str(failed.value)

    expected = message(None, 9)
    assert f"at step {failing} " in expected and "photos/" in expected and "noise 0.0" in expected
    late = message(Calls(), failing + 2)
    assert late.split("The batch")[1] == expected.split("The batch")[1] and f"at step {failing} " in late


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are those of CUDA")
def test_graphs_agree_with_eager_steps(folder, tmp_path):
    stages = tuple(dataclasses.replace(stage, steps=25) for stage in STAGES)
    what = dataclasses.replace(WHAT, stages=stages)

    def trained(graphs):
        pairs = Pairs(load_images([folder]), bicubic(4), what.patch, "cuda", DEGRADED)
        trainer = Trainer(what, pairs, device="cuda", precision="float32", graphs=graphs)
        assert trainer.run(tmp_path / "c.npz", every=5)
        return trainer

    eager, captured = trained(False), trained(True)
    assert eager.graphs is None and captured.graphs is not None
    second = weights_of(captured)
    for name, value in weights_of(eager).items():
        torch.testing.assert_close(second[name], value, rtol=2e-2, atol=2e-3, msg=lambda m, name=name: f"{name}: {m}")
    for ours, theirs in zip(captured.history, eager.history, strict=True):
        for name in theirs.keys() - {"seconds", "stage"}:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-2), (name, ours["step"])
