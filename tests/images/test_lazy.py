from collections import Counter

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr import images
from bayesr.images import lazy


def counted(shape, chunks):
    """Return an image of dask, and how often each of its chunks was computed in this process."""
    computed = Counter()

    def chunk(block_info=None):
        where = block_info[None]["chunk-location"]
        computed[where] += 1
        return np.full(block_info[None]["chunk-shape"], sum(where), np.uint16)

    found = dask.array.map_blocks(chunk, chunks=dask.array.core.normalize_chunks(chunks, shape), dtype=np.uint16)
    return xr.DataArray(found, dims=images.DIMS), computed


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_chunks_that_divide_blocks_are_computed_once(side):
    array, computed = counted((2, 2100, 1100), (1, side, side))
    images.survey(images.source(array))
    assert len(computed) == 2 * -(-2100 // side) * -(-1100 // side) and set(computed.values()) == {1}


@pytest.mark.parametrize("chunk", [(1, 300, 300), (1, 1000, 1000), (1, 40, 4000), (1, 4000, 40), (2, 1500, 700)])
def test_other_chunks_are_seldom_computed_twice(chunk):
    array, computed = counted((2, 4000, 4000), chunk)
    images.survey(images.source(array))
    assert sum(computed.values()) <= 1.1 * array.data.npartitions


def test_a_window_computes_what_it_overlaps():
    array, computed = counted((2, 900, 900), (2, 100, 100))
    lazy.pixels(images.source(array), slice(150, 301), slice(0, 100))
    assert set(computed) == {(0, row, 0) for row in (1, 2, 3)}


def test_beside_a_cluster_chunks_are_computed_in_this_process():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        array, computed = counted((1, 60, 50), (1, 20, 20))
        known = images.survey(images.source(array))
        assert len(computed) == 9  # workers count in copies of their own
        assert images.survey(images.source(array.persist() + 0)).sha256 == known.sha256
        assert set(computed.values()) == {1}


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9000), st.integers(1, 9000)),
    chunk=st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    dtype=st.sampled_from([np.uint8, np.float64]),
)
def test_regions_are_the_whole_once_and_bounded(shape, chunk, dtype):
    class Nothing:
        def __getitem__(self, key):
            raise AssertionError("nothing is to be read")

    source = Nothing()
    source.shape, source.dtype = shape, np.dtype(dtype)
    found = list(lazy._regions(lazy.windowed(source, images.DIMS, (1, *chunk))))
    assert all(rows.start % lazy.BLOCK == 0 == columns.start % lazy.BLOCK for rows, columns in found)
    sizes = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in found]
    assert sum(sizes) == shape[1] * shape[2] and len({(r.start, c.start) for r, c in found}) == len(found)
    assert all(0 < r.stop <= shape[1] and 0 < c.stop <= shape[2] for r, c in found)
    of_pixel = shape[0] * source.dtype.itemsize
    assert max(sizes) * of_pixel <= max(lazy._REGION, 4 * of_pixel * chunk[0] * chunk[1], of_pixel * lazy.BLOCK**2)


@given(st.data())
def test_parts_of_a_lazy_array_are_parts_of_the_whole(data):
    pixels = np.arange(2 * 7 * 6).reshape(2, 7, 6)
    array = lazy.windowed(pixels, images.DIMS)
    of = {
        dim: data.draw(
            st.one_of(
                st.integers(-size, size - 1),
                # xarray fails on empty slices of negative step, whatever the backend
                st.slices(size).filter(lambda part, size=size: part.step is None or part.step > 0 or range(size)[part]),
                st.lists(st.integers(-size, size - 1), min_size=1, max_size=4),
            )
        )
        for dim, size in array.sizes.items()
    }
    np.testing.assert_array_equal(array.isel(of).values, xr.DataArray(pixels, dims=images.DIMS).isel(of).values)
