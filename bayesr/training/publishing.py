"""The model of a finished training, and the provenance in its card."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesr.model.file import stored
from bayesr.model.model import Model, load
from bayesr.observe.base import is_projected
from bayesr.training.data import ImageSet
from bayesr.training.loop import Trainer
from bayesr.training.warmstart import StartingPoint

_INHERITED = ("recipe", "settings", "steps", "seconds", "hardware", "data", "licence", "attributions", "start")
"""Entries of a model card that are copied into the cards of models whose training starts from this model."""


def read_start(source: str | Path | Model) -> StartingPoint:
    """Read the network that a training starts from.

    Parameters
    ----------
    source : str, Path or Model
        A model, or a checkpoint (``.npz``).
    """
    if not isinstance(source, Model) and Path(source).suffix == ".npz":
        return StartingPoint.from_checkpoint(Path(source))
    model = load(source)
    metadata = {name: model.card[name] for name in _INHERITED if model.card.get(name)}
    origin = {"model": model.name, "sha256": model.sha256} | metadata
    return StartingPoint(model.generator, origin, projected=is_projected(model.forward_operator))


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
