"""Training steps as CUDA graphs: a step launches hundreds of small kernels, which a graph launches at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch

Result = TypeVar("Result")

_EAGER = 3
"""Steps of each kind that run before one is captured, by which libraries choose their algorithms."""


class StepGraphs:
    """Runs functions as CUDA graphs, one for each kind of step.

    A function is called a few times, captured, and replayed from then on. It must do the same work at every call, on
    memory that stays where it is, must not wait for the host, and may draw random numbers from `generators` alone. What
    changes from step to step is read from tensors. Its results are overwritten by its next call.

    Parameters
    ----------
    device : torch.device
        A CUDA device.
    generators : sequence of torch.Generator
        Random states of the device.

    References
    ----------
    "CUDA graphs", PyTorch documentation, https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._stream = torch.cuda.Stream(device)
        self._generators = generators
        self.forget()

    def forget(self) -> None:
        """Drop all graphs, whose memory belongs to tensors that are no longer used."""
        self._calls: dict[Hashable, int] = {}
        self._captured: dict[Hashable, tuple[torch.cuda.CUDAGraph, object]] = {}

    def run(self, kind: Hashable, function: Callable[[], Result]) -> Result:
        """Call the function, or replay the graph of an earlier call of the same kind."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        # All calls are on one stream: gradients are accumulated on the stream of their first use.
        with torch.cuda.stream(self._stream):
            result = self._run(kind, function)
        outside.wait_stream(self._stream)
        return result

    def _run(self, kind: Hashable, function: Callable[[], Result]) -> Result:
        calls = self._calls.get(kind, 0)
        self._calls[kind] = calls + 1
        if calls < _EAGER:
            return function()
        if kind not in self._captured:
            graph = torch.cuda.CUDAGraph()
            for generator in self._generators:
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=self._stream):
                captured = function()
            self._captured[kind] = graph, captured
        graph, result = self._captured[kind]
        graph.replay()
        return result  # type: ignore[return-value]
