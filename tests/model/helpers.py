"""Model files that tests change."""

import json

from safetensors import safe_open
from safetensors.torch import load_file, save_file


def rewritten(file, change):
    """The model file with other metadata."""
    with safe_open(file, framework="np") as opened:
        header = json.loads(opened.metadata()["bayesr"])
    change(header)
    save_file(load_file(file), file, metadata={"bayesr": json.dumps(header)})
    return file
