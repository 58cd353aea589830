import shutil

import numpy as np
import PIL.Image
import pytest
import rasterio

from bayesr.errors import TrainingFailed
from bayesr.training.data import ImageSet, held_out_images, load_images, middle


def test_packed_images_are_the_images(folder, tmp_path):
    images = load_images([folder])
    images.pack(tmp_path / "packed.npz")
    again = load_images([tmp_path / "packed.npz"])
    assert again.names == images.names
    assert all(np.array_equal(a, b) for a, b in zip(images.images, again.images, strict=True))


def test_held_out_images_are_not_trained_on(folder):
    images = load_images([folder])
    training, held_out = images.split(2)
    assert len(held_out.names) == 2 and sorted(training.names + held_out.names) == sorted(images.names)
    shuffled = ImageSet(images.names[::-1], images.images[::-1]).split(2)[1]
    assert set(shuffled.names) == set(held_out.names)


def test_images_are_held_out_by_their_file_names(folder, tmp_path):
    """In whatever folder they are: those of all crops of a photograph are listed, and none is trained on."""
    (tmp_path / "more").mkdir()
    for name in ("2.png", "7.png"):
        shutil.copy(folder / "1.png", tmp_path / "more" / name)
    (tmp_path / "kept.txt").write_text("\ufeff2.png\n\n 5.png \n2.png\n", encoding="utf-8")
    names = held_out_images(tmp_path / "kept.txt")
    assert names == ("2.png", "5.png") and held_out_images(3) == 3
    training, held_out = load_images([folder, tmp_path / "more"]).split(names)
    assert held_out.names == ("photos/2.png", "photos/5.png", "more/2.png")
    assert training.names == (*(f"photos/{i}.png" for i in (0, 1, 3, 4)), "more/7.png")
    load_images([folder]).pack(tmp_path / "packed.npz")
    assert load_images([tmp_path / "packed.npz"]).split(names)[1].names == held_out.names[:2]


def test_unusable_lists_of_held_out_images(folder, tmp_path):
    images, path = load_images([folder]), tmp_path / "kept.txt"
    with pytest.raises(TrainingFailed, match=r"2 of 3 names .* 6 images: 1\.jpg, 9\.png\. Correct"):
        images.split(("9.png", "1.jpg", "1.png"))
    with pytest.raises(TrainingFailed, match="6 of 6 images are to be held out"):
        images.split([f"{i}.png" for i in range(6)])
    for given in (path, str(path), tmp_path, "120"):
        with pytest.raises(TrainingFailed, match=r"no list of held-out images .*a number of images, or a text file"):
            held_out_images(given)
    for content, message in ((b"", "is empty"), (b" \n\n", "is empty"), (b"\xff\xfe1", "cannot be read"),
                             (b"1.png\nphotos/2.png\n", "'photos/2.png', which is no file name")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(TrainingFailed, match=message):
            held_out_images(path)


def test_unusable_data(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing", tmp_path / "missing.npz"):
        with pytest.raises(TrainingFailed, match="no images"):
            load_images([nothing])
    with pytest.raises(TrainingFailed, match="held out"):
        load_images([folder]).split(6)
    with pytest.raises(TrainingFailed, match="not 4"):
        load_images([folder], bands=4)
    (folder / "bad.png").write_bytes(b"no")
    with pytest.raises(TrainingFailed, match=r"bad\.png"):
        load_images([folder])
    PIL.Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "bad.png")
    with pytest.raises(TrainingFailed, match=r"bad\.png is not of 8 bits"):
        load_images([folder], bands=1)


@pytest.mark.parametrize("count", [3, 2])
def test_images_of_16_bits_are_refused_and_not_cut_to_8(folder, count):
    pixels = np.random.default_rng(0).integers(0, 65536, (count, 40, 40), dtype=np.uint16)
    pixels[-1] = 65535 if count == 2 else pixels[-1]
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(folder / "deep.png", "w", "PNG", 40, 40, count, dtype="uint16") as file,
    ):
        file.write(pixels)
    with pytest.raises(TrainingFailed, match=r"deep\.png is not of 8 bits"):
        load_images([folder], bands=1)


def test_transparent_images_are_refused(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    PIL.Image.fromarray(rgba).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(load_images([tmp_path]).images[0], rgba[..., :3])
    rgba[2, 3, 3] = 0
    PIL.Image.fromarray(rgba).save(tmp_path / "clear.png")
    with pytest.raises(TrainingFailed, match=r"clear\.png has missing or transparent"):
        load_images([tmp_path])


@pytest.mark.parametrize(("mode", "name"), [("RGB", "a.png"), ("L", "a.png"), ("P", "a.png"), ("CMYK", "a.jpg")])
def test_luma_is_that_of_pillow(tmp_path, mode, name):
    colours = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    colours.convert(mode).save(tmp_path / name)
    with PIL.Image.open(tmp_path / name) as picture:
        expected = np.asarray(picture.convert("RGB").convert("L"))
    np.testing.assert_array_equal(load_images([tmp_path], bands=1).images[0][..., 0], expected)


def test_grey_images_among_colour_ones(folder, tmp_path):
    PIL.Image.new("L", (40, 40)).save(folder / "grey.png")
    with pytest.raises(TrainingFailed, match=r"1 of 7 images do not have 3 band.*grey\.png.*bands=1"):
        load_images([folder])
    grey = load_images([folder], bands=1)
    assert grey.bands == 1 and len(grey.names) == 7
    mixed = ImageSet(("a", "b"), (np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 1), np.uint8)))
    mixed.pack(tmp_path / "mixed.npz")
    for bands, name in ((3, "b"), (1, "a")):
        with pytest.raises(TrainingFailed, match=rf"1 of 2 images do not have {bands} band\(s\): {name}\."):
            load_images([tmp_path / "mixed.npz"], bands)


def test_damaged_packs_are_refused(tmp_path):
    (tmp_path / "junk.npz").write_bytes(b"junk")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "floats.npz", names=np.array(["a"]), image0=np.zeros((9, 9, 3)))
    np.savez(tmp_path / "none.npz", names=np.array([], "U1"))
    np.savez(tmp_path / "lacking.npz", names=np.array(["a", "b"]), image0=np.zeros((9, 9, 3), np.uint8))
    np.savez(tmp_path / "empty.npz", names=np.array(["a"]), image0=np.zeros((0, 9, 3), np.uint8))
    np.savez(tmp_path / "scalar.npz", names=np.array(5), image5=np.zeros((9, 9, 3), np.uint8))
    for name in ("junk", "other", "floats", "none", "lacking", "empty", "scalar"):
        with pytest.raises(TrainingFailed, match=name):
            load_images([tmp_path / f"{name}.npz"])


def test_middles_of_images():
    wide, small = np.arange(5 * 12 * 1).reshape(5, 12, 1).astype(np.uint8), np.zeros((3, 2, 1), np.uint8)
    assert np.array_equal(middle(wide, 4), wide[0:4, 4:8]) and np.array_equal(middle(small, 4), small)
