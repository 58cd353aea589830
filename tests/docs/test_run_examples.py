"""The program that runs what README and docs print (``docs/run_examples.py``)."""

from __future__ import annotations

from pathlib import Path

import pytest

run_examples = pytest.importorskip("docs.run_examples", reason="the source distribution has no documentation")


def page(folder: Path, *blocks: tuple[str, str], name: str = "page.md") -> Path:
    path = folder / name
    path.write_text("\n\n".join(f"```{kind}\n{body}\n```" for kind, body in blocks) + "\n")
    return path


def test_a_page_runs_in_an_empty_folder_which_is_gone_afterwards(tmp_path):
    before = Path.cwd()
    code = "from pathlib import Path\nprint(len(list(Path().iterdir())))\nPath('left').mkdir()"
    text = page(tmp_path, ("python", code), ('text title="prints"', "0"), ("sh", "ls"), ('text title="prints"', "left"))
    for _ in range(2):
        with run_examples.scratch(text):
            inside = Path.cwd()
            assert run_examples.run(text, write=False) == 2
        assert Path.cwd() == before and not inside.exists()


def test_only_pages_for_a_copy_of_the_repository_see_a_part_of_it(tmp_path):
    for name, folder in run_examples.CHECKOUT.items():
        with run_examples.scratch(tmp_path / name):
            assert [path.name for path in Path().iterdir()] == [folder] and list(Path(folder).glob("*.json"))


@pytest.mark.parametrize("block", [("python", "print(1 / 0)"), ("sh", "false | true"), ("python", "print(30)")])
def test_what_fails_or_prints_something_else_is_found(tmp_path, block):
    text = page(tmp_path, block, ('text title="prints"', "2"))
    with pytest.raises((SystemExit, ZeroDivisionError)), run_examples.scratch(text):
        run_examples.run(text, write=False)


def test_written_outputs_are_those_of_the_blocks(tmp_path):
    text = page(tmp_path, ("python", "print(3)"), ('text title="prints"', "2"))
    with run_examples.scratch(text):
        run_examples.run(text, write=True)
        assert run_examples.run(text, write=False) == 1
    assert '```text title="prints"\n3\n```' in text.read_text()
