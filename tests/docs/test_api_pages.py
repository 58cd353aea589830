"""The pages of the API (``docs/api_pages.py``): every public name has one, under the name that users write."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import bayesr

api_pages = pytest.importorskip("docs.api_pages", reason="the source distribution has no documentation")
DOCS = Path(api_pages.__file__).parent
SOURCE = (DOCS / api_pages.INDEX).read_text()
ENTRIES = api_pages.entries(SOURCE)
EXAMPLE = """# API

Text.

## First

::: bayesr.sample
::: bayesr.accessor.ProductAccessor
    options:
      heading: ds.bayesr
      members: [plot]

## Second

More text.

::: bayesr.load
"""


def test_every_public_name_has_one_page():
    paths = [entry.path for entry in ENTRIES]
    assert {f"bayesr.{name}" for name in bayesr.__all__} <= set(paths)
    assert "ds.bayesr" in {entry.title for entry in ENTRIES}
    assert len({entry.file.lower() for entry in ENTRIES}) == len(paths), "also where names of files ignore case"
    assert SOURCE.count(":::") == len(paths), "every block is understood"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_every_name_is_there_and_says_in_a_sentence_what_it_is(entry):
    assert pkgutil.resolve_name(entry.path) is not None
    assert entry.summary[-1] in ".:" and "\n" not in entry.summary


def test_an_index_has_a_row_in_place_of_each_block():
    text = api_pages.index(EXAMPLE)
    assert ":::" not in text and "options" not in text and text.count(api_pages._TABLE) == 2
    assert "\n| [`bayesr.sample`](sample.md) | " in text and "\n| [`ds.bayesr`](ds.bayesr.md) | " in text
    assert bayesr.load.__doc__.strip().splitlines()[0] in text and "\nMore text.\n" in text


def test_a_page_shows_one_object_with_its_options():
    _, accessor, load = api_pages.entries(EXAMPLE)
    assert load.page() == "::: bayesr.load\n    options:\n      heading_level: 1\n"
    assert accessor.page().endswith("heading_level: 1\n      heading: ds.bayesr\n      members: [plot]\n")


def test_the_navigation_has_the_sections_of_the_index(tmp_path):
    (tmp_path / "api").mkdir()
    (tmp_path / api_pages.INDEX).write_text(EXAMPLE)
    config = SimpleNamespace(docs_dir=str(tmp_path), nav=[{"Start": "index.md"}, {"API": api_pages.INDEX}])
    api_pages.on_config(config)
    first = {"First": [{"bayesr.sample": "api/sample.md"}, {"ds.bayesr": "api/ds.bayesr.md"}]}
    second = {"Second": [{"bayesr.load": "api/load.md"}]}
    assert config.nav == [{"Start": "index.md"}, {"API": [{"All names": api_pages.INDEX}, first, second]}]


def test_what_has_no_docstring_is_refused():
    with pytest.raises(ValueError, match="no docstring"):
        api_pages.Entry("tests.docs").summary  # noqa: B018
    with pytest.raises((AttributeError, ImportError)):
        api_pages.Entry("bayesr.nothing").summary  # noqa: B018
