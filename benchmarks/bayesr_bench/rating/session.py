"""The progress of one rater in a study."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from bayesr.errors import DataDiffers, InvalidArgument, NotAnImage
from bayesr_bench.rating.ratings import RatingFile
from bayesr_bench.rating.study import Picture, checksum, decoded, images, nearest, order, png

SHOWN_FIRST = 4
"""Originals that calibrate the rater, each with score 1 and 5. The SRGAN study used 20 for 26 hired raters."""


class Session:
    """The progress of one rater in one study. Images have random names, which do not identify their systems.

    Parameters
    ----------
    pictures : sequence of Picture
    ratings : RatingFile
        The file for the ratings. Images that this rater has rated are not shown again.
    reference : Path, optional
        A folder of high-resolution originals to calibrate the rater on.
    scale : int
        Scale factor by which these are downsampled and enlarged by nearest neighbour, as examples of score 1.
    zoom : int
        Screen pixels per image pixel along a side.

    Raises
    ------
    InvalidArgument
        If the zoom is below 1 or the scale below 2.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        ratings: RatingFile,
        reference: Path | None = None,
        scale: int = 4,
        zoom: int = 1,
    ) -> None:
        if zoom < 1 or scale < 2:
            raise InvalidArgument(f"The zoom must be at least 1 and the scale at least 2, not {zoom} and {scale}.")
        self.ratings, self.scale, self.zoom = ratings, scale, zoom
        self.lock = Lock()
        shuffled = order(pictures, ratings.rater, ratings.seed)
        self._pictures = {secrets.token_urlsafe(12): picture for picture in shuffled}
        names = {picture: name for name, picture in self._pictures.items()}
        self._shown: set[str] = set()  # what a browser has in memory may be rated again
        rated = set(ratings.rated)
        self._rated = [names[picture] for picture in ratings.rated]
        self._queue = deque(names[picture] for picture in shuffled if picture not in rated)
        self._anchors: dict[str, tuple[Path, str, int]] = {}
        if reference is not None:
            generator = np.random.default_rng(ratings.seed)
            originals = list(images(reference).values())
            for i in generator.permutation(len(originals))[:SHOWN_FIRST]:
                pixels = checksum(decoded(originals[i]))  # an unreadable original is reported at the start
                for score in generator.permutation([1, 5]):
                    self._anchors[secrets.token_urlsafe(12)] = originals[i], pixels, int(score)

    def state(self) -> dict[str, Any]:
        """Return the progress of the rater, and the names of the next two images."""
        done, left = len(self._rated), len(self._queue)
        return {"done": done, "total": done + left, "next": list(self._queue)[:2]}

    def opening(self) -> dict[str, Any]:
        """Return the state, and what the page needs only once."""
        anchors = [{"id": name, "score": score} for name, (_, _, score) in self._anchors.items()]
        return {"rater": self.ratings.rater, "zoom": self.zoom, "calibration": anchors} | self.state()

    def image(self, name: str) -> bytes | None:
        """Return the PNG of an image of the study or of the calibration; None if there is none of this name.

        Raises
        ------
        DataDiffers
            If the file is not what it was when the study began. The message does not identify it.
        """
        if name in self._anchors:
            path, pixels, score = self._anchors[name]
            shown = _unchanged(path, pixels)
            return png(nearest(shown, self.scale) if score == 1 else shown)
        picture = self._pictures.get(name)
        if picture is None:
            return None
        encoded = png(_unchanged(picture.path, picture.pixels))
        self._shown.add(name)
        return encoded

    def rate(self, name: object, score: Any) -> bool:
        """Record the score of the current image; return False if `name` is not the current image, or was not shown."""
        with self.lock:
            if not self._queue or name != self._queue[0] or name not in self._shown:
                return False
            self.ratings.append(self._pictures[self._queue[0]], score)
            self._rated.append(self._queue.popleft())
            return True

    def undo(self) -> None:
        """Withdraw the last rating, and show its image again."""
        with self.lock:
            if self._rated:
                self.ratings.withdraw()
                self._queue.appendleft(self._rated.pop())


def _unchanged(path: Path, pixels: str) -> Image.Image:
    """Decode an image that has still the recorded pixels."""
    try:
        image = decoded(path)
        if checksum(image) == pixels:
            return image
        cause = None
    except NotAnImage as error:
        cause = error
    raise DataDiffers(
        "The file of this image has changed or disappeared since the command started, so it is not shown. Start the "
        "command again: it reads all images anew, and names what does not fit."
    ) from cause
