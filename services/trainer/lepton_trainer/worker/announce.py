"""What this worker announces: its recipes with the schemas of their settings, found without torch, and its GPUs."""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from lepton_core.ids import digest_of
from lepton_core.validation import canonical_json
from lepton_trainer.recipes.catalogue import RecipeEntry
from lepton_trainer.reporting.registry import AnnouncedRecipe, Announcement
from lepton_trainer.settings import TrainerSettings

_GPU_DEVICE = re.compile(r"nvidia\d+")


def announcement(
    settings: TrainerSettings, worker_id: str, incarnation: int, recipes: Mapping[tuple[str, str], RecipeEntry]
) -> Announcement:
    gpus = count_gpus(os.environ, Path("/dev"))
    return Announcement(
        worker_id=worker_id,
        hostname=socket.gethostname(),
        incarnation=incarnation,
        recipes=[_announced(entry) for entry in recipes.values()],
        accepts_scripts=settings.accepts_scripts,
        max_ranks=settings.ranks_at_most(gpus),
        gpus=gpus,
        isolates_scripts=settings.accepts_scripts and bool(settings.run_as),
    )


def _announced(entry: RecipeEntry) -> AnnouncedRecipe:
    schema = canonical_json(entry.schema)
    return AnnouncedRecipe(
        name=entry.name,
        version=entry.version,
        title=entry.title,
        schema=schema,
        schema_digest=digest_of(schema.encode()),
    )


def count_gpus(environ: Mapping[str, str], devices: Path) -> int:
    """Number of NVIDIA GPUs that a process started here can use, counted by their device files."""
    present = sum(1 for entry in devices.iterdir() if _GPU_DEVICE.fullmatch(entry.name))
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    named = [name for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return min(present, len(named))
