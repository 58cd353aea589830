"""Comparison of a product with a reference: figures, charts and maps, as `bayesr.score` computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesr import images
from bayesr.errors import InvalidProduct
from bayesr.report.panels import BANDS, Array, Maps, View, block_means, downsampled
from bayesr.scoring import scores
from bayesr.scoring.case import case_of, read_reference
from bayesr.scoring.description import VARIABLES
from bayesr.scoring.maps import REMOVED, score_intervals, score_mean, score_std

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SIDE = 4096
"""Longest side of the part that figures are computed of: the middle of larger products."""
REGIONS = 12
"""Number of regions along the longer side, in the map of the empirical coverage."""

INSIDE, BELOW, ABOVE = 1, 2, 3
"""Codes of the map ``state``: position of the reference relative to the interval; NaN where values are missing."""


@dataclass(frozen=True)
class Reference:
    """A reference on the grid of a product, and the model of the product."""

    image: images.Image
    model: Any = None

    @classmethod
    def read(cls, ds: xr.Dataset, given: Any, model: Any = None) -> Reference:
        """Read a reference and check that it fits the product.

        Raises
        ------
        InvalidArgument, InvalidProduct, BandMismatch
            When its size, its grid or its bands differ from those of the product.
        """
        lacking = {"variance", "std", "lower", "upper"} - set(map(str, ds.data_vars))
        if lacking:
            raise InvalidProduct(
                f"The product was drawn without {', '.join(sorted(lacking))}, so it cannot be compared with "
                "a reference: leave the reference out, or sample again without variables=."
            )
        return cls(read_reference(ds, given, None), model)

    def cut(self, rows: slice, columns: slice) -> xr.DataArray:
        """Return a window of the reference."""
        return self.image.data[:, rows, columns]


def compare(ds: xr.Dataset, truth: Reference, view: View) -> tuple[dict[str, Any], Maps]:
    """Compare a product with a reference; return figures and charts, and maps.

    The maps are ``reference``, ``state`` (`INSIDE`, `BELOW`, `ABOVE`) and ``region``, the empirical coverage in
    squares, of all bands together.
    """
    rows, columns = (_middle(part) for part in (view.rows, view.columns))
    part = ds.isel(y=rows, x=columns)
    scored = _scores(part, truth.cut(rows, columns), truth)
    whole = (rows, columns) == (view.rows, view.columns)
    evidence = {
        "figures": _figures(scored, part),
        "charts": [chart for chart in _charts(scored, part) if chart is not None],
        "members": "rank_histogram" in scored,
        "window": None if whole else [rows.start, rows.stop, columns.start, columns.stop],
        "pixels": int(np.isfinite(scored["covered"]).all(0).sum()),
    }
    maps = {"reference": downsampled(truth.image.data[:BANDS], view)}
    if whole and np.isfinite(scored["covered"]).any():
        covered = np.asarray(scored["covered"])
        side = max(8, -(-max(covered.shape[1:]) // REGIONS))
        region = block_means(np.where(np.isfinite(covered).all(0), covered.mean(0), np.nan), side)
        maps["region"] = region[None]
        evidence["region"] = side / view.factor
    if view.factor == 1:  # intervals are of pixels, not of block means
        maps["state"] = _state(part[["lower", "upper"]].isel(band=slice(BANDS)), maps["reference"], scored["covered"])
    return evidence, maps


def _middle(part: slice) -> slice:
    size = min(SIDE, part.stop - part.start)
    start = part.start + (part.stop - part.start - size) // 2
    return slice(start, start + size)


def _state(ds: xr.Dataset, truth: Array, covered: Array) -> Array:
    lower = ds["lower"].to_numpy()
    state = np.where(covered[:BANDS] == 1, INSIDE, np.where(truth < lower, BELOW, ABOVE))
    known: Array = np.where(np.isfinite(covered[:BANDS]), state, np.nan)
    return known


def _scores(ds: xr.Dataset, truth: xr.DataArray, read: Reference) -> dict[str, Any]:
    """Return the results of `bayesr.score`; without members, those that need none."""
    levels = sorted({*LEVELS, float(ds.attrs["level"])})
    if "samples" in ds:
        scored = scores.score(ds, truth, levels=levels, model=read.model, progress=False)
        return {str(name): values.to_numpy() for name, values in scored.variables.items()}
    image = images.Image(truth, read.image.value_range, read.image.bounds, read.image.nodata, read.image.sha256)
    case = case_of(ds, image)
    widths, _ = scores.half_widths_of(ds, levels, read.model)
    of_all = score_mean(case) | score_intervals(case, widths) | score_std(case)
    return of_all | {"removed": REMOVED}


def _figures(found: dict[str, Any], ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return the scores that are single numbers, each with name, value, unit and meaning."""
    level = float(ds.attrs["level"])
    own = {name: float(np.asarray(found[name])[np.isclose(found["level"], level)][0]) for name in ("coverage", "width")}
    out = []
    names = ("coverage", "width", "psnr", "ssim", "mae", "crps_mean", "spread_skill", "ence", "ause_rmse", "lr_psnr")
    for name in (name for name in names if name in found):
        _, power, meaning, _ = VARIABLES[name.removesuffix("_mean")]  # of CRPS, what is averaged
        unit = power if isinstance(power, str) else str(ds["mean"].attrs.get("units", "")) if power == 1 else ""
        value = own[name] if name in own else float(np.asarray(found[name]).item())
        meaning += f" (ideally {level:g})" if name == "coverage" else " (ideally 1)" if name == "spread_skill" else ""
        out.append({"name": name, "value": value, "unit": unit, "meaning": meaning})
    return out


def _charts(found: dict[str, Any], ds: xr.Dataset) -> list[dict[str, Any] | None]:
    return [
        _reliability(found),
        _spread(found, ds),
        _ranks(found),
        _sparsification(found),
        _regions(found, ds),
        _power(found),
    ]


def _chart(name: str, how: str, **spec: Any) -> dict[str, Any]:
    return {"name": name, "how": how, "spec": spec}


def _known(*values: Any) -> bool:
    return all(bool(np.isfinite(np.asarray(value, float)).any()) for value in values)


def _reliability(found: dict[str, Any]) -> dict[str, Any] | None:
    if not _known(found["coverage"]):
        return None
    return _chart(
        "reliability",
        "90% of all 90% intervals should contain the truth. Points below the diagonal show that intervals are too "
        "narrow: the product is overconfident. Points above it show that they are wider than needed.",
        title="Reliability of intervals",
        x={"label": "nominal level", "min": 0, "max": 1},
        y={"label": "empirical coverage", "min": 0, "max": 1},
        identity=True,
        series=[{"name": "observed", "kind": "points", "x": found["level"], "y": found["coverage"]}],
    )  # fmt: skip


def _spread(found: dict[str, Any], ds: xr.Dataset) -> dict[str, Any] | None:
    predicted, error = (np.asarray(found[name], float) for name in ("bin_std", "bin_rmse"))
    some = np.isfinite(predicted) & (predicted > 0) & (error > 0)
    if not some.any():
        return None
    unit = _unit(ds)
    return _chart(
        "spread",
        "Pixels are divided into 20 groups of equal size by their standard deviation. On the diagonal, errors are as "
        "large as the standard deviation predicts.",
        title="Spread and skill",
        x={"label": f"predicted error{unit}", "log": True},
        y={"label": f"observed error (RMSE){unit}", "log": True},
        identity=True,
        series=[{"name": "groups of pixels", "kind": "points", "x": predicted[some], "y": error[some]}],
    )  # fmt: skip


def _ranks(found: dict[str, Any]) -> dict[str, Any] | None:
    if "rank_histogram" not in found or len(found["rank_histogram"]) < 3:
        return None
    counts = np.asarray(found["rank_histogram"], float)
    ranks = np.arange(counts.size)
    return _chart(
        "ranks",
        "Number of members below the truth. The histogram is flat at 1 where truth and members have the same "
        "distribution. High ends: the members, which are not calibrated, vary too little. High middle: they vary too "
        "much.",
        title="Rank histogram of the raw members",
        x={"label": "members below the truth"},
        y={"label": "frequency relative to a flat histogram", "min": 0, "zero": True},
        series=[{"name": "observed", "kind": "bars", "x": ranks, "y": counts / max(counts.mean(), 1e-300)},
                {"name": "flat", "kind": "line", "x": ranks[[0, -1]], "y": [1, 1], "dash": True}],
    )  # fmt: skip


def _sparsification(found: dict[str, Any]) -> dict[str, Any] | None:
    curve, oracle = found["sparsification_rmse"], found["sparsification_rmse_oracle"]
    if not _known(curve):
        return None
    return _chart(
        "sparsification",
        "Error of the remaining pixels after those with the largest std are removed. The oracle removes those with the "
        "largest error: no map of uncertainty can be below it. A flat line means that std and error are unrelated.",
        title="Sparsification",
        x={"label": "fraction of pixels removed", "min": 0, "max": 1},
        y={"label": "RMSE relative to all pixels", "min": 0, "max": 1.05},
        series=[{"name": "by std", "kind": "line", "x": found["removed"], "y": curve},
                {"name": "oracle", "kind": "line", "x": found["removed"], "y": oracle, "dash": True}],
    )  # fmt: skip


def _regions(found: dict[str, Any], ds: xr.Dataset) -> dict[str, Any] | None:
    if not _known(found["coverage_by_activity"]):
        return None
    level, activity = float(ds.attrs["level"]), np.asarray(found["activity"], float)
    return _chart(
        "activity",
        "The overall coverage can hide intervals that are too wide in flat areas and too narrow at edges and in "
        "texture. Each point is a tenth of the pixels.",
        title="Coverage by local contrast",
        x={"label": f"standard deviation of the mean in 7 × 7 pixels{_unit(ds)}", "log": bool((activity > 0).all())},
        y={"label": "empirical coverage", "min": 0, "max": 1},
        series=[{"name": "observed", "kind": "points", "x": activity, "y": found["coverage_by_activity"]},
                {"name": f"nominal {level:g}", "kind": "line", "x": activity[[0, -1]], "y": [level] * 2, "dash": True}],
    )  # fmt: skip


def _power(found: dict[str, Any]) -> dict[str, Any] | None:
    if "spectrum_members" not in found or not np.size(found["frequency"]):
        return None
    series = [
        {"name": name, "kind": "line", "x": found["frequency"], "y": found[f"spectrum_{name}"]}
        | ({"dash": True} if i else {})
        for i, name in enumerate(("reference", "mean", "members"))
    ]
    return _chart(
        "power",
        "Power by spatial frequency. A mean is smoother than the truth, as expected. Each member should have as much "
        "power as the truth.",
        title="Power spectrum",
        x={"label": "frequency (cycles per pixel)", "log": True},
        y={"label": "power", "log": True},
        series=series,
    )


def _unit(ds: xr.Dataset) -> str:
    units = ds["mean"].attrs.get("units")
    return f" ({units})" if units else ""
