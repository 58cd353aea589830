"""Data sets by name, fetched from a server on this machine and compared with their checksums."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.errors import BayesrError, DataDiffers, DataNotFound, UnknownData
from bayesr_bench import registry
from bayesr_bench.options import data_folder, training_folders
from bayesr_bench.registry import DataSet, check, digest, fetch, find, known, place, verify
from bayesr_bench.sets import SET_FOLDERS

CONTENTS = {"a.png": b"first", "sub/b c.png": b"second", "sub/d.png": b""}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said):
        self.server.asked.append(self.path)


@contextmanager
def serving(folder):
    """(the address of a folder, the paths that were asked for)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", server.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name.split("/")[-1]).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """The loopback is not asked for through a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


ENTRY = dict(
    title="Some", about="a few files", folder="bench/some", licence="CC0", citation="nobody", source="here",
    digest=digest(SUMS), count=len(SUMS), bytes=11, files=SUMS,
)  # fmt: skip
MADE = DataSet("made", **ENTRY, note="by hand")


def of(base):
    return registry._read("some", ENTRY | {"base": base})


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- the registry itself -------------------------------------------------------------------------


def test_every_set_says_what_it_is_and_may_be_used_for():
    sets = known()
    assert set(SET_FOLDERS) <= set(sets), "what is measured on can be asked for by the same name"
    for name, one in sets.items():
        for text in (one.title, one.about, one.licence, one.citation, one.source):
            assert text.strip(), name
        assert one.folder.startswith(("bench/", "train/")) and one.count > 0 and one.bytes > 0
        assert bool(one.addresses) != bool(one.note), "it can be fetched, or it is said how it was made"
        if one.files:
            assert len(one.files) == one.count and digest(one.files) == one.digest
        assert set(one.addresses) in (set(), set(one.files))
        assert all(a.startswith("https://") and " " not in a for a in one.addresses.values())
    assert {folder for name in SET_FOLDERS for folder in SET_FOLDERS[name]} >= {
        sets[name].folder.removeprefix("bench/") for name in ("set5", "set14", "bsd100", "aerial")
    }


def test_an_unknown_name_lists_those_that_are_known():
    with pytest.raises(UnknownData, match=r"Did you mean .*set5.* Known are set5, set14, bsd100"):
        find("seet5")
    with pytest.raises(UnknownData, match=r"^There is no data set 'a folder of mine'. Known are"):
        find("a folder of mine")


# -- fetching ------------------------------------------------------------------------------------


def test_what_is_fetched_is_what_is_registered_and_is_fetched_once(source, tmp_path):
    done = []
    with serving(source) as (base, asked):
        folder = fetch(of(base), tmp_path / "root", done.append)
        assert contents(folder) == CONTENTS and contents(tmp_path / "root").keys() == {
            f"bench/some/{name}" for name in CONTENTS
        }
        assert sorted(asked) == ["/a.png", "/b%20c.png", "/d.png"] and sum(done) == 3
        check(of(base), folder)
        fetch(of(base), tmp_path / "root")
        assert len(asked) == 3, "nothing is asked for twice"
        (folder / "a.png").write_bytes(b"other")
        (folder / "mine.txt").write_text("stays")
        fetch(of(base), tmp_path / "root")
        assert asked[3:] == ["/a.png"] and contents(folder) == CONTENTS | {"mine.txt": b"stays"}


def test_a_checksum_that_differs_is_said_and_leaves_nothing_half_written(source, tmp_path):
    (source / "d.png").write_bytes(b"something else")
    with serving(source) as (base, _):
        with pytest.raises(DataDiffers) as caught:
            fetch(of(base), tmp_path / "root")
        wrong = hashlib.sha256(b"something else").hexdigest()
        for said in ("sub/d.png", SUMS["sub/d.png"], wrong, base, "--data"):
            assert said in str(caught.value)
        rest = {f"bench/some/{name}": content for name, content in CONTENTS.items() if name != "sub/d.png"}
        assert contents(tmp_path / "root") == rest
        (source / "d.png").write_bytes(b"")
        assert contents(fetch(of(base), tmp_path / "root")) == CONTENTS, "and continues from there"


def test_what_does_not_answer_is_said(source, tmp_path):
    (source / "d.png").unlink()
    with serving(source) as (base, _), pytest.raises(DataNotFound, match=r"sub/d.png .*404.* continues from there"):
        fetch(of(base), tmp_path / "root")
    with pytest.raises(DataNotFound, match="could not be fetched"):
        fetch(of(base), tmp_path / "nobody listens there any more")


def test_what_nobody_offers_is_not_fetched_but_taken_where_it_lies(source, tmp_path):
    with pytest.raises(DataNotFound, match=r"cannot be fetched: by hand .*--data"):
        fetch(MADE, tmp_path)
    (tmp_path / "bench" / "some" / "sub").mkdir(parents=True)
    for name, content in CONTENTS.items():
        (tmp_path / "bench" / "some" / name).write_bytes(content)
    assert fetch(MADE, tmp_path) == tmp_path / "bench" / "some"


# -- verifying -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["by file", "by one digest"])
def test_a_folder_is_here_differs_or_lacks_files(tmp_path, whole):
    one = replace(MADE, files={}) if whole else MADE
    assert str(verify(one, tmp_path / "none")) == "missing"
    for name, content in CONTENTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    check(one, tmp_path)
    assert str(verify(one, tmp_path)) == "here"
    (tmp_path / "a.png").write_bytes(b"firsT")
    assert str(verify(one, tmp_path)) == "differs"
    with pytest.raises(DataDiffers, match=r"SHA-256.*by hand" if whole else f"a.png.*{SUMS['a.png']}"):
        check(one, tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataNotFound, match="not complete"):
        check(one, tmp_path)


def test_a_set_is_found_in_either_layout(tmp_path):
    train = replace(MADE, folder="train/some")
    assert place(MADE, tmp_path) == tmp_path / "bench" / "some"
    for folder in ("bench/some", "train/some"):
        (tmp_path / folder).mkdir(parents=True)
    for root in (tmp_path, tmp_path / "bench"):
        assert place(MADE, root) == tmp_path / "bench" / "some"
        assert place(train, root) == tmp_path / "train" / "some"
    (tmp_path / "train" / "some").rmdir()
    assert not place(train, tmp_path / "bench").is_dir(), "not mistaken for the set of the same name"
    loose = tmp_path / "loose"
    (loose / "some").mkdir(parents=True)
    assert place(MADE, loose) == loose / "some"


# -- where data is looked for --------------------------------------------------------------------


def test_folders_are_given_then_of_the_environment_then_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("BAYESR_DATA", raising=False)
    monkeypatch.setattr("bayesr_bench.options.cache", lambda: tmp_path / "cache")
    with pytest.raises(DataNotFound, match=r"bayesr data fetch.*--data"):
        data_folder()
    (tmp_path / "elsewhere" / "bench").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataNotFound, match="bayesr data fetch"):
        data_folder()
    for folder in ("cache/bench/set5", "named/set5", "given/bench", "given/train/dsb2018/images"):
        (tmp_path / folder).mkdir(parents=True)
    assert data_folder() == tmp_path / "cache" / "bench"
    monkeypatch.setenv("BAYESR_DATA", str(tmp_path / "named"))
    assert data_folder() == tmp_path / "named"
    assert data_folder(tmp_path / "given") == tmp_path / "given" / "bench"
    assert training_folders(tmp_path / "given" / "bench", "fluorescence") == (
        tmp_path / "given" / "train" / "dsb2018/images",
    )
    assert training_folders(tmp_path / "given" / "bench", "natural") == ()
    monkeypatch.setenv("BAYESR_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataNotFound, match="BAYESR_DATA"):
        data_folder()
    with pytest.raises(DataNotFound, match="--data"):
        data_folder(tmp_path / "nowhere")


# -- the commands --------------------------------------------------------------------------------


def test_commands_list_fetch_and_verify(source, tmp_path, monkeypatch):
    monkeypatch.delenv("BAYESR_DATA", raising=False)
    monkeypatch.setattr(registry, "PATH", tmp_path / "registry.json")
    monkeypatch.setattr("bayesr_bench.options.cache", lambda: tmp_path / "cache")

    def run(*args):
        return CliRunner().invoke(main, ["data", *map(str, args)])

    with serving(source) as (base, asked):
        made = {key: value for key, value in ENTRY.items() if key != "files"}
        sets = {"some": ENTRY | {"base": base}, "made": made | {"note": "by hand", "folder": "train/made"}}
        registry.PATH.write_text(json.dumps(sets))
        listed = run("list").output
        assert "some (missing)" in listed and "licence: CC0" in listed and "by hand" in listed
        assert run("verify").exit_code == 1
        fetched = run("fetch")
        assert fetched.exit_code == 0 and "CC0" in fetched.output and len(asked) == 3, fetched.output
        assert contents(tmp_path / "cache" / "bench" / "some") == CONTENTS
        assert "some (here)" in run("list").output and "all 3 files" in run("verify", "some").output
        assert run("fetch", "some", "--to", tmp_path / "there").exit_code == 0
        assert contents(tmp_path / "there" / "bench" / "some") == CONTENTS
    (tmp_path / "there" / "bench" / "some" / "a.png").write_bytes(b"")
    assert "some (differs)" in run("list", "--data", tmp_path / "there").output
    differs = run("verify", "--data", tmp_path / "there")
    assert differs.exit_code == 1 and "a.png" in differs.output and "data fetch some" in differs.output
    for args in (["fetch", "sme"], ["verify", "sme"]):
        unknown = run(*args)
        assert unknown.exit_code == 1 and "Did you mean some" in unknown.output
    assert "cannot be fetched" in run("fetch", "made").output


def test_errors_are_also_what_a_caller_would_expect():
    assert issubclass(DataNotFound, FileNotFoundError) and issubclass(UnknownData, KeyError)
    assert all(issubclass(one, BayesrError) for one in (DataNotFound, UnknownData, DataDiffers))
