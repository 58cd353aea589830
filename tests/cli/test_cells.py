import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.cli import cells


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "＝1", "'=1", "''-x", "\t=1", "\r=1", "\\=", "'tis", "a=1"])
def test_no_cell_is_a_formula_and_reading_gives_the_name(name):
    written = cells.cell(name)
    assert written[0] not in "=+-@＝＋－＠\t\r" and cells.text(written) == name
    assert (written != name) == (name not in ("'tis", "a=1"))


@given(st.text(st.characters(exclude_categories=[])))
def test_every_name_is_read_as_it_was_written_and_is_a_line_of_utf_8(name):
    written = cells.cell(name)
    assert cells.text(written) == name
    assert written.encode().decode().isprintable()


@given(st.text())
def test_every_cell_can_be_read(cell):
    assert isinstance(cells.text(cell), str)
