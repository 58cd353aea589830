import numpy as np
import pytest
from napari.layers import Layer
from npe2 import PluginManager, PluginManifest

import bayesr
from bayesr.errors import StoreFailed
from bayesr.progress import listening
from bayesr_napari.reading import get_reader, read


@pytest.fixture
def store(cells, tmp_path):
    bayesr.sample(cells, n=8, model="fluorescence-x4", store=tmp_path / "cells.zarr", progress=False)
    return tmp_path / "cells.zarr"


def test_the_manifest_names_what_exists():
    manifest = PluginManifest.from_distribution("bayesr-napari")
    manifest.validate_imports()
    assert [one.display_name for one in manifest.contributions.widgets] == ["Super-resolution"]


def test_a_store_that_is_dropped_opens_as_layers(viewer, cells, store):
    PluginManager.instance().discover()
    viewer.open(store, plugin="bayesr-napari")
    assert [layer.name for layer in viewer.layers] == [
        f"cells: {part}" for part in ("interval width", "std", "mean", "members")
    ]
    mean, members = list(viewer.layers)[-2:]
    np.testing.assert_allclose(mean.scale, 0.25)
    np.testing.assert_allclose(mean.data_to_world((-0.5, -0.5)), (-0.5, -0.5))  # where the image begins
    ds = bayesr.sample(cells, n=8, model="fluorescence-x4", progress=False)
    assert len(members.data) == 4  # drawn again
    np.testing.assert_allclose(np.asarray(members.data[3]), ds["samples"][3, 0], atol=1e-5 * 4300)


def test_kept_members_and_colours_are_shown(colours, tmp_path):
    ds = bayesr.sample(colours, n=3, store=tmp_path / "a.zarr", keep_samples=True, masks=1, progress=False)
    mean, members = (Layer.create(*one) for one in read(str(tmp_path / "a.zarr"))[-2:])
    assert mean.rgb and members.rgb and members.data.shape == (3, 80, 112, 3)
    np.testing.assert_array_equal(np.asarray(members.data[2]), np.rint(ds["samples"][2].transpose("y", "x", "band")))
    bayesr.export(ds, tmp_path / "b.zarr")
    assert len(get_reader(str(tmp_path / "b.zarr"))(str(tmp_path / "b.zarr"))) == 4


def test_others_are_left_to_other_readers(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    assert get_reader(str(tmp_path / "a.zarr")) is None and get_reader(str(tmp_path / "none.zarr")) is None
    (tmp_path / "a.zarr" / "zarr.json").write_text("[]")
    assert get_reader([str(tmp_path / "a.zarr")]) is None and get_reader([]) is None


def test_an_unfinished_store_is_refused(cells, tmp_path):
    def stop(label, share):
        if label == "sampling" and share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        bayesr.sample(cells, n=4, model="fluorescence-x4", store=tmp_path / "a.zarr", tile=16, progress=False)
    reader = get_reader(str(tmp_path / "a.zarr"))
    with pytest.raises(StoreFailed, match="not finished"):
        reader(str(tmp_path / "a.zarr"))
