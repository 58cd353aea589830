"""The formulas of the pages (``docs/formulas.py``): each is MathML, and nothing else of a page changes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("latex2mathml", reason="formulas are converted where the documentation is built")
formulas = pytest.importorskip("docs.formulas", reason="the source distribution has no documentation")

NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
PAGES = sorted(Path(formulas.__file__).parent.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_formula_of_a_page_is_mathml(page):
    text = page.read_text()
    shown = formulas.formulas(text)
    count = text.count("```math") + text.count("$`")
    assert shown.count("<math ") == count and "```math" not in shown and "$`" not in shown


def test_the_page_of_the_theory_has_formulas_of_both_kinds():
    text = formulas.formulas((Path(formulas.__file__).parent / "theory.md").read_text())
    assert 'display="block"' in text and 'display="inline"' in text


def test_a_formula_keeps_its_structure():
    root = ElementTree.fromstring(formulas.mathml(r"\frac{a_k}{2}", display=True))
    assert root.tag == f"{NAMESPACE}math" and root.get("display") == "block"
    over, under = next(root.iter(f"{NAMESPACE}mfrac"))
    assert over.find(f".//{NAMESPACE}msub") is not None and "".join(under.itertext()) == "2"


def test_only_formulas_change():
    before = "Costs $5 and `code`.\n\n```sh\necho $`date`$\n```\n\n"
    assert formulas.formulas(before) == before
    assert formulas.formulas(f"{before}So $`x`$ is.").startswith(f'{before}So <span class="formula"><math ')


def test_a_full_stop_stays_with_its_formula():
    assert formulas.formulas("$`x`$. A").endswith("</math>.</span> A")


def test_a_formula_is_on_one_line_because_an_empty_one_would_end_its_block():
    shown = formulas.formulas("a\n\n```math\n\\begin{align*}\na &= b \\\\\n\nc &= d\n\\end{align*}\n```\n\nb")
    assert shown.count("\n") == 4 and shown.startswith('a\n\n<div class="formula"><math ')


@pytest.mark.parametrize(
    "latex, name", [(r"\unheard{x}", r"\\unheard"), (r"\begin{aligned} a &= b \end{aligned}", "&")]
)
def test_what_is_not_understood_is_an_error_that_names_it(latex, name):
    with pytest.raises(ValueError, match=name):
        formulas.mathml(latex)
