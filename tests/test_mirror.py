"""Tests mirror the rooms: ``tests/room/test_module.py`` tests ``bayesr/room/module.py``.

Scenarios, which need several rooms or another program, say so: their docstring begins with "Scenario". A package inside
a room may have one file for all of its modules, such as ``tests/networks/test_backbones.py``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import bayesr

TESTS = Path(__file__).parent
PACKAGE = Path(bayesr.__file__).parent

ELSEWHERE = {"compatibility", "docs", "fixtures"}
"""Folders of tests that belong to no room."""
WHOLE = {"test_bayesr.py", "test_mirror.py", "test_rooms.py", "test_style.py"}
"""Tests of the package as a whole."""
UNTESTED = {
    "segmentation/protocol.py": "an interface, and a cast for the type checker",
    "workers/__main__.py": "a process of its own; tests/workers/test_clusters.py starts it",
}
"""Modules without a file of tests, with the reason."""


def modules() -> list[Path]:
    """Return all modules with functions or classes, without ``__init__``, by their path in the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        logic = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)
        if logic and path.name != "__init__.py":
            found.append(path.relative_to(PACKAGE))
    return found


def packages() -> list[Path]:
    """Return the interfaces of rooms, such as ``cli/cli.py`` for ``cli/__init__.py``, and modules of data alone."""
    found = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    return [path.parent / f"{path.parent.name}.py" if path.name == "__init__.py" else path for path in found]


def files_for(module: Path) -> list[Path]:
    """Return the files that may test a module: its own, and that of its package inside the room."""
    room = TESTS / (module.parts[0] if len(module.parts) > 1 else "")
    names = [module.stem.strip("_"), *([module.parent.name] if len(module.parts) > 2 else [])]
    return [room / f"test_{name}.py" for name in names]


def is_scenario(path: Path) -> bool:
    """Return whether the docstring of a file of tests begins with "Scenario"."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").startswith("Scenario")


def test_every_module_with_logic_has_tests_of_its_own():
    lacking = {str(module) for module in modules() if not any(path.is_file() for path in files_for(module))}
    assert not (new := lacking - set(UNTESTED)), f"write tests, or say why there are none: {sorted(new)}"
    assert not (stale := set(UNTESTED) - lacking), f"take these off the list: {sorted(stale)}"


def test_every_file_of_tests_is_that_of_a_module_or_a_scenario():
    known = {path for module in [*modules(), *packages()] for path in files_for(module)}
    others = [
        path.relative_to(TESTS).as_posix()
        for path in sorted(TESTS.rglob("test_*.py"))
        if path not in known and path.relative_to(TESTS).parts[0] not in ELSEWHERE | WHOLE and not is_scenario(path)
    ]
    assert not others, f"name them after their modules, or call them scenarios in the docstring: {others}"
