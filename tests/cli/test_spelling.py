"""Messages of the library, as the command line says them."""

import ast
import inspect
import re
import shlex
import warnings
from pathlib import Path

import click
import numpy as np
import PIL.Image
import pytest
import tifffile
import xarray as xr

import bayesr
from bayesr.cli import COMMANDS, main
from bayesr.cli.spelling import Spelling, spelled
from bayesr.errors import TooLarge
from bayesr.sampling.sinks import MemorySink
from tests.cli.helpers import run

PACKAGE = Path(bayesr.__file__).parent


def command(name):
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def spelling(name):
    return Spelling(command(name), lambda other: main.get_command(click.Context(main), other))


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("sample", "choose another store, overwrite=True, or resume=True.",
         "choose another store, --overwrite, or --resume."),
        ("demo", "choose another store, overwrite=True, or resume=True.", "choose another store or --overwrite."),
        ("aggregate", "choose another store, overwrite=True, or resume=True.", "choose another store."),
        ("extend", "fix the cause and call again with resume=True.", "fix the cause and call again."),
        ("check", "call again (with resume=True, if it was ended), or wait.", "call again, or wait."),
        ("segment", "call again (with resume=True, if it was ended), or",
         "call again (with --resume, if it was ended), or"),
        ("sample", "give nodata=float('nan') (or the value)", "give --nodata nan (or the value)"),
        ("sample", "nodata=-9999, tile=512.", "--nodata -9999, --tile 512."),
        ("sample", "nodata=-1.5e-07.", "--nodata -1.5e-07."),
        ("segment", "give nodata=-9999.", "give bayesr sample --nodata -9999."),
        ("sample", 'Name the axes: dims=("y", "x", "band") or dims="yxb".', "Name the axes: --dims yxb or --dims yxb."),
        ("score", 'dims=("band", "y", "x") does not', "--dims byx does not"),
        ("sample", "value_range=(black, white), in", "--value-range black white, in"),
        ("sample", "use device='cpu'.", "use --device cpu."),
        ("sample", "masks=5 must divide n=4; the default", "--masks 5 must divide -n 4; the default"),
        ("sample", "level must be a number, not 2.", "--level must be a number, not 2."),
        ("sample", "value_range must be two", "--value-range must be two"),
        ("sample", "the level must be higher", "the level must be higher"),
        ("extend", "a.zarr has 8 members: n must be more, and is 4.",
         "a.zarr has 8 members: -n must be more, and is 4."),
        ("sample", "There is no store to resume: leave resume out.",
         "There is no store to resume: leave --resume out."),
        ("sample", "overwrite and resume contradict each other", "--overwrite and --resume contradict each other"),
        ("sample", "fewer variables=, a smaller n, or keep_samples=False.",
         "fewer --variables, a smaller n, or no --keep-samples."),
        ("components", "give store=, or keep_samples=False.",
         "give bayesr sample IN OUT.zarr, or bayesr sample without --keep-samples."),
        ("segment", "Give store= to keep members.", "Give OUT.zarr to keep members."),
        ("demo", "give store= to write it", "give OUT.zarr to write it"),
        ("aggregate", "a product of bayesr.sample, or calibrated=False.", "a product of bayesr sample, or --raw."),
        ("aggregate", "threshold goes with statistic='share'", "--threshold goes with --statistic share"),
        ("components", "with window= or ds.isel(y=..., x=...)", "with --window or ds.isel(y=..., x=...)"),
        ("report", "give the image as img=.", "give the image as --img."),
        ("extend", "finish that with bayesr.extend('/a b/c.zarr', 8).",
         "finish that with bayesr extend '/a b/c.zarr' -n 8."),
        ("check", "finish that with bayesr.extend(store, 8).", "finish that with bayesr extend STORE -n 8."),
        ("extend", "finish it with bayesr.sample(..., resume=True).", "finish it with bayesr sample ... --resume."),
        ("report", "finish bayesr.extend first", "finish bayesr extend first"),
        ("sample", "no product of bayesr.sample. Keep", "no product of bayesr sample. Keep"),
        ("sample", "see bayesr.models().", "see bayesr models."),
        ("sample", "bayesr.calibrate(model, pairs) does it.", "bayesr calibrate MODEL DATA does it."),
        ("sample", "cluster= is closed", "--workers or --cluster is closed"),
        ("sample", "cluster=4", "--workers 4"),
        # What is no argument of a command stays.
        ("sample", "ds.isel(band=[0]) or np.repeat(img[..., None], 3, axis=-1)",
         "ds.isel(band=[0]) or np.repeat(img[..., None], 3, axis=-1)"),
        ("sample", "operator.unconstrained(noise=(0, 1), seed=3)", "operator.unconstrained(noise=(0, 1), seed=3)"),
        ("sample", "n=4.tif and /a/tile=3/b.tif: no image", "-n 4.tif and /a/tile=3/b.tif: no image"),
        ("sample", "logits=True is not of this command", "logits=True is not of this command"),
        ("sample", "--tile=4 is spelled already", "--tile=4 is spelled already"),
    ],
)  # fmt: skip
def test_messages_are_spelled_as_options(name, message, expected):
    assert spelling(name)(message) == expected


def test_a_command_without_options_changes_nothing():
    @click.command()
    def bare() -> None:
        """Do nothing."""

    assert Spelling(bare, lambda name: None)("give nodata=3 to bayesr.sample") == "give nodata=3 to bayesr sample"
    assert spelled(bare, "store", "") is None and spelled(bare, "nodata", "3") is None


# -- what the library really says ----


@pytest.fixture(scope="module")
def place(model, photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spelling")
    model.save(folder / "tiny.safetensors")
    PIL.Image.fromarray(photo[:6, :7]).save(folder / "a.png")
    holes = photo[:6, :7].astype(np.float32)
    holes[2, 3] = np.nan
    tifffile.imwrite(folder / "nan.tif", holes, photometric="rgb")
    tifffile.imwrite(folder / "stack.tif", np.zeros((5, 6, 7), np.uint8), photometric="minisblack")
    model.sample(photo[:6, :7], 4, store=folder / "a.zarr")
    return folder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sample a.png a.zarr", "choose another store, --overwrite, or --resume."),
        ("demo a.zarr", "choose another store or --overwrite."),
        ("score a.zarr a.png --out a.zarr", "choose another store or --overwrite."),
        ("sample a.png b.zarr --resume", "leave --resume out."),
        ("sample a.png b.zarr --resume --overwrite", "--overwrite and --resume contradict each other"),
        ("sample nan.tif b.zarr", "give --nodata nan (or the value that marks it)"),
        ("sample a.png b.zarr -n 0", "-n must be a whole number of members, at least 1, not 0."),
        ("sample a.png b.zarr -n 4 --masks 3", "--masks 3 must divide -n 4"),
        ("sample a.png b.zarr --masks 0", "--masks must be a whole number, at least 1, that divides n, not 0."),
        ("sample a.png b.zarr --level 1.5", "--level must be a number between 0 and 1"),
        ("sample a.png b.zarr --seed -1", "--seed must be a whole number in [0, 2**64), not -1."),
        ("sample a.png b.zarr --tile 0", "--tile must be"),
        ("sample a.png b.zarr --keepbits 99", "--keepbits must be a whole number of bits of a significand, 1 to 23"),
        ("sample a.png b.zarr --value-range 3 1", "--value-range must be two finite numbers, the lower one first"),
        ("sample a.png b.zarr --value-range 0 nan", "--value-range must be two finite numbers"),
        ("sample a.png b.zarr --variables all", "--variables are some of mean"),
        ("sample a.png b.zarr --dims yx", "--dims yx does not name"),
        ("sample a.png b.zarr --device abacus", "'abacus' cannot be used"),
        ("extend a.zarr -n 3", "-n must be more"),
        ("extend a.zarr -n 5", "-n 5 must be a multiple of the 2 masks"),
        ("check absent.zarr", "absent.zarr"),
        ("components a.zarr -k 9", "-k must be the number of components"),
        ("components a.zarr -k 2", "Give the model file that the product was drawn from as --model"),
        ("components nan.tif -k 2", "give bayesr sample --nodata nan"),
        ("aggregate a.zarr 8 --level 0.5 --statistic share", "give --threshold in the units of the image"),
        ("aggregate a.zarr 8 --level 0.99", "--level 0.99 needs 199 members"),
        ("aggregate a.zarr 8 --level 0.5 --quantisation-step -1", "--quantisation-step must be the quantisation step"),
        ("aggregate a.zarr 8 --level 0.5", "No model 'tiny'"),
        ("segment a.zarr s.zarr --threshold 1.5", "--threshold must be a number between 0 and 1"),
        ("segment a.zarr s.zarr --smallest -1", "--smallest must be a whole number of pixels"),
        ("report a.zarr --redraw 2 --window 3 3 0 8", "The window 3:3 along y is empty"),
    ],
)
def test_errors_of_commands(place, monkeypatch, line, expected):
    monkeypatch.chdir(place)
    words = shlex.split(line)
    if words[0] in ("sample", "components"):
        words += ["--model", "tiny.safetensors"]
    found = run(*words)
    assert found.exit_code == 1 and found.output.startswith("Error: "), found.output
    assert expected in found.output
    assert not re.search(r"\b[a-z_]+=|bayesr\.", found.output), found.output
    assert not (place / "b.zarr").exists()


def test_ambiguous_dimensions(place, monkeypatch):
    monkeypatch.chdir(place)
    found = run("sample", "stack.tif", "b.zarr", "--model", "tiny.safetensors")
    assert found.exit_code == 1 and "dims=" not in found.output


def test_a_product_that_does_not_fit_in_memory():
    with pytest.raises(TooLarge) as caught:
        MemorySink().check(xr.DataArray(0), 2**62)
    assert "give bayesr sample IN OUT.zarr to write it tile by tile" in spelling("components")(str(caught.value))


def test_warnings_have_no_class_name(place, monkeypatch):
    monkeypatch.chdir(place)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        found = run("sample", "a.png", "w.zarr", "-n", 5, "--model", "tiny.safetensors")
    assert found.exit_code == 0
    assert "Warning: 5 members cannot be divided" in found.output
    assert "Draw -n 4 or -n 6 members, or leave both out with --variables." in found.output


def messages():
    """All texts of errors and warnings in the package, with 7 in place of values."""
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("cli", "networks", "observe"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if isinstance(node, ast.Raise) or getattr(call.func, "id", "") == "warn":
                text = call.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                yield "".join(part.value if isinstance(part, ast.Constant) else "7" for part in parts if part)


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"train-segmenter"}))
def test_no_message_speaks_of_arguments_of_sample_in_python(name):
    texts = [text for text in messages() if isinstance(text, str)]
    assert len(texts) > 150
    names = "|".join({*inspect.signature(bayesr.sample).parameters} - {"img"})
    say = spelling(name)
    found = [said for said in map(say, texts) if re.search(rf"(?<![\w.-])(?:{names})=|\bbayesr\.sample\b", said)]
    assert found == []
