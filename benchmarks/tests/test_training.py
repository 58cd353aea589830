"""Training data, and the terms of trainings."""

import numpy as np
import pytest

from bayesr.errors import InvalidArgument
from bayesr.training.data import ImageSet, load_images
from bayesr_bench.training import Archives, Task, check_terms, checksum, pack, prepared


def test_what_is_trained_and_calibrated_on(nuclei):
    training, kept = prepared("fluorescence", [nuclei[1]], 18)
    assert len(training.names) == 2 and len(kept.names) == 18
    assert not set(training.names) & set(kept.names) and "nuclei/bright.png" not in training.names + kept.names
    large = np.arange(250 * 300, dtype=np.uint32).astype(np.uint8).reshape(250, 300, 1)
    sets = ImageSet(("a",), (large,)), ImageSet(("a",), (large.copy(),)), ImageSet(("a",), (large[:, ::-1],))
    assert checksum(sets[0]) == checksum(sets[1]) != checksum(sets[2])


def test_archives_state_what_they_hold(tmp_path):
    images = ImageSet(("a", "b"), tuple(np.full((8, 8, 1), value, np.uint8) for value in (1, 2)))
    held_out = ImageSet(("c",), (np.full((8, 8, 1), 3, np.uint8),))
    found = pack(images, held_out, [tmp_path / "photos", tmp_path / "more"], tmp_path / "natural")
    assert found.sha256 == checksum(images, held_out)
    assert found.facts == f"2 to train on and 1 to calibrate on, from more, photos; checksum {found.sha256[:12]}"
    assert load_images([found.images], 1).names and len(load_images([found.held_out], 1).names) == 1


def test_models_of_other_terms_are_refused(tmp_path):
    archives = Archives(tmp_path, tmp_path, "abc")
    terms = Task("x", "natural", archives, tmp_path, tmp_path, 1.0).terms
    assert terms == {"budget": 1.0, "seed": 0, "images_sha256": "abc", "size": "compact"}
    check_terms(tmp_path / "a", dict(terms), terms)
    with pytest.raises(InvalidArgument, match="a was made on other terms"):
        check_terms(tmp_path / "a", terms | {"seed": 1}, terms)
