"""`bayesr.segment`: the result is that of the single members, and failed runs can be resumed."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import BandMismatch, InvalidArgument, InvalidProduct, SegmenterFailed, StoreExists, StoreFailed
from bayesr.segmentation.objects import interval
from tests.segmentation.helpers import bright


def test_maps_match_those_of_the_members(ds, found):
    masks = ds["samples"].to_numpy()[:, 0] > 1500
    p = masks.mean(0)
    np.testing.assert_allclose(found["probability"], p, atol=1e-6)
    np.testing.assert_array_equal(found["mask"], p >= 0.5)
    np.testing.assert_allclose(found["mutual_information"], found["entropy"], atol=1e-6)  # masks doubt nothing
    np.testing.assert_array_equal(found["member_probability"], masks)
    assert found["member_labels"].dims == ("realization", "y", "x")


def test_objects_match_those_of_the_members(ds, found):
    members, labels = ds["samples"].to_numpy(), found["member_labels"].to_numpy()
    numbers = [len(np.unique(one[one > 0])) for one in labels]
    np.testing.assert_array_equal(found["member_count"], numbers)
    assert float(found["count"]) == np.mean(numbers)
    area, intensity = found["member_area"].to_numpy(), found["member_intensity"].to_numpy()
    assert np.nansum(area) == (labels > 0).sum()  # every pixel of every member belongs to one object
    np.testing.assert_allclose(np.nansum(area * intensity[..., 0]), members[:, 0][labels > 0].sum(dtype=float))
    np.testing.assert_allclose(found["existence"], np.isfinite(area).mean(0))
    lower, upper = interval(area, 0.9)
    np.testing.assert_allclose(found["area_lower"], lower)
    np.testing.assert_allclose(found["area_upper"], upper)
    shown = np.unique(found["labels"].to_numpy())
    assert set(shown[shown > 0]) == set(found["object"].to_numpy()[found["existence"] >= 0.5])


@pytest.mark.parametrize("keep", [False, True])
def test_a_store_contains_the_same_result(ds, found, tmp_path, keep):
    stored = bayesr.segment(ds, bright, store=tmp_path / "s.zarr", keep_members=keep)
    expected = found if keep else found.drop_vars(["member_probability", "member_labels"])
    assert set(stored.data_vars) == set(expected.data_vars)
    for name in expected.data_vars:
        np.testing.assert_array_equal(stored[name], expected[name])
    with pytest.raises(StoreExists):
        bayesr.segment(ds, bright, store=tmp_path / "s.zarr")
    again = bayesr.segment(ds, never, store=tmp_path / "t.zarr")
    assert int(again["count"]) == 0 and again.sizes["object"] == 0


def never(image):
    return np.zeros(image.shape[-2:], bool)


def test_members_missing_in_a_store_are_drawn_again(grey_model, low, found, tmp_path):
    path = tmp_path / "product.zarr"
    grey_model.sample(low, 6, store=path)
    with pytest.raises(InvalidProduct, match="img="):
        bayesr.segment(xr.open_zarr(path).drop_encoding(), bright, model=grey_model)
    for options in ({"img": low}, {}):
        again = bayesr.segment(path, bright, model=grey_model, **options)
        np.testing.assert_array_equal(again["probability"], found["probability"])
        np.testing.assert_array_equal(again["member_area"], found["member_area"])


def test_an_image_is_sampled_first(grey_model, low, found):
    again = bayesr.segment(low, bright, model=grey_model, n=6)
    np.testing.assert_array_equal(again["probability"], found["probability"])
    with pytest.raises(InvalidArgument, match="drawn already"):
        bayesr.segment(bayesr.sample(low, 2, model=grey_model), bright, n=6)


class Fails:
    """A segmenter that raises an error on its 4th call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        if self.calls == 4:
            raise ValueError("the film tore")
        return bright(image)


def test_a_failure_names_the_member_and_can_be_resumed(ds, found, tmp_path):
    segmenter, path = Fails(), tmp_path / "s.zarr"
    with pytest.raises(SegmenterFailed, match=r"Member 3: .*ValueError: the film tore.*resume=True") as raised:
        bayesr.segment(ds, segmenter, store=path)
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(StoreFailed, match="another segmenter"):
        bayesr.segment(ds, bright, store=path, resume=True)
    with pytest.raises(StoreFailed, match="another level"):
        bayesr.segment(ds, segmenter, store=path, resume=True, level=0.5)
    stored = bayesr.segment(ds, segmenter, store=path, resume=True)
    assert segmenter.calls == 4 + 3  # members 0 to 2 were not asked again
    for name in stored.data_vars:
        np.testing.assert_array_equal(stored[name], found[name])
    assert bayesr.segment(ds, segmenter, store=path, resume=True).equals(stored) and segmenter.calls == 7


@pytest.mark.parametrize(
    ("segmenter", "what"),
    [
        (lambda image: image[0, 1:] > 0, r"Member 0: .*keeps the size"),
        (lambda image: np.full(image.shape[-2:], np.nan), r"Member 0: .*NaN"),
        (lambda image: image[0] / 100 - 9, r"Member 0: .*logits"),
        (lambda image: image.fill(0), r"Member 0: .*read-only"),
        (lambda image: None, r"Member 0: .*no segmentation"),
    ],
)
def test_errors_about_invalid_results_name_the_member(ds, segmenter, what):
    with pytest.raises(SegmenterFailed, match=what):
        bayesr.segment(ds, segmenter)


def test_invalid_arguments_leave_no_store(ds, low, tmp_path):
    with pytest.raises(InvalidArgument, match="A segmenter is"):
        bayesr.segment(ds, 3, store=tmp_path / "s.zarr")
    for wrong in (dict(level=1.0), dict(threshold=0.0), dict(overlap=1.0)):
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            bayesr.segment(ds, bright, store=tmp_path / "s.zarr", **wrong)
    with pytest.raises(StoreFailed, match="no store"):
        bayesr.segment(ds, bright, store=tmp_path / "s.zarr", resume=True)
    with pytest.raises(SegmenterFailed, match="Nothing was written yet"):
        bayesr.segment(ds, lambda image: None, store=tmp_path / "s.zarr")
    with pytest.raises(BandMismatch, match="takes 1 band"):
        bayesr.segment(np.zeros((8, 8, 3), np.uint8), "nuclei", store=tmp_path / "s.zarr")
    assert not list(tmp_path.iterdir())


def test_a_product_is_not_overwritten_by_its_segmentation(grey_model, low, tmp_path):
    grey_model.sample(low, 2, store=tmp_path / "p.zarr", keep_samples=True)
    with pytest.raises(InvalidArgument, match="another store"):
        bayesr.segment(tmp_path / "p.zarr", bright, store=tmp_path / "p.zarr", overwrite=True)
    assert "samples" in xr.open_zarr(tmp_path / "p.zarr")


def test_pixels_without_data_have_no_segmentation(grey_model, low):
    holes = low.astype(np.float32)
    holes[2:6, 3:7] = np.nan
    found = bayesr.segment(holes, bright, model=grey_model, n=4, nodata=np.nan, value_range=(0, 4095))
    hole = np.isnan(holes).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(np.isnan(found["probability"]), hole)
    assert not found["mask"].to_numpy()[hole].any() and not found["labels"].to_numpy()[hole].any()


def test_the_command_gives_the_same_result(grey_model, low, found, tmp_path):
    path = tmp_path / "product.zarr"
    grey_model.sample(low, 6, store=path, keep_samples=True)
    result = CliRunner().invoke(main, ["segment", str(path), str(tmp_path / "s.zarr"), "--segmenter", "otsu"])
    assert result.exit_code == 0, result.output
    stored = xr.open_zarr(tmp_path / "s.zarr")
    np.testing.assert_array_equal(stored["probability"], bayesr.segment(path, "otsu")["probability"])
    assert f"{float(stored['count']):.1f} objects" in result.output
    again = CliRunner().invoke(main, ["segment", str(path), str(tmp_path / "s.zarr"), "--segmenter", "otsu"])
    assert again.exit_code == 1 and "already there" in again.output
