"""What can go wrong, by name. Every error says what to do; each is also the builtin a caller would expect."""

import sys
import warnings


class BayesrError(Exception):
    """Parent of every error that bayesr raises on purpose."""


class NotAnImage(BayesrError, ValueError):
    """The input cannot be understood as an image: unreadable, empty, or of an unsupported kind."""


class ImageNotFound(BayesrError, FileNotFoundError):
    """The input path does not exist."""


class AmbiguousDimensions(BayesrError, ValueError):
    """The axes of the input can be read in more than one way."""


class InvalidPixels(BayesrError, ValueError):
    """The input holds NaN or infinite values that no ``nodata`` accounts for."""


class BandMismatch(BayesrError, ValueError):
    """The model was trained for another number of bands."""


class InvalidArgument(BayesrError, ValueError):
    """An argument is outside its range, or contradicts another."""


class UnknownModel(BayesrError, KeyError):
    """No model of this name is at hand."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class InvalidModel(BayesrError, ValueError):
    """The model file is damaged, unsafe, or of another format version."""


class NotStochastic(BayesrError, ValueError):
    """More than one member is asked of a model that has no stochastic layer."""


class InvalidObservation(BayesrError, ValueError):
    """The forward operator is unknown or has no exact pseudo-inverse."""


class StoreExists(BayesrError, FileExistsError):
    """The store is already there, and ``overwrite`` was not asked for."""


class StoreFailed(BayesrError, OSError):
    """The store could not be written or read."""


class StoreBusy(StoreFailed):
    """Another process is writing to the store; the message names it."""


class WorkersFailed(BayesrError, RuntimeError):
    """The workers of a cluster died, never came, or raised an error that is none of bayesr's."""


class TooLarge(BayesrError, MemoryError):
    """The result does not fit in memory."""


class EngineUnavailable(BayesrError, RuntimeError):
    """The inference engine that was asked for is not installed, or cannot run the network."""


class DataNotFound(BayesrError, FileNotFoundError):
    """A set of images, or the folder that should hold it, is not there."""


class UnknownData(BayesrError, KeyError):
    """No data set of this name is registered."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class DataDiffers(BayesrError, ValueError):
    """A file of a data set is not the one that its checksum is of."""


class WrongProtocol(BayesrError, ValueError):
    """Published figures are not reproduced, so that figures would not be comparable with any."""


class InvalidProduct(BayesrError, ValueError):
    """The Dataset is not a product of bayesr, or belongs to another input."""


class TrainingFailed(BayesrError, RuntimeError):
    """Training could not start or go on."""


class SegmenterFailed(BayesrError, RuntimeError):
    """A segmenter raised an error, or what it returned is no segmentation; the message names the member."""


class TilesDiffer(UserWarning):
    """The model sees all of an image, so what is drawn tile by tile is not what one piece would give."""


class UnfamiliarInput(UserWarning):
    """The image is unlike those that the model was calibrated on, so its intervals need not hold."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called into bayesr."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "bayesr":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
