"""A model as a package of the BioImage Model Zoo: one ONNX graph from an image to mean and standard deviation.

Programs that run such packages give an image and expect images. So the package contains all that `bayesr.sample`
computes for a tile of one size: the members of fixed latents and masks, the forward operator, and the calibration.
Only clipping to the bounds of integer images is left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.factor import MAX_FACTOR
from bayesr.errors import EngineUnavailable, InvalidArgument, StoreExists, StoreFailed
from bayesr.files import temporary_folder, write_atomically
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.model.onnx_files import OPSET, convert
from bayesr.product import arguments
from bayesr.sampling import noise
from bayesr.sampling.plan import default_masks

MEMBERS = 8
"""Members by default: the graph holds the latents of each."""
_ORDER = ("batch", "channel", "y", "x")


class TileMoments(nn.Module):
    """Mean and calibrated standard deviation of n members of an image `1 x bands x h x w`, in network units.

    They are those of `bayesr.sample` with this seed, without clipping.

    Parameters
    ----------
    model : Model
    size : tuple of int
        Height and width of the image, in low-resolution pixels.
    n, seed : int
        Members, 2 or more, and the seed of latents and masks.
    """

    def __init__(self, model: Model, size: tuple[int, int], n: int, seed: int) -> None:
        super().__init__()
        self.network, self.operator = model.generator, model.forward_operator
        self.masks = default_masks(n, self.network.max_masks)
        height, width = size
        place = torch.empty((n, height, width, self.network.latent_channels), dtype=torch.float32, device="cpu")
        z = noise.latents(seed, range(n), (0, height, 0, width), self.network.latent_channels, place)
        self.z: Tensor
        self.register_buffer("z", z.permute(0, 3, 1, 2).contiguous())
        self.counts: list[int] = []
        for k in range(self.masks):
            values = self.network.sampling_masks(noise.MaskNoise(seed, k))
            self.counts.append(len(values))
            for i, value in enumerate(values):
                self.register_buffer(f"mask_{k}_{i}", value)
        self.factor = _Factor(model.calibration)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        shared, means, variances = self.network.prepare(y), [], []
        per_mask = len(self.z) // self.masks
        for k in range(self.masks):
            masks = [getattr(self, f"mask_{k}_{i}") for i in range(self.counts[k])]
            g = self.network.draw(shared, self.z[k :: self.masks], masks)
            x = self.operator.invert(y) + self.operator.project(g)
            means.append(x.mean(0))
            variances.append((x - means[-1]).square().sum(0) / max(1, per_mask - 1))
        mean, within = torch.stack(means).mean(0), torch.stack(variances).mean(0)
        between = (torch.stack(means) - mean).square().sum(0) / max(1, self.masks - 1)
        std = ((1 - 1 / per_mask) * within + between).sqrt()  # as in bayesr.sampling.moments
        return mean[None], (self.factor(std) * std)[None]


class _Factor(nn.Module):
    """`bayesr.calibration.factor.interpolate_factor` as a sum of ramps."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.calibrated = bool(calibration.spread.size)
        knots = np.log(calibration.spread)
        levels = knots + np.log(calibration.factor)
        self.knots: Tensor
        self.steps: Tensor
        self.slopes: Tensor
        steps = np.diff(knots)
        slopes = np.divide(np.diff(levels), steps, out=np.zeros_like(steps), where=steps > 0)
        for name, values in (("knots", knots), ("steps", steps), ("slopes", slopes)):
            self.register_buffer(name, torch.from_numpy(values.astype(np.float32)))
        self.first = float(levels[0]) if self.calibrated else 0.0

    def forward(self, std: Tensor) -> Tensor:
        if not self.calibrated:
            return torch.ones_like(std)
        at = std.clamp(min=1e-30).log().clamp(self.knots[0], self.knots[-1])
        level = torch.full_like(at, self.first)
        for i in range(len(self.steps)):
            level = level + self.slopes[i] * torch.minimum((at - self.knots[i]).clamp(min=0), self.steps[i])
        return (level - at).exp().clamp(max=MAX_FACTOR)


@isolated
def write(
    model: Model,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] = (64, 64),
    n: int = MEMBERS,
    seed: int = 0,
    authors: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write a package of the BioImage Model Zoo, ``.zip``, for images of one size.

    Its graph maps an image with values in [0, 1] to the mean of n members, and to their calibrated standard deviation:
    those of `bayesr.sample` with the same n and seed, but for clipping. A test image and its results are part of it.

    Parameters
    ----------
    model : Model
    path : path
        The file, ending with ``.zip``.
    size : tuple of int
        Height and width of images, in low-resolution pixels.
    n, seed : int
        Members, 2 to 64, and the seed of their latents and masks.
    authors : sequence of str
        Names of authors, for the description.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    EngineUnavailable
        When ``bioimageio.core`` or the packages for ONNX are missing (``pip install 'bayesr[bioimage]'``), or ONNX
        cannot hold the network or the operator.
    InvalidArgument
        For another suffix, a size that is none, or a number of members or a seed outside of its range.
    StoreExists, StoreFailed
        When the file exists, or cannot be written.
    """
    target = arguments.path("path", path)
    if len(model.generator.parts) > 1:
        raise InvalidArgument("An ensemble cannot be packaged: write one of its networks, or use it in bayesr.")
    n = arguments.whole("n", n, "the number of members", 2, 64)
    seed = arguments.whole("seed", seed, "the seed", 0, 2**64 - 1)
    if target.suffix.lower() != ".zip":
        raise InvalidArgument(f"{target.name} must end with .zip, as packages of the BioImage Model Zoo do.")
    if not (len(size) == 2 and all(type(part) is int and 1 <= part <= 1024 for part in size)):
        raise InvalidArgument(
            f"size must be height and width in low-resolution pixels, such as (64, 64), not {size!r}."
        )
    if target.exists() and not overwrite:
        raise StoreExists(f"{target} exists: use overwrite=True, or another name.")
    if not target.absolute().parent.is_dir():
        raise StoreFailed(f"There is no folder {target.parent} to write {target.name} to: make it first.")
    _require()
    module = TileMoments(model.on(torch.device("cpu")), size, n, seed).eval()
    y = torch.rand((1, model.bands, *size), generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    with torch.no_grad():
        results = module(y)  # also computes matrices, which are then constants of the graph
    metadata = model.describe() | {"n": n, "seed": seed, "size": list(size)}
    graph = _graph(module, y, metadata)
    with temporary_folder() as folder:
        write_atomically(target, _package(folder, model, graph, y, results, authors).read_bytes())
    return target


def _graph(module: TileMoments, y: Tensor, metadata: dict[str, Any]) -> bytes:
    try:
        with torch.no_grad():
            program = torch.export.export(module, (y,), strict=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise EngineUnavailable(f"torch cannot trace this model ({reason}): use it in bayesr.") from error
    return convert(program, ["image"], ["mean", "std"], metadata)


def _package(
    folder: Path, model: Model, graph: bytes, y: Tensor, results: tuple[Tensor, Tensor], authors: Sequence[str]
) -> Path:
    """Describe the graph, and return the package."""
    from bioimageio.spec import save_bioimageio_package  # optional
    from bioimageio.spec.model import v0_5  # optional

    (folder / "model.onnx").write_bytes(graph)
    for name, values in (("image", y), ("mean", results[0]), ("std", results[1])):
        np.save(folder / f"{name}.npy", values.numpy())
    (folder / "README.md").write_text(_readme(model), encoding="utf-8")

    def tensor(kind: Any, space: Any, name: str, values: Tensor, text: str) -> Any:
        axes = [
            v0_5.BatchAxis(size=1),
            v0_5.ChannelAxis(channel_names=[f"band{band}" for band in range(model.bands)]),
            *(space(id=axis, size=values.shape[2 + place]) for place, axis in enumerate("yx")),
        ]
        file = v0_5.FileDescr(source=folder / f"{name}.npy")
        return kind(id=name, description=text, axes=axes, test_tensor=file)

    image = "Image, scaled from its value range to [0, 1]."
    mean, std = "Mean of the members.", "Calibrated standard deviation of the members."
    description = v0_5.ModelDescr(
        name=f"bayesr {model.name}",
        description=f"Probabilistic super-resolution x{model.scale} with calibrated uncertainty: mean and standard "
        "deviation of posterior samples.",
        authors=[v0_5.Author(name=name) for name in authors],
        documentation=v0_5.FileDescr(source=folder / "README.md"),
        inputs=[tensor(v0_5.InputTensorDescr, v0_5.SpaceInputAxis, "image", y, image)],
        outputs=[
            tensor(v0_5.OutputTensorDescr, v0_5.SpaceOutputAxis, "mean", results[0], mean),
            tensor(v0_5.OutputTensorDescr, v0_5.SpaceOutputAxis, "std", results[1], std),
        ],
        tags=["super-resolution", "uncertainty"],
        weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=folder / "model.onnx", opset_version=OPSET)),
    )
    return Path(save_bioimageio_package(description, output_path=folder / "package.zip"))


def _readme(model: Model) -> str:
    facts = {"Use": "use", "Limits": "limits", "Data": "data", "Licence": "licence"}
    lines = [f"**{title}.** {model.card.get(name) or 'Not recorded.'}" for title, name in facts.items()]
    return "\n\n".join(
        [
            f"# {model.name}",
            f"Members reproduce the image under the forward operator `{model.forward_operator.describe()}`. Scale "
            "images from their value range to [0, 1] first. `mean` and `std` have the same units.",
            *lines,
            f"Calibration: {model.calibration.source}. Checksum of the weights: `{model.describe()['sha256']}`.",
            "",
        ]
    )


def _require() -> None:
    """Refuse before any work when the package of the extra is missing."""
    try:
        import bioimageio.core  # optional
        import bioimageio.spec  # optional
    except ImportError as error:
        raise EngineUnavailable(
            "Packages of the BioImage Model Zoo need bioimageio.core: pip install 'bayesr[bioimage]'."
        ) from error
    del bioimageio
