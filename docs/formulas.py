"""A hook of MkDocs: formulas in LaTeX, as GitHub shows them too, become MathML, which browsers draw by themselves.

A formula of its own is a block of code in the language ``math``. A formula in a sentence is code between dollars,
such as ``$`A x = y`$``. No page then loads a script or a font for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from latex2mathml.converter import convert

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_PARTS = re.compile(
    r"^```math\n(?P<block>.*?)^```$|(?P<other>^(?P<fence>`{3,}).*?^(?P=fence)$)|\$`(?P<inline>[^`]+)`\$(?P<after>[.,:;)]?)",
    re.MULTILINE | re.DOTALL,
)


def mathml(latex: str, display: bool = False) -> str:
    """Return a formula as MathML, on one line.

    Parameters
    ----------
    latex : str
        Without dollars.
    display : bool
        Whether the formula stands by itself, and not in a sentence.

    Raises
    ------
    ValueError
        If a command of the formula is not known.
    """
    found: str = convert(" ".join(latex.split()), display="block" if display else "inline")
    unknown = re.findall(r"\\\w*|&(?!#)", found)  # what was not understood is left as it was
    if unknown:
        raise ValueError(f"The formula {latex.strip()!r} has commands that are not known: {', '.join(unknown)}.")
    return found


def formulas(markdown: str) -> str:
    """Return the text of a page with MathML in place of its formulas. Other blocks of code stay as they are."""

    def shown(match: re.Match[str]) -> str:
        if match["other"]:
            return match["other"]
        if match["block"]:
            return f'<div class="formula">{mathml(match["block"], display=True)}</div>'
        # Markdown takes a line that begins with <math> for a block of its own. No line begins with a full stop.
        return f'<span class="formula">{mathml(match["inline"])}{match["after"]}</span>'

    return _PARTS.sub(shown, markdown)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the formulas of a page; MkDocs calls this."""
    return formulas(markdown)
