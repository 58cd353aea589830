"""The size of functions and files: small enough that a reader keeps one in mind."""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bayesr

ROOT = Path(__file__).parents[1]
PACKAGE = Path(bayesr.__file__).parent
OTHERS = (ROOT / "benchmarks" / "bayesr_bench", ROOT / "plugins" / "napari" / "bayesr_napari")
FOLDERS = [folder for folder in (PACKAGE, *OTHERS) if folder.is_dir()]
"""Without the other distributions where only the source distribution of bayesr is unpacked."""
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))]

FUNCTION_LINES = 60
"""Largest number of lines of code of a function, without docstring, comments and blank lines."""
FILE_LINES = 300
"""Largest number of lines of a file whose docstring does not give a reason for more, with the word "lines"."""
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
"""Tokens that do not make a line a line of code."""


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that hold code or strings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {line for token in tokens if token.type not in LAYOUT for line in range(token.start[0], token.end[0] + 1)}


def docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Return the numbers of the lines of a function's docstring."""
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None or first.end_lineno is None:
        return set()
    return set(range(first.lineno, first.end_lineno + 1))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of code of each function, methods and inner functions included."""
    code = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code & set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            yield node.name, len(lines - docstring_lines(node))


def gives_a_reason(source: str) -> bool:
    """Return whether the docstring of a module says why the file is long."""
    return "lines" in (ast.get_docstring(ast.parse(source)) or "")


def test_lines_of_code_are_counted_without_docstrings_comments_and_blank_lines():
    source = '''
def outer(a):
    """Summary.

    Details.
    """
    # a comment

    text = """one
    two"""  # both are code

    def inner():
        return (
            a
        )
    return inner, text
'''
    assert dict(functions(source)) == {"outer": 8, "inner": 4}
    assert not gives_a_reason(source)
    assert gives_a_reason('"""More than 300 lines, because they are one table."""\n')


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_functions_are_short(folder):
    long = [
        f"{path.relative_to(ROOT)}: {name} has {count} lines of code"
        for path in FILES
        if path.is_relative_to(folder)
        for name, count in functions(path.read_text(encoding="utf-8"))
        if count > FUNCTION_LINES
    ]
    assert not long, "\n".join([f"at most {FUNCTION_LINES} are allowed:", *long])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_files_are_short_or_say_why_not(folder):
    long = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        if path.is_relative_to(folder) and source.count("\n") > FILE_LINES and not gives_a_reason(source):
            long.append(f"{path.relative_to(ROOT)} has {source.count(chr(10))} lines")
    assert not long, "\n".join([f"more than {FILE_LINES}: split the file, or say in its docstring why not:", *long])


def test_complex_functions_are_refused_by_ruff():
    """Ruff itself is not run here: its configuration admits a complexity of 10, and no line makes an exception."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "C901" in lint["select"] and lint["mccabe"] == {"max-complexity": 10}
    assert "C901" not in lint["ignore"] and "per-file-ignores" not in lint
    excused = [path for path in FILES if "C901" in path.read_text(encoding="utf-8")]
    assert not excused, f"split these functions instead: {excused}"
