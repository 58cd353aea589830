from pathlib import Path

import pytest

from bayesr.errors import UnknownModel
from bayesr.files import locate, nearest, write_atomically


@pytest.mark.parametrize("content", [b"new", bytearray(b"new"), memoryview(b"new"), "new"])
def test_a_file_is_replaced(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_atomically(path, content)
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    other = tmp_path / "b.txt"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_a_failure_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "a.txt", "new")


def test_the_nearest_names():
    assert nearest("natrual", ["aerial", "natural"])[0] == "natural"
    assert nearest("xyz", ["aerial", "natural"]) == ["aerial", "natural"]


def test_names_and_paths_are_located(tmp_path):
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    for name in ("natural", "aerial"):
        (bundled / f"{name}.safetensors").touch()
    own = tmp_path / "own.safetensors"
    own.touch()
    assert locate("natural", bundled, "model") == bundled / "natural.safetensors"
    assert locate(own, bundled, "model") == own
    with pytest.raises(UnknownModel, match=r"No model 'natrual'.*Nearest: natural.*See the list\."):
        locate("natrual", bundled, "model", "See the list.")
    with pytest.raises(UnknownModel, match="none is bundled"):
        locate("natural", tmp_path / "bundled" / "none", "segmenter")
