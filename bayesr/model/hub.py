"""Model files in repositories of the Hugging Face Hub, downloaded once by its own library."""

from __future__ import annotations

import re
from pathlib import Path

from bayesr.errors import EngineUnavailable, InvalidArgument, StoreFailed, UnknownModel

FILE = "model.safetensors"
"""The file of a repository that is read by default."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def download(repository: str, filename: str = FILE, revision: str | None = None) -> Path:
    """Return the local copy of a file, which is downloaded unless it is in the cache of ``huggingface_hub``.

    Nothing of it is read here: `bayesr.load` checks it.

    Parameters
    ----------
    repository : str
        ``"org/name"``.
    filename : str
        A safetensors file in it.
    revision : str, optional
        Branch, tag or commit.

    Raises
    ------
    InvalidArgument
        For a name that is no repository, and a file that is no safetensors file.
    EngineUnavailable
        When ``huggingface_hub`` is not installed.
    UnknownModel
        When there is no such repository, revision or file.
    StoreFailed
        When the hub does not answer and the file is not in the cache.
    """
    if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
        raise InvalidArgument(f"A repository is named 'org/name', not {repository!r}; bayesr.load opens files.")
    if not isinstance(filename, str) or not filename.endswith(".safetensors"):
        raise InvalidArgument(f"filename={filename!r} must end with .safetensors: bayesr reads no other model files.")
    if not (revision is None or isinstance(revision, str)):
        raise InvalidArgument(f"revision must be the name of a branch, tag or commit, not {revision!r}.")
    try:
        from huggingface_hub import hf_hub_download  # optional
        from huggingface_hub.errors import (  # optional  # optional
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise EngineUnavailable(
            "Models of the Hugging Face Hub need huggingface_hub: pip install 'bayesr[hub]', or download the file and "
            "give its path to bayesr.load."
        ) from error
    where = f"{filename} in {repository}" + (f" at {revision}" if revision else "")
    try:
        return Path(hf_hub_download(repository, filename, revision=revision, library_name="bayesr"))
    except LocalEntryNotFoundError as error:  # a child of EntryNotFoundError
        raise StoreFailed(
            f"{where} is not in the cache, and the Hugging Face Hub did not answer: check connection and HF_ENDPOINT."
        ) from error
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UnknownModel(
            f"The Hugging Face Hub has no {where}: check the names, and log in where the repository is private."
        ) from error
    except Exception as error:  # of its connection, of the disk
        reason = " ".join(str(error).split())[:300]
        raise StoreFailed(f"{where} could not be downloaded ({reason}).") from error
