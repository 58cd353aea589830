import threading

import numpy as np
import pytest
from napari.utils.notifications import Notification, notification_manager

import bayesr
from bayesr import plugins
from bayesr.errors import InvalidPixels

SECONDS = 60_000


@pytest.fixture
def said():
    """What napari tells the user."""
    heard = []
    notification_manager.notification_ready.connect(heard.append)
    yield heard
    notification_manager.notification_ready.disconnect(heard.append)


def done(widget, qtbot):
    qtbot.waitUntil(lambda: widget._run is None, timeout=SECONDS)


def press(widget, qtbot, button):
    button.native.click()
    assert widget._run is not None and not widget.sample.enabled and widget.bar._explicitly_hidden is False
    done(widget, qtbot)


def test_a_sampled_layer_and_its_counts(viewer, widget, qtbot, cells):
    low = viewer.add_image(cells, name="cells", scale=(0.5, 0.5), translate=(3, 4))
    assert widget.image.value is low and widget.model.value == "fluorescence-x4" and not widget.count.enabled
    threads, shares = set(), []
    widget.bar.changed.connect(lambda value: (threads.add(threading.get_ident()), shares.append(value)))
    press(widget, qtbot, widget.sample)
    assert threads == {threading.get_ident()} and shares[-1] == 1000 and len(shares) > 1
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", *(f"cells: {part}" for part in ("interval width", "std", "mean", "members"))]
    expected = bayesr.sample(cells, n=4, model="fluorescence-x4", progress=False)
    np.testing.assert_allclose(viewer.layers["cells: members"].data, expected["samples"][:, 0], atol=1e-5 * 4300)
    np.testing.assert_allclose(viewer.layers["cells: mean"].scale, 0.125)
    assert viewer.layers["cells: mean"].contrast_limits == low.contrast_limits
    assert widget.product.value is viewer.layers["cells: mean"] and widget.segmenter.value == "nuclei"
    widget.segmenter.value = "watershed"
    press(widget, qtbot, widget.count)
    found = bayesr.segment(expected, "watershed", progress=False)
    number, low_end, high_end = (float(found[key]) for key in ("count", "count_lower", "count_upper"))
    assert widget.found.value == f"{number:.4g} objects on average\n90% interval: {low_end:.4g} to {high_end:.4g}"
    np.testing.assert_array_equal(viewer.layers["cells: objects"].data, found["labels"])


def test_segmenters_of_other_distributions_are_offered(viewer, widget, qtbot, cells, tmp_path, monkeypatch):
    (tmp_path / "more_segmenters.py").write_text("def bright(image):\n    return image[0] > image.mean()\n")
    (tmp_path / "more-1.dist-info").mkdir()
    (tmp_path / "more-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1\n")
    points = f"[{plugins.SEGMENTERS}]\nbright = more_segmenters:bright\n"
    (tmp_path / "more-1.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    assert widget.segmenter.choices == ()
    viewer.add_image(cells, name="cells")
    press(widget, qtbot, widget.sample)
    assert tuple(widget.segmenter.choices) == ("nuclei", "otsu", "watershed", "bright")


def test_colours_take_a_model_of_colours(viewer, widget, qtbot, colours):
    viewer.add_image(colours, name="a", rgb=True)
    assert widget.model.value == "natural-x4" and not widget.stack.enabled
    widget.n.value = 2
    press(widget, qtbot, widget.sample)
    assert viewer.layers["a: members"].rgb and tuple(widget.segmenter.choices) == ("otsu", "watershed")
    viewer.add_image(colours[..., 0], name="grey")
    assert widget.image.value.name == "grey" and widget.model.value == "fluorescence-x4"


def test_errors_are_told_and_leave_nothing(viewer, widget, qtbot, cells, said):
    viewer.add_image(np.where(cells > 1000, np.nan, cells.astype(np.float32)), name="holes")
    widget.model.value = "natural-x4"
    press(widget, qtbot, widget.sample)
    assert len(viewer.layers) == 1 and widget.sample.enabled and not widget.cancel.visible
    assert any("bands" in one.message for one in said), said
    viewer.add_image(np.full((9, 9), np.inf, np.float32), name="infinite")
    with pytest.raises(InvalidPixels) as error:
        bayesr.sample(viewer.layers[-1].data, n=4, model="fluorescence-x4")
    press(widget, qtbot, widget.sample)
    assert said[-1].message == str(error.value) and isinstance(said[-1], Notification)


def test_warnings_are_told(viewer, widget, qtbot, said):
    random = np.random.default_rng(0).integers(0, 65535, (32, 32)).astype(np.uint16)
    viewer.add_image(random, name="noise")
    press(widget, qtbot, widget.sample)
    assert any("distribution" in one.message or "calibrat" in one.message for one in said), said
    assert len(viewer.layers) == 5


def test_a_run_is_cancelled(viewer, widget, qtbot):
    viewer.add_image(np.zeros((64, 64), np.uint8), name="large")
    widget.n.value = 512
    widget.sample.native.click()
    qtbot.waitUntil(lambda: widget.bar.value > 0, timeout=SECONDS)
    widget.cancel.native.click()
    done(widget, qtbot)
    assert widget.bar.value < 1000 and len(viewer.layers) == 1 and widget.sample.enabled


def test_layers_that_go_are_no_choices(viewer, widget, cells):
    viewer.add_image(cells, name="a")
    viewer.add_labels(np.zeros((4, 4), int))
    assert [layer.name for layer in widget.image.choices] == ["a"]
    viewer.layers.clear()
    assert widget.image.value is None and not widget.sample.enabled
