from pathlib import Path

import pytest

import bayesr
from bayesr.errors import InvalidModel, StoreFailed
from bayesr.model import header
from bayesr.model.header import read_header, write_card
from tests.model.helpers import rewritten


def test_no_length_of_the_header_looks_like_a_pickle(file):
    """The first byte of a safetensors file is the low byte of a length: any value, 0x80 too."""
    for padding in range(0, 260, 4):
        header.read_header(rewritten(file, lambda h, p=padding: h["card"].update(note="x" * p)))
    starts = set()
    for padding in range(256):
        starts.add(rewritten(file, lambda h, p=padding: h["card"].update(note="x" * p)).read_bytes()[0])
    assert 0x80 in starts


def test_other_versions(file):
    with pytest.raises(InvalidModel, match="upgrade bayesr"):
        bayesr.load(rewritten(file, lambda h: h.update(format=header.FORMAT + 1)))
    with pytest.raises(InvalidModel, match="again"):
        bayesr.load(rewritten(file, lambda h: h.update(format=0)))


def weights(path):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0
    return content[start:]


def test_the_card_changes_and_nothing_else(file):
    before, old, sha256 = read_header(file), weights(file), bayesr.load(file).sha256
    write_card(file, {"domain": "ice"})
    after = read_header(file)
    assert after.pop("card") == {"domain": "ice"} and before.pop("card") != {"domain": "ice"}
    assert after.pop("header_sha256") != before.pop("header_sha256")
    assert after == before and weights(file) == old
    assert bayesr.load(file).sha256 == sha256 and bayesr.load(file).card["domain"] == "ice"
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_card_that_cannot_be_written_leaves_the_file(file, monkeypatch):
    content = file.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreFailed, match="No space left"):
        write_card(file, {})
    assert file.read_bytes() == content and [p.name for p in file.parent.iterdir()] == [file.name]
