"""The public interface is that of 0.1.0. Where a change is intended, run ``python -m tests.compatibility.face``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compatibility import face as faces


@pytest.fixture(scope="module")
def face() -> dict[str, Any]:
    return faces.face()


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield one line for each entry that was removed, added or changed."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            where = f"{path} / {name}" if path else name
            if name not in now:
                yield f"{where}: is gone"
            elif name not in before:
                yield f"{where}: is new"
            else:
                yield from differences(before[name], now[name], where)
    elif before != now:
        if isinstance(before, list) and isinstance(now, list):
            gone, new = ([one for one in a if one not in b] for a, b in ((before, now), (now, before)))
            yield f"{path}: without {gone}, with {new}" if gone or new else f"{path}: another order, {now}"
        else:
            yield f"{path}: {now!r} instead of {before!r}"


@pytest.mark.parametrize("part", json.loads(faces.FILE.read_text()))
def test_the_public_face_is_as_recorded(part, face):
    if part == "commands":
        pytest.importorskip("bayesr_bench", reason="some commands come with bayesr-bench")
    recorded = json.loads(faces.FILE.read_text())
    assert not (found := list(differences(recorded[part], face[part]))), "\n".join(found)


def test_nothing_of_the_public_face_is_unrecorded(face):
    assert set(face) == set(json.loads(faces.FILE.read_text()))
