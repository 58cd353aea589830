"""All kinds of cases, with the weight of each."""

from __future__ import annotations

from random import Random

from tests.fuzz import arguments, commands, files, stores
from tests.fuzz.place import Case, Kind, Place

KINDS: dict[str, tuple[Kind, int]] = {
    "image": (files.image, 26),
    "image-store": (files.image_store, 10),
    "model": (files.model, 12),
    "segmenter": (files.segmenter, 4),
    "archive": (files.archive, 4),
    "regions": (files.regions, 6),
    "labels": (files.labels, 2),
    "history": (files.training_history, 2),
    "pictures": (files.pictures, 4),
    "table": (files.table, 4),
    "store": (stores.store, 16),
    "segments": (stores.segments, 3),
    "product": (stores.product, 8),
    "sample": (arguments.sample, 14),
    "functions": (arguments.functions, 10),
    "command": (commands.command, 8),
}


def chosen(names: str) -> dict[str, tuple[Kind, int]]:
    """Return the kinds that are named, separated by commas; all for no name."""
    return {name: KINDS[name] for name in names.split(",")} if names else KINDS


def case(kinds: dict[str, tuple[Kind, int]], seed: int, index: int, place: Place) -> tuple[str, Case]:
    """Return the kind and the case of a number, which depend on the seed and the number alone."""
    r = Random(f"{seed}:{index}")
    name = r.choices(list(kinds), [weight for _, weight in kinds.values()])[0]
    return name, kinds[name][0](r, place)
