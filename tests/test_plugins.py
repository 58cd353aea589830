"""Entry points of other distributions, on the search path as pip leaves them: metadata and a module."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import bayesr
from bayesr import images, plugins
from bayesr.cli import main
from bayesr.errors import InvalidArgument, PluginFailed, PluginNotUsed, TrainingFailed, UnknownModel
from bayesr.images import readers
from bayesr.segmentation import registry
from tests.cli.helpers import run

CODE = """
from pathlib import Path
import json
import click
import numpy as np
import xarray as xr

HERE = Path(__file__).parent
model = HERE / "lamp.safetensors"
misnamed = HERE / "extension.py"

def bright(image):
    "Return the pixels brighter than [the mean]."
    return image[0] > image[0].mean()

def read(path):
    return xr.DataArray(np.array(json.loads(path.read_text()), np.uint8), dims=("y", "x"))

def write(ds, path):
    path.write_text(json.dumps({name: float(values.mean()) for name, values in ds.data_vars.items()}))

def write_badly(ds, path):
    path.write_text("half")
    raise ValueError("no more ink")

def write_nothing(ds, path):
    pass

@click.command()
def hello():
    "Greet."
    click.echo("hello")

from bayesr.training.recipe import Recipe, Stage
RECIPE = Recipe("short", dict(width=8, blocks=1, head_width=8, head_blocks=1, latent=2),
                (Stage("fidelity", 3, 1e-3, batch=2, members=0, loss="fidelity"),), patch=8)
"""
POINTS = {
    plugins.MODELS: {"lamp": "extension:model", "broken": "no_such_module:model", "misnamed": "extension:misnamed"},
    plugins.SEGMENTERS: {
        "bright": "extension:bright", "trained": "extension:segmenter", "otsu": "extension:bright",
        "absent": "extension:absent",
    },
    plugins.READERS: {".nums": "extension:read", ".png": "extension:read", ".gone": "extension:absent"},
    plugins.EXPORTERS: {
        ".nums": "extension:write", ".ink": "extension:write_badly", ".none": "extension:write_nothing",
        ".png": "extension:write",
    },
    plugins.RECIPES: {"short": "extension:RECIPE", "srgan": "extension:RECIPE", "wrong": "extension:bright"},
    plugins.COMMANDS: {"hello": "extension:hello"},
}  # fmt: skip


@pytest.fixture
def extension(tmp_path, monkeypatch, model):
    """Lay a distribution with all kinds of entry points on the search path."""
    place = tmp_path / "site"
    metadata = place / "bayesr_extension-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bayesr-extension\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{a} = {b}\n" for a, b in points.items()) for group, points in POINTS.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    nuclei = registry.SEGMENTERS / "nuclei.safetensors"
    (place / "extension.py").write_text(f"{CODE}\nsegmenter = {str(nuclei)!r}\n")
    shutil.copy(model.save(tmp_path / "tiny.safetensors"), place / "lamp.safetensors")
    monkeypatch.syspath_prepend(place)
    yield place
    sys.modules.pop("extension", None)


def test_entry_points_are_those_that_python_finds(extension):
    for group in (*POINTS, plugins.PAGES, "console_scripts", "pytest11", "no such group"):
        expected = {(point.name, point.value, _normal(point.dist.name)) for point in entry_points(group=group)}
        assert {(point.name, point.value, _normal(point.dist)) for point in plugins.found(group)} == expected
        assert plugins.names(group) == sorted({name for name, *_ in expected})
    assert "lamp" in plugins.names(plugins.MODELS)


def _normal(name):
    return name.lower().replace("_", "-").replace(".", "-")


def test_what_is_no_longer_on_the_path_is_no_longer_found(extension, monkeypatch):
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(extension)])
    assert plugins.first(plugins.MODELS, "lamp") is None and plugins.load(plugins.MODELS, "lamp") is None


def test_a_point_loads_its_object():
    assert plugins.Point("join", "os.path:join").load() is os.path.join
    assert plugins.Point("path", "os:path.join").load() is os.path.join
    assert plugins.Point("os", "os").load() is os
    for value in ("no_such_module:x", "os:no_such_name", "os.path.nothing:x"):
        with pytest.raises(PluginFailed, match="install this again, or remove it"):
            plugins.Point("x", value, "this").load()


def test_nothing_is_imported_before_it_is_used(extension):
    code = (
        "import sys, bayesr; from bayesr import plugins; from bayesr.cli import main; import click;"
        "main.list_commands(click.Context(main)); plugins.names(plugins.MODELS);"
        "assert not {'extension', 'numpy', 'importlib.metadata'} & set(sys.modules)"
    )
    path = os.pathsep.join([str(extension), str(Path(bayesr.__file__).parents[1])])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_a_model_by_its_name(extension, photo):
    ds = bayesr.sample(photo, 4, model="lamp")
    assert (
        ds.attrs["model"] == "lamp" and bayesr.load("lamp").sha256 == bayesr.load(extension / "lamp.safetensors").sha256
    )
    with pytest.warns(PluginNotUsed) as said:
        listed = {info.name: info.path for info in bayesr.models()}
    assert listed["lamp"] == extension / "lamp.safetensors" and listed.keys() - {"lamp"} == set(_bundled())
    assert len(said) == 2 and all("bayesr-extension" in str(one.message) for one in said)
    for name in ("broken", "misnamed"):
        with pytest.raises(PluginFailed, match=f"{name} of bayesr-extension"):
            bayesr.load(name)
    with pytest.raises(UnknownModel, match="lamp"):
        bayesr.load("lampe")


def _bundled():
    folder = Path(bayesr.__file__).parent / "model" / "weights"
    return [path.stem for path in folder.glob("*.safetensors")]


def test_a_product_finds_the_model_that_it_records(extension, photo, tmp_path, recwarn):
    stored = bayesr.sample(photo, 4, model="lamp", store=tmp_path / "a.zarr")
    np.testing.assert_allclose(bayesr.replay(stored, 2), bayesr.sample(photo, 4, model="lamp")["samples"][2], atol=1e-2)


def test_segmenters_by_their_names(extension, model, photo):
    ds = model.sample(photo, 4).isel(band=[0])
    found = bayesr.segment(ds, "bright")
    inside = ds["samples"][:, 0] > ds["samples"][:, 0].mean(["y", "x"])
    np.testing.assert_allclose(found["probability"].squeeze(), inside.mean("realization"), atol=1e-6)
    assert bayesr.segment(ds, "trained").attrs["segmenter"] == bayesr.segment(ds, "nuclei").attrs["segmenter"]
    assert registry.named("otsu") is registry.CLASSICAL["otsu"] and registry.named("nuclei") is None


@pytest.mark.filterwarnings("always::bayesr.errors.PluginNotUsed")  # which the command shows
def test_segmenters_are_listed_with_their_distribution(extension):
    result = run("models", "--json")
    listed = json.loads(result.stdout)["segmenters"]
    assert {"nuclei", "otsu", "watershed", "bright", "trained"} == set(listed), "absent is left out"
    assert "absent of bayesr-extension" in result.stderr
    bright = listed["bright"]
    assert bright == {
        "source": "bayesr-extension", "kind": "function", "inputs": ["member"], "bands": None,
        "description": "Return the pixels brighter than [the mean].",
    }  # fmt: skip
    assert listed["trained"] == listed["nuclei"] | {"source": "bayesr-extension"}
    assert listed["otsu"]["source"] == "bayesr" and "Otsu" in listed["otsu"]["description"]
    table = " ".join(run("models").stdout.split())
    assert "bright" in table and "bayesr-ext" in table and "[the" in table


def test_files_of_a_suffix_are_read(extension, tmp_path):
    (tmp_path / "a.NUMS").write_text("[[1, 2, 3], [4, 5, 6]]")
    np.testing.assert_array_equal(images.read(tmp_path / "a.NUMS").data.to_numpy().squeeze(), [[1, 2, 3], [4, 5, 6]])
    picture = bayesr.examples.nuclei()
    assert readers.opened(picture).shape[:2] == (64, 64), "bayesr reads PNG files itself"
    (tmp_path / "a.gone").write_text("")
    with pytest.raises(PluginFailed, match=r"\.gone of bayesr-extension"):
        readers.opened(tmp_path / "a.gone")


def test_files_of_a_suffix_are_written(extension, model, photo, tmp_path):
    ds = model.sample(photo, 4)
    path = bayesr.export(ds, tmp_path / "a.nums", variables=["mean", "std"])
    assert path.read_text() == f'{{"mean": {float(ds["mean"].mean())}, "std": {float(ds["std"].mean())}}}'
    assert bayesr.export(ds, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for suffix, message in ((".ink", "no more ink"), (".none", "did not write")):
        with pytest.raises(PluginFailed, match=message):
            bayesr.export(ds, tmp_path / f"b{suffix}")
    with pytest.raises(InvalidArgument, match=r"\.zarr, \.ink, \.none, \.nums"):
        bayesr.export(ds, tmp_path / "a.unknown")
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("b")} == set()


def test_a_recipe_by_its_name(extension):
    assert "short" in bayesr.recipes.names() and bayesr.recipes.recipe("short").name == "short"
    assert bayesr.recipes.recipe("srgan").name == "srgan", "bayesr's own recipe"
    with pytest.raises(TrainingFailed, match="no RECIPE"):
        bayesr.recipes.recipe("wrong")


def test_a_command(extension):
    assert run("hello").output == "hello\n" and main.name == "main"
