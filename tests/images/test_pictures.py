import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import rasterio

from bayesr import images
from bayesr.errors import NotAnImage


def test_jpeg(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(
        images.read(tmp_path / "a.jpg").data.values, np.asarray(PIL.Image.open(tmp_path / "a.jpg")).transpose(2, 0, 1)
    )


@pytest.mark.parametrize("grey", [False, True])
def test_alpha(tmp_path, rgb, grey):
    colours = rgb[..., :1] if grey else rgb
    opaque = np.dstack([colours, np.full((7, 9), 255, np.uint8)])
    assert images.read(PIL.Image.fromarray(opaque)).sha256 == images.read(rgb[..., 0] if grey else rgb).sha256
    opaque[2, 3, -1] = 0
    PIL.Image.fromarray(opaque).save(tmp_path / "a.png")
    for image in (images.read(PIL.Image.fromarray(opaque)), images.read(tmp_path / "a.png")):
        assert image.missing[:, 2, 3].all() and image.missing.sum() == colours.shape[-1]
        assert image.bounds == image.value_range == (0, 255)
    opaque[0, 0, -1] = 7
    with pytest.raises(NotAnImage, match="transparent"):
        images.read(PIL.Image.fromarray(opaque))


def png16(path, pixels, **options):
    bands, height, width = pixels.shape
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="PNG", width=width, height=height, count=bands, dtype="uint16", **options) as f,
    ):
        f.write(pixels)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_png_keeps_16_bits(tmp_path, bands):
    pixels = np.random.default_rng(0).integers(0, 65536, (bands, 7, 9), dtype=np.uint16)
    if bands in (2, 4):
        pixels[-1] = 65535
        pixels[-1, 2, 3] = 0
    png16(tmp_path / "a.png", pixels)
    image = images.read(tmp_path / "a.png")
    colours = pixels[: {2: 1, 4: 3}.get(bands, bands)]
    valid = pixels[-1] != 0 if bands in (2, 4) else np.ones((7, 9), bool)
    np.testing.assert_array_equal(image.values()[:, valid], colours[:, valid])
    assert np.isnan(image.values()[:, ~valid]).all() and image.bounds == (0, 65535)


def test_pictures_in_memory_that_lost_bits_are_refused(tmp_path):
    png16(tmp_path / "a.png", np.random.default_rng(0).integers(0, 65536, (3, 7, 9), dtype=np.uint16))
    picture = PIL.Image.open(tmp_path / "a.png")
    with pytest.raises(NotAnImage, match="8 of the 16 bits"):
        images.read(picture)
    picture.load()
    with pytest.raises(NotAnImage, match="path of the file"):
        images.read(picture)


@pytest.mark.parametrize(("largest", "dtype"), [(255, "u1"), (100, "u1"), (1023, ">u2"), (65535, ">u2")])
@pytest.mark.parametrize("magic", ["P5", "P6"])
def test_netpbm_values_are_not_stretched(tmp_path, largest, dtype, magic):
    shape = (5, 6) if magic == "P5" else (5, 6, 3)
    pixels = np.random.default_rng(0).integers(0, largest + 1, shape).astype(dtype)
    (tmp_path / "a.ppm").write_bytes(f"{magic}\n6 5\n{largest}\n".encode() + pixels.tobytes())
    expected = pixels if pixels.ndim == 3 else pixels[..., None]
    np.testing.assert_array_equal(images.read(tmp_path / "a.ppm").data, expected.transpose(2, 0, 1))
    (tmp_path / "cut.ppm").write_bytes(f"{magic}\n6 5\n{largest}\n".encode() + pixels.tobytes()[:-3])
    with pytest.raises(NotAnImage, match="whole"):
        images.read(tmp_path / "cut.ppm")


def test_netpbm_text_of_another_range_is_refused(tmp_path):
    (tmp_path / "a.pgm").write_text("P2\n2 1\n15\n3 4\n")
    with pytest.raises(NotAnImage, match="up to 15"):
        images.read(tmp_path / "a.pgm")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_several_frames_are_refused(tmp_path, rgb, name):
    frames = [PIL.Image.fromarray(frame) for frame in (rgb, 255 - rgb, rgb // 2)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(NotAnImage, match=r"contains 3 images.*seek"):
        images.read(tmp_path / name)
    with PIL.Image.open(tmp_path / name) as picture:
        picture.seek(1)
        assert images.read(picture.copy()).data.shape == (3, 7, 9)
    frames[0].save(tmp_path / name)
    images.read(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation(tmp_path, rgb, orientation, name):
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(rgb).save(tmp_path / name, exif=exif, **({"lossless": True} if name == "a.webp" else {}))
    with PIL.Image.open(tmp_path / name) as picture:
        upright = np.asarray(PIL.ImageOps.exif_transpose(picture)).transpose(2, 0, 1)
        np.testing.assert_array_equal(images.read(picture).data, upright)
        turned = PIL.ImageOps.exif_transpose(picture)
    np.testing.assert_array_equal(images.read(tmp_path / name).data, upright)
    np.testing.assert_array_equal(images.read(turned).data, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_transparent_pixels_are_turned_with_the_image(tmp_path, rgb, orientation):
    opaque = np.full(rgb.shape[:2], 255, np.uint8)
    opaque[:2, :5] = 0
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(np.dstack([rgb, opaque])).save(tmp_path / "a.png", exif=exif)
    with PIL.Image.open(tmp_path / "a.png") as picture:
        alpha = np.asarray(PIL.ImageOps.exif_transpose(picture))[..., 3]
        for given in (picture, tmp_path / "a.png"):
            np.testing.assert_array_equal(images.read(given).missing[0], alpha == 0)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_transparent_values_of_png(tmp_path, bits):
    stored = np.random.default_rng(0).integers(0, 2**bits, (7, 9), dtype=np.uint8)
    picture = PIL.Image.fromarray(stored * np.uint8(255 // (2**bits - 1)))
    picture.save(tmp_path / "a.png", transparency=int(stored[2, 3]), bits=bits)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png").data.shape, (1, 7, 9))
    with PIL.Image.open(tmp_path / "a.png") as written:
        alpha = np.asarray(written.convert("RGBA"))[..., 3]
    if bits == 8:
        np.testing.assert_array_equal(images.read(tmp_path / "a.png").missing[0], alpha == 0)


def test_transparent_colours_of_png(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.png", transparency=tuple(rgb[2, 3].tolist()))
    image = images.read(tmp_path / "a.png")
    assert np.argwhere(image.missing[0]).tolist() == [[2, 3]] and image.missing.sum() == 3


@pytest.mark.parametrize("mode", ["1", "LAB", "PA", "La"])
def test_modes_that_are_not_read_are_refused(mode):
    with pytest.raises(NotAnImage, match="mode"):
        images.read(PIL.Image.new(mode, (9, 7)))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "P"])
def test_other_modes_become_colours(rgb, mode):
    picture = PIL.Image.fromarray(rgb).convert(mode)
    np.testing.assert_array_equal(images.read(picture).data, np.asarray(picture.convert("RGB")).transpose(2, 0, 1))


def test_formats_of_unknown_depth_are_refused(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.sgi")
    with pytest.raises(NotAnImage, match="SGI"):
        images.read(tmp_path / "a.sgi")


def test_avif_of_8_bits(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.avif")
    with PIL.Image.open(tmp_path / "a.avif") as picture:
        np.testing.assert_array_equal(images.read(tmp_path / "a.avif").data, np.asarray(picture).transpose(2, 0, 1))
