"""Cases of command lines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

from click.testing import CliRunner

from bayesr.cli import COMMANDS, main
from tests.fuzz.place import MODEL, Case, Place

_WORDS = [
    "0", "1", "2", "4", "-1", "0.5", "nan", "inf", "1e400", "", "x", "mean", "yx", "8", "16", "/nonexistent/x",
    "/dev/null", "/dev/full", "/dev/zero", "/proc/self/x", MODEL, "otsu", "nuclei", "\udcff.png", "é", "a=b", "A=",
    "bayes-srgan", "fidelity=0", "99999999999999999999", "-0", "1e-320", "0x10", "4x4", "0x0", "²", "1²", "-h", "--",
    "cpu", "memory://a", "foo://b", "tcp://x",
]  # fmt: skip
_LENGTHS = {"--window": 4, "--value-range": 2, "--set": 2, "--blur": 2, "--noise": 2}
_LONG = {"--cluster", "--workers", "--overwrite"}
"""Options that are not tried: they start processes, or remove what is at a place."""
_OWN = ("check", "extend", "report", "segment", "aggregate", "components", "score")


def command(r: Random, place: Place) -> Case:
    """A command with random arguments and options."""
    name = r.choice(sorted(COMMANDS))
    words = [*_WORDS, *map(str, sorted(place.seeds.iterdir())), str(place.seeds), str(place.work)]
    words += [str(place.work / out) for out in ("o.zarr", "o.html", "o.csv", "o.safetensors", "o.png")]
    arguments = [r.choice(words) for _ in range(r.choice([0, 1, 1, 2, 2, 2, 3]))]
    if name == "sample" and r.random() < 0.7:
        arguments = [str(place.seeds / "grey.png"), str(place.work / "o.zarr")]
    if name in _OWN and r.random() < 0.6:
        shutil.copytree(place.seeds / "product.zarr", place.work / "p.zarr")
        arguments[:1] = [str(place.work / "p.zarr")]
    line = [name, *arguments, *_options(name, words, r), *_bounds(name)]
    shown = " ".join(line).replace(str(place.root), "")
    return Case(shown, lambda: _run(line, place))


def _options(name: str, words: list[str], r: Random) -> list[str]:
    known = main.get_command(None, name).params  # type: ignore[union-attr, arg-type]
    options = [one for one in known if one.param_type_name == "option" and not {*one.opts} & _LONG]
    found = []
    for option in r.sample(options, min(len(options), r.choice([0, 1, 1, 2]))):
        flag = getattr(option, "is_flag", False)
        count = 0 if flag else _LENGTHS.get(option.opts[0], 1)
        found += [option.opts[0], *(r.choice(words) for _ in range(count))]
    return found


def _bounds(name: str) -> list[str]:
    """Return options that keep a command short."""
    return {
        "sample": ["-n", "2"],
        "demo": ["--model", "nix"],
        "train": ["--steps", "nix=1"],
        "train-segmenter": ["--steps", "0"],
    }.get(name, [])


def _run(line: list[str], place: Place) -> None:
    before = Path.cwd()
    os.chdir(place.work)
    try:
        result = CliRunner().invoke(main, line)
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception.with_traceback(result.exc_info[2])  # type: ignore[index]
    assert "Traceback" not in result.output, result.output[-400:]
    assert result.exit_code in (0, 1, 2, 3), result.exit_code
