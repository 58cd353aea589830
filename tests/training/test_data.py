import re

import numpy as np
import PIL.Image
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet, Pairs, Unpaired, load_images
from bayesr.training.degradation import Degradation


def test_pairs_are_observations_of_crops(folder):
    images = load_images([folder])
    pairs = Pairs(images, bicubic(4), 8)
    low, high = pairs.batch(16, torch.Generator().manual_seed(0))
    assert low.shape == (16, 3, 8, 8) and high.shape == (16, 3, 32, 32)
    expected = (bicubic(4).observe(high).clamp(0, 1) * 255).round() / 255
    assert torch.equal(low, expected)
    stacked = {view.tobytes() for image in images.images for top in range(9) for left in range(17)
               for turned in [image[top : top + 32, left : left + 32]]
               for view in _symmetries(turned)}  # fmt: skip
    for patch in (high * 255).round().byte().permute(0, 2, 3, 1).numpy():
        assert np.ascontiguousarray(patch).tobytes() in stacked


def _symmetries(patch):
    for flipped in (patch, patch[:, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(flipped, turns))


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


def test_images_smaller_than_a_patch_are_left_out_by_name(folder):
    PIL.Image.new("RGB", (31, 90)).save(folder / "narrow.png")
    images = load_images([folder])
    with pytest.warns(UserWarning, match=r"1 of 7 images.*32x32.*narrow\.png \(90x31\)"):
        pairs = Pairs(images, bicubic(4), 8)
    assert len(pairs.names) == 6 and not any("narrow" in name for name in pairs.names)
    with pytest.raises(TrainingFailed, match="No image is as large as a 128x128 patch"):
        Pairs(images, bicubic(4), 32)


def test_a_batch_knows_where_it_came_from(folder):
    images = load_images([folder])
    pairs = Pairs(images, bicubic(4), 8, degradation=Degradation(noise=(0.01, 0.02)))
    _, high = pairs.batch(3, torch.Generator().manual_seed(1))
    parts = pairs.origin().split("; ")
    assert len(parts) == 3
    for part, patch in zip(parts, (high * 255).round().byte().permute(0, 2, 3, 1).numpy(), strict=True):
        name, top, bottom, left, right = re.match(r"(\S+) \[(\d+):(\d+), (\d+):(\d+)\], noise 0\.01", part).groups()
        crop = images.images[images.names.index(name)][int(top) : int(bottom), int(left) : int(right)]
        assert patch.tobytes() in {view.tobytes() for view in _symmetries(crop)}


def test_unusable_data(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing", tmp_path / "missing.npz"):
        with pytest.raises(TrainingFailed, match="No images"):
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
    for name in ("junk", "other", "floats", "none"):
        with pytest.raises(TrainingFailed, match=name):
            load_images([tmp_path / f"{name}.npz"])


def test_labels_are_those_of_the_images_in_the_batch(folder):
    images = load_images([folder])
    names = [f"{'dark' if i < 3 else 'bright'}/{i}.png" for i in range(6)]
    scenes = tuple(image // 8 if i < 3 else 200 + image // 8 for i, image in enumerate(images.images))
    pairs = Pairs(ImageSet(tuple(names), scenes), bicubic(4), 8)
    _, high = pairs.batch(32, torch.Generator().manual_seed(0))
    assert pairs.classes == 2 and pairs.class_names == ("bright", "dark")
    assert torch.equal(pairs.labels(), (high.mean((1, 2, 3)) < 0.5).long())


def test_without_pairs_no_image_is_on_both_sides(folder):
    images = load_images([folder])
    pairs = Unpaired(images, bicubic(4), 8)
    assert not set(pairs.low.names) & set(pairs.high.names)
    assert sorted(pairs.low.names + pairs.high.names) == sorted(images.names)
    low, high = pairs.batch(4, torch.Generator().manual_seed(0))
    assert low.shape == (4, 3, 8, 8) and high.shape == (4, 3, 32, 32) and "low:" in pairs.origin()
    with pytest.raises(TrainingFailed, match="two images"):
        Unpaired(ImageSet(images.names[:1], images.images[:1]), bicubic(4), 8)
