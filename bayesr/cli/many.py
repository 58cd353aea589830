"""Many images in one command: which there are, where each result goes, and what is wrong with any, before any work."""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bayesr import errors
from bayesr.errors import BayesrError, InvalidArgument

_STORE, _FOLDER = ".zarr", ".ome.zarr"
"""Suffixes of stores, and of the format that is a folder of files."""
_LISTED = 20
"""Most problems that a message lists."""


@dataclass(frozen=True)
class Task:
    """One image, and the place of its result: a path or a URL."""

    img: str
    out: str

    @property
    def is_store(self) -> bool:
        return self.out.endswith(_STORE) and not self.out.endswith(_FOLDER)

    @property
    def exists(self) -> bool:
        """Whether there is something at the place of the result."""
        from bayesr.store.places import files, place_of  # slow to import

        system, path = files(place_of(self.out))
        found: bool = system.exists(path)
        return found


def is_many(given: Sequence[str], out: str) -> bool:
    """Whether a command writes to a folder: it has several images, a folder or a pattern, or ends in ``OUT/``."""
    ends_in_slash = out.endswith(("/", os.sep)) and Path(out).suffix.lower() != _STORE
    return len(given) > 1 or ends_in_slash or any(_is_pattern(img) or _is_plain_folder(img) for img in given)


def _is_pattern(img: str) -> bool:
    return "://" not in img and glob.has_magic(img) and not Path(img).exists()


def _is_plain_folder(img: str) -> bool:
    """Whether a path is a folder, and no Zarr store."""
    return Path(img).is_dir() and not any((Path(img) / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def images_of(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the images that paths, folders and patterns name, and what is wrong with these.

    A folder stands for the images directly inside it, whose names or first bytes say that they are some; hidden files
    are left out. A pattern, such as ``'scans/**/*.tif'``, stands for all that it matches.
    """
    from bayesr.images import looks_like_image  # slow to import

    found, problems = list[str](), list[str]()
    for one in given:
        if _is_pattern(one):
            matches = sorted(glob.glob(one, recursive=True))  # noqa: PTH207 - it may begin at the root
            problems += [] if matches else [f"{one}: no file matches."]
        elif _is_plain_folder(one):
            inside = sorted(path for path in Path(one).iterdir() if not path.name.startswith("."))
            matches = [str(path) for path in inside if not _is_plain_folder(str(path)) and looks_like_image(path)]
            problems += [] if matches else [f"{one}: the folder holds no images."]
        else:
            matches = [one]
        found += matches
    return found, problems


def name_of(img: str) -> str:
    """Return the name of an image's result: that of the file, without its suffix."""
    name = Path(img.rstrip("/")).stem
    return name.removesuffix(".ome")  # of OME-TIFF and OME-Zarr, which a product need not be


def tasks_of(found: Sequence[str], out: str, suffix: str) -> tuple[list[Task], list[str]]:
    """Return a task for each image, and which results would collide."""
    names = [name_of(img) + suffix for img in found]
    placed = [f"{out.rstrip('/')}/{name}" if "://" in out else str(Path(out) / name) for name in names]
    tasks = [Task(img, place) for img, place in zip(found, placed, strict=True)]
    counts = Counter(os.path.normcase(task.out) for task in tasks)
    shared = [name for name, count in counts.items() if count > 1]
    problems = []
    for name in shared:
        images = [task.img for task in tasks if os.path.normcase(task.out) == name]
        problems.append(f"{', '.join(images)}: all would be written to {name}. Rename them, or use several folders.")
    return tasks, problems


def refuse(problems: Sequence[str]) -> None:
    """Raise one error for all problems, if there are any.

    Raises
    ------
    InvalidArgument
    """
    if problems:
        raise InvalidArgument(f"Nothing is sampled, because of {_count(problems, 'problem')}:{_listed(problems)}")


def _count(of: Sequence[str], noun: str) -> str:
    return f"{len(of)} {noun}{'' if len(of) == 1 else 's'}"


def _listed(problems: Sequence[str]) -> str:
    more = f"\n  ... and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return "".join(f"\n  {problem}" for problem in problems[:_LISTED]) + more


def places(out: str, given: Sequence[str], tasks: Sequence[Task], *, overwrite: bool, resume: bool) -> list[str]:
    """Return what is wrong with the places of results."""
    wrong = "" if "://" in out else _folder_problem(Path(out), given)
    if not wrong and overwrite and resume:
        wrong = "--overwrite and --resume contradict each other: choose one."
    if wrong:
        return [wrong]
    sources = {os.path.realpath(task.img) for task in tasks}
    found = []
    for task in tasks:
        if os.path.realpath(task.out) in sources:
            found.append(f"{task.out}: it is one of the images, and would be replaced. Use another folder.")
        else:
            found += _place_problem(task, overwrite, resume)
    return found


def _folder_problem(folder: Path, given: Sequence[str]) -> str:
    """Return what is wrong with the folder of the results, which need not exist."""
    last = f"{folder}: the last argument is the folder of the results, and this is a"
    if folder.exists() and not folder.is_dir():
        return f"{last} file."
    if folder.is_dir() and not _is_plain_folder(str(folder)):
        return f"{last} Zarr store."
    if not folder.absolute().parent.is_dir():
        return f"{folder}: there is no folder {folder.absolute().parent} to make it in."
    if any(_is_plain_folder(one) and Path(one).resolve() == folder.resolve() for one in given):
        return f"{folder}: the results would lie among the images. Use another folder."
    return ""


def _place_problem(task: Task, overwrite: bool, resume: bool) -> Iterator[str]:
    from bayesr.store.places import check, place_of  # slow to import

    if task.is_store:
        try:
            check(place_of(task.out), 0, overwrite=overwrite, resume=resume and task.exists)
        except BayesrError as error:
            yield str(error)
    elif Path(task.out).is_dir() and not (resume and task.out.endswith(_FOLDER)):
        yield f"{task.out}: it is a folder, and is not replaced. Remove it, or use another folder."
    elif Path(task.out).exists() and not (overwrite or resume):
        yield f"{task.out}: it exists. Use --overwrite, --resume, which keeps it, or another folder."


def check_options(options: Mapping[str, Any], *, stores: bool) -> Any:
    """Check the options that all images share, and return the model.

    Raises
    ------
    BayesrError
        As `bayesr.sample` does.
    """
    from bayesr import load  # slow to import
    from bayesr.product import choose_variables  # slow to import
    from bayesr.sampling import arguments, device, known_operators  # slow to import

    checked = arguments.check_options(**options, store=f"any{_STORE}" if stores else None)
    choose_variables(checked["variables"], checked["keep_samples"] or None, in_memory=not stores)
    device.check_precision(device.resolve(checked["device"]), checked["precision"])
    model = load(options["model"])
    known = known_operators.check(model, checked["forward_operator"])
    masks = known_operators.choose_masks(known, checked["n"], checked["masks"])
    arguments.choose_masks(model, checked["n"], masks, known_operators.number_of_kernels(known))
    return model


def unreadable(tasks: Sequence[Task], model: Any, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with images: each is opened, and compared with what the model and the format take."""
    from bayesr import images  # slow to import
    from bayesr.exporting.writing import suffix_of  # slow to import
    from bayesr.sampling import arguments  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are shown when the image is sampled
        for task in tasks:
            try:
                array = images.source(task.img, options["dims"], stack=True)
                arguments.check_image(model, array, options["n"], options["level"])
                require_format(images.leading(array), _STORE if task.is_store else suffix_of(Path(task.out)))
            except BayesrError as error:
                yield str(error) if task.img in str(error) else f"{task.img}: {error}"


def require_format(leading: Sequence[str], suffix: str) -> None:
    """Check that a format holds the product of an image with some leading axes.

    Raises
    ------
    InvalidArgument
    """
    from bayesr.exporting.writing import OF_STACKS  # slow to import

    if leading and suffix not in OF_STACKS:
        raise InvalidArgument(
            f"The image is a stack along {', '.join(leading)}, and {suffix} holds one slice: write "
            f"{' or '.join(OF_STACKS)}, and export slices from Python, ds.isel({leading[0]}=0)."
        )


def run(tasks: Sequence[Task], sample: Callable[[Task], str]) -> None:
    """Do all tasks, one after the other. One that fails does not end the others.

    Parameters
    ----------
    tasks : sequence of Task
    sample : callable
        Does one task, and returns a line about its result.

    Raises
    ------
    BayesrError
        In the end, where any failed; the message lists them.
    """
    failed = []
    for number, task in enumerate(tasks, 1):
        click.echo(f"[{number}/{len(tasks)}] {task.img}", err=True)
        try:
            with _every_warning():
                line = sample(task)
        except (BayesrError, OSError, MemoryError) as error:
            failed.append(f"{task.img}: {error}")
            click.echo(f"[{number}/{len(tasks)}] {task.img} failed; the others go on", err=True)
        else:
            click.echo(f"{task.out}: {line}")
    if failed:
        raise BayesrError(
            f"{len(failed)} of {_count([task.img for task in tasks], 'image')} failed, and the others are finished. "
            f"Mend the cause, and call the same command with --resume:{_listed(failed)}"
        )


@contextmanager
def _every_warning() -> Iterator[None]:
    """Show warnings of every image: Python shows equal ones once."""
    with warnings.catch_warnings():
        for category in (errors.UnfamiliarInput, errors.NotUsed, errors.TilesDiffer):
            warnings.simplefilter("always", category)
        yield
