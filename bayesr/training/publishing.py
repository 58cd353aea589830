"""The model of a finished training, and the provenance in its card."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesr.model.checkpoint import network_of, origin_of
from bayesr.model.file import stored
from bayesr.model.model import Model, load
from bayesr.networks.generator import Generator
from bayesr.observe.base import is_projected
from bayesr.training.data import ImageSet
from bayesr.training.loop import Trainer

_OF_START = ("recipe", "settings", "steps", "seconds", "hardware", "data", "licence", "attributions", "start")
"""Entries of a card that go on in the cards of models that started from it."""


def read_start(source: str | Path | Model) -> tuple[Generator, dict[str, Any], Path | None, bool | None]:
    """Return the arguments of `Trainer.start_from`: a network, its origin, its checkpoint, and whether it is projected.

    Parameters
    ----------
    source : str, Path or Model
        A model, or a checkpoint (``.npz``).
    """
    if not isinstance(source, Model) and Path(source).suffix == ".npz":
        network, facts = network_of(Path(source))
        return network, origin_of(Path(source), facts), Path(source), facts.get("projected")
    model = load(source)
    metadata = {name: model.card[name] for name in _OF_START if model.card.get(name)}
    origin = {"model": model.name, "sha256": model.sha256} | metadata
    return model.generator, origin, None, is_projected(model.forward_operator)


def publish(trainer: Trainer, name: str, images: ImageSet, card: Mapping[str, Any]) -> Model:
    """Make a model of a trainer's averaged weights, rounded as stored, with its provenance.

    Parameters
    ----------
    trainer : Trainer
    name : str
    images : ImageSet
        Training images, for the card.
    card : mapping
        Further entries of the card.
    """
    generator = trainer.average.to("cpu")
    generator.load_state_dict({k: stored(v) for k, v in generator.state_dict().items()})
    degradation = trainer.pairs.degradation
    facts = {
        "domain": "",
        "licence": "",
        "data": sorted({Path(image).parts[0] for image in images.names}),
        "images": len(images.names),
        "recipe": trainer.recipe.name,
        "steps": {stage.name: stage.steps for stage in trainer.recipe.stages},
        "seconds": round(trainer.seconds),
        "device": trainer.device.type,
        "seed": trainer.seed,
        "start": trainer.start,
        "degradation": degradation.describe() if degradation else {},
        "processes": trainer.processes.count,
        "commit": _commit(),
        "parameters": sum(p.numel() for p in generator.parameters()),
        "scores": {},
    }
    return Model(name, generator.eval(), trainer.operator, card=facts | dict(card))


def _commit() -> str:
    """Return the commit of the source code, empty outside a repository."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()
