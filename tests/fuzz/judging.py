"""Runs one case, and judges it: which error it raised, what it wrote, warned, printed and changed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayesr.errors import BayesrError
from tests.fuzz.kinds import case
from tests.fuzz.place import Case, Kind, Place
from tests.fuzz.stores import _NotOpened

_SHORTEST = 15
"""A refusal has more characters: it says what is wrong and what to do."""
_READERS = {"image", "image-store", "model", "sample", "archive", "regions", "labels", "pictures", "segmenter"}
"""Kinds whose refusals leave nothing behind."""
_FREE = {"functions"}
"""Kinds that call functions of the case itself, which may print and warn."""


@dataclass(frozen=True)
class Verdict:
    """The kind of a case, its description, a word for its end (``ok``, ``refused``, or what is wrong), and details."""

    kind: str
    what: str
    end: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        return self.end in ("ok", "refused")


def judged(kinds: dict[str, tuple[Kind, int]], seed: int, index: int, place: Place) -> Verdict:
    """Run a case, and return how it ended."""
    place.clear()
    kind, one = case(kinds, seed, index, place)
    before, here, state = _files(place.work), _names(place.root), _state()
    with _printed() as output, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        end, detail = _outcome(one)
    for _ in range(20):  # threads may still read what an error has made needless
        if state == _state():
            break
        time.sleep(0.1)
    foreign = [one for one in seen if not one.category.__module__.startswith("bayesr")]
    new, outside = _files(place.work) - before, _names(place.root) - here
    wrong = [
        ("warned", bool(foreign) and kind not in _FREE, str(foreign[0].message)[:200] if foreign else ""),
        ("printed", bool(output) and kind not in {*_FREE, "command"}, "".join(output)[:200]),
        ("changed", state != _state() and kind not in _FREE, _difference(state, _state())),
        ("left", end == "refused" and kind in _READERS and bool(new), str(sorted(new)[:3])),
        ("left", any(".partial" in path for path in new), str(sorted(new)[:3])),
        ("left", any(place.temporary.iterdir()), f"temporary files {_names(place.temporary)}"),
        ("left", end == "refused" and bool(outside), f"outside: {outside}"),
    ]
    if end in ("ok", "refused"):
        end, detail = next(((name, f"{detail} {said}") for name, failed, said in wrong if failed), (end, detail))
    for name in outside:
        path = place.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    torch.set_grad_enabled(True)
    return Verdict(kind, one.what, end, detail)


def _outcome(one: Case) -> tuple[str, str]:
    try:
        one.call()
    except BayesrError as error:
        short = len(str(error)) < _SHORTEST
        return ("short", repr(error)) if short else ("refused", "")
    except _NotOpened:
        return "ok", ""
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/bayesr" in frame.filename] or frames
        places = [f"{'/'.join(Path(f.filename).parts[-2:])}:{f.lineno}" for f in (own[-1], frames[-1])]
        return "raised", f"{type(error).__name__} at {' in '.join(dict.fromkeys(places))}: {str(error)[:200]}"
    return "ok", ""


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _state() -> tuple[Any, ...]:
    """Return settings of the process that no case may change."""
    return (
        torch.get_num_threads(), torch.is_grad_enabled(), torch.random.initial_seed(),
        tuple(map(str, warnings.filters)),
        hash(np.random.get_state()[1].tobytes()),  # noqa: NPY002, the state of the process is what is meant
        tuple(np.geterr().items()), Path.cwd(),
    )  # fmt: skip


def _difference(before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
    """Return the settings that differ; of filters of warnings, those that are new or gone."""
    found = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    return "; ".join(
        str(set(a) ^ set(b) or "another order") if isinstance(a, tuple) and isinstance(b, tuple) else f"{a} to {b}"
        for a, b in found
    )


@contextmanager
def _printed() -> Iterator[list[str]]:
    """Collect what is written to the standard error, by C code as well."""
    found: list[str] = []
    with tempfile.TemporaryFile(dir="/tmp") as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            text = file.read().decode(errors="replace").strip()
            found += [text] if text else []
