"""Networks compiled by OpenVINO for CPUs: the same members to float accuracy, with less work around the arithmetic.

What is compiled is the network itself, traced by OpenVINO's own converter: once for what members share, once for a
batch of members. Images go in and out as `n x y x x x channel`, which is how channels_last tensors lie in memory, so
that nothing is copied on the way. OpenVINO is imported when it is asked for, and only then.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from bayesr.errors import EngineUnavailable, InvalidArgument
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import BackboneFeatures

if TYPE_CHECKING:
    from bayesr.model.model import Model

NAME = "openvino"
"""The device that asks for it."""

_KEPT = 8
"""Shapes that a network stays compiled for: the windows of a row of tiles are of three."""


@lru_cache(maxsize=1)
def openvino() -> Any:
    """The package.

    Raises
    ------
    EngineUnavailable
        When it is not installed.
    """
    # Its import sends a message to its makers through this package, unless that is missing.
    telemetry = "openvino_telemetry"
    present = telemetry in sys.modules
    if not present:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineUnavailable(
            f"The device {NAME!r} needs OpenVINO: pip install 'bayesr[engine]', or use device='cpu'."
        ) from error
    finally:
        if not present:
            del sys.modules[telemetry]
    return openvino


class Graph:
    """A module that runs in OpenVINO: converted at the first call, compiled for every shape of its inputs.

    Parameters
    ----------
    module : nn.Module
        Takes tensors and returns a tensor or a tuple of them. Values that it derives from its inputs must not steer
        it. Its weights are what they are when it is converted.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._model: Any = None
        self._lock = Lock()  # a request holds one call at a time
        self._request = lru_cache(maxsize=_KEPT)(self._compile)

    def __call__(self, inputs: Sequence[Tensor], out: Tensor | None = None) -> list[Tensor]:
        """The outputs, each in memory of its own; a single one is written to `out` where that is given.

        Inputs and `out` are float32 and on the CPU. Those that are contiguous are not copied.
        """
        given = [part.contiguous() for part in inputs]
        with self._lock:
            if self._model is None:
                self._model = self._convert(given)
            compiled, request = self._request(tuple(part.shape for part in given), torch.get_num_threads())
            results = [torch.empty(list(port.shape)) for port in compiled.outputs] if out is None else [out]
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
                warnings.simplefilter("ignore")  # how the converter looks into torch is its own business
                return library.convert_model(self._module, example_input=tuple(example))
        except Exception as error:
            reason = " ".join(str(error).rpartition("Summary:")[2].split())
            raise EngineUnavailable(f"OpenVINO cannot run this network ({reason}): use device='cpu'.") from error
        finally:
            for part, mode in modes:  # the converter leaves the network in evaluation mode
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
    """`n x channel x y x x` to `n x y x x x channel`."""
    return images.permute(0, 2, 3, 1)


def _images(rows: Tensor) -> Tensor:
    return rows.permute(0, 3, 1, 2)


class Compiled(Generator):
    """A network whose `prepare` and `draw` run in OpenVINO; weights and modules are those of the one it is made of."""

    def __init__(self, network: Generator) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(network))
        self.versions = _versions(network)
        self._graphs = Graph(_Prepare(self)), Graph(_Draw(self))

    def prepare(self, y: Tensor) -> BackboneFeatures:
        """As `Generator.prepare`, of float32 on the CPU."""
        return BackboneFeatures(*(_images(part) for part in self._graphs[0]([_rows(y)])))

    def draw(
        self, shared: BackboneFeatures, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """As `Generator.draw`; a member by itself is drawn in PyTorch.

        With nothing to broadcast OpenVINO merges products with what members share into the convolutions, in a layout
        that slows them down by half.
        """
        if z is None or len(z) == 1:
            return super().draw(shared, z, masks, out)
        inputs = [*map(_rows, shared), _rows(z), *masks]
        return self._graphs[1](inputs, None if out is None else out[: len(z)])[0]


def _versions(network: nn.Module) -> list[int]:
    """How often each weight was changed; what inference mode made cannot be asked."""
    weights = [*network.parameters(), *network.buffers()]
    return [0 if weight.is_inference() else weight._version for weight in weights]


_COMPILED: WeakKeyDictionary[Generator, Compiled] = WeakKeyDictionary()


def compiled(network: Generator) -> Compiled:
    """The network in OpenVINO: compiled when first used, the same one as long as `network` lives and stays as it is.

    Raises
    ------
    EngineUnavailable
        When OpenVINO is not installed.
    """
    openvino()
    if isinstance(network, Compiled):
        return network
    kept = _COMPILED.get(network)
    if kept is None or kept.versions != _versions(network):
        kept = _COMPILED[network] = Compiled(network)
    return kept


def resolved(device: str) -> str:
    """The device that is meant, by a name that means the same elsewhere.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"openvino"``, or what torch calls a device.

    Raises
    ------
    EngineUnavailable
        When OpenVINO is asked for and not installed.
    InvalidArgument
        When there is no such device.
    """
    if device == NAME:
        openvino()
        return NAME
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=device).device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidArgument(
            f"The device {device!r} cannot be used ({error}). Use 'auto', 'cpu' or {NAME!r}."
        ) from error


def place(model: Model, device: str) -> tuple[Model, torch.device]:
    """A model with its network where it is to run, and where images lie then; `device` is as of `resolved`."""
    device = resolved(device)
    if device == NAME:
        where = torch.device("cpu")
        return replace(model, generator=compiled(model.on(where).generator)), where
    where = torch.device(device)
    return model.on(where), where


def describe(device: str) -> dict[str, str]:
    """What runs networks on a device as `resolved` names it, by name and version, for the attribute `engine`."""
    if device == NAME:
        return {"device": NAME, "torch": torch.__version__, NAME: openvino().__version__.split("-")[0]}
    return {"device": device.partition(":")[0], "torch": torch.__version__}
