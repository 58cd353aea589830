import pytest
import xarray as xr
import zarr

from bayesr.store.creation import begin
from bayesr.store.layout import Store


@pytest.mark.parametrize("stop", ["at once", "group", "image", "template"])
def test_what_was_stopped_while_it_was_made_begins_again(model, photo, tmp_path, monkeypatch, stop):
    path = tmp_path / "a.zarr"
    path.mkdir()
    if stop == "group":
        zarr.open_group(path, mode="w")
    elif stop == "image":
        begin(Store(str(path)), xr.DataArray(photo.transpose(2, 0, 1), dims=("band", "y", "x")))
    elif stop == "template":
        with monkeypatch.context() as patch:

            def killed(*args, **options):
                raise KeyboardInterrupt

            patch.setattr(xr.Dataset, "to_zarr", killed)
            patch.setattr(Store, "clear", lambda store: None)
            with pytest.raises(KeyboardInterrupt):
                model.sample(photo, 2, store=path, overwrite=True)
        assert (path / "progress" / "done").exists()
    ds = model.sample(photo, 2, store=path, resume=True)
    xr.testing.assert_equal(ds.compute(), model.sample(photo, 2, keep_samples=False))
