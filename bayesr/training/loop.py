"""The loop: stages of a recipe, one step after another, stopped and resumed at any of them.

Everything that decides the next step (weights, averages, optimiser moments, random states, step)
lies in one checkpoint, a NumPy archive without pickles, replaced atomically.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.critic import Critic
from bayesr.networks.generator import Generator, sub_pixels
from bayesr.networks.marginal import GaussianTail, QuantileTail
from bayesr.networks.tail import Shared, StochasticTail
from bayesr.training import losses
from bayesr.training.data import PairSource
from bayesr.training.recipes import Recipe, Stage

Record = dict[str, Any]

_CRITIC_WARMUP = 150
_PENALTY_EVERY = 8
_DECAY = 0.999
_DROPOUT_RATE = 20.0
"""Learning rate of dropout rates, over that of weights."""


class Trainer:
    """Trains the generator of a recipe.

    Parameters
    ----------
    recipe : Recipe
    pairs : PairSource
        What to train on; nothing held out may be in it.
    seed : int
        Decides initial weights, patches, latents and masks.
    device : str
        ``"cpu"`` or ``"cuda"``; on CUDA the networks run in bfloat16 where they can.
    """

    def __init__(self, recipe: Recipe, pairs: PairSource, seed: int = 0, device: str = "cpu") -> None:
        self.recipe, self.pairs, self.operator, self.seed = recipe, pairs, pairs.operator, seed
        self.device = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = Generator(pairs.bands, self.operator.scale, **recipe.network)
            critic = Critic(pairs.bands)
        to = dict(device=self.device, memory_format=torch.channels_last)
        self.generator, self.critic = generator.to(**to), critic.to(**to)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.on_host = torch.Generator().manual_seed(seed)
        self.on_device = torch.Generator(self.device).manual_seed(seed)
        self.step, self.seconds = 0, 0.0
        self.history: list[Record] = []
        self._start_stage()

    # -- where we are ------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.recipe.stages)

    def position(self) -> tuple[Stage, int]:
        """The stage of the current step, and how many of its steps are done."""
        done = self.step
        for stage in self.recipe.stages:
            if done < stage.steps:
                return stage, done
            done -= stage.steps
        return self.recipe.stages[-1], self.recipe.stages[-1].steps

    def _start_stage(self) -> None:
        stage, _ = self.position()
        tail = self.generator.tail
        weights = [p for name, p in self.generator.named_parameters() if not name.endswith("dropout_logit")]
        groups: list[dict[str, Any]] = [{"params": weights, "share": 1.0}]
        if isinstance(tail, StochasticTail):  # logarithms of variances have a longer way to go than weights
            groups.append({"params": [tail.dropout_logit], "share": _DROPOUT_RATE})
        self.optimiser = torch.optim.Adam(groups, stage.rate, betas=(0.9, 0.99))
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), stage.rate, betas=(0.5, 0.99))

    # -- one step ----------------------------------------------------------------------------

    def advance(self) -> Record:
        """One optimiser step; returns its losses."""
        stage, done = self.position()
        if done == 0:
            self._start_stage()
        rate = stage.rate * max(0.01, 0.5 * (1 + math.cos(math.pi * done / stage.steps))) * min(1, (done + 1) / 100)
        for group in (*self.optimiser.param_groups, *self.critic_optimiser.param_groups):
            group["lr"] = rate * group.get("share", 1.0)
        low, high = (part.to(self.device) for part in self.pairs.batch(stage.batch, self.on_host))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            record: Record = dict(self._losses(stage, done, low, high))
        loss = sum(record.values(), torch.zeros((), device=self.device))
        tail = self.generator.tail
        if isinstance(tail, StochasticTail) and tail.dropout_logit.requires_grad and stage.members:
            record["dropout"] = loss.detach() * self._ignorance(tail)
            loss = loss + record["dropout"]
        if not torch.isfinite(loss):
            raise TrainingFailed(
                f"The loss is not finite at step {self.step} (stage {stage.name}). The last checkpoint is kept; "
                "resume from it with a lower learning rate."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            if isinstance(tail, StochasticTail):
                tail.dropout_logit.clamp_(max=0)
        self.step += 1
        decay = min(_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
            for kept, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
                kept.copy_(new)
        return {name: float(value.detach()) for name, value in record.items()}

    def members(self, low: Tensor, count: int, network: Generator | None = None) -> tuple[Tensor, Tensor]:
        """``A+ y`` and members `b x count x band x H x W`; one member from the deterministic path for 0.

        The mask is shared inside a group: dropout must not earn the reward for diversity.
        """
        network = network or self.generator
        base = self.operator.invert(low)
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        if network is self.generator and isinstance(shared, Shared) and isinstance(network.tail, StochasticTail):
            network.tail.note(shared.trunk)
        z: Tensor | None = None
        masks: list[Tensor] = []
        if count and isinstance(shared, Shared):
            assert network.tail is not None
            shared = shared.repeat(count)
            size = (len(low) * count, network.latent_channels, *low.shape[-2:])
            z = torch.randn(size, device=self.device, generator=self.on_device)
            z = z.contiguous(memory_format=torch.channels_last)
            if isinstance(network.tail, StochasticTail):
                masks = network.tail.training_masks(len(low), self.on_device)
                of_weights = int(network.tail.gaussian)  # the same for all groups
                masks[of_weights:] = [mask.repeat_interleave(count, 0) for mask in masks[of_weights:]]
        drawn = network.draw(shared, z, masks)
        with torch.autocast(self.device.type, enabled=False):
            x = self.operator.project(drawn.float())
        return base, base[:, None] + x.unflatten(0, (len(low), max(1, count)))

    def _losses(self, stage: Stage, done: int, low: Tensor, truth: Tensor) -> Iterator[tuple[str, Tensor]]:
        if stage.loss in ("gaussian_likelihood", "pinball"):
            yield stage.loss, self._marginal_loss(low, truth)
            return
        base, x = self.members(low, stage.members)
        if not stage.members:
            yield "fidelity", losses.fidelity(x[:, 0], truth)
            return
        yield stage.loss, losses.MEMBER_LOSSES[stage.loss](x, truth)
        for size, weight in stage.patches.items():
            yield f"patch{size}", weight * losses.patch_energy(x, truth, size)
        for size, weight in stage.bands.items():
            yield f"band{size}", weight * losses.band_crps(x, truth, size)
        if stage.critic:
            penalty = 4.0 if done % _PENALTY_EVERY == 0 else 0.0
            verdict = losses.critic_loss(self.critic, truth, x[:, 0], base, penalty)
            self.critic_optimiser.zero_grad(set_to_none=True)
            verdict.backward()
            self.critic_optimiser.step()
            if done >= _CRITIC_WARMUP:
                self.critic.requires_grad_(False)
                yield "features", stage.features * losses.feature_energy(self.critic, x, truth, base)
                if stage.adversarial:
                    yield "adversarial", stage.adversarial * F.softplus(-self.critic(x[:, 0], base)[0]).mean()
                self.critic.requires_grad_(True)

    def _ignorance(self, tail: StochasticTail) -> Tensor:
        """What masks cost, relative to the score: ``P / (2 N) mean(alpha - 1 - log(alpha))``.

        alpha is the masks' variance, P the number of weights and N that of the values that the training
        images hold beyond their observations: the divergence of `N(0, alpha)` from `N(0, 1)`, a weight. Near
        the optimum a relative excess of the score equals the excess of the log-likelihood, so that masks
        come to cost P / (2 N): what P weights cost that are estimated from N values.
        """
        weights = sum(p.numel() for p in self.generator.parameters())
        values = self.pairs.low_pixels * self.pairs.bands * (self.operator.scale**2 - 1)
        cost: Tensor = weights / (2 * values) * (tail.dropout_logit.exp() - 1 - tail.dropout_logit).mean()
        return cost

    def _marginal_loss(self, low: Tensor, truth: Tensor) -> Tensor:
        """Of the marginals that members have once projected, where the spread is the same all around."""
        tail, size = self.generator.tail, low.shape[-2:]
        shared = self.generator.prepare(low.contiguous(memory_format=torch.channels_last))
        assert isinstance(shared, Shared)
        detail = self.operator.project(sub_pixels(shared.detail, self.operator.scale).float())
        error = truth - self.operator.invert(low) - detail
        kept = self.operator.hidden_share(*size).sqrt().to(self.device)
        if isinstance(tail, GaussianTail):
            return losses.gaussian_likelihood(error, kept * sub_pixels(shared.spread, self.operator.scale).float())
        assert isinstance(tail, QuantileTail)
        offsets = tail.quantiles(shared)
        quantiles = kept * sub_pixels(offsets.flatten(0, 1), self.operator.scale).float().unflatten(
            0, offsets.shape[:2]
        )
        return losses.pinball(error, quantiles, torch.tensor(tail.LEVELS, device=self.device))

    @torch.no_grad()
    def settle_spread(self, batches: int = 12) -> float:
        """One factor on the spread of the averaged network, the best in fair CRPS on training patches.

        Averaging weights along the path of training cancels part of what carries the noise, so that
        the averaged network draws its members too close together. The factor is folded into the
        tail's last convolution: members stay as consistent as they were. Returns the factor.
        """
        if self.recipe.stages[-1].loss != "crps" or not isinstance(self.average.tail, StochasticTail):
            return 1.0
        factors = 1.05 ** torch.arange(-14, 15, dtype=torch.float64)
        scores = torch.zeros(len(factors), dtype=torch.float64)
        for _ in range(batches):
            low, high = (part.to(self.device) for part in self.pairs.batch(self.recipe.stages[-1].batch, self.on_host))
            _, centre = self.members(low, 0, self.average)
            _, x = self.members(low, 8, self.average)
            for i, factor in enumerate(factors.tolist()):
                scores[i] += float(losses.fair_crps((centre + factor * (x - centre)).clamp(0, 1), high))
        best = float(factors[scores.argmin()])
        for layer in (self.average.tail.exit, self.average.tail.direct):
            for parameter in layer.parameters() if layer is not None else ():
                parameter.mul_(best)
        return best

    # -- many steps --------------------------------------------------------------------------

    def run(
        self,
        checkpoint: Path,
        *,
        time_limit: float = math.inf,
        every: int = 200,
        validate: Callable[[Trainer], Record] | None = None,
        report: Callable[[Record], None] = lambda record: None,
    ) -> bool:
        """Train until the recipe's steps are done (True) or `time_limit` seconds have passed (False).

        Every `every` steps the mean losses, and what `validate` returns, join the history, and the
        checkpoint is replaced.
        """
        sums: dict[str, float] = {}
        started, count = time.monotonic(), 0
        while self.step < self.steps:
            begun = time.monotonic()
            stage, _ = self.position()
            for name, value in self.advance().items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            self.seconds += time.monotonic() - begun
            late = time.monotonic() - started > time_limit
            if self.step % every == 0 or late or self.step == self.steps:
                record: Record = {"step": self.step, "stage": stage.name, "seconds": round(self.seconds, 1)}
                record |= {name: value / count for name, value in sums.items()}
                sums, count = {}, 0
                if validate:
                    record |= validate(self)
                self.history.append(record)
                self.save(checkpoint)
                report(record)
            if late:
                return self.step == self.steps
        return True

    # -- checkpoints -------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the checkpoint beside its old version, then replace that: a full disk loses nothing."""
        arrays: dict[str, Any] = {}
        for prefix, module in self._modules().items():
            arrays |= {f"{prefix}/{name}": value.detach().cpu().numpy() for name, value in module.state_dict().items()}
        for prefix, optimiser in self._optimisers().items():
            for i, state in optimiser.state_dict()["state"].items():
                arrays |= {f"{prefix}/{i}/{name}": np.asarray(value.cpu()) for name, value in state.items()}
        arrays["random/host"] = self.on_host.get_state().numpy()
        arrays["random/device"] = self.on_device.get_state().cpu().numpy()
        arrays["facts"] = np.array(
            json.dumps({"recipe": self.recipe.name, "network": self.generator.architecture, "step": self.step,
                        "seconds": self.seconds, "seed": self.seed, "history": self.history})
        )  # fmt: skip
        partial = path.with_suffix(".partial.npz")
        try:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise TrainingFailed(
                f"The checkpoint {path} could not be written ({error}); the one before it is kept. Free some space "
                "and resume."
            ) from error

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same network."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(str(arrays["facts"]))
        except (OSError, ValueError, KeyError) as error:
            raise TrainingFailed(f"{path} is no checkpoint that can be resumed ({error}).") from error
        if facts["network"] != self.generator.architecture:
            raise TrainingFailed(
                f"{path} holds another network, {facts['network']}; this recipe's is {self.generator.architecture}."
            )
        for prefix, module in self._modules().items():
            module.load_state_dict({name: torch.from_numpy(arrays[f"{prefix}/{name}"]) for name in module.state_dict()})
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.seed, self.history = facts["seed"], facts["history"]
        self._start_stage()
        for prefix, optimiser in self._optimisers().items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in arrays.items():
                if key.startswith(f"{prefix}/"):
                    _, i, name = key.split("/")
                    state.setdefault(int(i), {})[name] = torch.from_numpy(value)
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        self.on_host.set_state(torch.from_numpy(arrays["random/host"]))
        self.on_device.set_state(torch.from_numpy(arrays["random/device"]))

    def start_from(self, other: Generator) -> None:
        """Take over the weights of a network of the same architecture, whatever its masks and paths for latents."""
        ours, theirs = (
            {name: size for name, size in net.architecture.items() if name not in ("direct", "gaussian_dropout")}
            for net in (self.generator, other)
        )
        if theirs != ours:
            raise TrainingFailed(
                f"The network to start from, {other.architecture}, is not the recipe's, {self.generator.architecture}."
            )
        known = other.state_dict()
        for module in (self.generator, self.average):
            state = module.state_dict()
            for name, value in state.items():
                if name in known and known[name].shape == value.shape:
                    state[name] = known[name]
                elif name == "tail.direct.weight":  # at zero it changes no member
                    state[name] = torch.zeros_like(value)
            module.load_state_dict(state)

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "critic": self.critic}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self.optimiser, "critic_optimiser": self.critic_optimiser}


def with_steps(recipe: Recipe, steps: Mapping[str, int]) -> Recipe:
    """The recipe with other numbers of steps for the stages named."""
    unknown = set(steps) - {stage.name for stage in recipe.stages}
    if unknown:
        raise TrainingFailed(f"No stage {', '.join(sorted(unknown))} in {recipe.name}.")
    return replace(recipe, stages=tuple(replace(s, steps=steps.get(s.name, s.steps)) for s in recipe.stages))
