"""The dock widget: sample an image layer, and count objects in a product."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from magicgui.widgets import ComboBox, Container, Label, ProgressBar, PushButton, SpinBox
from napari.utils.notifications import show_error

import bayesr
from bayesr.errors import BayesrError
from bayesr.segmentation.catalogue import SegmenterInfo, segmenters
from bayesr_napari.images import STACKS, image_of
from bayesr_napari.layers import METADATA, Shown, add_layers, images_in, labels_of, layers_of, products_in
from bayesr_napari.running import Run

_STEPS = 1000
"""Steps of the progress bar."""


class SampleWidget(Container):
    """Draw members of an image layer, show them as layers, and count objects in them with an interval.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are sampled; napari gives it.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer = napari_viewer
        self._run: Run | None = None
        bands = {model.name: model.bands for model in bayesr.models()}
        self._bands = bands
        self.image = ComboBox(choices=lambda _: images_in(napari_viewer), label="Image")
        self.stack = ComboBox(choices=list(STACKS), label="Of a stack", tooltip="Layers with more axes than y and x.")
        self.model = ComboBox(
            value="natural-x4", choices=list(bands), label="Model", tooltip="Calibrated for one kind of images each."
        )
        self.n = SpinBox(value=32, min=1, max=1024, label="Members")
        self.seed = SpinBox(value=0, min=0, max=2**31 - 1, label="Seed")
        self.sample = PushButton(text="Sample")
        self.product = ComboBox(choices=lambda _: products_in(napari_viewer), label="Product")
        self.segmenter = ComboBox(choices=self._segmenters, label="Objects by")
        self.count = PushButton(text="Count objects")
        self.found = Label(value="")
        self.bar = ProgressBar(value=0, max=_STEPS, visible=False)
        self.cancel = PushButton(text="Cancel", visible=False)
        super().__init__(
            widgets=[
                self.image, self.stack, self.model, self.n, self.seed, self.sample,
                self.product, self.segmenter, self.count, self.found, self.bar, self.cancel,
            ]
        )  # fmt: skip
        for event in ("inserted", "removed", "renamed"):
            getattr(napari_viewer.layers.events, event).connect(self._refresh)
        napari_viewer.layers.selection.events.active.connect(self._follow)
        self.image.changed.connect(self._suit)
        self.product.changed.connect(self._offer)
        self.sample.clicked.connect(self._sample)
        self.count.clicked.connect(self._count)
        self.cancel.clicked.connect(self._cancel)
        self.native.destroyed.connect(self._cancel)
        self._refresh()

    # -- choices ---------------------------------------------------------------------------------

    def _refresh(self, event: Any = None) -> None:
        before = self.product.value
        self.image.reset_choices()
        self.product.reset_choices()
        if self.product.value is not before:  # which is no change by the user, and emits nothing
            self._offer()
        self._suit()

    def _follow(self, event: Any) -> None:
        """Take the layer that becomes active."""
        if event.value in self.image.choices:
            self.image.value = event.value
        if event.value in self.product.choices:
            self.product.value = event.value

    def _suit(self, layer: Any = None) -> None:
        """Choose a model that takes the bands of the image, and offer what a stack needs."""
        layer = self.image.value
        self.stack.enabled = layer is not None and not layer.rgb and layer.ndim > 2
        self.sample.enabled = layer is not None and self._run is None
        self.count.enabled = self.product.value is not None and self._run is None
        if layer is not None and (self._bands[self.model.value] == 1) == layer.rgb:
            self.model.value = "natural-x4" if layer.rgb else next(k for k, n in self._bands.items() if n == 1)

    def _offer(self, layer: Any = None) -> None:
        """Offer the segmenters that suit the product, and choose one that is trained where there is one."""
        self.segmenter.reset_choices()
        if self.product.value is not None:
            self.segmenter.value = self._segmenters(None)[0]  # the widget keeps an order of its own

    def _segmenters(self, _: Any) -> list[str]:
        """Return the trained segmenters that take the bands of the product, then functions, which state none."""
        layer = self.product.value
        if layer is None:
            return []
        bands = layer.metadata[METADATA].ds.sizes["band"]
        trained = [one.name for one in self._known if one.bands == bands]
        return trained + [one.name for one in self._known if one.bands is None]

    @cached_property
    def _known(self) -> list[SegmenterInfo]:
        """All segmenters that have names. Those of other distributions are imported when they are first needed."""
        return segmenters()

    # -- computations ----------------------------------------------------------------------------

    def _sample(self) -> None:
        layer = self.image.value
        channels = STACKS[self.stack.value]
        try:
            image, place, options = image_of(layer, self._viewer.dims.point, channels)
        except BayesrError as error:
            show_error(str(error))
            return
        given: dict[str, Any] = {"model": self.model.value, "seed": self.seed.value, "dims": image.dims}
        given |= {"value_range": options.pop("value_range", None)}
        n = self.n.value

        def show(ds: Any) -> None:
            added = add_layers(self._viewer, layers_of(ds, place, layer.name, **options))
            self.product.value = next(one for one in products_in(self._viewer) if one in added)

        self._start(lambda: bayesr.sample(image, n, **given), show)

    def _count(self) -> None:
        layer, segmenter = self.product.value, self.segmenter.value
        shown: Shown = layer.metadata[METADATA]

        def show(result: Any) -> None:
            number, low, high = (float(result[name]) for name in ("count", "count_lower", "count_upper"))
            level = float(result.attrs["level"])
            self.found.value = f"{number:.4g} objects on average\n{level:.0%} interval: {low:.4g} to {high:.4g}"
            name = layer.name.removesuffix(": mean")
            add_layers(self._viewer, [labels_of(result, shown, f"{name}: objects")])

        self.found.value = ""
        self._start(lambda: bayesr.segment(shown.ds, segmenter, progress=False), show)

    def _start(self, function: Callable[[], Any], show: Callable[[Any], None]) -> None:
        run = self._run = Run(function, self.native)
        run.moved.connect(self._move)
        run.returned.connect(show)
        run.ended.connect(self._end)
        self.bar.value, self.bar.visible, self.cancel.visible = 0, True, True
        self._suit()
        run.start()

    def _move(self, label: str, share: float) -> None:
        self.bar.label, self.bar.value = label, round(_STEPS * share)

    def _cancel(self) -> None:
        if self._run is not None:
            self._run.cancel()

    def _end(self) -> None:
        self._run, self.bar.visible, self.cancel.visible = None, False, False
        self._suit()
