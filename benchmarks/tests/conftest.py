"""Fixtures of the benchmarks' tests, and those of bayesr's own tests that they use."""

import numpy as np
import PIL.Image
import pytest
from published_helpers import known as known
from published_helpers import npm as npm
from published_helpers import set5 as set5
from rating_helpers import folders as folders
from rating_helpers import study as study

from bayesr.segmentation.segmenter import Segmentation
from bayesr.training.data import ImageSet
from bayesr_bench.nuclei import ALL, Found
from tests.conftest import folder as folder
from tests.conftest import grey_model as grey_model
from tests.conftest import model as model
from tests.conftest import photo as photo
from tests.conftest import trainer as trainer


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Nuclei, one image of them stained and one in colour, and aerial images."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    nuclei, aerial = root / "dsb2018" / "images", root / "naip" / "hr"
    nuclei.mkdir(parents=True)
    aerial.mkdir(parents=True)
    for k in range(3):
        blocks = random.integers(0, 200, (14, 13), dtype=np.uint8) // 4
        PIL.Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(nuclei / f"dark{k}.png")
        colour = random.integers(0, 255, (6, 5, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        PIL.Image.fromarray(colour).save(aerial / f"{k}.png")
    PIL.Image.fromarray(np.full((40, 40), 220, np.uint8)).save(nuclei / "stained.png")
    PIL.Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(nuclei / "colour.png")
    return root


@pytest.fixture
def nuclei_found():
    """Measurements on 20 images, where all members have the true objects, and bicubic a half of each."""
    rng, found = np.random.default_rng(0), Found()
    for _ in range(20):
        labels = np.kron(np.arange(9).reshape(3, 3) * (rng.random((3, 3)) < 0.8), np.ones((5, 5), int))
        half = labels * (np.arange(15) < 8)
        for system, seen in ((ALL, labels), ("bicubic", half)):
            p = (seen > 0).astype(np.float32)
            found.add(system, Segmentation(p, seen.astype(np.int32)), p > 0.5, len(np.unique(seen)) - 1, labels)
    return found


@pytest.fixture(scope="module")
def retina_data(tmp_path_factory):
    """Both eyes of three children, with a vessel that one annotator draws thin and the other thick."""
    root, random = tmp_path_factory.mktemp("retina"), np.random.default_rng(0)
    place = root / "chase_db1"
    for part in ("hr", "vessel_1st", "vessel_2nd"):
        (place / part).mkdir(parents=True)
    for name in ("01L", "01R", "02L", "02R", "03L", "03R"):
        image = random.integers(0, 60, (49, 50, 3), dtype=np.uint8)
        image[20:28, :, 1] += 100
        PIL.Image.fromarray(image).save(place / "hr" / f"Image_{name}.png")
        for part, suffix, rows in (("vessel_1st", "1stHO", (22, 26)), ("vessel_2nd", "2ndHO", (18, 30))):
            mask = np.zeros((49, 50), bool)
            mask[slice(*rows)] = True
            PIL.Image.fromarray(mask).save(place / part / f"Image_{name}_{suffix}.png")
    return root


@pytest.fixture(scope="session")
def nuclei(tmp_path_factory):
    """(sets, images to train on): dark ones, and a bright one that is not fluorescence."""
    root, random = tmp_path_factory.mktemp("systems"), np.random.default_rng(0)
    for place, count in ((root / "bench" / "dsb2018" / "images", 3), (root / "nuclei", 20)):
        place.mkdir(parents=True)
        for k in range(count):
            blocks = random.integers(0, 200, (12, 11), dtype=np.uint8) // 3
            PIL.Image.fromarray(blocks.repeat(4, 0).repeat(4, 1)).save(place / f"{k}.png")
        PIL.Image.fromarray(np.full((48, 44), 220, np.uint8)).save(place / "bright.png")
    return root / "bench", root / "nuclei"


@pytest.fixture
def textures():
    """Images with equal low-resolution patches."""
    rng = np.random.default_rng(0)
    flat = [rng.integers(60, 64, (40, 48, 3)).astype(np.uint8) + np.uint8(2 * i) for i in range(4)]
    return ImageSet(tuple(f"{i}.png" for i in range(4)), tuple(flat))
