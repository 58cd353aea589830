"""A process that runs each operation in a fork of itself, killed at one of its file operations.

It has run some of them once, so that a fork has little to load. It reads requests, one a line of JSON, and answers
each with the exit code and the number of file operations::

    {"operation": "sample", "part": "run", "folder": "/tmp/x", "kill": 17, "limit": null}
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path

import torch

from bayesr.errors import BayesrError
from tests.faults.kills import KILLED as KILLED
from tests.faults.kills import watch
from tests.faults.operations import OPERATIONS, STORE, Operation, logged

REFUSED, CRASHED = 3, 4


def child(operation: Operation, part: str, folder: Path, kill: int | None, limit: int | None, count: int) -> int:
    logged(folder)
    if part == "run":
        watch(f"{folder}/{STORE}", kill, count)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        getattr(operation, part)(folder)
    except BayesrError as error:
        (folder / "refused").write_text(f"{type(error).__name__}: {error}"[: limit or None])
        return REFUSED
    except BaseException:
        (folder / "crashed").write_text(traceback.format_exc()[-(limit or 10**6) :])
        return CRASHED
    return 0


def serve() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as warm:
        for name in ("extend", "segment"):
            folder = Path(warm) / name
            folder.mkdir()
            OPERATIONS[name].prepare(folder)
            OPERATIONS[name].run(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        given = json.loads(line)
        with tempfile.TemporaryFile() as count:
            number = os.fork()
            if not number:
                code = 99
                try:
                    code = child(
                        OPERATIONS[given["operation"]], given["part"], Path(given["folder"]), given["kill"],
                        given["limit"], count.fileno(),
                    )  # fmt: skip
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
            raw = os.pread(count.fileno(), 9, 0)
        print(json.dumps({"code": code, "count": int(raw or b"0")}), flush=True)


if __name__ == "__main__":
    serve()
