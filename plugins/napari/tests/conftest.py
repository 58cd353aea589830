"""Fixtures of the plugin's tests. They run without a screen: on a virtual one, or offscreen where there is none."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

import bayesr

if "DISPLAY" not in os.environ:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


class Skipped(pytest.Module):
    """A file of tests that is not imported."""

    def collect(self):
        pytest.skip("napari is not installed: pip install -e './plugins/napari[test]'", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Skip all files where napari is not installed."""
    return None if find_spec("napari") else Skipped.from_parent(parent, path=module_path)


@pytest.fixture
def viewer():
    """The model of a viewer, which needs no OpenGL."""
    import napari  # it may not be installed

    return napari.components.ViewerModel()


@pytest.fixture
def widget(viewer, qtbot):
    from bayesr_napari.widget import SampleWidget  # it needs napari

    made = SampleWidget(viewer)
    qtbot.addWidget(made.native)
    made.n.value = 4
    return made


@pytest.fixture(scope="session")
def cells():
    """Bright discs on a dark ground, `y x x`, uint16."""
    y, x = np.mgrid[0:24, 0:32]
    image = np.full((24, 32), 300.0)
    for row, column in ((6, 7), (15, 12), (9, 24)):
        image += 4000 * (np.hypot(y - row, x - column) < 3.2)
    return image.astype(np.uint16)


@pytest.fixture(scope="session")
def colours():
    """A colour image, `y x x x band`, uint8."""
    y, x = np.mgrid[0:20, 0:28] / 28
    return (np.stack([x, y, 0.5 + 0.4 * np.sin(20 * x * y)], -1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def product(cells):
    return bayesr.sample(cells, n=4, model="fluorescence-x4", progress=False)
