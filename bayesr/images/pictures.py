"""Readers of PIL images, and of all files that Pillow decodes (PNG, JPEG, WebP and others)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import NotAnImage, TooLarge
from bayesr.images import limits, photometry, rasters
from bayesr.images.readers import Reader, by_type

if TYPE_CHECKING:
    import PIL.Image

_EIGHT_BITS = ("JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TGA", "PCX", "ICO", "PNG", "PPM", "AVIF")
"""Formats whose colours have 8 bits, or whose depth is checked here."""
_COLOURS = ("RGB", "RGBA", "LA")
_CONVERTED = {"P": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
_ORIENTATION = 274
_PROGRAMS = ("EPS", "WMF", "EMF")
"""Formats that Pillow gives to an interpreter, such as Ghostscript."""
_BYTES = {"1": 1, "L": 1, "P": 4, "LA": 2, "I;16": 2, "I;16B": 2}
"""Bytes of a decoded pixel by mode; 4 for others."""


def from_picture(path: Path) -> xr.DataArray:
    """Decode a file with Pillow; one with a world file, a mask or georeferenced notes beside it with GDAL."""

    with _opened(path) as picture:
        _check(path, picture)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # the first image of an MPO file is the photograph
            raise NotAnImage(
                f"{path} contains {frames} images: save the one you mean as a file, or give it as a PIL image "
                "(picture.seek(0), then picture.copy())."
            )
        if rasters.sidecars(path):
            if _orientation(picture) != 1:
                raise NotAnImage(f"{path} has an EXIF orientation and a file that places it: save it upright.")
            return rasters.from_raster(path)
        if (deep := _read_all_bits(path, picture)) is not None:
            return photometry.upright(deep, _orientation(picture))
        picture.load()
        return from_pillow(picture)


def has_picture_suffix(path: Path) -> bool:
    """Whether Pillow has a decoder for files of such a name."""
    import PIL.Image  # start-up time

    kind = PIL.Image.registered_extensions().get(path.suffix.lower())
    return kind in PIL.Image.OPEN and kind not in _PROGRAMS


def _opened(path: Path) -> PIL.Image.Image:
    import PIL.Image  # start-up time

    try:
        return PIL.Image.open(path)
    except PIL.Image.DecompressionBombError as error:
        raise TooLarge(
            f"{path} has more pixels than Pillow decodes ({error}): convert it to a tiled TIFF or to Zarr, which are "
            "read by window. If you trust the file, set PIL.Image.MAX_IMAGE_PIXELS, and give its pixels, "
            "np.asarray(PIL.Image.open(path))."
        ) from error


def _check(path: Path, picture: PIL.Image.Image) -> None:
    """Refuse a picture that another program decodes, or that is too large to be decoded as a whole."""
    if picture.format in _PROGRAMS:
        raise NotAnImage(f"{path} is of the format {picture.format}, a program that draws: save it as TIFF or PNG.")
    width, height = picture.size
    size = width * height * _BYTES.get(picture.mode, 4)
    advice = "Convert it to a tiled TIFF or to Zarr; or, if you trust it, give np.asarray(PIL.Image.open(path))."
    limits.check_part(size, str(path), advice)


def from_pillow(picture: Any) -> xr.DataArray:
    """Make a DataArray of a PIL image, upright; transparent pixels are missing pixels.

    Raises
    ------
    NotAnImage
        When Pillow has lost bits, the picture is partly transparent, or its mode is not one of grey or colour.
    """
    turn = 1
    if hasattr(picture, "fp"):  # a file as it was opened, and not the result of other operations
        turn = _orientation(picture)
        if _bits(picture) > 8 and picture.mode in _COLOURS:
            raise NotAnImage(
                f"Pillow reads 8 of the {_bits(picture)} bits of this picture's values: give the path of the file."
            )
    clear = picture.info.get("transparency")
    if isinstance(clear, int) and picture.mode == "L" and picture.format == "PNG" and (bits := _bits(picture)) < 8:
        clear *= 255 // (2**bits - 1)  # as Pillow stretches the pixels
    if picture.mode in _CONVERTED:
        picture = picture.convert("RGB" if picture.mode == "P" and clear is None else _CONVERTED[picture.mode])
        clear = None
    elif picture.mode not in ("L", "LA", "RGB", "RGBA", "I", "F") and not picture.mode.startswith("I;16"):
        raise NotAnImage(f"Pictures of mode {picture.mode!r} are not supported: convert to 'L' or 'RGB'.")
    pixels = np.asarray(picture)
    if picture.mode in ("LA", "RGBA"):
        pixels, absent = _split(pixels)
    elif clear is not None and not isinstance(clear, bytes):
        absent = (pixels == np.asarray(clear)) if pixels.ndim == 2 else (pixels == np.asarray(clear)).all(-1)
    else:
        absent = np.zeros(pixels.shape[:2], bool)
    return photometry.upright(_picture_array(pixels, absent), turn)


def _split(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return colours, and where the last channel, alpha, is 0."""
    colours, alpha = pixels[..., :-1], pixels[..., -1]
    if not np.isin(alpha, (0, np.iinfo(alpha.dtype).max)).all():
        raise NotAnImage(
            "The picture has partly transparent pixels, which are mixtures with an unknown background: flatten it "
            "first, with .convert('RGB')."
        )
    return colours[..., 0] if colours.shape[-1] == 1 else colours, alpha == 0


def _picture_array(pixels: NDArray[Any], absent: NDArray[np.bool_]) -> xr.DataArray:
    array = xr.DataArray(pixels, dims=("y", "x") if pixels.ndim == 2 else ("y", "x", "band"))
    if absent.any():
        array.encoding["mask"] = ~absent
    return array


def _orientation(picture: Any) -> int:
    return int(picture.getexif().get(_ORIENTATION, 1))


def _bits(picture: Any) -> int:
    """Return the bits of a value in the file of an opened picture, as far as Pillow tells or the file does."""
    args = picture.tile[0][3] if getattr(picture, "tile", None) else ""
    if isinstance(args, str) and args.endswith("16B"):
        return 16
    if isinstance(args, tuple) and len(args) == 2 and isinstance(args[1], int) and picture.format == "PPM":
        return 8 if args[1] == 255 else 16
    name = getattr(picture, "filename", "")
    if picture.format in ("PNG", "AVIF") and name and Path(name).is_file():
        with open(name, "rb") as file:
            start = file.read(4096)
        if picture.format == "PNG":
            return start[24]
        at = start.find(b"av1C")
        return 10 if at >= 0 and start[at + 6] & 0x40 else 8
    return 8


def _read_all_bits(path: Path, picture: Any) -> xr.DataArray | None:
    """Return all bits of a picture of which Pillow keeps 8; None where it keeps all.

    Raises
    ------
    NotAnImage
        When they cannot be read.
    """
    args = picture.tile[0][3] if picture.tile else ""
    if picture.format == "PPM" and isinstance(args, tuple):
        return _netpbm(path, picture, args[1])
    if picture.mode not in _COLOURS:
        return None
    if picture.format == "PNG" and isinstance(args, str) and args.endswith("16B"):
        return _png(path, args.partition(";")[0])
    if picture.format not in _EIGHT_BITS or _bits(picture) > 8:
        raise NotAnImage(
            f"{path} is of the format {picture.format}, of whose values only 8 bits would be read: save it as TIFF or "
            "PNG."
        )
    return None


def _png(path: Path, mode: str) -> xr.DataArray:
    """Decode a PNG of 16 bits and mode RGB, RGBA or LA: Pillow unpacks the high or the low bytes, as it is asked."""
    import PIL.Image  # start-up time

    def unpacked(target: str, layout: str) -> NDArray[Any]:
        with PIL.Image.open(path) as picture:
            picture.tile = [part._replace(args=layout) for part in picture.tile]
            picture._mode = target
            picture.load()
            return np.asarray(picture).astype(np.uint16)

    if mode == "LA":
        four = unpacked("RGBA", "RGBA")
        high, low = four[..., ::2], four[..., 1::2]
    else:
        high, low = unpacked(mode, f"{mode};16B"), unpacked(mode, f"{mode};16L")
    pixels = 256 * high + low
    with PIL.Image.open(path) as picture:
        clear = picture.info.get("transparency")
    if mode != "RGB":
        return _picture_array(*_split(pixels))
    absent = np.zeros(pixels.shape[:2], bool) if clear is None else (pixels == np.asarray(clear)).all(-1)
    return _picture_array(pixels, absent)


def _netpbm(path: Path, picture: Any, largest: int) -> xr.DataArray | None:
    """Read the values of a PGM or PPM file as stored; Pillow stretches them to 255 or 65535."""
    codec, _, offset, _ = picture.tile[0]
    bands = {"L": 1, "I": 1, "RGB": 3}.get(picture.mode)
    if codec != "ppm" or bands is None:
        if largest in (255, 65535) and picture.mode in ("L", "I"):
            return None
        raise NotAnImage(f"{path} is a text file of pixels up to {largest}: save it as TIFF or PNG.")
    width, height = picture.size
    dtype = np.dtype("u1" if largest < 256 else ">u2")
    pixels = np.fromfile(path, dtype, height * width * bands, offset=offset)
    if pixels.size < height * width * bands:
        raise NotAnImage(f"{path} is cut off: check that the file is whole.")
    shape = (height, width) if bands == 1 else (height, width, bands)
    native = pixels.astype(dtype.newbyteorder("="))
    return _picture_array(native.reshape(shape), np.zeros((height, width), bool))


PIL_IMAGE = Reader("PIL image", by_type("PIL."), from_pillow)
PICTURE = Reader("picture", lambda img: isinstance(img, Path), from_picture, fallback=True)  # any suffix
