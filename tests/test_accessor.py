import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr.accessor import ProductAccessor
from bayesr.errors import InvalidArgument, InvalidProduct
from bayesr.observe import bicubic


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 8)


@pytest.mark.parametrize("order", list(itertools.permutations(["import bayesr", "import xarray", "bayesr.load"])))
def test_it_is_registered_in_every_order_of_imports(order):
    if order.index("bayesr.load") < order.index("import bayesr"):
        pytest.skip("what is not imported has no functions")
    code = "; ".join(order) + "; import xarray; assert hasattr(xarray.Dataset, 'bayesr')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_bayesr_after_xarray_stays_quick():
    code = "import xarray, bayesr, sys; assert hasattr(xarray.Dataset, 'bayesr'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_colours_are_upright_and_whole(ds):
    found = ds.bayesr.rgb()
    assert found.dims == ("y", "x", "band") and found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint(ds["mean"].transpose("y", "x", "band")))
    assert float(found["y"][0]) < float(found["y"][-1])
    turned = ds.transpose("realization", "x", "y", "band")
    xr.testing.assert_equal(turned.bayesr.rgb(), found)


def test_members_and_profiles(ds):
    np.testing.assert_array_equal(ds.bayesr.member(3), ds["samples"][3])
    row = ds.bayesr.profile(y=float(ds["y"][5]) + 0.01)
    np.testing.assert_array_equal(row["mean"], ds["mean"][:, 5])
    assert set(row.data_vars) == {"mean", "lower", "upper", "samples"} and row["samples"].dims[-1] == "x"
    with pytest.raises(InvalidArgument, match="Give y"):
        ds.bayesr.profile()
    with pytest.raises(InvalidArgument, match="0 to 7"):
        ds.bayesr.member(8)


def test_members_of_a_store_without_them_are_drawn_again(photo, tmp_path):
    inside = bayesr.sample(photo, 4)
    stored = bayesr.sample(photo, 4, store=tmp_path / "a.zarr")
    np.testing.assert_allclose(stored.bayesr.member(2), inside["samples"][2], atol=255e-5)
    np.testing.assert_allclose(stored.bayesr.display(2, 1.0), inside["samples"][2], atol=1e-2)
    with pytest.raises(InvalidProduct, match="comes from no store"):
        inside.drop_vars("samples").bayesr.member(1)


@pytest.mark.parametrize("realism", [0.0, 0.3, 1.0])
def test_every_display_reproduces_the_input(model, photo, realism):
    y = photo.astype(np.float32)
    ds = model.sample(y, 4)
    shown = ds.bayesr.display(1, realism)
    seen = bicubic(4).observe(torch.from_numpy(shown.to_numpy())).numpy()
    assert np.abs(seen - y.transpose(2, 0, 1)).max() < 1e-4 * 255
    expected = ds["mean"] + realism * (ds["samples"][1] - ds["mean"])
    np.testing.assert_allclose(shown, expected, atol=1e-3)
    assert shown.attrs["long_name"].startswith("display")


def test_a_display_says_that_it_is_no_sample(ds):
    shown = ds.bayesr.display(2, 0.25)
    assert "no posterior sample" in shown.attrs["comment"] and "no interval" in shown.attrs["comment"]
    assert (shown.attrs["realism"], shown.attrs["member"], shown.name) == (0.25, 2, "display")
    assert "cell_methods" not in shown.attrs and "realization" not in shown.coords
    np.testing.assert_array_equal(ds.bayesr.display(2, 0), ds["mean"])
    np.testing.assert_allclose(ds.bayesr.display(2, 1), ds["samples"][2], atol=1e-4)
    for wrong in (1.5, -0.1, np.nan, "much"):
        with pytest.raises(InvalidArgument, match="from 0 to 1"):
            ds.bayesr.display(0, wrong)
    with pytest.raises(InvalidArgument, match="0 to 7"):
        ds.bayesr.display(8, 0.5)


def test_the_plot_shows_each_panel_once(ds):
    pytest.importorskip("matplotlib")
    figure = ds.bayesr.plot()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["input", "mean", "std", "width of the interval", "member 0", "member 1"]
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (ds.sizes["y"] // 4, ds.sizes["x"] // 4, 3)
    grey = ds.isel(band=[0]).bayesr.plot(members=0)
    assert len([axes for axes in grey.axes if axes.get_title()]) == 4


def test_the_input_of_a_plot_is_the_image(ds, photo):
    found = ProductAccessor(ds)._input(ds).astype(int)
    assert np.abs(found - photo).max() <= 1


def test_files_and_pages(ds, tmp_path):
    assert ds.bayesr.export(tmp_path / "a.png").exists()
    assert ds.bayesr.report(tmp_path / "a.html").exists()


def test_a_summary_has_five_lines(ds):
    lines = ds.bayesr.summary().split("\n")
    assert len(lines) == 5 and lines[0].startswith("8 members (4 masks)") and lines[-1].startswith("the input: ")


def test_other_datasets_are_refused():
    with pytest.raises(InvalidProduct):
        xr.Dataset({"mean": ("x", [1.0])}).bayesr.rgb()
