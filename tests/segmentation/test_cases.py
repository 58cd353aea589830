from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from bayesr.errors import ImageNotFound, InvalidArgument, NotAnImage
from bayesr.segmentation.cases import Case, folders, qubiq, with_uncertainty


def picture(path, pixels):
    path.parent.mkdir(exist_ok=True, parents=True)
    PIL.Image.fromarray(np.asarray(pixels)).save(path)


def labels(seed=0, shape=(12, 16)):
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def nuclei(tmp_path, count=3):
    for i in range(count):
        picture(tmp_path / "images" / f"{i}.png", 50 * labels(i))
        picture(tmp_path / "labels" / f"{i}.png", labels(i).astype(np.uint16))
    return tmp_path / "images", tmp_path / "labels"


def test_nuclei_are_files_of_equal_names(tmp_path):
    """Objects keep their numbers; values keep their units."""
    cases = folders(*nuclei(tmp_path))
    assert [case.name for case in cases] == ["0", "1", "2"]
    for i, case in enumerate(cases):
        np.testing.assert_array_equal(case.image, 50.0 * labels(i)[None])
        np.testing.assert_array_equal(case.masks, labels(i)[None])
        assert case.image.dtype == np.float32 and case.masks.dtype == np.int32
        assert case.value_range == (0, 255)
    assert len({case.group for case in cases}) == 3


def test_skin_lesions_have_masks_with_a_suffix(tmp_path):
    """ISIC has colour JPEGs and binary masks. The superpixels of 2017 are not images."""
    images, masks = tmp_path / "ISIC-2017_Training_Data", tmp_path / "ISIC-2017_Training_Part1_GroundTruth"
    for i in (0, 12):
        picture(images / f"ISIC_{i:07d}.jpg", np.full((8, 10, 3), i, np.uint8))
        picture(images / f"ISIC_{i:07d}_superpixels.png", np.zeros((8, 10, 3), np.uint8))
        picture(masks / f"ISIC_{i:07d}_segmentation.png", 255 * (labels(i, (8, 10)) > 1).astype(np.uint8))
    (images / "LICENSE.txt").write_text("CC0")
    cases = folders(images, masks)
    assert [case.name for case in cases] == ["ISIC_0000000", "ISIC_0000012"]
    for i, case in zip((0, 12), cases, strict=True):
        assert case.image.shape == (3, 8, 10)
        np.testing.assert_array_equal(case.masks[0], labels(i, (8, 10)) > 1)


def test_large_photographs_are_downsampled(tmp_path):
    """Image and mask stay aligned, and small images are not changed."""
    for name, shape in (("large", (60, 90)), ("small", (20, 30))):
        y, x = np.indices(shape) / shape[1]
        picture(tmp_path / "images" / f"{name}.png", np.repeat((200 * x).astype(np.uint8)[..., None], 3, 2))
        picture(tmp_path / "masks" / f"{name}.png", 255 * ((x < 0.5) & (y > 0.3)).astype(np.uint8))
    large, small = folders(tmp_path / "images", tmp_path / "masks", longest=30)
    assert large.image.shape == small.image.shape == (3, 20, 30)
    np.testing.assert_allclose(large.image, small.image, atol=5)
    assert (large.masks == small.masks).mean() > 0.97 and large.masks.max() == 1
    assert folders(tmp_path / "images", tmp_path / "masks")[0].image.shape == (3, 60, 90)
    with pytest.raises(InvalidArgument, match="longest"):
        folders(tmp_path / "images", tmp_path / "masks", longest=0)


def test_two_annotators_in_one_folder_are_patterns(tmp_path):
    """CHASE_DB1 has 1-bit masks. Annotators are in the order of the arguments."""
    for name in ("Image_01L", "Image_01R"):
        picture(tmp_path / f"{name}.jpg", np.zeros((6, 7, 3), np.uint8))
        for who, drawn in (("1stHO", True), ("2ndHO", False)):
            picture(tmp_path / f"{name}_{who}.png", np.full((6, 7), drawn))
    cases = folders(tmp_path, tmp_path / "*_2ndHO", tmp_path / "*_1stHO")
    assert [case.name for case in cases] == ["Image_01L", "Image_01R"]
    assert all((case.masks[0] == 0).all() and (case.masks[1] == 1).all() for case in cases)
    with pytest.raises(InvalidArgument, match="pattern"):
        folders(tmp_path, tmp_path)


def test_a_name_that_is_a_prefix_of_another_is_not_confused_with_it(tmp_path):
    """The mask of ``a`` is not that of the image ``a_b``."""
    for name in ("a", "a_b"):
        picture(tmp_path / "images" / f"{name}.png", np.zeros((4, 4), np.uint8))
    picture(tmp_path / "masks" / "a_b.png", np.ones((4, 4), np.uint8))
    with pytest.raises(InvalidArgument, match=r"a\.png has no mask"):
        folders(tmp_path / "images", tmp_path / "masks")
    picture(tmp_path / "masks" / "a_mask.png", np.zeros((4, 4), np.uint8))
    assert [case.masks.max() for case in folders(tmp_path / "images", tmp_path / "masks")] == [0, 1]


def test_images_and_masks_that_do_not_match_are_refused(tmp_path):
    images, masks = nuclei(tmp_path)
    with pytest.raises(InvalidArgument, match="at least one folder"):
        folders(images)
    with pytest.raises(ImageNotFound, match="nowhere"):
        folders(images, tmp_path / "nowhere")
    picture(masks / "1_again.png", labels())
    assert len(folders(images, masks)) == 3  # the equal name decides
    (masks / "1.png").rename(masks / "1_other.png")
    with pytest.raises(InvalidArgument, match="1 has 2 masks"):
        folders(images, masks)
    (masks / "1_other.png").unlink()
    picture(masks / "1_again.png", labels(shape=(12, 15)))
    with pytest.raises(InvalidArgument, match=r"12 x 15 .* 12 x 16"):
        folders(images, masks)
    picture(masks / "1_again.png", np.dstack([labels(), labels(1), labels(2)]))
    with pytest.raises(InvalidArgument, match="coloured"):
        folders(images, masks)
    (masks / "1_again.png").unlink()
    picture(masks / "1_again.jpg", 80 * labels())
    with pytest.raises(InvalidArgument, match="JPEG"):
        folders(images, masks)
    (masks / "1_again.jpg").unlink()
    (masks / "1_again.png").write_bytes(b"no picture")
    with pytest.raises(NotAnImage, match="1_again"):
        folders(images, masks)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match="No images"):
        folders(tmp_path / "empty", masks)


# -- QUBIQ -----------------------------------------------------------------------------------


def nifti(path, values):
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(values, np.float32), np.eye(4)), path)


def challenge(folder, annotators=3, cases=("case2", "case10", "case1"), shape=(9, 7)):
    """Write cases, and return their arrays as stored, x before y."""
    rng = np.random.default_rng(0)
    written = {}
    for name in cases:
        image = rng.normal(size=shape)
        masks = rng.integers(0, 2, (annotators, *shape[:2]))
        nifti(folder / name / "image.nii.gz", image)
        for k, mask in enumerate(masks, 1):
            nifti(folder / name / f"task01_seg{k:02d}.nii.gz", mask)
        nifti(folder / name / "task02_seg01.nii.gz", 1 - masks[0])
        written[name] = (image, masks)
    return written


def test_qubiq_has_a_folder_for_each_case(tmp_path):
    written = challenge(tmp_path)
    cases = qubiq(tmp_path)
    assert [case.name for case in cases] == ["case1", "case2", "case10"]
    for case in cases:
        image, masks = written[case.name]
        np.testing.assert_allclose(case.image, image.T[None], rtol=1e-6)
        np.testing.assert_array_equal(case.masks, masks.transpose(0, 2, 1))
        assert case.value_range == (case.image.min(), case.image.max())
    second = qubiq(tmp_path, task=2)
    assert all((a.masks[0] == 1 - b.masks[0]).all() for a, b in zip(cases, second, strict=True))


@pytest.mark.parametrize("shape", [(9, 7, 4), (4, 9, 7), (9, 7, 1, 4), (9, 7, 1)])
def test_modalities_are_bands(tmp_path, shape):
    nifti(tmp_path / "case01" / "image.nii.gz", np.arange(np.prod(shape)).reshape(shape))
    nifti(tmp_path / "case01" / "task01_seg01.nii.gz", np.zeros((9, 7)))
    (case,) = qubiq(tmp_path)
    assert case.image.shape == (4 if 4 in shape else 1, 7, 9)
    first = np.arange(np.prod(shape)).reshape(shape)
    first = first[0] if shape[0] == 4 else first.reshape(9, 7, -1)[..., 0]
    np.testing.assert_array_equal(case.image[0], first.T)


def test_invalid_cases_of_qubiq_are_refused(tmp_path):
    challenge(tmp_path)
    with pytest.raises(InvalidArgument, match="task03_seg01"):
        qubiq(tmp_path, task=3)
    (tmp_path / "case2" / "task01_seg03.nii.gz").unlink()
    with pytest.raises(InvalidArgument, match=r"'case2': 2"):
        qubiq(tmp_path)
    nifti(tmp_path / "case1" / "task01_seg01.nii.gz", np.zeros((7, 9)))
    with pytest.raises(InvalidArgument, match="case1"):
        qubiq(tmp_path)
    nifti(tmp_path / "case1" / "image.nii.gz", np.zeros((9, 12, 11)))
    with pytest.raises(NotAnImage, match="slice"):
        qubiq(tmp_path)
    (tmp_path / "case1" / "image.nii.gz").write_bytes(b"no volume")
    with pytest.raises(NotAnImage, match="NIfTI"):
        qubiq(tmp_path)
    with pytest.raises(InvalidArgument, match="case01"):
        qubiq(tmp_path / "case10")
    with pytest.raises(ImageNotFound):
        qubiq(tmp_path / "nowhere")


# -- uncertainty -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    """A case of 42 x 38 pixels whose range does not begin at 0."""
    y, x = np.mgrid[0:42, 0:38] / 40
    image = (200 + 100 * (0.5 + 0.4 * np.sin(9 * x) * np.cos(7 * y))).astype(np.float32)
    return Case("waves", image[None], (image[None] > 250).astype(np.int32), (200.0, 300.0), group="sea")


def test_mean_and_std_become_bands(seen, grey_model):
    """Both are in the image's units, and the degraded mean equals the degraded image."""
    (case,) = with_uncertainty([seen], grey_model, n=4)
    assert case.image.shape == (2, 40, 36) and case.masks.shape == (1, 40, 36)
    assert (case.name, case.group, case.value_range) == ("waves", "sea", (200.0, 300.0))
    mean, std = torch.from_numpy(case.image).double()
    low, expected = (
        grey_model.forward_operator.observe(part[None].contiguous())
        for part in (mean, torch.from_numpy(seen.image[0, :40, :36]).double())
    )
    assert float((low - expected).abs().max()) < 1  # rounding to 256 levels of 100 units, and clipping
    assert float(std.min()) > 0 and float(std.max()) < 100


def test_units_follow_the_image(seen, grey_model):
    other = replace(seen, image=3 * seen.image - 7, value_range=(593.0, 893.0))
    a, b = (case.image for case in with_uncertainty([seen, other], grey_model, n=4))
    np.testing.assert_allclose(b[0], 3 * a[0] - 7, rtol=1e-5)
    np.testing.assert_allclose(b[1], 3 * a[1], rtol=1e-4)


def test_uncertain_pixels_have_less_weight(seen, grey_model):
    (bands,), (case,) = (with_uncertainty([seen], grey_model, n=4, kind=kind) for kind in ("channels", "weight"))
    np.testing.assert_array_equal(case.image[0], bands.image[0])
    std = bands.image[1]
    np.testing.assert_allclose(case.weight, 1 / (1 + (std / np.median(std)) ** 2), rtol=1e-3)
    given = np.random.default_rng(0).random(seen.image.shape[1:]).astype(np.float32)
    (both,) = with_uncertainty([replace(seen, weight=given)], grey_model, n=4, kind="weight")
    np.testing.assert_allclose(both.weight, case.weight * given[:40, :36], rtol=1e-6)


def test_invalid_options_of_uncertainty_are_refused(seen, grey_model):
    for options in ({"kind": "colour"}, {"n": 1}):
        with pytest.raises(InvalidArgument):
            with_uncertainty([seen], grey_model, **options)
