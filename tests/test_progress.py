import numpy as np
import pytest

from bayesr import progress


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_EVERY", 0.0)
    for show, said in ((True, "working: 50%"), (None, ""), (False, "")):
        with progress.progress("working", 4, show) as advance:
            advance(2)
        assert said in capsys.readouterr().err


def test_hidden_progress_is_heard_and_not_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_EVERY", 0.0)
    heard = []
    with progress.hidden(), progress.listening(lambda label, share: heard.append(share)):
        assert progress.is_hidden()
        with progress.progress("working", 4, True) as advance:
            advance(2)
    assert capsys.readouterr().err == "" and heard == [0.0, 0.5] and not progress.is_hidden()


def test_a_listener_hears_the_share_and_can_stop(model, photo, tmp_path):
    heard = []
    with progress.listening(lambda label, share: heard.append((label, share))):
        ds = model.sample(photo, 8, progress=False)
    assert {label for label, _ in heard} == {"sampling"}
    shares = [share for _, share in heard]
    assert shares[0] == 0 and shares[-1] == pytest.approx(1) and shares == sorted(shares) and len(set(shares)) > 2
    heard.clear()
    np.testing.assert_array_equal(model.sample(photo, 8)["mean"], ds["mean"])
    assert heard == []

    class Stopped(Exception):
        pass

    def stop(label, share):
        if label == "sampling" and share > 0:
            raise Stopped

    with pytest.raises(Stopped), progress.listening(stop):
        model.sample(photo, 8)
    with pytest.raises(Stopped), progress.listening(stop):
        model.sample(photo, 8, store=tmp_path / "a.zarr", tile=8)
    with progress.listening(lambda label, share: heard.append(label)):
        resumed = model.sample(photo, 8, store=tmp_path / "a.zarr", tile=8, resume=True)
    assert "sampling" in heard
    np.testing.assert_allclose(resumed["mean"], ds["mean"], atol=255e-5)


IN_A_NOTEBOOK = """
from bayesr import progress
progress._NOTEBOOK_AFTER = progress._NOTEBOOK_EVERY = {wait}
with progress.progress("a < b", 4, {show}) as advance:
    for _ in range(4):
        advance(1)
"""


def test_a_kernel_of_jupyter_shows_a_bar_and_removes_it(tmp_path, monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    kernel, client = manager.start_new_kernel()
    try:

        def shown(wait, show):
            """Return outputs in their order, without the state of the kernel."""
            messages = []
            client.execute_interactive(IN_A_NOTEBOOK.format(wait=wait, show=show), 60, output_hook=messages.append)
            kept = ("status", "execute_input")
            return [(m["msg_type"], m["content"]) for m in messages if m["msg_type"] not in kept]

        for show in (None, True):
            found = shown(-1, show)
            assert [kind for kind, _ in found] == ["display_data", *["update_display_data"] * 4]
            assert len({content["transient"]["display_id"] for _, content in found}) == 1
            texts = [content["data"]["text/html"] for _, content in found]
            assert "a &lt; b: 25%" in texts[0] and "value='0.250'" in texts[0] and "value='1.000'" in texts[3]
            assert texts[-1] == ""
        assert shown(-1, False) == [] and shown(60, True) == [], "short computations show none"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
        kernel.cleanup_resources()
