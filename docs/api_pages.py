"""A hook of MkDocs: one page for each name that ``docs/api/index.md`` documents, and an index of them.

The source of the index names objects as users write them, in blocks of mkdocstrings such as ``::: bayesr.sample``. Each
block moves to a page of its own, ``api/sample.md``. On the index, a row of a table takes its place, with a link and the
first paragraph of the docstring. The navigation has the sections of the index.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

INDEX = "api/index.md"
_BLOCK = re.compile(r"^::: (\S+)\n(?:    options:\n((?:      .*\n)+))?", re.MULTILINE)
_TABLE = "| name | what it is, or does |\n|---|---|\n"


class Entry(NamedTuple):
    """An object that has a page: its path, and the lines of its options for mkdocstrings."""

    path: str
    options: str = ""

    @property
    def title(self) -> str:
        """The name as users write it."""
        heading = re.search(r"heading: (\S+)", self.options)
        return heading[1] if heading else self.path

    @property
    def file(self) -> str:
        """The name of the page, in the folder of the index."""
        return f"{self.title.removeprefix('bayesr.')}.md"

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line.

        Raises
        ------
        AttributeError, ImportError, ValueError
            When there is no such object, or it has no docstring.
        """
        text = inspect.getdoc(pkgutil.resolve_name(self.path))
        if not text:
            raise ValueError(f"{self.path} has no docstring, of which {INDEX} could show the first line.")
        return " ".join(text.partition("\n\n")[0].split())

    def page(self) -> str:
        """Return the Markdown of the page."""
        return f"::: {self.path}\n    options:\n      heading_level: 1\n{self.options}"

    def row(self) -> str:
        """Return the row of the index."""
        return f"| [`{self.title}`]({self.file}) | {self.summary.replace('|', chr(92) + '|')} |\n"


def entries(text: str) -> list[Entry]:
    """Return what the source of an index documents, in its order."""
    return [Entry(path, options) for path, options in _BLOCK.findall(text)]


def sections(text: str) -> Iterator[tuple[str, list[Entry]]]:
    """Yield the headings of level 2 of an index, and what is documented below each."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        yield part.partition("\n")[0].strip(), entries(part)


def index(text: str) -> str:
    """Return the index with a table in place of each run of blocks."""
    runs = re.compile(f"(?:{_BLOCK.pattern})+", re.MULTILINE)
    return runs.sub(lambda run: _TABLE + "".join(entry.row() for entry in entries(run[0])), text)


def navigation(text: str) -> list[dict[str, Any]]:
    """Return the part of the navigation: the index, then the pages by section."""
    pages = [
        {title: [{entry.title: f"api/{entry.file}"} for entry in documented]} for title, documented in sections(text)
    ]
    return [{"All names": INDEX}, *pages]


# -- events of MkDocs --


def on_config(config: MkDocsConfig) -> None:
    """Put the pages into the navigation, where it has the index."""
    text = _source(config)
    config.nav = [
        {title: navigation(text) if part == INDEX else part for title, part in item.items()}
        for item in config.nav or []
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Make the pages."""
    from mkdocs.structure.files import File  # of the extra docs

    for entry in entries(_source(config)):
        files.append(File.generated(config, f"api/{entry.file}", content=entry.page()))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the index instead of its source."""
    return index(markdown) if page.file.src_uri == INDEX else markdown


def _source(config: MkDocsConfig) -> str:
    return (Path(config.docs_dir) / INDEX).read_text(encoding="utf-8")
