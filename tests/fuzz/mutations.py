"""Random damage to bytes, texts, JSON, model files and stores."""

from __future__ import annotations

import json
import re
import shutil
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 1.5, -0.0, 1e308, -1e308, 1e-320, 10**9, 10**12, 2**31, 2**32, 2**63, 2**64,
    10**30, float("nan"), float("inf"), float("-inf"), "", "a", "nan", "../../etc/passwd", "/dev/zero", "\x00", "é",
    "<script>alert(1)</script>", [], [1], {}, [[]], {"a": 1}, "9" * 50, [float("nan")], "float32", "object", "<U5",
    "auto", [1, 2, 3], [0], [-1, -1], -5,
]  # fmt: skip
"""Values of many types, most of them wrong wherever they stand."""

_NUMBERS = ["0", "-1", "1e308", "nan", "inf", "99999999999999999999", "", "1e-320", "4294967296", "x", "0.5"]
_KEYS = ["x", "y", "kind", "scale", "__class__", "dtype", ""]
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def of_json(value: Any, r: Random) -> Any:
    """Return JSON with one random change somewhere; it is changed in place."""
    paths = list(_paths(value, ()))
    path = r.choice(paths)
    if not path:
        return r.choice(ODD) if r.random() < 0.1 else value
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    key, chance = path[-1], r.random()
    if chance < 0.2 and isinstance(parent, dict):
        del parent[key]
    elif chance < 0.25 and isinstance(parent, list):
        parent.insert(key, r.choice(ODD))
    elif chance < 0.3 and isinstance(parent, dict):
        parent[r.choice(_KEYS)] = parent[key]
    else:
        parent[key] = _other(parent[key], chance, r)
    return value


def _paths(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for place in [*range(min(len(value), 4)), *([len(value) - 1] if len(value) > 4 else [])]:
            yield from _paths(value[place], (*path, place))


def _other(value: Any, chance: float, r: Random) -> Any:
    """Return something beside a value, or something else."""
    if chance < 0.4 and isinstance(value, int | float) and not isinstance(value, bool):
        near = [-value, value + 1, value * 2, value * 1000, str(value)]
        return r.choice(near if abs(value) < 1e300 else [-value])
    if chance < 0.45 and isinstance(value, list):
        return value[:-1] if r.random() < 0.5 else value * 2
    if chance < 0.5 and isinstance(value, str):
        return value + r.choice(["x", "\x00", "/..", "é"])
    return r.choice(ODD)


def of_text(text: str, r: Random) -> str:
    """Return a text in which one number is another one, or a line is missing or there twice."""
    numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
    if numbers and r.random() < 0.8:
        found = r.choice(numbers)
        return text[: found.start()] + r.choice(_NUMBERS) + text[found.end() :]
    lines = text.splitlines(keepends=True)
    place = r.randrange(len(lines))
    return "".join([*lines[:place], *r.choice([[], [lines[place]] * 2]), *lines[place + 1 :]])


def of_bytes(data: bytes, r: Random) -> bytes:
    """Return bytes with one to sixteen random changes, most of them at the start or the end."""
    changed = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 4, 16])):
        if not changed:
            break
        size, chance = len(changed), r.random()
        near = r.randrange(min(size, 256))
        at = r.randrange(size) if r.random() < 0.4 else near if r.random() < 0.6 else size - 1 - near
        if chance < 0.35:
            changed[at] ^= 1 << r.randrange(8)
        elif chance < 0.55:
            changed[at] = r.choice([0, 255, 127, 128, 1, r.randrange(256)])
        elif chance < 0.73:
            changed[at : at + 4] = _integer(r)[: size - at]
        else:
            _cut(changed, at, r)
    return bytes(changed)


def _integer(r: Random) -> bytes:
    if r.random() < 0.55:
        return struct.pack(r.choice("<>") + "I", r.choice([0, 1, 2, 2**31 - 1, 2**32 - 1, 2**16, 65535, 2**30, 60000]))
    return struct.pack(r.choice("<>") + "H", r.choice([0, 1, 2, 255, 65535, 32768, r.randrange(65536)]))


def _cut(changed: bytearray, at: int, r: Random) -> None:
    """Cut off the end, leave a part out, insert random bytes, repeat a part, or set it to zero."""
    chance = r.random()
    if chance < 0.25:
        del changed[at:]
    elif chance < 0.5:
        del changed[at : at + r.randrange(1, 32)]
    elif chance < 0.7:
        changed[at:at] = bytes(r.randrange(256) for _ in range(r.randrange(1, 16)))
    elif chance < 0.85:
        start = r.randrange(len(changed))
        changed[at:at] = changed[start : start + r.randrange(1, 64)]
    else:
        changed[at : at + 16] = bytes(16)


def of_file(source: Path, target: Path, r: Random) -> None:
    """Write a damaged copy of a file; the checksums of a PNG are often right nevertheless."""
    data = source.read_bytes()
    if source.suffix in (".json", ".geojson", ".jsonl", ".csv", ".wld", ".xml") and r.random() < 0.8:
        target.write_text(of_text(data.decode(), r), encoding="utf-8")
        return
    data = of_bytes(data, r)
    if source.suffix == ".png" and r.random() < 0.7:
        data = _with_checksums(data)
    target.write_bytes(data)


def _with_checksums(data: bytes) -> bytes:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out + data[at:]


def of_safetensors(source: Path, target: Path, r: Random) -> None:
    """Write a damaged copy of a model file: mostly other metadata, else another header or other bytes."""
    data, chance = source.read_bytes(), r.random()
    if chance < 0.2:
        target.write_bytes(of_bytes(data, r))
        return
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if chance < 0.85:
        metadata = json.loads(header["__metadata__"]["bayesr"])
        for _ in range(r.choice([1, 1, 2])):
            section = r.choice(list(metadata)) if isinstance(metadata, dict) and metadata else None
            if section is not None and isinstance(metadata[section], dict | list) and metadata[section]:
                metadata[section] = of_json(metadata[section], r)  # sections are as likely as each other
            else:
                metadata = of_json(metadata, r)
        header["__metadata__"]["bayesr"] = json.dumps(metadata)
    else:
        header = of_json(header, r)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def of_store(source: Path, target: Path, r: Random) -> None:
    """Write a damaged copy of a Zarr store: other metadata, damaged, missing or empty files, folders in their place."""
    shutil.copytree(source, target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    metadata = [path for path in files if path.name in _METADATA]
    for _ in range(r.choice([1, 1, 1, 2])):
        chance = r.random()
        path = r.choice(metadata if chance < 0.6 else files)
        if not path.is_file():
            continue
        if chance < 0.55:
            _damage_metadata(path, r)
        elif chance < 0.75:
            path.write_bytes(of_bytes(path.read_bytes(), r))
        elif chance < 0.88:
            path.unlink()
        elif chance < 0.92:
            path.unlink()
            path.mkdir()
        elif chance < 0.96:
            shutil.rmtree(r.choice(sorted(folder for folder in target.rglob("*") if folder.is_dir())))
        else:
            path.write_bytes(b"")


def _damage_metadata(path: Path, r: Random) -> None:
    try:
        value = json.loads(path.read_text())
    except ValueError:  # damaged already
        return
    inner = [key for key in ("attributes", "consolidated_metadata") if isinstance(value, dict) and value.get(key)]
    if inner and r.random() < 0.6:
        value[inner[0]] = of_json(value[inner[0]], r)
    else:
        value = of_json(value, r)
    attributes = value.get("attributes") if isinstance(value, dict) else None
    for key in ("engine", "input", "forward_operator"):  # JSON inside JSON
        text = attributes.get(key) if isinstance(attributes, dict) else None
        if isinstance(text, str) and text.startswith("{") and r.random() < 0.15:
            attributes[key] = json.dumps(of_json(json.loads(text), r))
    path.write_text(json.dumps(value))
