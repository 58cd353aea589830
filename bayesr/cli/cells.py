r"""Text in cells of a CSV file: one line per row, in UTF-8, and never a formula of a spreadsheet.

Characters that cannot be printed, such as line ends or the bytes of a file name that is not UTF-8, are written as in
Python (``\n``, ``\udce9``), and ``\`` as ``\\``. An apostrophe stands before text that a spreadsheet could take for a
formula, that is text that begins with ``=``, ``+``, ``-``, ``@`` or their wide forms, after any apostrophes.
`text` returns the original of any `cell`.
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@＝＋－＠]")
_ESCAPED = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})")


def cell(text: str) -> str:
    """Return text as it is written in a cell."""
    plain = "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    return f"'{plain}" if _FORMULA.match(plain) else plain


def text(cell: str) -> str:
    """Return the text of a cell that `cell` wrote."""
    plain = cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
    return _ESCAPED.sub(lambda found: found[0].encode().decode("unicode_escape"), plain)
