"""Errors and warnings. Every error says what to do, and is also the builtin error that a caller would expect."""

import sys
import warnings


class BayesrError(Exception):
    """Parent of all errors that bayesr raises on purpose."""


class NotAnImage(BayesrError, ValueError):
    """The input is not an image: unreadable, empty, or of an unsupported kind."""


class ImageNotFound(BayesrError, FileNotFoundError):
    """The input path does not exist."""


class AmbiguousDimensions(BayesrError, ValueError):
    """The input's axes can be read in several ways."""


class InvalidPixels(BayesrError, ValueError):
    """The input holds NaN or infinite values that no ``nodata`` explains."""


class BandMismatch(BayesrError, ValueError):
    """The model was trained for another number of bands."""


class InvalidArgument(BayesrError, ValueError):
    """An argument is outside its range, or contradicts another."""


class UnknownModel(BayesrError, KeyError):
    """There is no model of this name."""

    def __str__(self) -> str:  # KeyError would print the message's repr
        return str(self.args[0]) if self.args else ""


class InvalidModel(BayesrError, ValueError):
    """The model file is damaged, unsafe, or of another format version."""


class NotStochastic(BayesrError, ValueError):
    """Several members were requested of a model without a stochastic layer."""


class InvalidForwardOperator(BayesrError, ValueError):
    """The forward operator is unknown, has invalid parameters, or has no usable inverse."""


class StoreExists(BayesrError, FileExistsError):
    """The store exists, and ``overwrite`` was not requested."""


class StoreFailed(BayesrError, OSError):
    """A store or another file could not be written or read."""


class StoreBusy(StoreFailed):
    """Another process is writing to the store; the message names it."""


class WorkersFailed(BayesrError, RuntimeError):
    """The workers of a cluster died, never appeared, or raised an error that bayesr does not raise on purpose."""


class TooLarge(BayesrError, MemoryError):
    """The result does not fit in memory."""


class EngineUnavailable(BayesrError, RuntimeError):
    """The inference engine is not installed or cannot run the network."""


class DataNotFound(BayesrError, FileNotFoundError):
    """A set of images, or its folder, does not exist."""


class UnknownData(BayesrError, KeyError):
    """No data set of this name is registered."""

    def __str__(self) -> str:  # KeyError would print the message's repr
        return str(self.args[0]) if self.args else ""


class DataDiffers(BayesrError, ValueError):
    """A data set's file does not have the recorded checksum."""


class WrongProtocol(BayesrError, ValueError):
    """The evaluation does not reproduce published results, so its results are not comparable with others."""


class InvalidProduct(BayesrError, ValueError):
    """The Dataset is not a product of bayesr, or belongs to another input."""


class TrainingFailed(BayesrError, RuntimeError):
    """Training could not start or continue."""


class SegmenterFailed(BayesrError, RuntimeError):
    """A segmenter failed or returned no valid segmentation; the message names the member."""


class PluginFailed(BayesrError, ImportError):
    """What another distribution adds by an entry point cannot be loaded, or fails."""


class TilesDiffer(UserWarning):
    """The model depends on the whole image, so members drawn in tiles differ from those drawn in one piece."""


class VarianceNotSplit(UserWarning):
    """The members cannot be divided among dropout masks, so ``aleatoric`` and ``epistemic`` are NaN."""


class ObjectsNotSeparated(UserWarning):
    """A segmenter returned one label for several regions, which count as one object."""


class UnfamiliarInput(UserWarning):
    """The image is out of distribution for the model's calibration, so its intervals may not hold."""


class NotUsed(UserWarning):
    """The image states something that the product cannot hold, such as two-dimensional coordinates."""


class PluginNotUsed(UserWarning):
    """What another distribution adds by an entry point cannot be loaded, and is left out of a list."""


class LinesLeftOut(UserWarning):
    """Lines of a file are cut short or damaged, and are not used."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning at the line that called into bayesr."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "bayesr":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
