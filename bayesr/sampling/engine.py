"""Networks compiled by OpenVINO for CPUs: equal members to float accuracy, with less overhead.

OpenVINO's converter traces the network twice: for features that members share, and for a batch of members. Images are
passed as `n x y x x x channel`, the memory layout of channels_last tensors, so that nothing is copied.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from bayesr.errors import EngineUnavailable
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import BackboneFeatures

NAME = "openvino"

_KEPT = 8
"""Number of input shapes that a network stays compiled for; windows in a row of tiles have three."""


@lru_cache(maxsize=1)
def openvino() -> Any:
    """Return the package ``openvino``.

    Raises
    ------
    EngineUnavailable
        When it is not installed.
    """
    # OpenVINO reports its import through this package, unless the package is missing.
    telemetry = "openvino_telemetry"
    present = telemetry in sys.modules
    if not present:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino  # optional
    except ImportError as error:
        raise EngineUnavailable(
            f"The device {NAME!r} needs OpenVINO: pip install 'bayesr[engine]', or use device='cpu'."
        ) from error
    finally:
        if not present:
            del sys.modules[telemetry]
    return openvino


class Graph:
    """A module that runs in OpenVINO, converted at the first call, and compiled for each shape of its inputs.

    It takes tensors and returns a tensor or a tuple of them. Its control flow must not depend on their values. Later
    changes of its weights have no effect.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._model: Any = None
        self._lock = Lock()  # a request holds one call at a time
        self._request = lru_cache(maxsize=_KEPT)(self._compile)

    def __call__(self, inputs: Sequence[Tensor], out: Tensor | None = None) -> list[Tensor]:
        """Return the outputs, each in its own memory; a single output is written to `out` if given.

        Inputs and `out` are float32 on the CPU. Contiguous ones are not copied.
        """
        given = [part.contiguous() for part in inputs]
        with self._lock:
            if self._model is None:
                self._model = self._convert(given)
            compiled, request = self._request(tuple(part.shape for part in given), torch.get_num_threads())
            if out is None:
                results = [torch.empty(list(port.shape), dtype=torch.float32) for port in compiled.outputs]
            else:
                results = [out]
            for place, part in enumerate(given):
                request.set_input_tensor(place, _view(part))
            for place, part in enumerate(results):
                request.set_output_tensor(place, _view(part))
            request.infer()
        return results

    def _convert(self, example: Sequence[Tensor]) -> Any:
        library, modes = openvino(), [(part, part.training) for part in self._module.modules()]
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converter uses deprecated parts of torch
                return library.convert_model(self._module, example_input=tuple(example))
        except Exception as error:
            reason = " ".join(str(error).rpartition("Summary:")[2].split())
            raise EngineUnavailable(f"OpenVINO cannot run this network ({reason}): use device='cpu'.") from error
        finally:
            for part, mode in modes:  # the converter leaves evaluation mode
                part.training = mode

    def _compile(self, shapes: tuple[torch.Size, ...], threads: int) -> Any:
        model = self._model.clone()
        model.reshape({place: list(shape) for place, shape in enumerate(shapes)})
        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # some CPUs would take bfloat16
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # or all processes would share the same cores
        }
        compiled = openvino().compile_model(model, "CPU", options)
        return compiled, compiled.create_infer_request()


def _view(part: Tensor) -> Any:
    return openvino().Tensor(part.numpy(), shared_memory=True)


class _Prepare(nn.Module):
    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor) -> tuple[Tensor, ...]:
        return tuple(_rows(part) for part in Generator.prepare(self.network, _images(y)))


class _Draw(nn.Module):
    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        count = len(BackboneFeatures._fields)
        shared, z, masks = inputs[:count], inputs[count], inputs[count + 1 :]
        return Generator.draw(self.network, BackboneFeatures(*map(_images, shared)), _images(z), masks)


def _rows(images: Tensor) -> Tensor:
    """Permute `n x channel x y x x` to `n x y x x x channel`."""
    return images.permute(0, 2, 3, 1)


def _images(rows: Tensor) -> Tensor:
    return rows.permute(0, 3, 1, 2)


class Compiled(Generator):
    """A network whose `prepare` and `draw` run in OpenVINO. It shares the modules of the original."""

    def __init__(self, network: Generator) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(network))
        self.versions = _versions(network)
        self._graphs = Graph(_Prepare(self)), Graph(_Draw(self))

    def prepare(self, y: Tensor) -> BackboneFeatures:
        """Run `prepare` on float32 tensors on the CPU."""
        return BackboneFeatures(*(_images(part) for part in self._graphs[0]([_rows(y)])))

    def draw(
        self, shared: BackboneFeatures, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Run `draw`; a single member is drawn in PyTorch.

        For one member, OpenVINO merges products with shared features into convolutions, in a layout half as fast.
        """
        if z is None or len(z) == 1:
            return super().draw(shared, z, masks, out)
        inputs = [*map(_rows, shared), _rows(z), *masks]
        return self._graphs[1](inputs, None if out is None else out[: len(z)])[0]


def _versions(network: nn.Module) -> list[int]:
    """Return how often each weight was changed; tensors of inference mode do not record it."""
    weights = [*network.parameters(), *network.buffers()]
    return [0 if weight.is_inference() else weight._version for weight in weights]


_COMPILED: WeakKeyDictionary[Generator, Compiled] = WeakKeyDictionary()


def compiled(network: Generator) -> Compiled:
    """Return the network in OpenVINO: compiled at its first use, and kept until `network` changes or is deleted.

    Raises
    ------
    EngineUnavailable
        When OpenVINO is not installed.
    """
    openvino()
    if isinstance(network, Compiled):
        return network
    cached = _COMPILED.get(network)
    if cached is None or cached.versions != _versions(network):
        cached = _COMPILED[network] = Compiled(network)
    return cached
