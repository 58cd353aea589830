"""Runs every ``python`` block of README and docs, page by page, in a scratch folder: what is printed there works."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

with tempfile.TemporaryDirectory() as scratch:
    (Path(scratch) / "bayesr").symlink_to(ROOT / "bayesr")  # so that the examples' relative paths hold
    os.chdir(scratch)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        names: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, str(page), "exec"), names)
        print(f"{page.name}: {len(blocks)} block(s) ran")
