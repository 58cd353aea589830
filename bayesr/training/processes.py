"""Data-parallel training: several processes train one network, each on its part of every batch.

Every process draws the whole batch, latents and masks from the same random state, and keeps its part. The mean of the
processes' gradients is that of the whole batch, so N processes learn the same weights as one, to float accuracy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bayesr.errors import TrainingFailed


@dataclass(frozen=True)
class Processes:
    """One process of a group that trains together.

    By default there is a single process, and nothing is exchanged.

    Parameters
    ----------
    rank, count : int
        Rank of this process, and number of processes.
    device : torch.device
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process validates, writes files and reports."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """Return this process's part of a batch of `size`."""
        part = self.part(size)
        return slice(self.rank * part, (self.rank + 1) * part)

    def part(self, size: int) -> int:
        """Return the size of one process's part of a batch of `size`.

        Raises
        ------
        TrainingFailed
            If the batch cannot be divided equally.
        """
        if size % self.count:
            raise TrainingFailed(
                f"A batch of {size} cannot be shared by {self.count} processes: use a number of processes that divides "
                "the batch of every stage."
            )
        return size // self.count

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over processes."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes, in one exchange.

        DistributedDataParallel would overlap this with the backward pass, but needs networks that are called as a whole
        and use all parameters in every step. The networks here are small, so that one exchange costs little.
        """
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, decision: bool) -> bool:
        """Return the decision of the first process, in all processes."""
        if self.count == 1:
            return decision
        shared = torch.tensor([decision], dtype=torch.uint8, device=self.device)
        dist.broadcast(shared, 0)
        return bool(shared.item())


def started() -> tuple[int, int]:
    """Return the rank and the number of processes, as set by ``torchrun``; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """Join the processes started by ``torchrun``, or yield a single process without it.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``. On CUDA, processes use the device of their local rank.
    """
    _, count = started()
    if count == 1:
        yield Processes(device=torch.device(device))
        return
    on_cuda = torch.device(device).type == "cuda"
    own_device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_cuda else torch.device(device)
    if on_cuda:
        torch.cuda.set_device(own_device)
    # The first step of an optimiser imports this module, whose default arguments then keep the group for ever. The
    # group's threads outlive it, and may end the process with an error as it exits.
    import_module("torch.distributed.nn.functional")  # while there is no group yet
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Processes(dist.get_rank(), count, own_device)
    finally:
        dist.destroy_process_group()
