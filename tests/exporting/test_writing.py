import pytest

import bayesr
from bayesr.errors import InvalidArgument, InvalidProduct, StoreExists, StoreFailed


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 4)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".qml", ".nc", ".zarr", ".ome.zarr"])
def test_every_format_from_memory_and_from_a_store(model, photo, ds, tmp_path, suffix):
    model.sample(photo, 4, store=tmp_path / "a.zarr", keep_samples=True)
    for given, name in ((ds, "memory"), (tmp_path / "a.zarr", "store")):
        path = bayesr.export(given, tmp_path / f"{name}{suffix}")
        assert path.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.zarr", f"memory{suffix}", f"store{suffix}"])


def test_what_cannot_be_written_is_refused_before_anything_is(ds, tmp_path):
    for suffix in ("", ".jpg", ".zip", ".ome.zip"):
        with pytest.raises(InvalidArgument, match="no suffix that names a format"):
            bayesr.export(ds, tmp_path / f"a{suffix}")
    with pytest.raises(InvalidArgument, match="no variable 'depth'; it has mean, "):
        bayesr.export(ds, tmp_path / "a.png", variables=["depth"])
    with pytest.raises(InvalidArgument, match="one map or one member"):
        bayesr.export(ds, tmp_path / "a.png", variables=["mean", "std"])
    with pytest.raises(InvalidArgument, match="0 to 3"):
        bayesr.export(ds, tmp_path / "a.png", member=4)
    with pytest.raises(InvalidArgument, match="not both"):
        bayesr.export(ds, tmp_path / "a.png", member=1, variables=["mean"])
    with pytest.raises(InvalidArgument, match="no members"):
        bayesr.export(ds.drop_vars("samples"), tmp_path / "a.png", member=1)
    with pytest.raises(InvalidArgument, match="no suffix that names a format"):
        bayesr.export(ds, tmp_path / ".zarr")
    for suffix in (".nc", ".ome.zarr"):
        with pytest.raises(InvalidArgument, match=rf"zarr_format= is for .zarr, and {suffix} "):
            bayesr.export(ds, tmp_path / f"a{suffix}", zarr_format=2)
    for version in (1, 4, "2", True):
        with pytest.raises(InvalidArgument, match="the version of Zarr, 2 or 3"):
            bayesr.export(ds, tmp_path / "a.zarr", zarr_format=version)
    with pytest.raises(StoreFailed, match="no folder"):
        bayesr.export(ds, tmp_path / "absent" / "a.png")
    with pytest.raises(InvalidProduct):
        bayesr.export(tmp_path, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_files_are_replaced_only_on_request_and_folders_never(ds, tmp_path):
    path = bayesr.export(ds, tmp_path / "a.png")
    with pytest.raises(StoreExists, match="overwrite=True"):
        bayesr.export(ds, path)
    bayesr.export(ds, path, variables="std", overwrite=True)
    store = bayesr.export(ds, tmp_path / "a.zarr")
    with pytest.raises(StoreExists, match="folder"):
        bayesr.export(ds, store, overwrite=True)
