"""Run the examples of README and docs, each page in an empty folder, as a reader who pastes them does.

    python docs/run_examples.py [--write] [PAGE ...]

Runs every ``python`` block and, except in the README, every ``sh`` block in the order of the page. ``.ci/run`` runs
the ``sh`` blocks of the README. A block ```` ```text title="prints" ```` contains the output of the block above it.
Its words must agree. Its numbers must agree to 5% or one unit of their last digit, because machines round
differently. ``--write`` replaces these outputs by the current ones. Only the pages in `CHECKOUT` see the recorded
tables.
"""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(python|sh|text title=\"prints\")\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
RELATIVE = 0.05
CHECKOUT = {"benchmarks.md": "benchmarks"}
"""Pages for a copy of the repository, and the folder of it that they read: recorded tables are in no distribution."""


def agrees(expected: str, printed: str) -> bool:
    """Return whether the words are equal and the numbers nearly equal."""
    if NUMBER.sub("#", expected).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(printed), strict=True)
    return all(
        math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=1.001 * 10.0 ** -len(a.partition(".")[2]))
        for a, b in pairs
    )


def run(page: Path, write: bool) -> int:
    """Run the blocks of a page, and return their number. Raise if one fails or prints something else."""
    names: dict[str, object] = {}
    printed, ran = "", 0
    text = page.read_text()
    new, end = [], 0
    for block in BLOCK.finditer(text):
        kind, body = block.groups()
        if kind == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile("\n" * text.count("\n", 0, block.start(2)) + body, str(page), "exec"), names)
            printed = out.getvalue()
        elif kind == "sh" and page.name != "README.md":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", body], stdout=subprocess.PIPE, text=True)
            printed = done.stdout
            if done.returncode:
                raise SystemExit(f"{page.name}: this block ends with {done.returncode}:\n{body}{printed}")
        elif kind.startswith("text"):
            if not write and not agrees(body, printed):
                raise SystemExit(f"{page.name} says\n{body}where the block above it prints\n{printed}")
            new += [text[end : block.start(2)], *(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())]
            end = block.end(2)
            continue
        else:
            continue
        ran += 1
    if write:
        page.write_text("".join([*new, text[end:]]))
    return ran


@contextmanager
def scratch(page: Path) -> Iterator[None]:
    """Make an empty folder the current one, with the part of the repository that a page in `CHECKOUT` reads."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        if page.name in CHECKOUT:
            Path(CHECKOUT[page.name]).symlink_to(ROOT / CHECKOUT[page.name])
        yield


if __name__ == "__main__":
    wanted = [Path(name).resolve() for name in sys.argv[1:] if name != "--write"]
    pages = wanted or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        start = time.perf_counter()
        with scratch(page):
            count = run(page, "--write" in sys.argv)
        print(f"{page.name}: {count} block(s) ran in {time.perf_counter() - start:.0f} s", flush=True)
