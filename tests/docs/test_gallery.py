"""The gallery (``docs/gallery.md``): its own code draws its pictures, which are small, and each names its functions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.is_dir():
    pytest.skip("the source distribution has no documentation", allow_module_level=True)
SECTIONS = re.split(r"^## ", (DOCS / "gallery.md").read_text(), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_a_section_shows_the_picture_that_its_code_draws_and_links_a_page(section):
    (shown,) = re.findall(r"^!\[.{20,}\]\((.+\.png)\)$", section, re.MULTILINE)
    code = "".join(re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    assert shown.startswith("gallery-") == ("savefig" in code), "other pictures are those of other pages"
    assert "savefig" not in code or f'savefig("{shown}"' in code
    assert len(code.splitlines()) <= 8 and all(len(line) <= 95 for line in code.splitlines())
    pages = re.findall(r"\]\((?:api/)?([\w.-]+\.md)", section)
    assert pages and all(f"api/{page}" in section or (DOCS / page).is_file() for page in pages)


def test_every_picture_of_the_gallery_is_shown_and_together_they_are_small():
    drawn = {path.name for path in DOCS.glob("gallery-*.png")}
    assert drawn == {name for section in SECTIONS for name in re.findall(r"gallery-\w+\.png(?=\))", section)}
    assert sum((DOCS / name).stat().st_size for name in drawn) < 600_000
