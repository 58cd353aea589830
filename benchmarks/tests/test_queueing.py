import json
import math

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesr.cli import main
from bayesr_bench.queueing import Costs, Faults, simulate
from bayesr_bench.tables import simulation
from bayesr_bench.tables.compression import codecs, measure, rounded, written
from bayesr_bench.tables.scale import synthetic

# -- queues ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(tiles=st.integers(1, 300), workers=st.integers(1, 40), size=st.integers(1, 5))
def test_without_overhead_workers_draw_in_rounds(tiles, workers, size):
    """``ceil(tasks / workers)`` rounds, of which the last may be of fewer tiles."""
    done = simulate(tiles, workers, Costs(2.0), lambda left: size)
    tasks = -(-tiles // size)
    assert done.tasks == tasks and done.tiles == tiles and done.failures == 0
    rounds = -(-tasks // workers)
    assert 2 * size * (rounds - 1) < done.makespan <= 2 * size * rounds + 1e-9
    if tiles % size == 0:
        assert done.makespan == pytest.approx(2 * size * rounds)
    assert done.efficiency == pytest.approx(2 * tiles / (workers * done.makespan))


@pytest.mark.parametrize("slow", ["driver", "scheduler"])
def test_a_server_that_is_busy_all_the_time_decides(slow):
    """However many workers there are, no more than one task a service time."""
    done = simulate(2000, 500, Costs(1.0, 0.3, **{slow: 0.01}), seed=1)
    assert done.makespan == pytest.approx(2000 * 0.01, rel=0.06)
    assert getattr(done, slow) > 0.94
    grouped = simulate(2000, 500, Costs(1.0, 0.3, **{slow: 0.01}), lambda left: 4, seed=1)
    assert grouped.makespan < 0.6 * done.makespan, "a fourth of the tasks are a fourth of the work"


@settings(max_examples=25, deadline=None)
@given(
    workers=st.integers(1, 60), driver=st.floats(0.001, 0.1), spread=st.sampled_from([0, 0.1, 0.4, 1]),
    seed=st.integers(0, 9), ahead=st.integers(1, 3),
)  # fmt: skip
def test_throughput_keeps_the_bounds_of_closed_queues(workers, driver, spread, seed, ahead):
    """``X <= min(1 / D, N / Z)``, and at least that of tasks that always queue behind all others.

    P. J. Denning, J. P. Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10, 1978.
    """
    tasks = 40 * workers
    done = simulate(tasks, workers, Costs(1.0, spread, driver=driver), in_flight=ahead, seed=seed)
    rate, mean = tasks / done.makespan, done.efficiency * workers * done.makespan / tasks
    assert rate <= min(1 / driver, workers / mean) * (1 + 1e-9)
    assert done.driver == pytest.approx(rate * driver)
    end = 1.0 * (1 + 8 * spread) + ahead * workers * driver  # the last tasks, when others have run out of theirs
    assert done.makespan <= tasks * (mean / workers + driver) + end


def test_nothing_is_lost_when_workers_fail():
    costs = Costs(10.0, 0.2, driver=0.01)
    sound = simulate(3000, 20, costs, lambda left: 3)
    failing = simulate(3000, 20, costs, lambda left: 3, faults=Faults(rate=10, repair=60))
    assert failing.tiles == 3000 and failing.tasks == sound.tasks
    # A worker lives 360 s on average, and of every 420 s it is away for 60.
    expected = 3000 * 10 / 360
    assert 0.7 * expected < failing.failures < 1.5 * expected
    assert 420 / 360 < failing.makespan / sound.makespan < 1.4


def test_tiles_are_drawn_once_they_are_known():
    """A pass before everything adds its time; one beside the drawing costs but its slower end."""
    costs = Costs(1.0)
    alone = simulate(1000, 10, costs).makespan
    assert simulate(1000, 10, costs, begin=50).makespan == pytest.approx(alone + 50)
    assert simulate(1000, 10, costs, release=0.01).makespan < alone + 1
    assert simulate(1000, 10, costs, release=0.5).makespan == pytest.approx(500 + 1, abs=0.5)


def test_longer_tasks_are_what_helps_where_the_driver_is_too_slow():
    costs = Costs(1.6, 0.1, task=0.003, driver=0.001, scheduler=0.004)
    assert [simulation.grouping(1.6, w)(10**6) for w in (1, 100, 1000, 4000)] == [1, 1, 6, 25]
    assert simulation.grouping(1.6, 1000)(8000) == 2 and simulation.grouping(1.6, 1000)(10) == 1, "short ones at last"
    rows = simulation.table(costs, Faults(), 20_000, (800,), 1.0, 10.0, 0)
    minutes = [row["minutes"] for row in rows]
    assert minutes == sorted(minutes, reverse=True) and minutes[1] < 0.75 * minutes[0]
    assert rows[0]["scheduler busy"] > 0.8 > rows[1]["scheduler busy"] > 2 * rows[1]["driver busy"]
    assert rows[0]["tiles a task"] == 1 < rows[1]["tiles a task"]


def test_what_a_tile_costs_is_measured(grey_model, tmp_path):
    grey_model.save(tmp_path / "grey.safetensors")
    found = simulation.measure(str(tmp_path / "grey.safetensors"), 2, 16, 70, 5)
    assert len(found.draw) == len(found.write) == 3
    assert min(*found.draw, *found.write, found.pixel, found.done) > 0


@pytest.mark.slow
def test_what_a_task_costs_is_measured():
    driver, scheduler, worker = simulation.task_costs(100, 2)
    assert all(1e-5 < each < 1 for each in (driver, scheduler, worker))


# -- compression -------------------------------------------------------------------------------------


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 22))
def test_rounding_keeps_so_many_bits(value, bits):
    given_, kept = np.float32(value), rounded(np.array([value], np.float32), bits)[0]
    assert kept.view(np.uint32) % (1 << (23 - bits)) == 0
    if np.finfo(np.float32).tiny < abs(given_) < np.finfo(np.float32).max / 2:
        assert abs(float(kept) - float(given_)) <= abs(float(given_)) * 2.0 ** -(bits + 1)
        assert rounded(np.array([kept]), bits)[0] == kept
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], np.uint32).view(np.float32)
    assert np.isnan(rounded(nan, bits)).all()


def test_codecs_keep_every_bit_and_smooth_arrays_become_smaller(tmp_path):
    y, x = np.mgrid[:64, :64].astype(np.float32)
    arrays = {"mean": np.sin(y / 9)[None] * x, "mask_means": np.stack([[y], [x]])}
    raw = sum(values.nbytes for values in arrays.values())
    for name, codec in codecs().items():
        array = zarr.create_array(
            tmp_path / name, shape=(64, 64), chunks=(32, 32), shards=(64, 64), dtype="float32", compressors=codec
        )
        array[:] = arrays["mean"][0]
        np.testing.assert_array_equal(array[:], arrays["mean"][0])
        size, writing, reading = written(arrays, codec, None, 32)
        assert writing > 0 and reading > 0
        assert size < raw + 512 and (name == "none" or size < 0.95 * raw), name


def test_a_table_of_codecs_compares_with_none():
    rng = np.random.default_rng(0)
    arrays = {"mean": np.cumsum(rng.normal(size=(1, 32, 32)), -1).astype(np.float32), "std": np.ones((1, 32, 32), "f4")}
    case = {"some": [(arrays, {"samples": np.zeros((2, 1, 32, 32), np.float32)}, 0.5)]}
    codec = codecs()["blosc lz4 bitshuffle 5"]
    plain, kept = measure(case, {"none": (None, None), "8 bits": (codec, 8)}, 16, 1)
    assert plain["writing / none's"] == plain["reading / none's"] == 1 and plain["ratio, some"] <= 1
    assert kept["ratio, some"] > 2 and 0 < kept["largest error of mean / std"] < 0.1
    assert plain.keys() == kept.keys()


# -- growing images ----------------------------------------------------------------------------------


def test_synthetic_images_do_not_depend_on_their_size(tmp_path):
    synthetic(tmp_path / "large", 1100, 2)
    synthetic(tmp_path / "small", 1030, 2)
    large, small = (np.asarray(zarr.open_array(tmp_path / name)[:]) for name in ("large", "small"))
    assert large.shape == (2, 1100, 1100) and large.dtype == np.uint8
    assert 20 < large.std() < 80 and not np.array_equal(large[0], large[1])
    np.testing.assert_array_equal(large[:, :1024, :1024], small[:, :1024, :1024])
    assert math.isclose(large[:, 1024:].mean(), large[:, :1024].mean(), rel_tol=0.2)


@pytest.mark.parametrize(
    ("workers", "ways"),
    [
        ([], ["streamed"]),
        pytest.param(["--compared", "70"], ["streamed", "in memory", "1 worker", "2 workers"],
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_table_of_growing_images(workers, ways, tmp_path, grey_model):
    grey_model.save(tmp_path / "grey.safetensors")
    small = ["--side", "70", "--tile", "32", "-n", "2", "--rounds", "1"]
    model = ["--models", str(tmp_path / "grey.safetensors"), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, ["bench", "scale", *small, *workers, *model], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert [row["way"] for row in rows] == ways
    for row in rows:
        assert row["seconds"] > 0 and row["peak MiB"] > 50 and row["Mpixel/s"] > 0
        if "worker" in row["way"]:
            assert row["efficiency"] > 0 and row["a worker's MiB"] > 50 and row["with start"] > row["seconds"]
