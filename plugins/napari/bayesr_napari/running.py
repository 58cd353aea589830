"""A computation of bayesr in a thread of its own, with progress and cancelling."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import QObject, Signal

from bayesr.errors import BayesrError
from bayesr.progress import listening


class Stopped(BaseException):
    """Ends a computation that the user cancelled.

    It is no `Exception`, so that code in between does not handle it.
    """


class Run(QObject):
    """One computation. Its signals arrive in the thread of the window.

    Attributes
    ----------
    moved : Signal(str, float)
        What is computed, and the share of it that is done.
    returned : Signal(object)
        The result.
    failed : Signal(object)
        The error. It has been shown to the user, as have warnings.
    ended : Signal()
        After the result, an error or a cancellation.
    """

    moved = Signal(str, float)
    returned = Signal(object)
    failed = Signal(object)
    ended = Signal()
    _warned = Signal(str)

    def __init__(self, function: Callable[[], Any], parent: QObject) -> None:
        super().__init__(parent)
        self._function, self._stop = function, threading.Event()
        self._worker = create_worker(self._work, _start_thread=False)
        self.failed.connect(self._tell)
        self._warned.connect(show_warning)
        self._worker.returned.connect(self._take)
        self._worker.finished.connect(self._finish)

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next step of the progress."""
        self._stop.set()

    def _work(self) -> Any:
        # Workers of napari raise errors again in the event loop, which only a running napari shows.
        try:
            with listening(self._hear), warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                result = self._function()
        except Stopped:
            return None
        except Exception as error:
            self.failed.emit(error)
            return None
        for one in found:
            if one.category.__module__ == BayesrError.__module__:  # others are no concern of the user
                self._warned.emit(str(one.message))
        return result

    def _tell(self, error: Exception) -> None:
        if isinstance(error, BayesrError):  # its message says what to do
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _hear(self, label: str, share: float) -> None:
        if self._stop.is_set():
            raise Stopped
        self.moved.emit(label, share)

    def _take(self, result: Any) -> None:
        if result is not None and not self._stop.is_set():
            self.returned.emit(result)

    def _finish(self) -> None:
        self.ended.emit()
        self.deleteLater()
