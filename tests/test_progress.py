import numpy as np
import pytest

from bayesr import progress


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_EVERY", 0.0)
    for show, said in ((True, "working: 50%"), (None, ""), (False, "")):
        with progress.progress("working", 4, show) as advance:
            advance(2)
        assert said in capsys.readouterr().err


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
