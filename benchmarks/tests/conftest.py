"""The fixtures of bayesr's own tests, for those of its benchmarks."""

import numpy as np
import PIL.Image
import pytest

from tests.conftest import folder as folder
from tests.conftest import grey_model as grey_model
from tests.conftest import model as model
from tests.conftest import photo as photo
from tests.conftest import trainer as trainer


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Nuclei, one of them stained, one in colour; and aerial images."""
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
