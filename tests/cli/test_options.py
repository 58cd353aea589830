import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.cli import options as shared
from bayesr.errors import StoreExists
from bayesr.product.arguments import VALUE_RANGES


@pytest.mark.parametrize(
    ("workers", "cluster", "expected"), [(None, None, None), (2, None, 2), (None, "tcp://a:1", "tcp://a:1")]
)
def test_workers_and_cluster_are_one_parameter(workers, cluster, expected):
    given = {"workers": workers, "cluster": cluster, "seed": 3}
    assert shared.cluster_of(given) == {"seed": 3, "cluster": expected} and given["workers"] == workers


def test_workers_and_cluster_contradict_each_other():
    with pytest.raises(click.UsageError, match="choose one"):
        shared.cluster_of({"workers": 2, "cluster": "tcp://a:1"})


def test_options_that_were_not_given_keep_their_defaults():
    assert shared.given(n=4, seed=None, level=0.0) == {"n": 4, "level": 0.0}
    assert shared.slices(None) is None and shared.slices((1, 2, 3, 4)) == (slice(1, 2), slice(3, 4))


def test_results_go_to_new_places_in_folders_that_exist(tmp_path):
    shared.require_new(None), shared.require_new(tmp_path / "new")
    with pytest.raises(StoreExists):
        shared.require_new(tmp_path)
    shared.require_folder(tmp_path / "new.safetensors"), shared.require_folder(Path("new"))
    with pytest.raises(click.BadParameter, match="no folder"):
        shared.require_folder(tmp_path / "absent" / "new")


def test_groups_keep_the_order_of_their_options():
    @click.command()
    @shared.group(shared.seed, shared.level)
    @shared.overwrite
    def command(**options):
        click.echo(repr(options))

    assert [option.name for option in command.params] == ["seed", "level", "overwrite"]
    assert "{'seed': 5, 'level': 0.9, 'overwrite': False}" in CliRunner().invoke(command, ["--seed", "5"]).output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("--value-range 0 255", (0.0, 255.0)),
        ("--value-range -1 1e3", (-1.0, 1000.0)),
        ("--value-range=-1 1", (-1.0, 1.0)),
        ("--value-range unit", "unit"),
        ("--value-range=minmax", "minmax"),
        ("--value-range percentiles --tile 8", "percentiles"),
        ("--tile 8 --value-range unit --nodata -9999", "unit"),
    ],
)
def test_a_value_range_is_two_numbers_or_a_word(line, expected):
    command = main.get_command(click.Context(main), "sample")
    assert command.make_context("sample", ["a.png", "a.zarr", *line.split()]).params["value_range"] == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--value-range auto 1", "'auto' is no number, and none of minmax, unit, percentiles"),
        ("--value-range 0 unit", "give two numbers, or one of minmax"),
        ("--value-range 3", "requires 2 arguments"),
        ("--value-range", "requires 2 arguments"),
    ],
)
def test_other_value_ranges_are_usage_errors(line, message):
    found = CliRunner().invoke(main, ["sample", "a.png", "a.zarr", *line.split()])
    assert found.exit_code == 2 and message in found.output


def test_words_are_those_of_the_library():
    assert shared.VALUE_RANGES == VALUE_RANGES
    assert list(shared._repeat_words(["--", "--value-range", "unit"])) == ["--", "--value-range", "unit"]


def test_one_document_of_json(capsys):
    shared.print_json(
        {
            "a": np.float32(0.5),
            "b": np.array([1.0, np.nan]),
            3: (True, None, Path("x")),
            "d": {"e": [np.int64(7), 1e400]},
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "a": 0.5, "b": [1.0, None], "3": [True, None, "x"], "d": {"e": [7, None]},
    }  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [("yxb", "yxb"), ("time,y,x", ("time", "y", "x")), (None, None)])
def test_names_of_axes_are_letters_or_words(given, expected):
    @click.command()
    @shared.dims
    def command(dims):
        assert dims == expected

    assert CliRunner().invoke(command, [] if given is None else ["--dims", given]).exit_code == 0
