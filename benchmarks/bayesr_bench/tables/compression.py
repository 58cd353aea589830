"""What codecs make of products: how much smaller, at which cost in time.

    bayesr bench compression --data FOLDER

Tiles of bench images are sampled, and what a store keeps of them by default, the product's variables without members
and the deviations of mask means, is written as a store writes it: sharded Zarr, by one thread. Codecs take turns;
times are medians of ratios to no codec in the same round.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

import bayesr
from bayesr.errors import InvalidArgument, UnfamiliarInput
from bayesr.product import VARIABLES
from bayesr_bench.options import data_option, out_option
from bayesr_bench.record import record
from bayesr_bench.sets import read_set

Arrays = dict[str, NDArray[np.float32]]

NONE = "none"
TILE = 256
"""Side of a tile in low-resolution pixels, that of large images."""
CASES = (
    ("natural-x4", "set5", 8), ("natural-x4", "set5", 32),
    ("fluorescence-x4", "nuclei", 8), ("fluorescence-x4", "nuclei", 32),
)  # fmt: skip
MEMBERS = 2
"""Members that are compressed: all are alike."""


def codecs() -> dict[str, Any]:
    """Every codec that is compared, by name: all in the specification of Zarr 3, so that any reader has them."""
    found: dict[str, Any] = {NONE: None} | {f"zstd {level}": ZstdCodec(level=level) for level in (0, 1, 3, 5, 9)}
    for name, levels in {"lz4": (1, 3, 5, 9), "zstd": (1, 3, 5)}.items():  # zstd 9 writes 4 MB/s
        for shuffle, level in itertools.product(("shuffle", "bitshuffle"), levels):
            codec = BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=4)  # type: ignore[arg-type]
            found[f"blosc {name} {shuffle} {level}"] = codec
    return found


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Values of `bits` bits of mantissa, the nearest; of two equally near ones the even; NaN stays NaN.

    The relative error is at most ``2**-(bits + 1)``.
    """
    if not 1 <= bits <= 22:
        raise InvalidArgument(f"A rounded float32 keeps 1 to 22 bits of its mantissa of 23, not {bits}.")
    drop = np.uint32(23 - bits)
    pattern = values.view(np.uint32).copy()
    pattern += ((pattern >> drop) & np.uint32(1)) + ((np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1))
    pattern &= ~((np.uint32(1) << drop) - np.uint32(1))
    kept: NDArray[np.float32] = np.where(np.isnan(values), values, pattern.view(np.float32))
    return kept


def product_of(model: bayesr.Model, image: NDArray[np.uint8], n: int) -> tuple[Arrays, Arrays, float]:
    """(what a store keeps by default, some members, seconds of sampling) of one tile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)  # how images came about does not matter here
        begun = time.perf_counter()
        ds = model.sample(image, n, dims="yxb", keep_samples=True, progress=False)
        taken = time.perf_counter() - begun
    members, masks = ds["samples"].to_numpy(), int(ds.attrs["masks"])
    means = members.reshape(n // masks, masks, *members.shape[1:]).mean(0)
    arrays = {name: ds[name].to_numpy() for name in VARIABLES} | {"mask_means": means - means.mean(0)}
    return arrays, {"samples": members[:MEMBERS].copy()}, taken


def written(arrays: Arrays, codec: Any, bits: int | None, chunk: int) -> tuple[int, float, float]:
    """(bytes on disk, seconds to write, seconds to read) of arrays in a store of their own, a shard a tile."""
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
    cases: dict[str, list[tuple[Arrays, Arrays, float]]],
    candidates: dict[str, tuple[Any, int | None]],
    chunk: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """A row a candidate, which is (codec, bits of mantissa or None); `cases` have the products of their images."""
    products = [product for case in cases.values() for product in case]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    sizes: dict[str, list[int]] = {}
    for turn in range(rounds + 1):
        for name, (codec, bits) in candidates.items():
            runs = [written(arrays, codec, bits, chunk) for arrays, _, _ in products]
            sizes[name] = [run[0] for run in runs]
            if turn:  # the first round warms up
                times[name].append((sum(run[1] for run in runs), sum(run[2] for run in runs)))
    sampled = sum(taken for _, _, taken in products)
    size = sum(values.nbytes for arrays, _, _ in products for values in arrays.values())
    rows = []
    for name, (codec, bits) in candidates.items():
        row: dict[str, Any] = {"codec": name}
        start = 0
        for case, of_case in cases.items():
            raw = sum(values.nbytes for arrays, _, _ in of_case for values in arrays.values())
            row[f"ratio, {case}"] = raw / sum(sizes[name][start : start + len(of_case)])
            start += len(of_case)
        kept = [members for _, members, _ in products]
        row["ratio, members"] = sum(m["samples"].nbytes for m in kept) / sum(
            written(m, codec, bits, chunk)[0] for m in kept
        )
        pairs = list(zip(times[name], times[NONE], strict=True))
        row["writing / none's"] = statistics.median(mine[0] / none[0] for mine, none in pairs)
        row["reading / none's"] = statistics.median(mine[1] / none[1] for mine, none in pairs)
        row["writing / sampling"] = statistics.median(mine[0] for mine in times[name]) / sampled
        row["MB/s writing"] = size / 1e6 / statistics.median(mine[0] for mine in times[name])
        row["MB/s reading"] = size / 1e6 / statistics.median(mine[1] for mine in times[name])
        row |= dict.fromkeys(("largest error of mean / std", "rms error of mean / std"), 0.0)
        if bits is not None:
            errors = [
                (rounded(a["mean"], bits) - a["mean"])[a["std"] > 0] / a["std"][a["std"] > 0] for a, *_ in products
            ]
            row["largest error of mean / std"] = float(max(np.abs(e).max() for e in errors))
            row["rms error of mean / std"] = float(np.sqrt(np.mean([np.mean(e**2) for e in errors])))
        rows.append({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()})
    return rows


@click.command()
@data_option
@click.option(
    "--case", "cases", multiple=True, type=(str, str, int), default=CASES, metavar="MODEL SET N", show_default=False,
    help="Products to compress; by default of natural-x4 on set5 and fluorescence-x4 on nuclei, n = 8 and 32.",
)  # fmt: skip
@click.option("--images", default=1, show_default=True, help="Tiles of each case.")
@click.option("--codec", "names", multiple=True, help="Only these; none is always there.")
@click.option(
    "--bits", multiple=True, type=int, default=(8, 10, 12, 15), show_default=True, help="Of rounded mantissas."
)
@click.option("--bits-codec", default="blosc lz4 bitshuffle 5", show_default=True, help="That these are written with.")
@click.option("--chunk", default=512, show_default=True, help="Side of a chunk in high-resolution pixels.")
@click.option("--rounds", default=3, show_default=True)
@out_option
def command(
    data: Path,
    cases: tuple[tuple[str, str, int], ...],
    images: int,
    names: tuple[str, ...],
    bits: tuple[int, ...],
    bits_codec: str,
    chunk: int,
    rounds: int,
    out: Path,
) -> None:
    """Size of products and time of writing them, by codec."""
    known = codecs()
    unknown = {*names, bits_codec} - known.keys()
    if unknown:
        raise InvalidArgument(f"There is no codec {', '.join(sorted(unknown))}: choose from {', '.join(known)}.")
    candidates: dict[str, tuple[Any, int | None]] = {
        name: (codec, None) for name, codec in known.items() if not names or name in (*names, NONE)
    }
    candidates |= {f"{bits_codec}, {b} bits of mantissa": (known[bits_codec], b) for b in bits}
    products = {}
    for model, name, n in cases:
        network = bayesr.load(model)
        large = [p.pixels for p in read_set(data, name).values() if min(p.pixels.shape[:2]) >= TILE][:images]
        if len(large) < images:
            raise InvalidArgument(f"{name} has {len(large)} images of {TILE} pixels a side or more, not {images}.")
        product_of(network, large[0][:32, :32], n)  # warms up
        products[f"{model} n = {n}"] = [product_of(network, image[:TILE, :TILE], n) for image in large]
        click.echo(f"sampled {model}, n = {n}", err=True)
    notes = {
        "what": f"{', '.join(VARIABLES)} and deviations of mask means, {TILE}x{TILE} pixels sampled x4; "
        f"{images} tile(s) of images that are taken as low-resolution ones as they are",
        "store": f"a shard a tile, chunks {chunk}x{chunk}, local disk, one thread",
        "rounds": f"{rounds}, codecs in turn, medians of ratios; sampling on as many threads as said above",
    }
    sizes = ", ".join(str(n) for n in sorted({n for _, _, n in cases}))
    estimators = "medians of ratios within a round; errors of rounding over the std of the product"
    table = measure(products, candidates, chunk, rounds)
    record("compression", table, notes, out, seed=0, n=sizes, estimators=estimators)
