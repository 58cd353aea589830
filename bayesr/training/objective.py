"""The losses of a training step, and how their gradients are combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bayesr.networks.generator import Generator
from bayesr.networks.heads.marginal import MARGINAL_LOSSES
from bayesr.networks.layers import sub_pixels
from bayesr.networks.registry import FEATURES
from bayesr.observe import ForwardOperator
from bayesr.training import losses
from bayesr.training.adversarial import discriminator_step_loss, generator_step_loss
from bayesr.training.batch import TrainingBatch
from bayesr.training.graphs import StepGraphs
from bayesr.training.history import Record
from bayesr.training.pairs import PairSource
from bayesr.training.processes import Processes
from bayesr.training.recipe import Adversary, Recipe, Stage


class Objective:
    """The losses of a recipe's networks on a batch; base class of `bayesr.training.step.Stepper`, which has them."""

    recipe: Recipe
    pairs: PairSource
    operator: ForwardOperator
    generator: Generator
    networks: dict[str, nn.Module]
    features: Any
    processes: Processes
    device: torch.device
    optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    use_bfloat16: bool
    graphs: StepGraphs | None
    _adversarial_ramp: Tensor
    _require_finite: Callable[[list[Tensor], str], None]

    def autocast(self, enabled: bool = True) -> torch.autocast:
        """Return the context in which networks run: with bfloat16 if the training uses it."""
        # The cache of converted weights would outlive the graph that made it.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.use_bfloat16 and enabled, cache_enabled=self.graphs is None
        )

    def _feature_network(self) -> Any:
        """Return the recipe's feature network, whose weights are constants; None if it names none."""
        name = self.recipe.feature_network
        if name is None:
            return None
        return FEATURES[name]().to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _backward(self, stage: Stage, done: int, batch: TrainingBatch) -> Record:
        """Compute the gradients of the generator's weights, and return the losses by name.

        Discriminators take their step before the losses that depend on them.
        """
        with self.autocast():
            members = batch.x if stage.balanced else None
            if members is not None:
                batch.x = members.detach().requires_grad_()  # the gradients of all losses are combined here
            scores: Record = dict(self._losses(stage, batch))
            if stage.discriminator and self.recipe.discriminators:  # features of a feature network need none
                self._step_discriminators(done, batch)
            network_losses: Record = dict(self._network_losses(stage, done, batch))
        self.optimiser.zero_grad(set_to_none=True)
        if members is not None:
            dropout_loss = self._balanced_backward(stage, members, batch.x, scores, network_losses)
        else:
            loss = self._sum(scores | network_losses)
            dropout_loss = self._dropout_loss(stage, loss)
            (loss + self._sum(dropout_loss)).backward()
        return scores | network_losses | dropout_loss

    def _balanced_backward(
        self, stage: Stage, members: Tensor, x: Tensor, scores: Record, network_losses: Record
    ) -> Record:
        """Compute the gradients of weights from the combined gradient of members; return the cost of masks by name.

        Dropout rates follow the scores and the cost of masks alone, as in a stage without a discriminator: an
        adversarial loss would reward wide masks.

        Parameters
        ----------
        members, x : Tensor
            The members as the generator returned them, and the detached copy that the losses were computed from.
        """
        loss = self._sum(scores)
        (gradient,) = torch.autograd.grad(loss, x)
        dropout = {id(rate) for rate in self.generator.head.dropout_parameters()}
        rates = [p for p in self._trained() if id(p) in dropout]
        weights = [p for p in self._trained() if id(p) not in dropout]
        dropout_loss = self._dropout_loss(stage, loss)
        if rates and dropout_loss:
            outputs = [members, *dropout_loss.values()]
            torch.autograd.backward(outputs, [gradient, None], retain_graph=True, inputs=rates)
        members.backward(self._combined_gradient(x, gradient, network_losses), inputs=weights)
        return dropout_loss

    def _combined_gradient(self, x: Tensor, gradient: Tensor, network_losses: Record) -> Tensor:
        """Return the gradient of members, ``g + sum_i w_i |g| g_i / |g_i|``, with g that of the scores.

        The weights w_i are those of the stage, which multiply the other losses; that of the adversarial one rises
        linearly after the warm-up. Norms are over the batches of all processes.
        """
        total, unit = gradient, self._norm(gradient)
        for name, loss in network_losses.items():
            (other,) = torch.autograd.grad(loss, x)
            weight = self._weight(name) * (self._adversarial_ramp if name == "adversarial" else 1.0)
            total = total + other * (weight * unit / (self._norm(other) + 1e-12))
        return total

    def _sum(self, values: Record) -> Tensor:
        return sum(values.values(), torch.zeros((), device=self.device))

    def _weight(self, name: str) -> float:
        stage, _ = self.position()
        return {"features": stage.features, "adversarial": stage.adversarial}[name]

    def _norm(self, gradient: Tensor) -> Tensor:
        return self.processes.mean(gradient.float().square().sum()).sqrt()

    def _trained(self) -> list[nn.Parameter]:
        """Return the parameters that the generator's optimiser changes."""
        raise NotImplementedError

    def position(self) -> tuple[Stage, int]:
        """Return the stage of the current step, and the number of its steps that are done."""
        raise NotImplementedError

    def _discriminators(self) -> list[nn.Module]:
        return [self.networks[name] for name in self.recipe.discriminators]

    def _losses(self, stage: Stage, batch: TrainingBatch) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses that no other network computes, by name."""
        if stage.loss in MARGINAL_LOSSES:
            parts = [self._marginal_loss(part, batch.low, batch.truth) for part in self.generator.parts]
            yield stage.loss, torch.stack(parts).mean()
        elif stage.loss is not None and stage.loss != "crps":
            yield stage.loss, losses.PIXEL_LOSSES[stage.loss](batch.x, batch.truth)
        if stage.loss == "crps" or stage.patches or stage.bands:
            scores = losses.fair_scores(batch.x, batch.truth, stage.patches, stage.bands)
            yield from ((name, score) for name, score in scores.items() if name != "crps" or stage.loss == "crps")
        for term, weight in stage.terms.items():
            yield term.__name__, weight * term(batch)

    def _adversaries(self) -> list[tuple[Any, Adversary]]:
        return [(self.networks[name], adversary) for name, adversary in self.recipe.discriminators.items()]

    def _step_discriminators(self, done: int, batch: TrainingBatch) -> None:
        discriminator_losses = [
            discriminator_step_loss(adversary.adversarial_loss, discriminator, *adversary.inputs(batch), done)
            for discriminator, adversary in self._adversaries()
        ]
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        torch.stack(discriminator_losses).sum().backward()
        weights = [p for discriminator in self._discriminators() for p in discriminator.parameters()]
        self.processes.average_gradients(weights)
        norm = nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
        self._require_finite([norm], "The discriminator's loss")
        self.discriminator_optimiser.step()

    def _constant_features(self, x: Tensor) -> list[Tensor]:
        with self.autocast(self.device.type == "cuda"):  # on a CPU its depthwise convolutions are faster in float32
            features: list[Tensor] = self.features.features(x)
            return features

    def _features_of(self, batch: TrainingBatch) -> Callable[[Tensor], list[Tensor]]:
        """Return the features that the energy score compares: of the feature network, or of the first discriminator."""
        if self.features is not None:
            return self._constant_features
        discriminator, _ = self._adversaries()[0]
        return lambda x: discriminator(x, batch.base.repeat(len(x) // len(batch.base), 1, 1, 1))[1]

    def _network_losses(self, stage: Stage, done: int, batch: TrainingBatch) -> Iterator[tuple[str, Tensor]]:
        """Yield the generator's losses that other networks compute, by name; weights of these are constants here."""
        adversaries = self._adversaries()
        for discriminator, _ in adversaries:
            discriminator.requires_grad_(False)
        if stage.features and (done >= stage.warmup or self.features is not None):
            energy = losses.feature_energy(self._features_of(batch), batch.x, batch.truth, self.processes.mean)
            yield "features", stage.features * energy
        if stage.adversarial and done >= stage.warmup:
            generator_losses = [
                generator_step_loss(adversary.adversarial_loss, discriminator, *adversary.inputs(batch))
                for discriminator, adversary in adversaries
            ]
            yield "adversarial", stage.adversarial * torch.stack(generator_losses).sum()
        for discriminator, _ in adversaries:
            discriminator.requires_grad_(True)

    def _dropout_loss(self, stage: Stage, loss: Tensor) -> Record:
        """Return the cost of masks by name, in proportion to the other losses; empty where rates are not learnt."""
        divergences = None if stage.fixed_dropout or not stage.members else self.generator.head.dropout_divergences()
        return {} if divergences is None else {"dropout": loss.detach() * self._dropout_cost(divergences)}

    def _dropout_cost(self, divergences: Tensor) -> Tensor:
        """Return the cost of masks relative to the score, ``sum_k P_k / (2 N) (alpha_k - 1 - log(alpha_k))``.

        alpha_k is the variance of mask k, P_k the number of weights that it stands for (`Head.weights_of_masks`), and N
        the number of values of the training images beyond their low-resolution images. Near the optimum a relative
        excess of the score equals the excess of the log-likelihood, so masks cost P / (2 N), as P weights estimated
        from N values do.
        """
        head = self.generator.head
        outside = sum(p.numel() for p in self.generator.parameters()) - sum(p.numel() for p in head.parameters())
        beyond = max(1, self.operator.scale**2 - 1)
        values = self.pairs.low_pixels * self.pairs.bands * beyond
        shares = [weights / (2 * values) for weights in head.weights_of_masks(outside)]
        cost: Tensor = torch.stack([share * d for share, d in zip(shares, divergences.unbind(), strict=True)]).sum()
        return cost

    def _marginal_loss(self, network: Generator, low: Tensor, truth: Tensor) -> Tensor:
        """Return the head's loss of the marginal distributions of projected members.

        Projection reduces standard deviations, by a factor that assumes equal ones nearby.
        """
        shared = network.prepare(low.contiguous(memory_format=torch.channels_last))
        detail = self.operator.project(sub_pixels(shared.detail, self.operator.scale).float())
        error = truth - self.operator.invert(low) - detail
        factor = self.operator.null_space_variance(*low.shape[-2:]).sqrt().to(self.device)
        return network.head.marginal_loss(shared, error, factor, self.operator.scale)
