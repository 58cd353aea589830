"""Several processes that train one network: each takes its share of every batch, and all take the same step.

Every process draws the whole batch, its latents and its masks from the same random state, and keeps its
own share. Losses are means over the batch, so the mean of the processes' gradients is the gradient of the
whole batch, and what N processes learn is what one would, to float accuracy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bayesr.errors import TrainingFailed


@dataclass(frozen=True)
class Processes:
    """This process among `count`; alone by default, when all that follows does nothing."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and reports."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """This process's part of a batch of `size`."""
        part = self.part(size)
        return slice(self.rank * part, (self.rank + 1) * part)

    def part(self, size: int) -> int:
        """How many of a batch of `size` a process takes."""
        if size % self.count:
            raise TrainingFailed(
                f"A batch of {size} cannot be shared by {self.count} processes: use a number of processes that divides "
                "the batch of every stage."
            )
        return size // self.count

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over processes."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes, in one exchange.

        DistributedDataParallel would do the same while gradients still form, but only for networks that are
        called through it, all of whose parameters take part in every step. Here stages leave parts
        unused, a backbone and a head are called one by one, a second network is trained in the same step, and
        its penalty takes gradients of gradients. The networks are small, so one exchange costs little.
        """
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= self.count
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, decision: bool) -> bool:
        """What the first process decides."""
        if self.count == 1:
            return decision
        shared = torch.tensor([decision], dtype=torch.uint8, device=self.device)
        dist.broadcast(shared, 0)
        return bool(shared.item())


def started() -> tuple[int, int]:
    """(this process's rank, number of processes) as ``torchrun`` says; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """The processes that ``torchrun`` started, or this one alone.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``; with several processes on CUDA each takes the device of its local rank.
    """
    _, count = started()
    if count == 1:
        yield Processes(device=torch.device(device))
        return
    on_cuda = torch.device(device).type == "cuda"
    place = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_cuda else torch.device(device)
    if on_cuda:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Processes(dist.get_rank(), count, place)
    finally:
        dist.destroy_process_group()
