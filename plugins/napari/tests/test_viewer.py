"""Scenario: the widget in a real window of napari, which needs OpenGL (run it on a virtual screen: ``xvfb-run``)."""

import os

import pytest


@pytest.mark.skipif("DISPLAY" not in os.environ, reason="a window of napari needs OpenGL: run the tests in xvfb-run")
def test_the_widget_is_opened_from_the_menu_and_fills_the_canvas(make_napari_viewer, qtbot, cells):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(cells, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget("bayesr-napari", "Super-resolution")
    widget.n.value = 4
    widget.sample.native.click()
    qtbot.waitUntil(lambda: widget._run is None, timeout=60_000)
    assert [layer.name for layer in viewer.layers][-2:] == ["cells: mean", "cells: members"]
    pictures = []
    for i in range(2):
        viewer.dims.set_current_step(0, i)
        pictures.append(viewer.screenshot(canvas_only=True, flash=False))
    assert pictures[0].std() > 5 and (pictures[0] != pictures[1]).any()
