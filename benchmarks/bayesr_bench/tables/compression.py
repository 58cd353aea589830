"""Measure the size of products and the time of writing them, by codec.

    bayesr bench compression --data FOLDER

Tiles of images are sampled. The arrays that a store holds by default (the variables without members, and the deviations
of mask means) are written as a store writes them: sharded Zarr, by one thread. Codecs take turns, and times are medians
of ratios to the time without a codec in the same round.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.product import VARIABLES
from bayesr_bench.harness import NONE, Result, option, significant, table
from bayesr_bench.options import Count, Data
from bayesr_bench.sets import read_set, sample

Arrays = dict[str, NDArray[np.float32]]
Product = tuple[Arrays, Arrays, float]
"""The arrays that a store holds by default, some members, and the seconds of sampling."""

TILE = 256
"""Side of a tile in low-resolution pixels, as for large images."""
CASES = (
    ("natural-x4", "set5", 8), ("natural-x4", "set5", 32),
    ("fluorescence-x4", "nuclei", 8), ("fluorescence-x4", "nuclei", 32),
)  # fmt: skip
MEMBERS = 2
"""Number of members that are compressed; others have nearly the same size."""


def codecs() -> dict[str, Any]:
    """Return the codecs by name. All are in the specification of Zarr 3, so that any reader supports them."""
    found: dict[str, Any] = {NONE: None} | {f"zstd {level}": ZstdCodec(level=level) for level in (0, 1, 3, 5, 9)}
    for name, levels in {"lz4": (1, 3, 5, 9), "zstd": (1, 3, 5)}.items():  # zstd 9 writes 4 MB/s
        for shuffle, level in itertools.product(("shuffle", "bitshuffle"), levels):
            codec = BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=4)  # type: ignore[arg-type]
            found[f"blosc {name} {shuffle} {level}"] = codec
    return found


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round values to a number of bits of mantissa, halves to even. NaN stays NaN.

    The relative error is at most ``2**-(bits + 1)``.

    Raises
    ------
    InvalidArgument
        If the number of bits is not in [1, 22].
    """
    if not 1 <= bits <= 22:
        raise InvalidArgument(f"--bits must be 1 to 22, of the 23 bits of mantissa that float32 has, not {bits}.")
    drop = np.uint32(23 - bits)
    pattern = values.view(np.uint32).copy()
    pattern += ((pattern >> drop) & np.uint32(1)) + ((np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1))
    pattern &= ~((np.uint32(1) << drop) - np.uint32(1))
    found: NDArray[np.float32] = np.where(np.isnan(values), values, pattern.view(np.float32))
    return found


def product_of(model: bayesr.Model, image: NDArray[np.uint8], n: int) -> Product:
    """Sample one tile."""
    begun = time.perf_counter()
    ds = sample(model, image, n, keep_samples=True)
    taken = time.perf_counter() - begun
    members, masks = ds["samples"].to_numpy(), int(ds.attrs["masks"])
    means = members.reshape(n // masks, masks, *members.shape[1:]).mean(0)
    arrays = {name: ds[name].to_numpy() for name in VARIABLES} | {"mask_means": means - means.mean(0)}
    return arrays, {"samples": members[:MEMBERS].copy()}, taken


def written(arrays: Arrays, codec: Any, bits: int | None, chunk: int) -> tuple[int, float, float]:
    """Write arrays to a store, one shard per tile; return bytes on disk, seconds to write, and seconds to read."""
    with tempfile.TemporaryDirectory() as folder, zarr.config.set({"threading.max_workers": 1}):
        root = zarr.open_group(folder, mode="w")
        for name, values in arrays.items():
            lead, side = (1,) * (values.ndim - 2), values.shape[-1]
            root.create_array(
                name, shape=values.shape, dtype="float32", fill_value=np.nan,
                chunks=(*lead, min(chunk, side), min(chunk, side)), shards=(*lead, side, side), compressors=codec,
            )  # fmt: skip
        begun = time.perf_counter()
        for name, values in arrays.items():
            root[name][...] = values if bits is None else rounded(values, bits)  # type: ignore[index]
        middle = time.perf_counter()
        for name in arrays:
            root[name][...]  # type: ignore[index]
        ended = time.perf_counter()
        size = sum(file.stat().st_size for file in Path(folder).rglob("c/**/*") if file.is_file())
    return size, middle - begun, ended - middle


def measure(
    cases: dict[str, list[Product]], candidates: dict[str, tuple[Any, int | None]], chunk: int, rounds: int
) -> list[dict[str, Any]]:
    """Return one row per candidate.

    Parameters
    ----------
    cases : dict
        For each case, the products of its tiles, as `product_of` returns them.
    candidates : dict
        Codecs, and the numbers of bits of mantissa to which values are rounded; None rounds nothing.
    chunk : int
        Side of a chunk, in pixels.
    rounds : int
        Number of rounds, after one that is not timed.
    """
    products = [product for case in cases.values() for product in case]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    sizes: dict[str, list[int]] = {}
    for turn in range(rounds + 1):
        for name, (codec, bits) in candidates.items():
            runs = [written(arrays, codec, bits, chunk) for arrays, _, _ in products]
            sizes[name] = [run[0] for run in runs]
            if turn:  # the first round warms up
                times[name].append((sum(run[1] for run in runs), sum(run[2] for run in runs)))
    return [
        {"codec": name}
        | _ratios(cases, sizes[name], codec, bits, chunk)
        | _times(times[name], times[NONE], products)
        | _rounding_errors(products, bits)
        for name, (codec, bits) in candidates.items()
    ]


def _ratios(
    cases: dict[str, list[Product]], sizes: list[int], codec: Any, bits: int | None, chunk: int
) -> dict[str, float]:
    """Return the compression ratios of the products of each case, and of members."""
    row, left = {}, iter(sizes)
    for case, of_case in cases.items():
        raw = sum(_bytes(arrays) for arrays, _, _ in of_case)
        row[f"ratio, {case}"] = raw / sum(next(left) for _ in of_case)
    members = [some for case in cases.values() for _, some, _ in case]
    row["ratio, members"] = sum(map(_bytes, members)) / sum(written(m, codec, bits, chunk)[0] for m in members)
    return row


def _times(
    own: list[tuple[float, float]], none: list[tuple[float, float]], products: list[Product]
) -> dict[str, float]:
    """Return times of writing and reading, relative to those without a codec and to sampling, and as rates."""
    pairs = list(zip(own, none, strict=True))
    size, sampled = sum(_bytes(arrays) for arrays, _, _ in products), sum(taken for _, _, taken in products)
    return {
        "writing / none's": statistics.median(mine[0] / other[0] for mine, other in pairs),
        "reading / none's": statistics.median(mine[1] / other[1] for mine, other in pairs),
        "writing / sampling": statistics.median(mine[0] for mine in own) / sampled,
        "MB/s writing": size / 1e6 / statistics.median(mine[0] for mine in own),
        "MB/s reading": size / 1e6 / statistics.median(mine[1] for mine in own),
    }


def _rounding_errors(products: list[Product], bits: int | None) -> dict[str, float]:
    """Return the errors of a rounded mean, divided by the standard deviation; 0 if nothing is rounded."""
    errors: list[NDArray[Any]] = [np.zeros(1)]
    if bits is not None:
        errors = [(rounded(a["mean"], bits) - a["mean"])[a["std"] > 0] / a["std"][a["std"] > 0] for a, *_ in products]
    return {
        "largest error of mean / std": float(max(np.abs(e).max() for e in errors)),
        "rms error of mean / std": float(np.sqrt(np.mean([np.mean(e**2) for e in errors]))),
    }


def _bytes(arrays: Arrays) -> int:
    return sum(values.nbytes for values in arrays.values())


@table(
    rounding=significant(4),
    estimators="medians of ratios within a round; errors of rounding divided by the std of the product",
)
def command(
    data: Data,
    cases: Annotated[
        tuple[tuple[str, str, int], ...],
        option(
            "--case",
            metavar="MODEL SET N",
            show_default=False,
            help="Products to compress; by default of natural-x4 on set5 and fluorescence-x4 on nuclei, n = 8 and 32.",
        ),
    ] = CASES,
    images: Annotated[int, "Number of tiles of each case."] = 1,
    names: Annotated[tuple[str, ...], option("--codec", help="Only this codec, besides none; may be repeated.")] = (),
    bits: Annotated[tuple[int, ...], "Bits of mantissa of rounded values."] = (8, 10, 12, 15),
    bits_codec: Annotated[str, "Codec of rounded values."] = "blosc lz4 bitshuffle 5",
    chunk: Annotated[int, "Side of a chunk in high-resolution pixels."] = 512,
    rounds: Annotated[Count, "Number of rounds that are timed."] = 3,
) -> Result:
    """Return one row per codec."""
    known = codecs()
    unknown = {*names, bits_codec} - known.keys()
    if unknown:
        raise InvalidArgument(f"There is no codec {', '.join(sorted(unknown))}: choose from {', '.join(known)}.")
    candidates: dict[str, tuple[Any, int | None]] = {
        name: (codec, None) for name, codec in known.items() if not names or name in (*names, NONE)
    }
    candidates |= {f"{bits_codec}, {b} bits of mantissa": (known[bits_codec], b) for b in bits}
    products = {f"{model} n = {n}": _products(data, model, name, n, images) for model, name, n in cases}
    notes = {
        "what": f"{', '.join(VARIABLES)} and deviations of mask means, {TILE}x{TILE} pixels sampled x4; "
        f"{images} tile(s) of images that serve as low-resolution images",
        "store": f"one shard per tile, chunks {chunk}x{chunk}, local disk, one thread",
        "rounds": f"{rounds}, codecs in turn, medians of ratios; sampling on all threads of the machine named above",
    }
    sizes = ", ".join(str(n) for n in sorted({n for _, _, n in cases}))
    return Result(measure(products, candidates, chunk, rounds), notes, n=sizes)


def _products(data: Path, model: str, name: str, n: int, images: int) -> list[Product]:
    """Sample the first images of a set that are large enough."""
    network = bayesr.load(model)
    large = [p.pixels for p in read_set(data, name).values() if min(p.pixels.shape[:2]) >= TILE][:images]
    if len(large) < images:
        raise InvalidArgument(f"{name} has {len(large)} images of {TILE} pixels a side or more, not {images}.")
    product_of(network, large[0][:32, :32], n)  # warms up
    found = [product_of(network, image[:TILE, :TILE], n) for image in large]
    click.echo(f"sampled {model}, n = {n}", err=True)
    return found
