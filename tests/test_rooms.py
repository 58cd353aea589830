"""Which room of the package may import which: data flows one way, and no import goes in a circle.

A room is a folder or a module directly under ``bayesr/``. Imports inside functions and under ``TYPE_CHECKING`` count
like all others, and so do ``import_module("bayesr....")`` with a constant name. ``bayesr/__init__.py`` is the public
face, which loads names when they are first used. To import it from inside counts as importing all that it offers.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import bayesr

PACKAGE = Path(bayesr.__file__).parent

GROUND = "version errors isolation progress grid files plugins product resampling"
_MEMBERS = f"{GROUND} images model store sampling"

ROOMS = {
    "version": "",
    "errors": "",
    "examples": "",
    "isolation": "",
    "progress": "",
    "grid": "errors",
    "files": "errors",
    "plugins": "errors",
    "resampling": "errors isolation",
    "product": "version errors grid",
    "images": "errors isolation files plugins",
    "observe": "errors isolation resampling",
    "networks": "errors isolation resampling observe",
    "calibration": "errors images",
    "model": "errors isolation files plugins observe networks calibration",
    "store": "errors files progress grid product images",
    "workers": "version errors progress grid",
    "sampling": f"{GROUND} images observe networks calibration model store workers",
    "scoring": f"{GROUND} images observe calibration model sampling",
    "aggregation": _MEMBERS,
    "segmentation": _MEMBERS,
    "training": f"{GROUND} images observe networks calibration model",
    "recipes": "training",
    "report": f"{_MEMBERS} scoring",
    "exporting": f"{GROUND} calibration model sampling",
    "accessor": "errors product observe sampling report exporting",
}
"""The rooms that each room may import beside itself. ``cli`` may import all of them, and no room imports ``cli``."""

EXCEPTIONS = {("model", "sampling")}
"""The only pair of rooms beyond the table: `Model.sample` calls `bayesr.sample`. It is left out of the circle test."""


class Import(NamedTuple):
    """One import, by the module that it is in and the module that it brings in."""

    module: str
    imported: str
    line: int
    inside: bool


def modules() -> dict[str, Path]:
    """All modules of the package, by name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def absolute(module: str, node: ast.ImportFrom) -> str:
    """The module that a ``from`` names, without dots in front."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    if MODULES[module].name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imported(module: str, node: ast.AST) -> list[str]:
    """What one node imports: of the package the modules, of others the names as they are."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = absolute(module, node)
        whole = [f"{base}.{alias.name}" for alias in node.names]
        return list(dict.fromkeys(name if name in MODULES else base for name in whole))
    if isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        first = node.args[0] if node.args else None
        if name == "import_module" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            return [first.value]
    return []


def walk(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below a node, and whether it lies inside a function."""
    for child in ast.iter_child_nodes(node):
        yield child, inside
        yield from walk(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports() -> list[Import]:
    """All imports of all modules."""
    found = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        if module == "bayesr":  # the public face
            tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node, inside in walk(tree):
            found += [Import(module, name, node.lineno, inside) for name in imported(module, node)]  # type: ignore[attr-defined]
    return found


IMPORTS = imports()
OWN = [one for one in IMPORTS if one.imported.split(".")[0] == "bayesr"]


def room(module: str) -> str:
    """``bayesr.store.layout`` lies in ``store``; the package itself in none."""
    return module.split(".")[1] if "." in module else ""


def known(name: str) -> str:
    """The module of the package that a dotted name is, or is a part of."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def circles() -> set[frozenset[str]]:
    """Return groups of modules that import each other; importing ``bayesr`` leads to all modules that it offers."""
    edges: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in OWN:
        target = known(one.imported)
        if (room(one.module), room(target)) not in EXCEPTIONS:
            edges[one.module].add(target)
    edges["bayesr"] |= {known(name) for name in offered()}
    reached = {module: reachable(module, edges) for module in MODULES}
    return {frozenset(b for b in reached[a] if a in reached[b]) for a in MODULES if a in reached[a]}


def offered() -> set[str]:
    """Modules that the public face loads when a name is first used: it names them under ``bayesr`` in strings."""
    tree = ast.parse(MODULES["bayesr"].read_text())
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {name for name in MODULES if name.removeprefix("bayesr.") in words or (name != "bayesr" and name in words)}


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    """All modules that imports lead to, in one step or more."""
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += edges[module]
    return found


def crossings() -> dict[tuple[str, str], list[str]]:
    """Pairs of rooms beyond the table, each with the lines that do it."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in OWN:
        a, b = room(one.module), room(known(one.imported))
        if a in ("", "cli") or a == b:
            continue
        if b not in ROOMS.get(a, "").split():
            found.setdefault((a, b or "bayesr"), []).append(f"{one.module}:{one.line} imports {one.imported}")
    return found


def reasoned(path: Path) -> set[int]:
    """Lines of imports with a reason: a comment beside it, or one above a group of imports."""
    with tokenize.open(path) as file:
        found = [token for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT]
    tools = ("# type:", "# noqa", "# fmt:", "# pragma:")
    spoken = {
        token.start[0]: token.line.lstrip().startswith("#") for token in found if not token.string.startswith(tools)
    }
    lines, above = set(spoken), {line for line, alone in spoken.items() if alone}
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if node.lineno - 1 in above:  # the next line then has the same reason
            lines.add(node.lineno)
            above.add(node.end_lineno or node.lineno)
    return lines


def silent() -> dict[str, str]:
    """Imports inside functions that do not say why, each with its place."""
    reasons = {module: reasoned(path) for module, path in MODULES.items()}
    return {
        f"{one.module}: {one.imported}": f"{MODULES[one.module]}:{one.line} imports {one.imported}"
        for one in IMPORTS
        if one.inside and one.line not in reasons[one.module]
    }


def test_no_import_goes_in_a_circle():
    found = [" -> ".join(sorted(group)) for group in circles()]
    assert not found, "\n".join(found)


def test_rooms_import_only_what_the_table_allows():
    found = {pair: lines for pair, lines in crossings().items() if pair not in EXCEPTIONS}
    assert not found, "\n".join(f"{a} may not import {b}:\n    " + "\n    ".join(ls) for (a, b), ls in found.items())


def test_the_exception_is_one_import():
    lines = {pair: lines for pair, lines in crossings().items() if pair in EXCEPTIONS}
    assert set(lines) == EXCEPTIONS and all(len(places) == 1 for places in lines.values()), lines


def test_the_table_itself_goes_one_way():
    seen: set[str] = set()
    for name, allowed in ROOMS.items():
        assert set(allowed.split()) <= seen, f"{name} imports rooms that come later in the table"
        seen.add(name)


def test_imports_inside_functions_say_why():
    found = list(silent().values())
    assert not found, "say why (an optional package, or start-up time) in a comment on the line:\n" + "\n".join(found)


def test_the_table_lists_every_room():
    assert {room(module) for module in MODULES} - {"", "cli"} == set(ROOMS)


def in_a_fresh_interpreter(code: str) -> set[str]:
    """The modules that are loaded after a program."""
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_bayesr_imports_next_to_nothing():
    assert not {"torch", "numpy", "xarray", "zarr"} & in_a_fresh_interpreter("import bayesr")


@pytest.mark.parametrize("name", ["store", "product", "images", "workers"])
def test_rooms_that_know_nothing_of_torch(name):
    names = [module for module in MODULES if room(module) == name and not module.endswith("__main__")]
    assert "torch" not in in_a_fresh_interpreter("import " + ", ".join(names))


@pytest.mark.parametrize("name", ["aggregate", "components", "models"])
def test_functions_that_do_without_torch_until_they_draw(name):
    assert "torch" not in in_a_fresh_interpreter(f"import bayesr; bayesr.{name}")


def test_the_package_has_few_entries():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 29, sorted(entries)
