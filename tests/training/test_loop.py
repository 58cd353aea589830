import dataclasses

import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.adjusting import with_duration, with_steps
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from tests.conftest import TINY
from tests.training.helpers import same_checkpoints, weights_of


def test_the_loss_falls_and_every_part_learns(folder, tmp_path):
    longer = with_steps(TINY, {"fidelity": 150})
    trainer = Trainer(longer, Pairs(load_images([folder]), bicubic(4), longer.patch))
    before = {k: v.clone() for k, v in trainer.generator.state_dict().items()}
    discriminator = {k: v.clone() for k, v in trainer.networks["critic"].state_dict().items()}
    first = np.mean([trainer.advance()["fidelity"] for _ in range(10)])
    while trainer.step < 150:
        last = trainer.advance()["fidelity"]
    assert last < first
    assert trainer.run(tmp_path / "c.npz", every=1)
    assert all(not torch.equal(v, before[k]) for k, v in trainer.generator.state_dict().items())
    assert all(not torch.equal(v, discriminator[k]) for k, v in trainer.networks["critic"].state_dict().items())
    assert {"crps", "patch4", "dropout"} <= set(trainer.history[-1])


@pytest.mark.parametrize("stop", [2, 4, 8])
def test_resumed_training_is_bit_identical(folder, tmp_path, stop):
    images = load_images([folder])
    straight = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch))
    straight.run(tmp_path / "a.npz")
    first = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch))
    for _ in range(stop):
        first.advance()
    first.save(tmp_path / "b.npz")
    second = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch), seed=99)
    second.load(tmp_path / "b.npz")
    second.run(tmp_path / "b.npz")
    same_checkpoints(tmp_path / "a.npz", tmp_path / "b.npz")


def test_spread_is_calibrated_where_the_score_is_best(trainer):
    """A spread that is too narrow is widened, and a calibrated spread does not change."""
    for _ in range(20):
        trainer.advance()
    trainer.calibrate_spread(60)
    assert 1 / 1.2 < trainer.calibrate_spread(60) < 1.2
    trainer.average.head.exit.weight.data.mul_(0.6)
    trainer.average.head.exit.bias.data.mul_(0.6)
    assert trainer.calibrate_spread(60) > 1.2


@pytest.mark.parametrize("part", ["loss", "gradient", "critic"])
def test_training_stops_before_weights_are_not_finite(trainer, tmp_path, part):
    """The message names step and batch; the generator, its average and the checkpoint do not change."""
    while trainer.step < 7:
        trainer.advance()
    path = tmp_path / "c.npz"
    trainer.save(path)
    saved = path.read_bytes()
    before = weights_of(trainer)
    if part == "loss":
        trainer.pairs.pixels = trainer.pairs.pixels.float() * float("nan")
    elif part == "critic":
        trainer.networks["critic"].verdict.register_forward_hook(lambda module, given, out: out * float("inf"))
    else:
        trainer.generator.up.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingFailed, match=r"at step 7 \(stage critic\).*The batch: photos/\d\.png \[\d+:\d+, "):
        trainer.run(path, every=1)
    assert path.read_bytes() == saved
    for name, value in weights_of(trainer).items():
        same = torch.equal(value, before[name]) or name.endswith("typical")
        assert torch.isfinite(value).all() if name.startswith("critic") else same, name


def test_training_stops_by_time_and_by_steps(trainer, tmp_path):
    assert not trainer.run(tmp_path / "c.npz", time_limit=0) and trainer.step == 1
    assert trainer.run(tmp_path / "c.npz") and trainer.step == trainer.steps
    assert trainer.history[-1]["step"] == 10


SCORES = {
    2: dict(psnr=20.0), 4: dict(psnr=22.0), 6: dict(psnr=21.0), 8: dict(psnr=21.9),
    10: dict(psnr=19.0, fair_crps=0.5), 12: dict(psnr=18.0, fair_crps=0.3), 14: dict(psnr=25.0, fair_crps=0.4),
    16: dict(psnr=25.0, fair_crps=0.2), 18: dict(psnr=26.0, fair_crps=0.3),
}  # fmt: skip


@pytest.mark.parametrize("stop", [None, 6, 13])
def test_stages_end_when_scores_do_not_improve(trainer, tmp_path, stop):
    """The score is PSNR without members and fair CRPS with members; the best average is kept."""
    what = with_steps(dataclasses.replace(TINY, stages=TINY.stages[:2]), {"fidelity": 20, "score": 10})
    averages = {}

    def validate(trainer):
        averages[trainer.step] = trainer.average.up.weight.clone()
        return SCORES[trainer.step]

    path = tmp_path / "c.npz"
    patient = Trainer(what, trainer.pairs)
    if stop:  # in the middle of a stage, as by kill -9
        halfway = {"count": 0}

        def cut(trainer):
            halfway["count"] += 1
            if halfway["count"] * 2 > stop:
                raise KeyboardInterrupt
            return validate(trainer)

        with pytest.raises(KeyboardInterrupt):
            patient.run(path, every=2, patience=4, validate=cut)
        patient = Trainer(what, trainer.pairs)
        patient.load(path)
    assert patient.run(path, every=2, patience=4, validate=validate)
    # The best of the first stage was at step 4, so it ended at step 8; of the second at 16, two before its last.
    assert [stage.steps for stage in patient.recipe.stages] == [8, 10] and patient.step == 18
    assert torch.equal(patient.average.up.weight, averages[16])
    again = Trainer(what, trainer.pairs)
    again.load(path)
    assert again.steps == again.step == 18
    assert torch.equal(again.average.up.weight, averages[16])


def test_a_stage_starts_from_the_best_average_of_the_one_before(trainer, tmp_path):
    what = with_steps(dataclasses.replace(TINY, stages=TINY.stages[:2]), {"fidelity": 20, "score": 1})
    averages = {}

    def validate(trainer):
        averages[trainer.step] = {k: v.clone() for k, v in trainer.average.state_dict().items()}
        return SCORES[min(trainer.step, 8)]

    patient = Trainer(what, trainer.pairs)
    seen = {}

    def report(record):
        seen[record["step"]] = {k: v.clone() for k, v in patient.generator.state_dict().items()}

    patient.run(tmp_path / "c.npz", every=2, patience=4, validate=validate, report=report)
    for name, value in averages[4].items():
        assert torch.equal(seen[8][name], value), name
    assert not torch.equal(averages[4]["up.weight"], averages[8]["up.weight"])
    with pytest.raises(TrainingFailed, match="Patience"):
        Trainer(what, trainer.pairs).run(tmp_path / "c.npz", patience=4)


def test_patience_scores_adversarial_point_estimators_by_their_losses(folder, tmp_path):
    """PSNR falls with an adversarial loss, which must not end the stage. The discriminators' warm-up is not scored."""
    stage = dataclasses.replace(TINY.stages[2], steps=60, members=0, warmup=10, features=0.0, adversarial=0.1)
    what = dataclasses.replace(TINY, stages=(stage,))

    def last_step(scores):
        trainer = Trainer(what, Pairs(load_images([folder]), bicubic(4), what.patch))
        trainer.run(tmp_path / "c.npz", every=2, patience=4, validate=lambda trainer: {"psnr": float(next(scores))})
        played = {
            record["step"]: sum(value for name, value in record.items() if name in ("crps", "patch4", "adversarial"))
            for record in trainer.history
            if record["step"] > stage.warmup
        }
        return trainer.step, min(played, key=played.get)

    (stopped, best), (other, _) = last_step(iter(range(100, 0, -1))), last_step(iter(range(100)))
    assert stopped == other, "scores of validation are not used"
    assert stopped == best + 4 or stopped == 60


def test_a_stage_can_end_by_the_clock(trainer, tmp_path):
    """Its schedule follows the clock, its steps become those that were taken, and a resumed one goes on in time."""
    timed = with_duration(dataclasses.replace(TINY, stages=TINY.stages[:2]), {"fidelity": 0.4, "score": 0.4})
    first = Trainer(timed, trainer.pairs)
    rates = []

    def validate(trainer):
        rates.append(trainer.optimiser.param_groups[0]["lr"])
        return {}

    assert not first.run(tmp_path / "c.npz", every=1, time_limit=0.1, validate=validate)
    second = Trainer(timed, trainer.pairs)
    second.load(tmp_path / "c.npz")
    assert second.run(tmp_path / "c.npz", every=1, validate=validate)
    taken = [stage.steps for stage in second.recipe.stages]
    assert all(1 < steps < 10**6 for steps in taken) and second.step == sum(taken)
    assert all(stage.seconds is None for stage in second.recipe.stages)
    assert 0.8 <= second.seconds < 2.5
    assert rates[taken[0] - 1] < 0.2e-3 < max(rates[: taken[0]])
    again = Trainer(timed, trainer.pairs)
    again.load(tmp_path / "c.npz")
    assert again.steps == again.step == second.step
