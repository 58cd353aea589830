"""Model files that tests change."""

import json

from safetensors import safe_open
from safetensors.torch import load_file, save_file


def rewritten(file, change):
    """Change the metadata of a model file, and return its path."""
    with safe_open(file, framework="np") as opened:
        header = json.loads(opened.metadata()["bayesr"])
    change(header)
    header.pop("header_sha256", None)  # as in files of before
    save_file(load_file(file), file, metadata={"bayesr": json.dumps(header)})
    return file
