import numpy as np
import PIL.Image
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import ImageNotFound, InvalidArgument, NotAnImage
from bayesr.segmentation.masks import check_sizes, image_files, mask_files, mask_of, read_mask

LABELS = np.array([[0, 1, 1], [0, 0, 7]])


def png(path, values):
    PIL.Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def test_images_of_a_folder_are_listed_by_name(tmp_path):
    for name in ("b.png", "a.tif", "a.txt", "c_mask.gif"):
        (tmp_path / name).touch()
    assert [path.name for path in image_files(tmp_path)] == ["a.tif", "b.png", "c_mask.gif"]
    assert [path.name for path in image_files(tmp_path, "*_mask")] == ["c_mask.gif"]
    assert {name: [path.name for path in paths] for name, paths in mask_files(tmp_path / "?_mask*").items()} == {
        "c_mask": ["c_mask.gif"]
    }
    with pytest.raises(InvalidArgument, match="No images"):
        image_files(tmp_path, "d*")
    with pytest.raises(ImageNotFound):
        image_files(tmp_path / "absent")


names = st.text("ab_1", min_size=1, max_size=4)


@given(st.sets(names, min_size=1), st.data())
def test_a_mask_of_the_same_name_comes_first(others, data):
    stem = data.draw(st.sampled_from(sorted(others)))
    files = {name: [f"{name}.png"] for name in others}
    assert mask_of(stem, others, files) == f"{stem}.png"


def test_suffixed_masks_belong_to_one_image(tmp_path):
    candidates = {name: [tmp_path / f"{name}.png"] for name in ("x_mask", "x_2", "y_a", "y_b")}
    assert mask_of("x", {"x", "x_2", "y"}, candidates) == tmp_path / "x_mask.png"
    assert mask_of("z", {"x", "z"}, candidates) is None
    with pytest.raises(InvalidArgument, match=r"y has 2 masks.*y_a\.png, y_b\.png"):
        mask_of("y", {"x", "y"}, candidates)


def test_one_value_is_foreground_and_several_are_labels(tmp_path):
    np.testing.assert_array_equal(read_mask(png(tmp_path / "a.png", 255 * (LABELS > 0))), LABELS > 0)
    np.testing.assert_array_equal(read_mask(png(tmp_path / "b.png", LABELS)), LABELS)
    np.testing.assert_array_equal(read_mask(png(tmp_path / "c.png", np.stack([LABELS] * 3, -1))), LABELS)
    tifffile.imwrite(tmp_path / "d.tif", LABELS.astype(np.uint16) * 1000)
    np.testing.assert_array_equal(read_mask(tmp_path / "d.tif"), LABELS * 1000)
    assert read_mask(tmp_path / "d.tif").dtype == np.int32


def test_masks_that_are_none_are_refused(tmp_path):
    coloured = np.stack([LABELS, LABELS, 0 * LABELS], -1)
    tifffile.imwrite(tmp_path / "float.tif", LABELS.astype(np.float32))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for path, error, message in (
        (png(tmp_path / "colour.png", coloured), InvalidArgument, "coloured"),
        (tmp_path / "float.tif", InvalidArgument, "whole numbers"),
        (png(tmp_path / "labels.jpg", np.kron(LABELS * 30, np.ones((16, 16)))), InvalidArgument, "JPEG"),
        (tmp_path / "broken.png", NotAnImage, "cannot be read"),
    ):
        with pytest.raises(error, match=message):
            read_mask(path)


def test_sizes_must_agree():
    check_sizes("a", np.zeros((3, 4, 5)), np.zeros((2, 4, 5)))
    with pytest.raises(InvalidArgument, match="a: the mask has 5 x 4 pixels"):
        check_sizes("a", np.zeros((3, 4, 5)), np.zeros((2, 5, 4)))


def test_masks_are_what_is_seen(tmp_path):
    """White at 0 and an orientation change what is stored, and not what is seen."""
    tifffile.imwrite(tmp_path / "a.tif", np.array([[255, 0], [255, 255]], np.uint8), photometric="miniswhite")
    assert read_mask(tmp_path / "a.tif").tolist() == [[0, 1], [0, 0]]
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_mask(tmp_path / "a.png").tolist() == np.rot90(LABELS, -1).tolist()


def test_labels_of_16_bits_in_three_equal_bands(tmp_path):
    labels = np.array([[0, 300, 300], [0, 0, 301]], np.uint16)
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(tmp_path / "a.png", "w", "PNG", 3, 2, 3, dtype="uint16") as file,
    ):
        file.write(np.stack([labels] * 3))
    assert read_mask(tmp_path / "a.png").tolist() == labels.tolist()
