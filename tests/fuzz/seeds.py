"""Undamaged files of every kind that bayesr reads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import rasterio
import rioxarray  # noqa: F401, registers the accessor
import tifffile
import xarray as xr
import zarr

import bayesr
from bayesr.model import checkpoint
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.observe import bicubic
from bayesr.segmentation.segmenter import Segmenter
from bayesr.training.data import ImageSet
from tests.fuzz.place import MODEL, Place

_RNG = np.random.default_rng(0)
GREY = (_RNG.random((12, 10)) * 200).astype(np.uint8)
COLOUR = (_RNG.random((11, 9, 3)) * 255).astype(np.uint8)
LARGE = (_RNG.random((64, 64)) * 255).astype(np.uint8)
SMALL = GREY[:8, :8]
"""The image of the products."""
SIDE = 32
"""Side of the products in pixels."""
RING = [[1, 1], [8, 1], [8, 8], [1, 8], [1, 1]]


def write(place: Place) -> None:
    """Write all files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small images, and of parts of Zarr v3 that are not specified yet
        pictures(place.seeds)
        tiffs(place.seeds)
        rasters(place.seeds)
        stores(place.seeds)
        models(place.seeds)
        products(place.seeds)
        texts(place.seeds)


def pictures(folder: Path) -> None:
    """Write pictures of all formats and modes, with orientation, transparency and 16 bits."""
    grey, colour = PIL.Image.fromarray(GREY), PIL.Image.fromarray(COLOUR)
    grey.save(folder / "grey.png")
    colour.save(folder / "colour.png")
    PIL.Image.fromarray(GREY.astype(np.uint16) * 200).save(folder / "grey16.png")
    colour.convert("P").save(folder / "palette.png")
    colour.convert("P").save(folder / "clear.png", transparency=3)
    grey.convert("LA").save(folder / "alpha.png")
    colour.convert("RGBA").save(folder / "rgba.png")
    grey.convert("1").save(folder / "bits.png")
    colour.save(folder / "colour.jpg")
    grey.save(folder / "grey.jpg")
    turned = PIL.Image.Exif()
    turned[274] = 6
    colour.save(folder / "turned.jpg", exif=turned)
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.save(folder / "colour.webp")
    colour.save(folder / "lossless.webp", lossless=True)
    colour.save(folder / "one.gif")
    grey.save(folder / "two.gif", save_all=True, append_images=[grey])
    grey.save(folder / "grey.bmp")
    colour.save(folder / "colour.ppm")
    colour.save(folder / "colour.tga")
    colour.save(folder / "colour.ico")
    colour.save(folder / "plain.jp2")


def tiffs(folder: Path) -> None:
    """Write TIFF files: plain, compressed, tiled, OME, ImageJ, palettes, several pages, and sub-pages."""
    tifffile.imwrite(folder / "plain.tif", GREY)
    tifffile.imwrite(folder / "float.tif", _RNG.random((12, 10)).astype(np.float32))
    tifffile.imwrite(folder / "deflate.tif", COLOUR, compression="zlib", photometric="rgb")
    tifffile.imwrite(folder / "tiled.tif", LARGE, tile=(16, 16), compression="zlib")
    tifffile.imwrite(folder / "planes.ome.tif", np.stack([GREY, GREY]), ome=True, metadata={"axes": "CYX"})
    sized = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(folder / "sized.ome.tif", GREY, ome=True, metadata=sized)
    tifffile.imwrite(folder / "big.tif", GREY, bigtiff=True, byteorder=">")
    tifffile.imwrite(folder / "strips.tif", LARGE, rowsperstrip=4, compression="zlib")
    tifffile.imwrite(folder / "imagej.tif", GREY, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    tifffile.imwrite(folder / "stack.tif", np.stack([GREY] * 3), imagej=True, metadata={"axes": "ZYX"})
    palette = np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    tifffile.imwrite(folder / "palette.tif", GREY, photometric="palette", colormap=palette)
    tifffile.imwrite(folder / "white.tif", GREY, photometric="miniswhite")
    with tifffile.TiffWriter(folder / "levels.tif") as file:
        file.write(LARGE, subifds=1, tile=(16, 16), metadata=None)
        file.write(LARGE[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)


def rasters(folder: Path) -> None:
    """Write georeferenced rasters: GeoTIFF, with a mask, JPEG 2000, and pictures with files beside them."""
    y, x = 5000.0 - 8 * np.arange(12), 700.0 + 8 * np.arange(10)
    array = xr.DataArray(
        GREY[None].astype(np.float32), dims=("band", "y", "x"), coords={"y": y, "x": x, "band": [1]}
    ).rio.write_crs(32633)
    array.rio.write_nodata(-9999).rio.to_raster(folder / "geo.tif")
    array.rio.to_raster(folder / "geotiled.tif", tiled=True, compress="deflate", blockxsize=16, blockysize=16)
    array.astype(np.uint8).rio.to_raster(folder / "geo.jp2", driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    profile = {"driver": "GTiff", "width": 10, "height": 12, "count": 1, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(folder / "masked.tif", "w", **profile) as file:
        file.write(GREY, 1)
        file.write_mask(GREY > 50)
    grey = PIL.Image.fromarray(GREY)
    grey.save(folder / "world.png")
    (folder / "world.wld").write_text("8\n0\n0\n-8\n704\n4996\n")
    grey.save(folder / "noted.png")
    (folder / "noted.png.aux.xml").write_text(
        "<PAMDataset>\n<SRS>EPSG:32633</SRS>\n<GeoTransform>700, 8, 0, 5000, 0, -8</GeoTransform>\n"
        '<PAMRasterBand band="1">\n<NoDataValue>7</NoDataValue>\n<Scale>0.5</Scale>\n</PAMRasterBand>\n</PAMDataset>\n'
    )


def stores(folder: Path) -> None:
    """Write NetCDF files and Zarr stores: of xarray, single arrays, sharded ones, and OME-Zarr."""
    lat, lon = np.linspace(1, 2, 12), np.linspace(3, 4, 10)
    values = xr.DataArray(
        GREY.astype(np.float32), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="t", attrs={"units": "K"}
    )
    values.to_netcdf(folder / "four.nc")
    values.to_netcdf(folder / "three.nc", format="NETCDF3_64BIT")
    packed = {"t": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -1}}
    values.to_netcdf(folder / "packed.nc", encoding=packed)
    values.to_dataset().to_zarr(folder / "three.zarr", zarr_format=3, consolidated=False)
    values.to_dataset().to_zarr(folder / "two.zarr", zarr_format=2)
    zarr.create_array(folder / "array.zarr", shape=(12, 10), chunks=(5, 4), dtype="uint8")[:] = GREY
    zarr.create_array(folder / "shards.zarr", shape=(16, 16), chunks=(4, 4), shards=(8, 8), dtype="float32")[:] = 0.5
    group = zarr.open_group(folder / "ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=(1, 12, 10), chunks=(1, 6, 5), dtype="uint8")[:] = GREY[None]
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}


def models(folder: Path) -> None:
    """Write a model with calibration, one without, a segmenter, a checkpoint and a pack of images."""
    network = build(bands=1, scale=4, width=4, blocks=1, head_width=4, head_blocks=1, latent=2, dropout=0.3)
    network = network.eval().requires_grad_(False)
    whole = bayesr.load(MODEL)
    model = Model("tiny", network, whole.forward_operator, whole.calibration, whole.card, "", whole.inputs)
    model.save(folder / "tiny.safetensors")
    Model("bare", network, bicubic(4)).save(folder / "bare.safetensors")
    unet = MobileUNet(bands=1, outputs=1, width=0.1, depth=2).eval()
    Segmenter("seg", unet).save(folder / "segmenter.safetensors")
    facts = {"network": network.architecture, "step": 3, "history": []}
    checkpoint.write(folder / "checkpoint.npz", checkpoint.of_module("average", network), facts)
    ImageSet(("a", "b"), (COLOUR, COLOUR)).pack(folder / "pack.npz")


def products(folder: Path) -> None:
    """Write products of a bundled and of a small model, and a segmentation."""
    tiny, quiet = folder / "tiny.safetensors", {"tile": 4, "progress": False}
    bayesr.sample(SMALL, 4, model=tiny, store=folder / "product.zarr", keep_samples=True, masks=2, **quiet)
    bayesr.sample(SMALL, 4, model=MODEL, store=folder / "bundled.zarr", **quiet)
    bayesr.segment(folder / "product.zarr", "otsu", store=folder / "segments.zarr", progress=False)


def texts(folder: Path) -> None:
    """Write polygons, a table, a history and ratings."""
    polygon = {"type": "Polygon", "coordinates": [RING]}
    many = {"type": "MultiPolygon", "coordinates": [[RING]]}
    features = [
        {"type": "Feature", "id": 3, "properties": {"name": "a"}, "geometry": polygon},
        {"type": "Feature", "properties": None, "geometry": {"type": "GeometryCollection", "geometries": [many]}},
    ]
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}, indent=1))
    rows = [{"recipe": "a", "PSNR": 3.0, "PSNR ±": 0.1, "set": "x"}, {"recipe": "b", "PSNR": "4.1 ± 0.2", "set": "x"}]
    (folder / "table.json").write_text(json.dumps({"rows": rows, "facts": {"levels": "90% interval"}}, indent=1))
    records = ({"step": i, "stage": "a", "loss": 1 / (i + 1), "validation CRPS": 3.0, "seconds": i} for i in range(6))
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = ["rater,system,image,score,time,seed,pixels", "me,A,i1,3,t,0,abc", "me,B,i1,4,t,0,abd", "me,A,i2,,t,0,abc"]
    (folder / "ratings.csv").write_text("\n".join([*lines, ""]))
